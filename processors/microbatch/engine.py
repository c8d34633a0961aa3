"""The worker's engine: owned partitions, restore, apply, publish, hand over, fail-stop.

Everything that meaning depends on is in the kernel; this is where it meets Kafka. The order that makes a kill harmless:
outputs are acknowledged, then the snapshot that covers them, then the offset is committed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import structlog
from faust.types import TP

from infra.runtime.clock import Clock
from infra.runtime.latency import LatencyWindow
from processors.kernel.model import Model
from processors.kernel.pipeline import PartitionPipeline, PipelineConfig
from processors.kernel.steps import Ticks
from processors.microbatch.account import AccountInbox
from processors.microbatch.batches import FetchedBatch
from processors.microbatch.ownership import Ownership
from processors.microbatch.pace import FetchPace
from processors.microbatch.publisher import Pending, Publisher
from processors.microbatch.recordbatch import Block
from processors.microbatch.reports import dead_letter
from processors.microbatch.restore import is_next, restored
from processors.microbatch.snapshots import Snapshots
from processors.microbatch.task import Batch, PartitionTask
from processors.microbatch.watchdog import Watchdog, newest_us
from schemas.codec import Codec
from schemas.columns.rows import Rows
from schemas.columns.timely import decode_timely
from schemas.errors import ConfigurationError
from schemas.instruments import Instruments
from schemas.records import Alert, Bar, DeadLetter, Metric, QuoteDecision, Record, Tick
from schemas.topics import TOPICS, topic_of

__all__ = ["TICKS", "MicroBatchEngine"]

TICKS = TOPICS["market.ticks"].name
# Of the loop, from a record that is added to its bytes in the socket: the publisher's tasks, then aiokafka's.
_TURNS_TO_SEND = 8
_LATENCY_NAMES = {Bar: "tick_to_bar", QuoteDecision: "tick_to_quote"}

log = structlog.stdlib.get_logger(__name__)


class MicroBatchEngine:
    """The partitions that one worker owns.

    Args:
        stage_set: Name of the configured stages: part of every snapshot's key.
        codecs: By record class, for everything read or written.
        prefix: Topic prefix of the outputs.

    Attributes:
        account: Positions and executions that were read and are not applied yet.
        trading_publisher, publisher: Of `trading.*` and of all the rest; decisions never wait behind market data.
        fetch_pace: When to fetch next.
        worked_us: What the stages have taken so far, from a decoded batch to what is queued of it.
        end_of_log: Gives where a partition of the ticks ended when it was last fetched, None where that is unknown.
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
        fetch_pause_ms: int,
        fetch_bytes: int,
    ) -> None:
        self.config = config
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.stage_set = stage_set
        self.instruments = instruments
        self.clock = clock
        self.fetch_wait_ms = fetch_wait_ms
        self.fetch_pace = FetchPace(fetch_pause_ms * 1_000, is_at_grid=config.is_at_grid)
        self.fetch_bytes = fetch_bytes
        self.codecs: Mapping[type[Record], Codec] = {}
        self.model: Model | None = None
        self.latency = LatencyWindow()
        self.publisher, self.trading_publisher = (
            Publisher(
                clock=clock,
                priority_of=lambda topic: TOPICS[topic.removeprefix(prefix)].priority,
                on_failure=self.fail,
                on_latency=self.latency.observe_all,
            )
            for _ in range(2)
        )
        self.ownership = Ownership(self)
        self.snapshots = Snapshots(self)
        self.account = AccountInbox(self)
        self.end_of_log: Callable[[int], int | None] = lambda _: None
        self.tasks: dict[int, PartitionTask] = {}
        self.failed: BaseException | None = None
        self.watchdog = Watchdog(clock())
        self.worked_us = self._began_us = 0
        self._generation = -1
        self._deciding: set[int] = set()
        self._restoring = asyncio.Lock()

    # What the transport asks

    def decode(self, fetched: FetchedBatch) -> None:
        """Decode a batch ahead of `accept`; safe in the fetching thread: it touches no partition, and asks nobody."""
        fetched.columns = decode_timely(fetched.values, self.codecs[Tick])
        newest = newest_us(fetched.columns)
        if newest is not None:
            self.fetch_pace.heard(fetched.partition, newest, self.clock())

    def is_deciding(self, partition: int) -> bool:
        """Tell whether decisions were made of a partition: it goes before others."""
        return partition in self._deciding

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

    async def hand_over(self) -> None:
        """Apply nothing more, and write a last snapshot of each partition: its next owner repeats nothing."""
        self._generation = -1
        if self.publisher.is_running:
            for task in list(self.tasks.values()):
                await self.snapshots.write(task)

    def release(self) -> None:
        """Forget all partitions: they are being revoked, and every kept one is restored anew."""
        self.tasks = {}
        self._generation = -1
        self._deciding.clear()

    def fail(self, reason: BaseException) -> None:
        """End the process at once: nothing after this may be published or committed."""
        self.failed = self.failed or reason
        log.critical("worker_failed", reason=str(reason) or repr(reason), exc_info=reason)
        self.exit(4 if isinstance(reason, ConfigurationError) else 1)

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
            self.fail(errors.exceptions[0])

    async def restore(self, partitions: Sequence[int], generation: int) -> Mapping[int, int]:
        """Restore the state of these partitions and give where to read on; again in a generation, change nothing."""
        async with self._restoring:
            if generation != self._generation or set(self.tasks) != set(partitions):
                tasks = {task.partition: task for task in await restored(self, partitions, generation)}
                self.tasks, self._generation = tasks, generation
        return {partition: task.position for partition, task in self.tasks.items()}

    # Batches

    async def accept(self, fetched: FetchedBatch, generation: int) -> Batch | None:
        """Decode what of a fetched batch is not applied yet; None when there is nothing, or it is of the past."""
        if self.trading_publisher.is_holding and not self.is_deciding(fetched.partition):
            self.trading_publisher.send_held()
            await self._let_send()
        self.account.apply()
        task = self.tasks.get(fetched.partition)
        if task is None or generation != self._generation or fetched.next <= task.position:
            return None
        if fetched.start > task.position:
            if not await is_next(self, task, fetched.start):
                return None
            if self.tasks.get(fetched.partition) is not task or generation != self._generation:
                return None
        task.undelivered = 0
        keep = int(np.searchsorted(fetched.offsets, task.position))
        ticks = self._decoded(task.partition, fetched, keep)
        columns = ticks.columns
        task.position = fetched.next
        task.last_record_us = self._began_us = now = self.clock()
        newest = newest_us(columns)
        if newest is not None:
            self.watchdog.heard(task.partition, newest, now)
            self.latency.observe("tick_to_agent", now - newest)
        return Batch(task, ticks) if len(columns) else None

    def _decoded(self, partition: int, fetched: FetchedBatch, keep: int) -> Ticks:
        count = len(fetched.offsets)
        offsets, values = fetched.offsets[keep:], fetched.values.part(keep, count)
        columns = fetched.columns
        if columns is None or keep:
            columns = decode_timely(values, self.codecs[Tick])
        for row, error in sorted(columns.errors.items()):
            dead_letter(self, partition, TICKS, int(offsets[row]), values.value(row) or b"", error)
        return Ticks(offsets, columns)

    def publish(self, batch: Batch, *, has_more: bool) -> None:
        """Queue what the stages emitted for a batch; where more is at hand, what has time is sent with that."""
        for output in batch.task.to_publish():
            if isinstance(output, Rows):
                self._send_rows(output, batch.task, has_more=has_more)
            else:
                self.send(output.record, batch.task.partition, output.ts_trigger, has_more=has_more)
        if not has_more:
            self.trading_publisher.send_held()
            self.publisher.send_held()
        self.worked_us += self.clock() - self._began_us

    async def pace(self) -> None:
        """Wait while too much is unpublished; let the other tasks run."""
        await self.publisher.wait_for_room()
        await self.trading_publisher.wait_for_room()
        # What an answer's batches decided is written to the broker together, and before anything else is applied.
        if self.trading_publisher.pending and not self.trading_publisher.is_holding:
            await self._let_send()
        else:
            await asyncio.sleep(0)

    @staticmethod
    async def _let_send() -> None:
        for _ in range(_TURNS_TO_SEND):
            await asyncio.sleep(0)

    def send(self, record: Record, partition: int, ts_trigger: int, *, has_more: bool = False) -> None:
        """Queue a record for its topic."""
        name = _LATENCY_NAMES.get(type(record), "")
        pending = Pending(self._key(record), self.codecs[type(record)].encode(record), ts_trigger, name)
        if isinstance(record, QuoteDecision):
            self._deciding.add(partition)
            self.trading_publisher.add(self.topic(QuoteDecision), partition, pending, has_more=has_more)
        else:
            self.publisher.add(self.topic(type(record)), partition, pending, has_more=has_more)

    def _send_rows(self, rows: Rows, task: PartitionTask, *, has_more: bool) -> None:
        values = rows.encode(self.codecs[rows.record])
        for venue, symbol in task.pipeline.names.markets[len(task.keys) :]:
            task.keys.append(self.instruments.group(venue, symbol).encode())
        market, ts_trigger = (np.ascontiguousarray(rows.values[name]) for name in ("market", "ts_trigger"))
        block = Block(values.data, values.ends, task.keys, market, ts_trigger, _LATENCY_NAMES.get(rows.record, ""))
        self.publisher.add(self.topic(rows.record), task.partition, block, has_more=has_more)

    async def drain(self) -> None:
        """Wait until everything queued before this call is acknowledged."""
        await self.publisher.drain()
        await self.trading_publisher.drain()

    @property
    def pending(self) -> int:
        """Records queued and not acknowledged yet."""
        return self.publisher.pending + self.trading_publisher.pending

    @property
    def is_backed_up(self) -> bool:
        """Whether what is queued waits for the broker."""
        return self.publisher.is_full or self.trading_publisher.is_full

    def new_pipeline(self, partition: int) -> PartitionPipeline:
        """Make a partition's stages, empty: instruments too come from their topic."""
        return PartitionPipeline(self.config, TICKS, partition, model=self.model, timer_us=_timer_us)

    def beat(self) -> None:
        """Write the watchdog's heartbeats into partitions that are silent."""
        if self.is_backed_up:
            return  # nothing is applied meanwhile: they only seem silent
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


def _timer_us() -> int:
    return time.perf_counter_ns() // 1_000
