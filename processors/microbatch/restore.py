"""Restore partitions: the last whole snapshot, where to read on, and which decisions are published already."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from processors.kernel.pipeline import KERNEL_VERSION
from processors.kernel.quoting import Published
from processors.kernel.snapshot import Snapshot, SnapshotSearch
from processors.microbatch.account import account_records, apply_account_record
from processors.microbatch.readers import bounds, group_less_reader, read_between
from processors.microbatch.reports import input_trimmed
from processors.microbatch.task import PartitionTask
from schemas.errors import CodecError, StateError
from schemas.records import Market, QuoteDecision
from schemas.topics import TOPICS, topic_of

if TYPE_CHECKING:
    from processors.microbatch.engine import MicroBatchEngine

__all__ = ["is_next", "restored"]

_TICKS = TOPICS["market.ticks"].name
_FIRST_LOOK = 64  # offsets from the end: a few snapshots, whatever else was written between them
_LOOK_FURTHER = 8
_MAX_UNDELIVERED = 1_000
_READERS = 8

log = structlog.stdlib.get_logger(__name__)


async def restored(engine: MicroBatchEngine, partitions: Sequence[int], generation: int) -> list[PartitionTask]:
    """Make the tasks of these partitions from what the topics hold, several at a time.

    Raises:
        StateError: there are snapshots, and none of them can be restored or belongs to this log.
        ServiceUnavailable: the broker could not be reached.
    """
    shares = [partitions[at::_READERS] for at in range(min(_READERS, len(partitions)))]
    tasks = await asyncio.gather(*(_tasks(engine, share, generation) for share in shares))
    return [task for share in tasks for task in share]


async def _tasks(engine: MicroBatchEngine, partitions: Sequence[int], generation: int) -> list[PartitionTask]:
    """Restore partitions one after the other: a reader reads one at a time."""
    snapshots = TOPICS["state.snapshots"].full_name(engine.prefix)
    topics = (
        _TICKS,
        snapshots,
        engine.topic(QuoteDecision),
        *map(engine.topic, account_records(engine.config.quoting)),
    )
    pairs = [(topic, partition) for topic in topics for partition in partitions]
    async with group_less_reader(engine.bootstrap, pairs) as reader:
        return [await _task(engine, reader, partition, generation) for partition in partitions]


async def _task(engine: MicroBatchEngine, reader: AIOKafkaConsumer, partition: int, generation: int) -> PartitionTask:
    begin, end = await bounds(reader, _TICKS, partition)
    snapshot = await _last_snapshot(engine, reader, partition)
    since = snapshot.manifest.decisions_offset if snapshot else 0
    published, last_epoch, decisions_end = await _published(engine, reader, partition, since)
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
        _take_over(engine, task, snapshot, begin, end)
    task.pipeline.quoter.epoch, task.pipeline.quoter.published = task.epoch, published
    await _read_account(engine, reader, task)
    number = snapshot.manifest.number if snapshot else None
    log.info("partition_restored", partition=partition, position=task.position, snapshot=number, epoch=task.epoch)
    return task


async def _last_snapshot(engine: MicroBatchEngine, reader: AIOKafkaConsumer, partition: int) -> Snapshot | None:
    """Search from the end backwards: the topic may hold hours of snapshots that compaction did not come to yet."""
    topic = TOPICS["state.snapshots"].full_name(engine.prefix)
    begin, end = await bounds(reader, topic, partition)
    look = _FIRST_LOOK
    while True:
        start = max(begin, end - look)
        search = SnapshotSearch(kernel_version=KERNEL_VERSION, stage_set=engine.stage_set, partition=partition)
        async for record in read_between(reader, topic, partition, start, end):
            search.add(record.key, record.value)
        try:
            found = search.result()
        except StateError:
            if start == begin:
                raise
        else:
            if found is not None or start == begin:
                return found
        look *= _LOOK_FURTHER


async def _published(
    engine: MicroBatchEngine, reader: AIOKafkaConsumer, partition: int, since: int
) -> tuple[Published, int, int]:
    """Give the decisions of a partition, the greatest epoch, and where they end."""
    topic, codec = engine.topic(QuoteDecision), engine.codecs[QuoteDecision]
    begin, end = await bounds(reader, topic, partition)
    last: dict[Market, tuple[int, int]] = {}
    slow: dict[tuple[Market, int], int] = {}
    limit_us, epoch = engine.config.quoting.breakers.inference_us, -1
    async for record in read_between(reader, topic, partition, max(begin, since), end):
        try:
            decision = codec.decode(record.value, record.headers)
        except CodecError as error:
            log.warning("not_a_decision", topic=topic, partition=partition, offset=record.offset, reason=str(error))
            continue
        assert isinstance(decision, QuoteDecision)
        market, place = decision.market, (decision.ts_grid, decision.sequence)
        last[market] = max(place, last.get(market, place))
        if decision.inference_us is not None and decision.inference_us > limit_us:
            slow[market, decision.ts_grid] = decision.inference_us
        epoch = max(epoch, decision.epoch)
    return Published(last, slow), epoch, end


def _take_over(engine: MicroBatchEngine, task: PartitionTask, snapshot: Snapshot, begin: int, end: int) -> None:
    manifest = snapshot.manifest
    if manifest.position > end:
        raise StateError(
            f"{_TICKS}[{task.partition}] ends at offset {end}, but snapshot {manifest.number} covers it up to "
            f"{manifest.position}: it is another log. Set a new FLASHMM_TOPIC_PREFIX, or empty "
            f"{TOPICS['state.snapshots'].full_name(engine.prefix)}"
        )
    task.pipeline.restore(snapshot.state)
    task.position = task.safe = manifest.position
    task.inputs = dict(manifest.inputs)
    task.snapshots = manifest.number + 1
    task.snapshot_bytes = manifest.size
    task.covered = (manifest.position, dict(manifest.inputs))
    if begin > manifest.position:
        input_trimmed(engine, task, task.lose(begin))


async def _read_account(engine: MicroBatchEngine, reader: AIOKafkaConsumer, task: PartitionTask) -> None:
    """Bring instruments and inventory up to now: nothing is decided on older ones."""
    for kind in account_records(engine.config.quoting):
        topic = topic_of(kind)
        begin, end = await bounds(reader, engine.topic(kind), task.partition)
        start = max(begin, task.inputs.get(topic.name, begin))
        async for record in read_between(reader, engine.topic(kind), task.partition, start, end):
            apply_account_record(engine, task, kind, record)
        task.inputs[topic.name] = max(end, start)


async def is_next(engine: MicroBatchEngine, task: PartitionTask, start: int) -> bool:
    """Find out whether a batch that starts beyond a task's position may be applied all the same.

    It may where the log has no records between the two: a hole (compaction, transaction markers), or records that
    retention removed before they were read, which is counted and told. Otherwise the batch was fetched before the
    seek of a restore, and the records from the position on are on their way.

    Raises:
        StateError: they never came.
    """
    task.undelivered += 1
    if task.undelivered > _MAX_UNDELIVERED:
        raise StateError(f"{_TICKS}[{task.partition}]: offset {task.position} is never delivered")
    if task.undelivered > 1:
        return False
    async with group_less_reader(engine.bootstrap, [(_TICKS, task.partition)]) as reader:
        begin, end = await bounds(reader, _TICKS, task.partition)
        if begin > task.position:
            input_trimmed(engine, task, task.lose(min(begin, start)))
            return task.position == start
        pair = TopicPartition(_TICKS, task.partition)
        reader.seek(pair, task.position)
        position = task.position
        while position < end:
            for records in (await reader.getmany(timeout_ms=200, max_records=1)).values():
                return bool(records[0].offset >= start)
            position = await reader.position(pair)
    return True
