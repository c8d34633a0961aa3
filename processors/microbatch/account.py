"""Feed positions and executions into the owned partitions, by a reader of its own so that ticks never hold them up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from processors.microbatch.readers import group_less_reader
from processors.microbatch.reports import dead_letter
from processors.microbatch.task import PartitionTask
from schemas.errors import CodecError
from schemas.records import ExecutionReport, Position, Record
from schemas.topics import topic_of

if TYPE_CHECKING:
    from processors.microbatch.engine import MicroBatchEngine

__all__ = ["ACCOUNT_RECORDS", "apply_account_record", "follow_account"]

ACCOUNT_RECORDS: tuple[type[Record], ...] = (Position, ExecutionReport)


def apply_account_record(engine: MicroBatchEngine, task: PartitionTask, kind: type[Record], record: Any) -> None:
    """Take a position or an execution into a partition's inventory; one that is not ours is passed over.

    Args:
        record: As aiokafka gives it; one that was applied already changes nothing.
    """
    name = topic_of(kind).name
    if record.offset < task.inputs.get(name, 0):
        return
    task.inputs[name] = record.offset + 1
    try:
        decoded = engine.codecs[kind].decode(record.value, record.headers)
    except CodecError as error:
        dead_letter(engine, task.partition, engine.topic(kind), record.offset, record.value or b"", error)
        return
    if isinstance(decoded, Position):
        task.pipeline.inventory.apply_position(decoded)
    elif isinstance(decoded, ExecutionReport):
        task.pipeline.inventory.apply_execution(decoded, record.offset)


async def follow_account(engine: MicroBatchEngine) -> None:
    """Read `trading.positions` and `trading.executions` of the owned partitions until cancelled."""
    kinds = {engine.topic(kind): kind for kind in ACCOUNT_RECORDS}
    async with group_less_reader(engine.bootstrap) as reader:
        followed: dict[int, PartitionTask] = {}
        while True:
            if followed != engine.tasks:
                followed = dict(engine.tasks)
                _assign(reader, followed, kinds)
            if not followed:
                await asyncio.sleep(0.1)
                continue
            for pair, records in (await reader.getmany(timeout_ms=50)).items():
                task = followed.get(pair.partition)
                if task is not None:
                    for record in records:
                        apply_account_record(engine, task, kinds[pair.topic], record)


def _assign(reader: AIOKafkaConsumer, tasks: dict[int, PartitionTask], kinds: dict[str, type[Record]]) -> None:
    starts = {
        TopicPartition(topic, task.partition): task.inputs[topic_of(kind).name]
        for task in tasks.values()
        for topic, kind in kinds.items()
    }
    reader.assign(list(starts))
    for pair, offset in starts.items():
        reader.seek(pair, offset)
