"""A prefilled `market.ticks`: grown between runs, so that every system drains a prefix sized to its speed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from infra.bench.ground import TICKS, Ground
from infra.bench.ticks import DUPLICATE_EVERY, SOURCE, TickMaker
from schemas.records import Tick

__all__ = ["BATCH_BYTES", "TickLog"]

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
    those of a day ago: within every retention, and not live, so that no watchdog writes into it.

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
        self._partitions = self.maker.partitions(ground.partitions)
        self._next = 0
        self._beats = 0
        self._beat_us = 0

    def grow(self, trades: int) -> None:
        """Append until the log has at least so many trades."""
        if trades > self.trades:
            asyncio.run(self._grow(trades))

    async def _grow(self, trades: int) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.ground.bootstrap,
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
        )
        async with producer:
            writer = _Writer(producer, self.ground.partitions)
            if not self.trades:
                await self._begin(writer)
            while self.trades < trades:
                count = min(_BLOCK, self.maker.rate, -(-(trades - self.trades) // DUPLICATE_EVERY) * DUPLICATE_EVERY)
                await self._block(writer, count)
            at_us = self.maker.time_of(self._next)
            await self._beat(writer, at_us + 1_200_000)
            self._next += _PAUSE_US * self.maker.rate // _MICROS
            await writer.finish()

    async def _begin(self, writer: _Writer) -> None:
        at_us = self.maker.start_us - 1_500_000
        for market, partition in enumerate(self._partitions):
            value = self.maker.trade(market, at_us, market)
            await writer.add(partition, at_us, self.maker.groups[market], value)
        self.trades += self.maker.markets
        self.records += self.maker.markets
        await self._beat(writer, at_us + 1_300_000)

    async def _block(self, writer: _Writer, count: int) -> None:
        at_us = self.maker.time_of(self._next)
        if at_us >= self._beat_us + _MICROS:
            await self._beat(writer, at_us)
        ticks = self.maker.ticks(self._next, count)
        groups, partitions = self.maker.groups, self._partitions
        times = ticks.ts_recv.tolist()
        for row, market in enumerate(ticks.market.tolist()):
            builder = writer.builders[partitions[market]]
            if builder.append(timestamp=times[row] // 1_000, key=groups[market], value=ticks.value(row)) is None:
                await writer.add(partitions[market], times[row], groups[market], ticks.value(row))
        self._next += count
        self.trades += count
        self.records += count

    async def _beat(self, writer: _Writer, ts_recv: int) -> None:
        self._beats += 1
        self._beat_us = ts_recv
        value = self.maker.heartbeat(ts_recv, self._beats)
        for partition in range(self.ground.partitions):
            await writer.add(partition, ts_recv, SOURCE.encode(), value)
        self.records += self.ground.partitions


class _Writer:
    """Fills one batch a partition and sends it when it is full."""

    def __init__(self, producer: AIOKafkaProducer, partitions: int) -> None:
        self._producer = producer
        self._sent: list[Any] = []
        self.builders = [producer.create_batch() for _ in range(partitions)]

    async def add(self, partition: int, ts_recv: int, key: bytes, value: bytes) -> None:
        if self.builders[partition].append(timestamp=ts_recv // 1_000, key=key, value=value) is None:
            await self._send(partition)
            self.builders[partition].append(timestamp=ts_recv // 1_000, key=key, value=value)

    async def finish(self) -> None:
        for partition in range(len(self.builders)):
            await self._send(partition)
        await self._settle(self._sent)

    async def _send(self, partition: int) -> None:
        builder = self.builders[partition]
        self.builders[partition] = self._producer.create_batch()
        if not builder.record_count():
            return
        builder.close()
        self._sent.append(await self._producer.send_batch(builder, TICKS, partition=partition))
        if len(self._sent) >= _MAX_IN_FLIGHT:
            await self._settle(self._sent)
            self._sent = []

    @staticmethod
    async def _settle(futures: Sequence[Any]) -> None:
        for future in futures:
            await future
