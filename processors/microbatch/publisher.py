"""Publish a worker's records in whole batches, each awaited by its own future.

Kernels hand records over without waiting, one by one or in blocks. A background task joins what is pending of a (topic,
partition), has compiled code build record batches of it and gives them to aiokafka's idempotent producer, at most one
batch a partition under way, so order holds. A failed batch is terminal: nothing after it may be committed
(`Producer.flush` would hide it).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import cast

import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from infra.runtime.clock import Clock
from processors.microbatch.recordbatch import Block, prebuilt
from schemas.errors import ServiceUnavailable

__all__ = ["Pending", "Publisher"]

_MAX_BATCH_BYTES = 900_000  # below the broker's default max.message.bytes of 1 MiB, with room for the header


@dataclass(frozen=True, slots=True)
class Pending:
    """One encoded record on its way.

    Attributes:
        name: Groups its latency in the metrics; empty: not measured.
        ts_trigger: ts_recv of the tick that triggered it: the start of its latency.
    """

    key: bytes | None
    value: bytes
    ts_trigger: int
    name: str = ""

    @property
    def count(self) -> int:
        """One record."""
        return 1

    @property
    def size(self) -> int:
        """Bytes of its value."""
        return len(self.value)


class Publisher:
    """A bounded, ordered publisher; what is added before `run` waits for it.

    Args:
        on_failure: Told of a batch that failed for good; must stop the process.
        on_latency: Told (name, microseconds from trigger to the broker's acknowledgement).
    """

    def __init__(
        self,
        *,
        clock: Clock,
        on_failure: Callable[[BaseException], None],
        on_latency: Callable[[str, int], None],
        max_pending: int = 50_000,
        max_pending_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._producer: AIOKafkaProducer | None = None
        self._clock = clock
        self._on_failure = on_failure
        self._on_latency = on_latency
        self._max_pending = max_pending
        self._max_pending_bytes = max_pending_bytes
        self._pending: dict[tuple[str, int], list[Pending | Block]] = defaultdict(list)
        self._bytes = 0
        self._added = 0
        self._acknowledged = 0
        self._wake = asyncio.Event()
        self._progress = asyncio.Condition()
        self._end_offsets: dict[tuple[str, int], int] = {}

    def add(self, topic: str, partition: int, records: Pending | Block) -> None:
        """Queue a record or a block of them; sent soon. Never waits: callers pace themselves by `wait_for_room`."""
        self._pending[topic, partition].append(records)
        self._bytes += records.size
        self._added += records.count
        self._wake.set()

    @property
    def pending(self) -> int:
        """Records that are not acknowledged yet."""
        return self._added - self._acknowledged

    @property
    def is_full(self) -> bool:
        """Whether as much is pending as may be, in records or in bytes."""
        return self.pending >= self._max_pending or self._bytes >= self._max_pending_bytes

    @property
    def is_running(self) -> bool:
        """Whether anything sends what is pending."""
        return self._producer is not None

    async def wait_for_room(self) -> None:
        """Wait until less is pending than may be."""
        if self.is_full:
            async with self._progress:
                await self._progress.wait_for(lambda: not self.is_full)

    async def drain(self) -> None:
        """Wait until every record added before this call is acknowledged."""
        target = self._added
        async with self._progress:
            await self._progress.wait_for(lambda: self._acknowledged >= target)

    def end_offset(self, topic: str, partition: int) -> int | None:
        """Give the offset after the last acknowledged record of a partition; None before the first."""
        return self._end_offsets.get((topic, partition))

    async def run(self, producer: AIOKafkaProducer) -> None:
        """Send what is pending until cancelled, through a started producer: idempotent, acks=all."""
        self._producer = producer
        while True:
            await self._wake.wait()
            self._wake.clear()
            taken, self._pending = self._pending, defaultdict(list)
            if taken:
                await asyncio.gather(*(self._send(key, records) for key, records in taken.items()))
                sent = [one for records in taken.values() for one in records]
                async with self._progress:
                    self._bytes -= sum(one.size for one in sent)
                    self._acknowledged += sum(one.count for one in sent)
                    self._progress.notify_all()

    async def _send(self, key: tuple[str, int], records: list[Pending | Block]) -> None:
        topic, partition = key
        assert self._producer is not None
        try:
            for block in _blocks(records):
                at = 0
                while at < block.count:
                    # Our time and not the tick's: the broker would delete what is made of an old log at once.
                    batch, upto = prebuilt(block, at, _MAX_BATCH_BYTES, self._clock() // 1_000)
                    metadata = await (await self._producer.send_batch(batch, topic, partition=partition))
                    # Of a retried batch that was written already the broker may not tell the offset.
                    self._end_offsets[key] = max(metadata.offset + upto - at, self._end_offsets.get(key, 0))
                    if block.name:
                        now = self._clock()
                        for ts_trigger in block.ts_trigger[at:upto].tolist():
                            self._on_latency(block.name, now - ts_trigger)
                    at = upto
        except (TimeoutError, KafkaError) as error:
            failure = ServiceUnavailable("Kafka", f"{topic}[{partition}]", f"a batch was not acknowledged: {error!r}")
            self._on_failure(failure)
            raise failure from error


def _blocks(records: list[Pending | Block]) -> Iterator[Block]:
    """Join what follows each other and is measured alike: few batches, in order."""
    for name, group in groupby(records, key=lambda one: one.name):
        parts: list[Block] = []
        for is_block, run in groupby(group, key=lambda one: isinstance(one, Block)):
            if is_block:
                parts += cast(Iterator[Block], run)
            else:
                parts.append(_block(cast(Iterator[Pending], run), name))
        yield parts[0] if len(parts) == 1 else _joined(parts, name)


def _block(records: Iterable[Pending], name: str) -> Block:
    records = list(records)
    values = [record.value for record in records]
    keys: dict[bytes | None, int] = {None: -1}
    key_of = [keys.setdefault(record.key, len(keys) - 1) for record in records]
    return Block(
        b"".join(values),
        np.cumsum(np.fromiter(map(len, values), np.int64, len(values))),
        [key for key in keys if key is not None],
        np.array(key_of, np.int64),
        np.array([record.ts_trigger for record in records], np.int64),
        name,
    )


def _joined(parts: list[Block], name: str) -> Block:
    sizes = np.array([0, *(len(part.data) for part in parts)], np.int64).cumsum()
    keys = list(dict.fromkeys(key for part in parts for key in part.keys))
    numbers = {key: number for number, key in enumerate(keys)}
    key_of = [np.array([*(numbers[key] for key in part.keys), -1], np.int64)[part.key_of] for part in parts]
    return Block(
        b"".join(part.data for part in parts),
        np.concatenate([part.ends + start for part, start in zip(parts, sizes.tolist(), strict=False)]),
        keys,
        np.concatenate(key_of),
        np.concatenate([part.ts_trigger for part in parts]),
        name,
    )
