"""Publish a worker's records in whole batches, each awaited by its own future.

Kernels hand records over without waiting. A background task groups what is pending by (topic, partition), builds record
batches and gives them to aiokafka's idempotent producer, at most one batch a partition under way, so order holds. A
failed batch is terminal: nothing after it may be committed (`Producer.flush` would hide it).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from infra.runtime.clock import Clock
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
        self._pending: dict[tuple[str, int], list[Pending]] = defaultdict(list)
        self._bytes = 0
        self._added = 0
        self._acknowledged = 0
        self._wake = asyncio.Event()
        self._progress = asyncio.Condition()
        self._end_offsets: dict[tuple[str, int], int] = {}

    def add(self, topic: str, partition: int, record: Pending) -> None:
        """Queue a record; it is sent soon. Never waits: callers pace themselves by `wait_for_room`."""
        self._pending[topic, partition].append(record)
        self._bytes += len(record.value)
        self._added += 1
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
                sent = [record for records in taken.values() for record in records]
                async with self._progress:
                    self._bytes -= sum(len(record.value) for record in sent)
                    self._acknowledged += len(sent)
                    self._progress.notify_all()

    async def _send(self, key: tuple[str, int], records: list[Pending]) -> None:
        topic, partition = key
        assert self._producer is not None
        try:
            at = 0
            while at < len(records):
                builder, upto = self._build(records, at)
                future = await self._producer.send_batch(builder, topic, partition=partition)
                metadata = await future
                # Of a retried batch that was written already the broker may not tell the offset.
                self._end_offsets[key] = max(metadata.offset + upto - at, self._end_offsets.get(key, 0))
                now = self._clock()
                for record in records[at:upto]:
                    if record.name:
                        self._on_latency(record.name, now - record.ts_trigger)
                at = upto
        except (TimeoutError, KafkaError) as error:
            failure = ServiceUnavailable("Kafka", f"{topic}[{partition}]", f"a batch was not acknowledged: {error!r}")
            self._on_failure(failure)
            raise failure from error

    def _build(self, records: list[Pending], at: int) -> tuple[Any, int]:
        assert self._producer is not None
        builder = self._producer.create_batch()
        # Our time and not the tick's: the broker would delete what is made of an old log as soon as it is written.
        now_ms = self._clock() // 1_000
        upto, size = at, 0
        while upto < len(records):
            record = records[upto]
            size += len(record.value) + len(record.key or b"") + 32
            if upto > at and size > _MAX_BATCH_BYTES:
                break
            if builder.append(timestamp=now_ms, key=record.key, value=record.value) is None:
                if upto > at:
                    break
                raise KafkaError(f"a record of {len(record.value)} bytes is larger than a batch may be")
            upto += 1
        builder.close()
        return builder, upto
