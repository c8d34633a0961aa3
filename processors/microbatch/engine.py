"""The worker's engine: owned partitions, restore, apply, publish, snapshot, fail-stop.

Everything that meaning depends on is in the kernel; this is where it meets Kafka. The order that makes a kill harmless:
outputs are acknowledged, then the snapshot that covers them, then the offset is committed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, NoReturn

import structlog
from faust.types import TP

from infra.runtime.clock import Clock
from infra.runtime.latency import LatencyWindow
from processors.kernel.clock import WATCHDOG
from processors.kernel.model import Model
from processors.kernel.pipeline import KERNEL_VERSION, PartitionPipeline, PipelineConfig
from processors.kernel.snapshot import pack
from processors.kernel.steps import Input
from processors.microbatch.batches import FetchedBatch
from processors.microbatch.ownership import announcements, refuse_other_owner
from processors.microbatch.publisher import Pending, Publisher
from processors.microbatch.readers import group_less_reader, read_to_end
from processors.microbatch.restore import restored
from processors.microbatch.task import Batch, PartitionTask
from processors.microbatch.watchdog import Watchdog
from schemas.codec import Codec
from schemas.columns import decode_ticks
from schemas.errors import CodecError, StateError
from schemas.instruments import Instruments
from schemas.records import (
    Alert,
    Bar,
    DeadLetter,
    ExecutionReport,
    Metric,
    Position,
    QuoteDecision,
    Record,
    Tick,
)
from schemas.topics import TOPICS, topic_of

__all__ = ["TICKS", "MicroBatchEngine"]

TICKS = TOPICS["market.ticks"].name
_SNAPSHOTS = "state.snapshots"
_LATENCY_NAMES = {Bar: "tick_to_bar", QuoteDecision: "tick_to_quote"}
_MAX_DEAD_LETTER = 65_536

log = structlog.stdlib.get_logger(__name__)


class MicroBatchEngine:
    """The partitions that one worker owns.

    Args:
        stage_set: Name of the configured stages: part of every snapshot's key.
        codecs: By record class, for everything read or written.
        prefix: Topic prefix of the outputs.
    """

    def __init__(
        self,
        config: PipelineConfig,
        *,
        bootstrap: str,
        prefix: str,
        stage_set: str,
        instruments: Instruments,
        clock: Clock,
        fetch_wait_ms: int,
    ) -> None:
        self.config = config
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.stage_set = stage_set
        self.instruments = instruments
        self.clock = clock
        self.fetch_wait_ms = fetch_wait_ms
        self.codecs: Mapping[type[Record], Codec] = {}
        self.model: Model | None = None
        self.latency = LatencyWindow()
        self.publisher = Publisher(clock=clock, on_failure=self.fail, on_latency=self.latency.observe)
        self.tasks: dict[int, PartitionTask] = {}
        self.failed: BaseException | None = None
        self.watchdog = Watchdog(clock())
        self._generation = -1
        self._restoring = asyncio.Lock()

    # What the transport asks

    def is_batched(self, topic: str) -> bool:
        """Tell whether a topic's events are batches."""
        return topic == TICKS

    def owned(self) -> list[TP]:
        """Give the batched partitions whose state is here."""
        return [TP(TICKS, partition) for partition in self.tasks]

    def committable(self, partition: int) -> int | None:
        """Give the offset of the last acknowledged snapshot; None when there is none, or after a failure."""
        task = self.tasks.get(partition)
        return None if self.failed is not None or task is None else task.safe

    def release(self) -> None:
        """Forget all partitions: they are being revoked, and every kept one is restored anew."""
        self.tasks = {}
        self._generation = -1

    def fail(self, reason: BaseException) -> None:
        """End the process at once: nothing after this may be published or committed."""
        self.failed = self.failed or reason
        log.critical("worker_failed", reason=repr(reason), exc_info=reason)
        self.exit(1)

    def exit(self, code: int) -> NoReturn:
        """Leave the process without running anything further: Faust would commit while it stops."""
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    async def guarded(self, *work: Coroutine[Any, Any, None]) -> None:
        """Run what must never end while the worker runs; its failure is the worker's."""
        try:
            async with asyncio.TaskGroup() as group:
                for one in work:
                    group.create_task(one)
        except* Exception as errors:  # noqa: BLE001  the outermost guard: whatever it is, nothing may follow
            self.fail(errors)

    async def restore(self, partitions: Sequence[int], generation: int) -> Mapping[int, int]:
        """Restore the state of these partitions and give where to read on; again in a generation, change nothing."""
        async with self._restoring:
            if generation != self._generation or set(self.tasks) != set(partitions):
                tasks = {task.partition: task for task in await restored(self, partitions, generation)}
                self.tasks, self._generation = tasks, generation
        return {partition: task.position for partition, task in self.tasks.items()}

    # Batches

    def accept(self, fetched: FetchedBatch, generation: int) -> Batch | None:
        """Decode what of a fetched batch is not applied yet; None when there is nothing, or it is of the past."""
        task = self.tasks.get(fetched.partition)
        if task is None or generation != self._generation or fetched.next <= task.position:
            return None
        if fetched.start > task.position:
            # Fetched before the seek of a restore; the records from `position` on are on their way.
            task.undelivered += 1
            if task.undelivered > 1_000:
                raise StateError(f"{TICKS}[{task.partition}]: offset {task.position} is never delivered")
            return None
        task.undelivered = 0
        keep = next((at for at, offset in enumerate(fetched.offsets) if offset >= task.position), len(fetched.offsets))
        offsets, values = fetched.offsets[keep:], fetched.values[keep:]
        columns = decode_ticks(values, self.codecs[Tick], fetched.record_headers[keep:])
        for row, error in columns.errors.items():
            self._dead_letter(task.partition, offsets[row], values[row] or b"", error)
        inputs = [Input(offset, tick) for offset, tick in zip(offsets, columns.ticks(), strict=True)]
        task.position = fetched.next
        task.last_record_us = now = self.clock()
        heard = [each.tick.ts_recv for each in inputs if each.tick is not None and each.tick.source != WATCHDOG]
        if heard:
            self.watchdog.heard(task.partition, heard[-1], now)
        return Batch(task, inputs)

    def publish(self, batch: Batch) -> None:
        """Queue what the stages emitted for a batch."""
        for output in batch.task.to_publish():
            self.send(output.record, batch.task.partition, output.ts_trigger)

    async def pace(self) -> None:
        """Wait while too much is unpublished; let the other tasks run."""
        await self.publisher.wait_for_room()
        await asyncio.sleep(0)

    def send(self, record: Record, partition: int, ts_trigger: int) -> None:
        """Queue a record for its topic."""
        topic = topic_of(type(record)).full_name(self.prefix)
        name = _LATENCY_NAMES.get(type(record), "")
        value = self.codecs[type(record)].encode(record)
        self.publisher.add(topic, partition, Pending(self._key(record), value, ts_trigger, name))

    # State

    async def claim(self) -> None:
        """Make sure that no other set of stages publishes to the topics of this one.

        Raises:
            ConfigurationError: one does.
        """
        topic = TOPICS[_SNAPSHOTS].full_name(self.prefix)
        async with group_less_reader(self.bootstrap, [(topic, 0)]) as reader:
            records, _ = await read_to_end(reader, topic, 0, None)
        pairs = ((record.key or b"", record.value or b"") for record in records)
        refuse_other_owner(pairs, self.config.stages, self.stage_set, self.clock())
        self.announce()

    def announce(self) -> None:
        """Renew the lease on the topics that this worker publishes to."""
        now = self.clock()
        for key, value in announcements(self.config.stages, self.stage_set, now):
            self.publisher.add(TOPICS[_SNAPSHOTS].full_name(self.prefix), 0, Pending(key, value, now))

    async def snapshot(self, task: PartitionTask) -> None:
        """Write a snapshot of a partition once its outputs are acknowledged, then let its offset be committed."""
        if task.safe == task.position:
            return
        position = task.position
        end = self.publisher.end_offset(self.topic(QuoteDecision), task.partition)
        records = pack(
            task.pipeline.state(),
            kernel_version=KERNEL_VERSION,
            stage_set=self.stage_set,
            partition=task.partition,
            number=task.snapshots,
            position=position,
            inputs={},
            epoch=task.epoch,
            decisions_offset=task.decisions_end if end is None else end,
        )
        task.snapshots += 1
        await self.publisher.drain()
        if self.tasks.get(task.partition) is not task:
            return
        now = self.clock()
        for key, value in records:
            topic = TOPICS[_SNAPSHOTS].full_name(self.prefix)
            self.publisher.add(topic, task.partition, Pending(key, value, now))
        await self.publisher.drain()
        if self.tasks.get(task.partition) is task:
            task.safe = position

    async def keep_snapshots(self, interval_us: int) -> None:
        """Snapshot each partition that moved on, every interval, until cancelled."""
        while True:
            now = self.clock()
            for task in list(self.tasks.values()):
                if now - task.last_snapshot_us >= interval_us:
                    task.last_snapshot_us = now
                    await self.snapshot(task)
            await asyncio.sleep(0.1)

    def new_pipeline(self, partition: int) -> PartitionPipeline:
        """Make a partition's stages, empty."""
        return PartitionPipeline(self.config, TICKS, partition, instruments=self.instruments, model=self.model)

    def apply_account_record(self, task: PartitionTask, kind: type[Record], record: object) -> None:
        """Take a position or an execution into a partition's inventory; one that is not ours is passed over."""
        value, headers, offset = record.value, record.headers, record.offset  # type: ignore[attr-defined]
        try:
            decoded = self.codecs[kind].decode(value, headers)
        except CodecError as error:
            self._dead_letter(task.partition, offset, value or b"", error)
            return
        if isinstance(decoded, Position):
            task.pipeline.inventory.apply_position(decoded)
        elif isinstance(decoded, ExecutionReport):
            task.pipeline.inventory.apply_execution(decoded, offset)

    # What people and machines see

    def metrics(self) -> list[Metric]:
        """Give the cumulative counters of each owned partition, and the worker's latencies."""
        now = self.clock()
        gauges = {f"latency_ms.{name}": value for name, value in self.latency.gauges().items()}
        return [
            Metric(
                component="worker",
                instance=f"{self.stage_set}|{task.partition}",
                ts_metric=now,
                counters={**task.pipeline.counters(), "position": task.position, "trimmed": task.trimmed},
                gauges=gauges,
            )
            for task in self.tasks.values()
        ]

    def publish_metrics(self) -> None:
        """Queue the metrics of every owned partition."""
        for (partition, _), metric in zip(list(self.tasks.items()), self.metrics(), strict=True):
            self.send(metric, partition, metric.ts_metric)

    def beat(self) -> None:
        """Write the watchdog's heartbeats into partitions that are silent."""
        now = self.clock()
        for task in self.tasks.values():
            tick = self.watchdog.beat(task.partition, task.pipeline.normaliser.clock_us, now - task.last_record_us)
            if tick is not None:
                task.last_record_us = now
                self.send(tick, task.partition, tick.ts_recv)

    def topic(self, record: type[Record]) -> str:
        """Give the full name of a record's topic."""
        return topic_of(record).full_name(self.prefix)

    def _key(self, record: Record) -> bytes:
        venue, symbol = getattr(record, "venue", None), getattr(record, "symbol", None)
        if isinstance(record, Metric | DeadLetter | Alert) or venue is None or symbol is None:
            return str(getattr(record, "component", "")).encode()
        return self.instruments.group(venue, symbol).encode()

    def _dead_letter(self, partition: int, offset: int, value: bytes, error: CodecError) -> None:
        now = self.clock()
        letter = DeadLetter(
            component="worker",
            reason=error.reason,
            detail=error.detail,
            source=TICKS,
            source_partition=partition,
            source_offset=offset,
            payload=value[:_MAX_DEAD_LETTER],
            payload_size=len(value),
            ts_seen=now,
        )
        self.send(letter, partition, now)
