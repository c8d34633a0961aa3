"""A prefilled `market.ticks`: grown between runs, so that every system drains a prefix sized to its speed."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from typing import Any

import numpy as np
from aiokafka import AIOKafkaProducer
from numpy.typing import NDArray

from infra.bench.ground import TICKS, Ground
from infra.bench.ticks import DUPLICATE_EVERY, SOURCE, TickMaker, Ticks
from processors.microbatch.recordbatch import Block, prebuilt
from schemas.records import Tick

__all__ = ["BATCH_BYTES", "TickLog", "blocks", "single"]

BATCH_BYTES = 256 * 1024
_BLOCK = 100_000
_MICROS = 1_000_000
_DAY_US = 86_400 * _MICROS
_MINUTE_US = 60 * _MICROS
_PAUSE_US = 2 * _MICROS
_MAX_IN_FLIGHT = 64


class TickLog:
    """The ticks on a ground, written in record batches of up to 256 KiB, uncompressed, keyed by group.

    The log begins with one trade of every market and a heartbeat after the next full second, and every growth ends with
    a heartbeat: so the first records and the last ones make bars, which say when they were processed. Its times are
    those of a day ago: within every retention, and not live, so that no watchdog writes into it. Record batches are
    built in compiled code, as the worker's own are, so that tens of millions of ticks take seconds.

    Args:
        rate: Ticks a second of the log's time.
    """

    def __init__(self, ground: Ground, *, markets: int, rate: int = 100_000, seed: int = 1) -> None:
        now_us = time.time_ns() // 1_000
        start_us = (now_us - _DAY_US) // _MINUTE_US * _MINUTE_US - 2 * _MICROS
        self.ground = ground
        self.trades = 0
        self.records = 0
        self.maker = TickMaker(ground.codec(Tick), markets, start_us, rate, seed)
        self._partitions = np.array(self.maker.partitions(ground.partitions))
        self._next = 0
        self._beats = 0
        self._beat_us = 0

    def grow(self, trades: int) -> None:
        """Append until the log has at least so many trades, and let the disk have them: no drain is to share it."""
        if trades > self.trades:
            asyncio.run(self._grow(trades))
            os.sync()

    async def _grow(self, trades: int) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.ground.bootstrap, acks="all", enable_idempotence=True)
        async with producer:
            writer = _Writer(producer)
            if not self.trades:
                await self._begin(writer)
            while self.trades < trades:
                count = min(_BLOCK, self.maker.rate, -(-(trades - self.trades) // DUPLICATE_EVERY) * DUPLICATE_EVERY)
                await self._block(writer, count)
            at_us = self.maker.time_of(self._next)
            await self._beat(writer, at_us + 1_200_000)
            self._next += _PAUSE_US * self.maker.rate // _MICROS
            await writer.settle(0)

    async def _begin(self, writer: _Writer) -> None:
        at_us = self.maker.start_us - 1_500_000
        for market, partition in enumerate(self._partitions.tolist()):
            value = self.maker.trade(market, at_us, market)
            await writer.send(partition, single(value, self.maker.groups[market], at_us))
        self.trades += self.maker.markets
        self.records += self.maker.markets
        await self._beat(writer, at_us + 1_300_000)

    async def _block(self, writer: _Writer, count: int) -> None:
        at_us = self.maker.time_of(self._next)
        if at_us >= self._beat_us + _MICROS:
            await self._beat(writer, at_us)
        ticks = self.maker.ticks(self._next, count)
        for partition, block in blocks(ticks, self._partitions, self.maker.groups):
            await writer.send(partition, block)
        self._next += count
        self.trades += count
        self.records += count

    async def _beat(self, writer: _Writer, ts_recv: int) -> None:
        self._beats += 1
        self._beat_us = ts_recv
        value = self.maker.heartbeat(ts_recv, self._beats)
        for partition in range(self.ground.partitions):
            await writer.send(partition, single(value, SOURCE.encode(), ts_recv))
        self.records += self.ground.partitions


def blocks(ticks: Ticks, partitions: NDArray[np.int64], keys: list[bytes]) -> list[tuple[int, Block]]:
    """Sort ticks by partition, the order within each kept; `partitions` has that of each market."""
    values = np.frombuffer(ticks.values, np.uint8).reshape(-1, ticks.width)
    of_row = partitions[ticks.market]
    found = []
    for partition in np.unique(of_row).tolist():
        rows = np.flatnonzero(of_row == partition)
        ends = np.arange(1, len(rows) + 1) * ticks.width
        block = Block(values[rows].tobytes(), ends, keys, ticks.market[rows], ticks.ts_recv[rows])
        found.append((partition, block))
    return found


def single(value: bytes, key: bytes, ts_recv: int) -> Block:
    """Make a block of one record."""
    return Block(value, np.array([len(value)]), [key], np.zeros(1, np.int64), np.array([ts_recv]))


class _Writer:
    """Sends blocks as record batches, a bounded number of them under way."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._sent: deque[Any] = deque()

    async def send(self, partition: int, block: Block) -> None:
        """Send a block; each batch bears the time of its first tick."""
        at = 0
        while at < block.count:
            batch, upto = prebuilt(block, at, BATCH_BYTES, int(block.ts_trigger[at]) // 1_000)
            self._sent.append(await self._producer.send_batch(batch, TICKS, partition=partition))
            at = upto
        await self.settle(_MAX_IN_FLIGHT)

    async def settle(self, most: int) -> None:
        """Wait until at most so many batches are not acknowledged."""
        while len(self._sent) > most:
            await self._sent.popleft()
