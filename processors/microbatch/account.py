"""Feed instruments, positions and executions into the owned partitions, before any tick that waits.

They are read in a thread of their own, so that a backlog of ticks, whose batches leave the worker's loop little time
between them, never holds them up: what has arrived is applied before the next batch.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from processors.kernel.quotingconfig import QuotingConfig
from processors.microbatch.readers import group_less_reader
from processors.microbatch.reports import dead_letter
from processors.microbatch.task import PartitionTask
from schemas.errors import CodecError
from schemas.records import ExecutionReport, Instrument, OrderIntent, Position, Record
from schemas.topics import topic_of

if TYPE_CHECKING:
    from processors.microbatch.engine import MicroBatchEngine

__all__ = ["AccountInbox", "account_records", "apply_account_record", "follow_account"]

_POLL_S = 0.05
_WAIT_MS = 100
_MAX_ARRIVED = 10_000


def account_records(config: QuotingConfig) -> tuple[type[Record], ...]:
    """Give what is read besides ticks; our orders only where the book shows them."""
    return (Instrument, *((OrderIntent,) if config.shows_own else ()), Position, ExecutionReport)


def apply_account_record(engine: MicroBatchEngine, task: PartitionTask, kind: type[Record], record: Any) -> None:
    """Take an instrument, a position or an execution into a partition; what is not of our account is passed over.

    Args:
        record: As aiokafka gives it; one that was applied already changes nothing.
    """
    name = topic_of(kind).name
    if record.offset < task.inputs.get(name, 0):
        return
    task.inputs[name] = record.offset + 1
    try:
        decoded = engine.codecs[kind].decode(record.value or b"", record.headers)
    except CodecError as error:
        dead_letter(engine, task.partition, engine.topic(kind), record.offset, record.value or b"", error)
        return
    own = task.pipeline.own_orders
    if isinstance(decoded, Instrument):
        task.pipeline.instruments.take(decoded)
    elif isinstance(decoded, Position):
        task.pipeline.inventory.apply_position(decoded)
    elif isinstance(decoded, ExecutionReport):
        task.pipeline.inventory.apply_execution(decoded, record.offset)
        if own is not None:
            own.apply_report(decoded)
    elif isinstance(decoded, OrderIntent) and own is not None:
        own.apply_intent(decoded, record.offset)


class AccountInbox:
    """What was read of the topics of `account_records` and is not applied yet."""

    def __init__(self, engine: MicroBatchEngine) -> None:
        self._engine = engine
        self._arrived: deque[tuple[PartitionTask, type[Record], Any]] = deque()

    @property
    def is_full(self) -> bool:
        """Whether as much waits as may."""
        return len(self._arrived) >= _MAX_ARRIVED

    def put(self, task: PartitionTask, kind: type[Record], record: Any) -> None:
        """Take a record; from any thread."""
        self._arrived.append((task, kind, record))

    def apply(self) -> None:
        """Apply what has arrived, in the thread of the stages."""
        while self._arrived:
            apply_account_record(self._engine, *self._arrived.popleft())


async def follow_account(engine: MicroBatchEngine) -> None:
    """Read the topics of `account_records` of the owned partitions until cancelled."""
    loop = asyncio.get_running_loop()
    is_over = threading.Event()
    try:
        await asyncio.to_thread(
            asyncio.run, _read(engine, lambda: loop.call_soon_threadsafe(engine.account.apply), is_over)
        )
    finally:
        is_over.set()


async def _read(engine: MicroBatchEngine, on_arrival: Callable[[], object], is_over: threading.Event) -> None:
    kinds = {engine.topic(kind): kind for kind in account_records(engine.config.quoting)}
    async with group_less_reader(engine.bootstrap, wait_ms=_WAIT_MS) as reader:
        followed: dict[int, PartitionTask] = {}
        while not is_over.is_set():
            if followed != engine.tasks:
                followed = dict(engine.tasks)
                _assign(reader, followed, kinds)
            if not followed or engine.account.is_full:
                await asyncio.sleep(_POLL_S)
                continue
            for pair, records in (await reader.getmany(timeout_ms=_WAIT_MS)).items():
                for record in records:
                    engine.account.put(followed[pair.partition], kinds[pair.topic], record)
                on_arrival()


def _assign(reader: AIOKafkaConsumer, tasks: dict[int, PartitionTask], kinds: dict[str, type[Record]]) -> None:
    starts = {
        TopicPartition(topic, task.partition): task.inputs[topic_of(kind).name]
        for task in tasks.values()
        for topic, kind in kinds.items()
    }
    reader.assign(list(starts))
    for pair, offset in starts.items():
        reader.seek(pair, offset)
