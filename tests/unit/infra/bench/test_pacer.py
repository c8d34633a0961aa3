"""The pacer sends every tick once, to the partition of its group, with a heartbeat a second to all of them."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from confluent_kafka import Producer

from infra.bench.books import BookMaker
from infra.bench.pacer import pace
from infra.bench.ticks import TickMaker
from schemas.codec import Codec
from schemas.enums import TickKind
from schemas.instruments import Instruments, partition_for
from schemas.records import Tick


class FakeProducer:
    """Takes every second record at the first try only when it has room."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, int]] = []
        self._is_full = False

    def produce(self, topic: str, value: bytes, key: bytes, partition: int, **_: Any) -> None:
        self._is_full = not self._is_full and len(self.sent) % 500 == 499
        if self._is_full:
            raise BufferError
        self.sent.append((value, partition))

    def poll(self, timeout: float) -> int:
        return 0

    def flush(self, timeout: float) -> int:
        return 0


def test_everything_due_is_sent_once_in_order(codec: Codec) -> None:
    """A full queue only delays, and the delay is reported."""
    maker = TickMaker(codec, markets=10, start_us=1_760_000_040_000_000, rate=1_000)
    producer = FakeProducer()

    result = pace(maker, cast(Producer, producer), 4, 2_000)

    expected = maker.ticks(0, 2_000)
    where = maker.partitions(4)
    ticks = [(value, partition) for value, partition in producer.sent if kind(codec, value) is TickKind.TRADE]
    assert ticks == [(expected.value(row), where[expected.market[row]]) for row in range(2_000)]
    assert result["sent"] == 2_000
    assert result["send_lag_max_ms"] > 0
    beats = Counter(partition for value, partition in producer.sent if kind(codec, value) is TickKind.HEARTBEAT)
    assert set(beats) == {0, 1, 2, 3}


def test_books_are_sent_beside(codec: Codec) -> None:
    """Whole messages, to the partition of the market's group, of prices and sizes that the venue takes."""
    start_us = 1_760_000_040_000_000
    instrument = Instruments.load().get("sim-sei-clob", "SEI/USDC")
    assert instrument is not None
    maker = TickMaker(codec, markets=10, start_us=start_us, rate=1_000)
    producer = FakeProducer()

    pace(maker, cast(Producer, producer), 4, 200, [BookMaker(codec, instrument, start_us, seed=1)])

    sent = [(codec.decode(value), partition) for value, partition in producer.sent]
    books = [(tick, partition) for tick, partition in sent if isinstance(tick, Tick) and tick.venue == "sim-sei-clob"]
    first = [tick for tick, _ in books if tick.message == 1]
    assert [first[0].kind, first[0].first, first[-1].last] == [TickKind.CLEAR, True, True]
    assert {tick.kind for tick in first[1:]} == {TickKind.LEVEL}
    assert all(tick.price % instrument.tick == 0 and tick.size % instrument.lot == 0 for tick, _ in books)
    assert {partition for _, partition in books} == {partition_for(b"SEI", 4)}


def kind(codec: Codec, value: bytes) -> TickKind:
    tick = codec.decode(value)
    assert isinstance(tick, Tick)
    return tick.kind
