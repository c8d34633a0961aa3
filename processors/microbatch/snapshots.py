"""Write the snapshots: on an interval, and once more when a partition is handed over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from processors.kernel.pipeline import KERNEL_VERSION
from processors.kernel.snapshot import BUDGET_BYTES, freeze, pack
from processors.microbatch.publisher import Pending
from processors.microbatch.reports import snapshot_over_budget
from processors.microbatch.task import PartitionTask
from schemas.records import QuoteDecision
from schemas.topics import TOPICS

if TYPE_CHECKING:
    from processors.microbatch.engine import MicroBatchEngine

__all__ = ["Snapshots"]

_POLL_S = 0.1


class Snapshots:
    """Writes the snapshots of a worker's partitions, one at a time."""

    def __init__(self, engine: MicroBatchEngine) -> None:
        self._engine = engine
        self._topic = TOPICS["state.snapshots"].full_name(engine.prefix)
        self._one = asyncio.Lock()
        self._large: set[int] = set()

    async def keep(self, interval_us: int) -> None:
        """Write one of each partition that moved on, every interval, until cancelled."""
        while True:
            now = self._engine.clock()
            for task in list(self._engine.tasks.values()):
                if now - task.last_snapshot_us >= interval_us:
                    task.last_snapshot_us = now
                    await self.write(task)
            await asyncio.sleep(_POLL_S)

    async def write(self, task: PartitionTask) -> None:
        """Write a snapshot once all outputs that it covers are acknowledged, then let its offset be committed."""
        async with self._one:
            if (task.position, task.inputs) != task.covered and self._is_owned(task):
                await self._write(task)

    async def _write(self, task: PartitionTask) -> None:
        engine = self._engine
        # Taken at one moment, without waiting in between; only then may the stages go on.
        frozen = freeze(task.pipeline.state())
        position, inputs, decisions_offset = task.position, dict(task.inputs), self._decisions_end(task)
        records = await asyncio.to_thread(
            pack,
            frozen,
            kernel_version=KERNEL_VERSION,
            stage_set=engine.stage_set,
            partition=task.partition,
            number=task.snapshots,
            position=position,
            inputs=inputs,
            epoch=task.epoch,
            decisions_offset=decisions_offset,
        )
        task.snapshots += 1
        self._measure(task, sum(len(value) for _, value in records))
        await engine.drain()
        if not self._is_owned(task):
            return
        now = engine.clock()
        for key, value in records:
            engine.publisher.add(self._topic, task.partition, Pending(key, value, now))
        await engine.publisher.drain()
        if self._is_owned(task):
            task.safe = position
            task.covered = (position, inputs)

    def _measure(self, task: PartitionTask, size: int) -> None:
        task.snapshot_bytes = size
        if size <= BUDGET_BYTES:
            self._large.discard(task.partition)
        elif task.partition not in self._large:
            self._large.add(task.partition)
            snapshot_over_budget(self._engine, task)

    def _decisions_end(self, task: PartitionTask) -> int:
        acknowledged = self._engine.trading_publisher.end_offset(self._engine.topic(QuoteDecision), task.partition)
        return max(task.decisions_end, acknowledged or 0)

    def _is_owned(self, task: PartitionTask) -> bool:
        return self._engine.tasks.get(task.partition) is task
