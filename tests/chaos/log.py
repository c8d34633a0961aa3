"""A log of ticks with what real feeds do wrong: late, duplicate and out-of-order trades, and bytes that are no tick."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self

from confluent_kafka import Producer

from infra.runtime.kafka import producer_config
from infra.runtime.settings import Settings
from schemas.codec import Codec
from schemas.enums import Side, TickKind
from schemas.instruments import partition_for
from schemas.records import Record, Tick
from schemas.registry import Registry
from tests.ticks import Feed as BookFeed

SOURCE = "made"
SYMBOLS = ("SEI/USDC", "BTC/USDC", "ETH/USDC", "SOL/USDC", "ATOM/USDC", "OSMO/USDC")
_START_US = 1_700_000_100_000_000  # a whole minute, of five, of fifteen
_SECOND = 1_000_000


def made_ticks(seed: int, count: int, seconds: int, *, hour: int = 0) -> Iterator[Tick | None]:
    """Make trades, and a heartbeat a second with a watermark; None stands for bytes that are no tick.

    Of a hundred, one is the last one again, one is an older one in a new message (as after a reconnect), and one is
    late by up to 50 seconds.

    Args:
        hour: When they begin; a log that follows another in the same topic is of a later hour.
    """
    random_ = random.Random(seed)
    start = _START_US + hour * 3_600 * _SECOND
    session, message, beat, greatest = start, 0, 0, 0
    price = {symbol: 1_000_000_000 * (index + 1) for index, symbol in enumerate(SYMBOLS)}
    past: deque[Tick] = deque(maxlen=100)
    for number in range(count):
        now = start + number * seconds * _SECOND // count
        while beat <= (now - start) // _SECOND:
            beat += 1
            message += 1
            yield _tick(
                session, message, now, kind=TickKind.HEARTBEAT, watermark=greatest - _SECOND if greatest else None
            )
        kind = random_.random()
        if past and kind < 0.01:
            yield past[-1]
            continue
        message += 1
        if past and kind < 0.02:
            yield replace(random_.choice(past), message=message, ts_recv=now)
            continue
        if kind < 0.022:
            yield None
            continue
        symbol = random_.choice(SYMBOLS)
        price[symbol] += random_.choice((-1, 0, 1)) * 100_000
        age = random_.choice((1, 5, 20, 200)) * 1_000 if random_.random() < 0.99 else random_.randrange(2, 50) * _SECOND
        event = now - age
        greatest = max(greatest, event)
        past.append(
            _tick(
                session,
                message,
                now,
                kind=TickKind.TRADE,
                symbol=symbol,
                side=random_.choice((Side.BUY, Side.SELL)),
                price=price[symbol],
                size=random_.randrange(1, 10**10),
                ts_event=event,
                sequence=number,
                trade_id=f"{hour}-{number}",
            )
        )
        yield past[-1]


def made_books(
    seed: int, count: int, seconds: int, *, symbol: str = "SEI/USDC", jump_every: int = 0
) -> Iterator[Tick | None]:
    """Make a quoted market: a whole book a message, ten times a second, trades, and a heartbeat a second.

    Args:
        jump_every: After so many books the mid jumps by 30 bps, up and down by turns; 0 is never.
    """
    random_ = random.Random(seed)
    feed = BookFeed(symbol, venue="sim-sei-clob", source="sim-sei-clob", session=_START_US)
    mid = 4_000
    for number in range(count):
        now = _START_US + number * seconds * _SECOND // count
        mid += random_.choice((-1, 0, 0, 1))
        if jump_every and number % jump_every == jump_every - 1:
            mid += -12 if number // jump_every % 2 else 12
        bids, asks = (
            [(f"{(mid + side * step) / 10_000:.4f}", random_.randint(1, 900)) for step in (2, 3)] for side in (-1, 1)
        )
        yield from feed.levels(now, bids, asks, clear=True)
        if random_.random() < 0.2:
            side = random_.choice((Side.BUY, Side.SELL))
            yield feed.trade(now, f"{mid / 10_000:.4f}", random_.randint(1, 50), side)
        if not number % (count // seconds):
            yield feed.heartbeat(now, now - _SECOND)


def _tick(session: int, message: int, now: int, **fields: Any) -> Tick:
    values: dict[str, Any] = {"symbol": "", "side": Side.NONE, "price": 0, "size": 0, **fields}
    return Tick(
        venue="made",
        source=SOURCE,
        ts_recv=now,
        session=session,
        message=message,
        ordinal=0,
        first=True,
        last=True,
        **values,
    )


def codec_of(settings: Settings, record: type[Record]) -> Codec:
    """Make the codec of a record with the ids of the run's registry."""
    with Registry(settings.registry_url) as registry:
        return registry.codec(record)


class Feed:
    """Writes ticks into `market.ticks`: those of a market to its group's partition, heartbeats to every one.

    Args:
        per_s: How many a second; None: as fast as it goes.
    """

    def __init__(self, settings: Settings, ticks: Iterator[Tick | None], *, per_s: int | None = None) -> None:
        self.poisoned = 0
        self._ticks = ticks
        self._per_s = per_s
        self._partitions = settings.kafka_partitions
        self._codec = codec_of(settings, Tick)
        self._random = random.Random(1)
        self._producer = Producer(producer_config(settings, **{"message.timeout.ms": 300_000}))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    @property
    def is_over(self) -> bool:
        """Whether everything is written."""
        return not self._thread.is_alive()

    def finish(self) -> None:
        """Wait until everything is written."""
        self._thread.join()

    def _run(self) -> None:
        started = time.monotonic()
        last = b""
        for number, tick in enumerate(self._ticks):
            if self._per_s is not None and number % 100 == 0:
                time.sleep(max(0.0, started + number / self._per_s - time.monotonic()))
            if tick is None:
                self.poisoned += 1
                self._write(self._poison(last), self._random.randrange(self._partitions))
                continue
            value = self._codec.encode(tick)
            if tick.symbol:
                last = value
                group = tick.symbol.partition("/")[0].encode()
                self._write(value, partition_for(group, self._partitions), group)
            else:
                for partition in range(self._partitions):
                    self._write(value, partition)
        assert self._producer.flush(300) == 0

    def _write(self, value: bytes | None, partition: int, key: bytes = SOURCE.encode()) -> None:
        while True:
            try:
                self._producer.produce("market.ticks", value, key=key, partition=partition)
            except BufferError:
                self._producer.poll(0.1)
            else:
                break
        self._producer.poll(0)

    def _poison(self, good: bytes) -> bytes | None:
        return self._random.choice(
            (
                None,  # a tombstone
                b"",
                b"not framed",
                b"\x00\xff\xff\xff\xff" + good[5:],  # of a schema that nobody knows
                good[: len(good) // 2],
                good + b"\x00",
            )
        )
