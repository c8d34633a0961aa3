"""A producer of the benchmark's ticks at an even rate: `python -m infra.bench.pacer`, a process of its own.

Open loop: a tick bears the time at which it was to be sent, so a pacer or a broker that falls behind shows as latency
and hides none (coordinated omission). It sends as the platform's producers do: librdkafka, idempotent, their linger.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

import numpy as np
from confluent_kafka import Producer

from infra.bench.books import BOOKS_PER_S, BookMaker
from infra.bench.ground import TICKS
from infra.bench.ticks import DUPLICATE_EVERY, SOURCE, TickMaker, Ticks
from infra.runtime.clock import wall_clock_us
from infra.runtime.kafka import producer_config
from infra.runtime.settings import load_settings
from schemas.instruments import DEFAULT_PATH, Instruments, partition_for
from schemas.records import Tick
from schemas.registry import Registry

__all__ = ["main", "pace"]

_MICROS = 1_000_000
_AHEAD_US = 3 * _MICROS
_BLOCK = 2_000_000  # made before they are due: 200 MB
_WAIT_S = 0.001
_FLUSH_S = 60


def pace(
    maker: TickMaker, producer: Producer, partitions: int, count: int, books: Sequence[BookMaker] = ()
) -> dict[str, float]:
    """Send `count` ticks at the maker's rate from its start; gives what was sent, and how late the sending was.

    The books of quoted markets are sent beside them, each `BOOKS_PER_S` times a second.

    Only a block at a time is made ahead; in the moment between two, longer runs send late.
    """
    where = maker.partitions(partitions)
    lags: list[int] = []
    beside = _Beside(maker, producer, partitions, books)
    sent = 0
    while sent < count:
        block = maker.ticks(sent, min(_BLOCK, count - sent))
        _send(maker, producer, block, where, beside, lags)
        sent += len(block)
    ended_us = wall_clock_us()
    left = producer.flush(_FLUSH_S)
    lag = np.array(lags) / 1_000
    return {
        "sent": sent - left,
        "seconds": (ended_us - maker.start_us) / _MICROS,
        "send_lag_p99_ms": float(np.percentile(lag, 99)),
        "send_lag_max_ms": float(lag.max()),
    }


class _Beside:
    """What is sent at times of its own: a heartbeat a second to every partition, and books."""

    def __init__(self, maker: TickMaker, producer: Producer, partitions: int, books: Sequence[BookMaker]) -> None:
        self._maker = maker
        self._producer = producer
        self._partitions = partitions
        self._books = books
        self._beats = 0
        self._rounds = 0

    def send(self, now_us: int) -> None:
        """Send what is due; at most one of each, so that what was missed in a pause is not made up for."""
        due_us = self._maker.start_us + self._beats * _MICROS
        if now_us >= due_us:
            self._beats += 1
            value = self._maker.heartbeat(due_us, self._beats)
            for partition in range(self._partitions):
                self._producer.produce(TICKS, value, SOURCE.encode(), partition)
        due_us = self._maker.start_us + self._rounds * _MICROS // BOOKS_PER_S
        if self._books and now_us >= due_us:
            self._rounds += 1
            for books in self._books:
                key = books.instrument.group.encode()
                for value in books.book(due_us):
                    self._producer.produce(TICKS, value, key, partition_for(key, self._partitions))


def _send(
    maker: TickMaker, producer: Producer, block: Ticks, where: list[int], beside: _Beside, lags: list[int]
) -> None:
    markets, times, groups = block.market.tolist(), block.ts_recv.tolist(), maker.groups
    row, produce = 0, producer.produce
    while row < len(block):
        now_us = wall_clock_us()
        due = int(np.searchsorted(block.ts_recv, now_us, side="right"))
        beside.send(now_us)
        if due > row:
            lags.append(now_us - times[row])
            while row < due:
                try:
                    produce(TICKS, block.value(row), groups[markets[row]], where[markets[row]])
                except BufferError:
                    break
                row += 1
        producer.poll(0)
        time.sleep(_WAIT_S)


def main() -> None:
    """Pace as the arguments say, and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m infra.bench.pacer", description=__doc__)
    parser.add_argument("--rate", type=int, required=True, help="ticks a second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--markets", type=int, required=True)
    parser.add_argument("--books", default="", help="venue whose markets with a book are sent too")
    options = parser.parse_args()
    settings = load_settings()
    with Registry(settings.registry_url) as registry:
        codec = registry.codec(Tick)
    maker = TickMaker(codec, options.markets, wall_clock_us() + _AHEAD_US, options.rate)
    listed = (each for each in Instruments.load(DEFAULT_PATH) if each.venue == options.books and each.has_book)
    books = [BookMaker(codec, instrument, maker.start_us, seed) for seed, instrument in enumerate(listed)]
    count = int(options.rate * options.seconds) // DUPLICATE_EVERY * DUPLICATE_EVERY
    producer = Producer(producer_config(settings, **{"queue.buffering.max.messages": 2_000_000}))
    producer.list_topics(timeout=10)  # connected before the first tick is due
    print(json.dumps(pace(maker, producer, settings.kafka_partitions, count, books)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
