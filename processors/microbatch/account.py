"""Feed positions and executions into the owned partitions, by a reader of its own so that ticks never hold them up."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from processors.microbatch.engine import MicroBatchEngine
from processors.microbatch.readers import group_less_reader
from schemas.records import ExecutionReport, Position, Record
from schemas.topics import topic_of

__all__ = ["follow_account"]


async def follow_account(engine: MicroBatchEngine) -> None:
    """Read `trading.positions` and `trading.executions` of the owned partitions until cancelled."""
    kinds: dict[str, type[Record]] = {
        topic_of(kind).full_name(engine.prefix): kind for kind in (Position, ExecutionReport)
    }
    async with group_less_reader(engine.bootstrap, []) as reader:
        owned: dict[int, object] = {}
        while True:
            tasks = engine.tasks
            if owned != tasks:
                owned = dict(tasks)
                await _assign(engine, reader, list(kinds))
            if not owned:
                await asyncio.sleep(0.1)
                continue
            for pair, records in (await reader.getmany(timeout_ms=50)).items():
                task = engine.tasks.get(pair.partition)
                if task is not None:
                    for record in records:
                        engine.apply_account_record(task, kinds[pair.topic], record)


async def _assign(engine: MicroBatchEngine, reader: AIOKafkaConsumer, topics: list[str]) -> None:
    pairs = [TopicPartition(topic, partition) for topic in topics for partition in engine.tasks]
    reader.assign(pairs)
    begins = await reader.beginning_offsets(pairs) if pairs else {}
    for pair, begin in begins.items():
        task = engine.tasks.get(pair.partition)
        known = task.pipeline.inventory.next_offset() if task is not None else None
        is_executions = pair.topic == topic_of(ExecutionReport).full_name(engine.prefix)
        reader.seek(pair, max(begin, known) if is_executions and known is not None else begin)
