"""Restore partitions: the last whole snapshot, where to read on, and which decisions are published already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from processors.kernel.pipeline import KERNEL_VERSION
from processors.kernel.snapshot import Snapshot, latest
from processors.microbatch.readers import group_less_reader, read_to_end
from processors.microbatch.task import PartitionTask
from schemas.codec import Codec
from schemas.enums import Severity
from schemas.records import Alert, Market, Position, QuoteDecision
from schemas.topics import TOPICS

if TYPE_CHECKING:
    from processors.microbatch.engine import MicroBatchEngine

__all__ = ["restored"]

log = structlog.stdlib.get_logger(__name__)


async def restored(engine: MicroBatchEngine, partitions: Sequence[int], generation: int) -> list[PartitionTask]:
    """Make the tasks of these partitions from what the topics hold, through a reader without a group.

    Raises:
        StateError: there are snapshots, and none of them can be restored.
        ServiceUnavailable: a topic could not be read to its end.
    """
    if not partitions:
        return []
    ticks, snapshots = TOPICS["market.ticks"].name, TOPICS["state.snapshots"].full_name(engine.prefix)
    topics = (ticks, snapshots, engine.topic(QuoteDecision), engine.topic(Position))
    pairs = [(topic, partition) for topic in topics for partition in partitions]
    async with group_less_reader(engine.bootstrap, pairs) as reader:
        begins = await reader.beginning_offsets([TopicPartition(ticks, partition) for partition in partitions])
        return [await _task(engine, reader, pair.partition, begin, generation) for pair, begin in begins.items()]


async def _task(
    engine: MicroBatchEngine, reader: AIOKafkaConsumer, partition: int, begin: int, generation: int
) -> PartitionTask:
    records, _ = await read_to_end(reader, TOPICS["state.snapshots"].full_name(engine.prefix), partition, None)
    snapshot = latest(
        ((record.key or b"", record.value or b"") for record in records),
        kernel_version=KERNEL_VERSION,
        stage_set=engine.stage_set,
        partition=partition,
    )
    since = snapshot.manifest.decisions_offset if snapshot else None
    decisions, decisions_end = await read_to_end(reader, engine.topic(QuoteDecision), partition, since)
    published, last_epoch = _published(engine.codecs[QuoteDecision], decisions)
    task = PartitionTask(
        partition,
        engine.new_pipeline(partition),
        begin,
        epoch=max(generation, last_epoch + 1, snapshot.manifest.epoch + 1 if snapshot else 0),
        published=published,
        decisions_end=decisions_end,
        last_record_us=engine.clock(),
    )
    if snapshot is not None:
        _take_over(engine, task, snapshot, begin)
    task.pipeline.quoter.epoch = task.epoch
    positions, _ = await read_to_end(reader, engine.topic(Position), partition, None)
    for record in positions:
        engine.apply_account_record(task, Position, record)
    number = snapshot.manifest.number if snapshot else None
    log.info("partition_restored", partition=partition, position=task.position, snapshot=number, epoch=task.epoch)
    return task


def _published(codec: Codec, records: Sequence[Any]) -> tuple[dict[Market, int], int]:
    """Give the grid point of the last decision of each market, and the greatest epoch."""
    published: dict[Market, int] = {}
    epoch = -1
    for record in records:
        decision = codec.decode(record.value, record.headers)
        assert isinstance(decision, QuoteDecision)
        published[decision.market] = max(decision.ts_grid, published.get(decision.market, -1))
        epoch = max(epoch, decision.epoch)
    return published, epoch


def _take_over(engine: MicroBatchEngine, task: PartitionTask, snapshot: Snapshot, begin: int) -> None:
    manifest = snapshot.manifest
    task.pipeline.restore(snapshot.state)
    task.position = task.safe = manifest.position
    task.snapshots = manifest.number + 1
    if begin <= manifest.position:
        return
    task.trimmed = begin - manifest.position
    task.position = begin
    task.pipeline.normaliser.mark_gap()
    now = engine.clock()
    alert = Alert(
        component="worker",
        severity=Severity.CRITICAL,
        code="INPUT_TRIMMED",
        message=f"market.ticks[{task.partition}] was trimmed: {task.trimmed} records before offset {begin} are lost. "
        "Raise its retention, or keep workers from lagging",
        ts_alert=now,
    )
    engine.send(alert, task.partition, now)
