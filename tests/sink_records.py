"""Records that tests of the sinks write, and reading back what they wrote to Kafka."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from infra.local.process import wait_until
from infra.runtime.settings import Settings
from schemas.codec import Codec
from schemas.enums import BarState, BookState, Mode, OrderStatus, Side, Timeframe
from schemas.numbers import PRICE_SCALE, SIZE_SCALE, to_units
from schemas.records import (
    Balance,
    Bar,
    Book,
    BookLevel,
    ExecutionReport,
    Metric,
    Position,
    Quote,
    Record,
    Trade,
)
from schemas.registry import Registry
from schemas.topics import topic_of
from sinks.decoding import Delivery
from sinks.stop import Stop

VENUE, SYMBOL = "sim-sei-clob", "SEI/USDC"
NOW_US = 1_700_000_000_000_000
R = TypeVar("R", bound=Record)


def price(text: str) -> int:
    return to_units(text, PRICE_SCALE)


def size(text: str) -> int:
    return to_units(text, SIZE_SCALE)


def cause(offset: int) -> dict[str, Any]:
    return {"cause_topic": "market.ticks", "cause_partition": 0, "cause_first_offset": offset, "cause_offset": offset}


def trade(offset: int, **changes: Any) -> Trade:
    fields: dict[str, Any] = {
        "venue": VENUE,
        "source": "sim",
        "symbol": SYMBOL,
        "trade_id": f"t{offset}",
        "side": Side.BUY,
        "price": price("0.2512"),
        "size": size("10.5"),
        "ts_event": NOW_US + offset,
        "ts_recv": NOW_US + offset,
        **cause(offset),
    }
    return Trade(**(fields | changes))


def quote(offset: int, **changes: Any) -> Quote:
    fields: dict[str, Any] = {
        "venue": VENUE,
        "symbol": SYMBOL,
        "state": BookState.LIVE,
        "bid_price": price("0.2511"),
        "bid_size": size("5"),
        "ask_price": price("0.2513"),
        "ask_size": size("6"),
        "ts_recv": NOW_US + offset,
        **cause(offset),
    }
    return Quote(**(fields | changes))


def book(offset: int, **changes: Any) -> Book:
    fields: dict[str, Any] = {
        "venue": VENUE,
        "symbol": SYMBOL,
        "state": BookState.LIVE,
        "bids": (BookLevel(price=price("0.2511"), size=size("5")),),
        "asks": (BookLevel(price=price("0.2513"), size=size("6")),),
        "ts_grid": NOW_US + offset,
        "ts_recv": NOW_US + offset,
        **cause(offset),
    }
    return Book(**(fields | changes))


def bar(minute: int, revision: int, **changes: Any) -> Bar:
    ts_open = NOW_US - NOW_US % 60_000_000 + minute * 60_000_000
    fields: dict[str, Any] = {
        "venue": VENUE,
        "symbol": SYMBOL,
        "timeframe": Timeframe.M1,
        "ts_open": ts_open,
        "ts_close": ts_open + 60_000_000,
        "ts_emit": ts_open + revision,
        "open": price("1"),
        "high": price("2"),
        "low": price("0.5"),
        "close": price("1.5"),
        "volume": size("10"),
        "buy_volume": size("4"),
        "sell_volume": size("6"),
        "quote_volume": price("1.25") * size("10"),
        "vwap": price("1.25"),
        "trade_count": revision + 1,
        "state": BarState.PARTIAL,
        "revision": revision,
        "is_complete": True,
        **cause(revision),
    }
    return Bar(**(fields | changes))


def metric(component: str, at_us: int, **changes: Any) -> Metric:
    fields: dict[str, Any] = {
        "component": component,
        "instance": "1",
        "ts_metric": at_us,
        "counters": {"ticks": 10},
        "gauges": {"queued": 1.0},
    }
    return Metric(**(fields | changes))


def position(offset: int, **changes: Any) -> Position:
    fields: dict[str, Any] = {
        "mode": Mode.PAPER,
        "account": "demo",
        "venue": VENUE,
        "symbol": SYMBOL,
        "quantity": size("5"),
        "cash": -price("0.25") * size("5"),
        "fees": 7,
        "average_price": price("0.25"),
        "realised_pnl": 0,
        "fill_count": 1,
        "executions_partition": 0,
        "executions_offset": offset,
        "ts_update": NOW_US + offset,
    }
    return Position(**(fields | changes))


def balance(offset: int, **changes: Any) -> Balance:
    fields: dict[str, Any] = {
        "mode": Mode.PAPER,
        "account": "demo",
        "venue": VENUE,
        "asset": "USDC",
        "quantity": 99 * 10**18,
        "equity": 100 * 10**18 + 1,
        "deposits": 100 * 10**18,
        "peak_equity": 103 * 10**18,
        "day_equity": 101 * 10**18,
        "ts_day": NOW_US - NOW_US % 86_400_000_000,
        "ts_update": NOW_US + offset,
    }
    return Balance(**(fields | changes))


def execution(number: int, **changes: Any) -> ExecutionReport:
    fields: dict[str, Any] = {
        "execution_id": f"o|{number}",
        "order_id": "o",
        "mode": Mode.PAPER,
        "account": "demo",
        "venue": VENUE,
        "symbol": SYMBOL,
        "status": OrderStatus.PARTIAL,
        "side": Side.BUY,
        "price": price("0.25"),
        "size": size("5"),
        "filled_size": size("1"),
        "last_price": price("0.25"),
        "last_size": size("1"),
        "fee": -3,
        "ts_event": NOW_US,
        "ts_recv": NOW_US,
        **cause(number),
    }
    return ExecutionReport(**(fields | changes))


def delivery(record: Record, offset: int) -> Delivery:
    """A delivery of a record, without its bytes."""
    return Delivery(topic_of(type(record)).name, 0, offset, b"")


class Kafka:
    """Writes and reads records on the Kafka and registry of some settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "acks": "all", "linger.ms": 0})
        self._codecs: dict[type[Record], Codec] = {}

    def write(self, *records: Record, partition: int = 0, key: str | None = None) -> None:
        for record in records:
            self.write_bytes(type(record), self._codec(type(record)).encode(record), partition, key)

    def write_bytes(self, kind: type[Record], value: bytes, partition: int = 0, key: str | None = None) -> None:
        """Write bytes, which the broker takes; a compacted topic of a real one takes none without a key."""
        failures: list[Any] = []

        def delivered(error: Any, _: Any) -> None:
            if error is not None:
                failures.append(error)

        topic = topic_of(kind).full_name(self._settings.topic_prefix)
        self._producer.produce(topic, value, key, partition=partition, on_delivery=delivered)
        assert self._producer.flush(20) == 0
        assert failures == []

    def read(self, kind: type[R], partition: int = 0) -> list[R]:
        """All records of a partition, from its start to its end."""
        topic = TopicPartition(topic_of(kind).full_name(self._settings.topic_prefix), partition, 0)
        codec = self._codec(kind)
        records: list[Any] = []
        config = {"bootstrap.servers": self._settings.kafka_bootstrap, "group.id": "test-reader"}
        # The end is told by a fetch that finds nothing: by default the broker waits half a second with its answer.
        with Consumer({**config, "enable.partition.eof": True, "fetch.wait.max.ms": 10}) as consumer:
            consumer.assign([topic])
            while True:
                message = consumer.poll(10)
                assert message is not None
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    return records
                assert error is None
                records.append(codec.decode(message.value()))

    def _codec(self, kind: type[Record]) -> Codec:
        if kind not in self._codecs:
            with Registry(self._settings.registry_url) as registry:
                self._codecs[kind] = registry.codec(kind)
        return self._codecs[kind]

    def committed(self, group: str, kind: type[Record], partition: int = 0) -> int:
        """The offset that a group committed; negative for none."""
        topic = TopicPartition(topic_of(kind).full_name(self._settings.topic_prefix), partition)
        with Consumer({"bootstrap.servers": self._settings.kafka_bootstrap, "group.id": group}) as consumer:
            return int(consumer.committed([topic], timeout=10)[0].offset)


@contextmanager
def running(run: Callable[[], None], stop: Stop) -> Iterator[threading.Thread]:
    """Run a sink in a thread until the block is left; what it raised is raised here."""
    failures: list[BaseException] = []

    def target() -> None:
        try:
            run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    try:
        yield thread
    finally:
        stop.request()
        thread.join(30)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


def eventually(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    """Wait until a condition holds."""
    assert wait_until(condition, timeout_s=timeout_s), "the condition never held"
