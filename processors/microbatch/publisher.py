"""Publish a worker's records in whole batches, each awaited by its own future.

Kernels hand records over without waiting, one by one or in blocks. A task of each (topic, partition) joins what is
pending of it, has compiled code build record batches and gives them to aiokafka's idempotent producer, which has one
batch a partition under way, so order holds. A failed batch is terminal: nothing after it may be committed
(`Producer.flush` would hide it).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, cast

import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata
from numpy.typing import NDArray

from infra.runtime.clock import Clock
from processors.microbatch.recordbatch import Block, PrebuiltBatch, copied, prebuilt
from processors.microbatch.window import Window
from schemas.errors import ServiceUnavailable
from schemas.topics import Priority

__all__ = ["Pending", "Publisher"]

_MAX_BATCH_BYTES = 900_000  # below the broker's default max.message.bytes of 1 MiB, with room for the header
_MAX_UNDER_WAY = 2  # in the producer: one at the broker, one ready
_WORTH_BYTES = 100_000
_HELD_S = 0.005
_JOINED_BYTES = 4 * _MAX_BATCH_BYTES


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


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """The records of a block from `begin` to `end`, and the batch that was built of them."""

    block: Block
    begin: int
    end: int
    batch: PrebuiltBatch

    @property
    def size(self) -> int:
        """Bytes of the values."""
        ends = self.block.ends
        return int(ends[self.end - 1]) - (int(ends[self.begin - 1]) if self.begin else 0)


@dataclass(slots=True, eq=False)
class _Lane:
    """One partition of a topic: its records go out in order, whatever the others wait for.

    Attributes:
        priority: Of its topic: who goes first when the broker is slow.
        waiting: What is in no batch yet.
        added, acknowledged: Records so far.
        end_offset: After the last acknowledged record; None before the first.
        moved: Set when something was added or acknowledged.
    """

    topic: str
    partition: int
    priority: Priority
    waiting: list[Pending | Block] = field(default_factory=list)
    waiting_bytes: int = 0
    added: int = 0
    acknowledged: int = 0
    end_offset: int | None = None
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    sender: asyncio.Task[None] | None = None

    def take(self) -> list[Pending | Block]:
        """Take out what makes a few batches: what is joined is held as a whole until the last of it is sent."""
        size = count = 0
        while count < len(self.waiting) and size < _JOINED_BYTES:
            size += self.waiting[count].size
            count += 1
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        self.waiting_bytes -= size
        return taken


class Publisher:
    """A bounded, ordered publisher; what is added before `run` waits for it.

    Args:
        priority_of: Gives the priority of a topic by its full name.
        on_failure: Told of a batch that failed for good; must stop the process.
        on_latency: Told (name, microseconds from the trigger of each record to the broker's acknowledgement).

    Attributes:
        takes_prebuilt: Whether the producer takes batches that it did not build; else they are copied into its own.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        priority_of: Callable[[str], Priority],
        on_failure: Callable[[BaseException], None],
        on_latency: Callable[[str, NDArray[np.int64]], None],
        max_pending: int = 200_000,
        max_pending_bytes: int = 32 * 1024 * 1024,
    ) -> None:
        self.takes_prebuilt = True
        self._producer: AIOKafkaProducer | None = None
        self._clock = clock
        self._priority_of = priority_of
        self._on_failure = on_failure
        self._on_latency = on_latency
        self._max_pending = max_pending
        self._max_pending_bytes = max_pending_bytes
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._pending = 0
        self._bytes = 0
        self._failed: asyncio.Future[None] | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._window = Window()
        self._held: asyncio.TimerHandle | None = None

    def add(self, topic: str, partition: int, records: Pending | Block, *, has_more: bool = False) -> None:
        """Queue a record or a block of them; sent soon. Never waits: callers pace themselves by `wait_for_room`.

        With `has_more` it waits for what comes with it: until `send_held`, or some milliseconds, or until it is large.
        """
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(topic, partition, self._priority_of(topic))
        lane.waiting.append(records)
        lane.waiting_bytes += records.size
        lane.added += records.count
        lane.moved.set()
        self._pending += records.count
        self._bytes += records.size
        if self._producer is None or lane.sender is not None:
            return
        if not has_more or lane.waiting_bytes >= _WORTH_BYTES:
            self._start(lane)
        elif self._held is None:
            self._held = asyncio.get_running_loop().call_later(_HELD_S, self.send_held)

    def send_held(self) -> None:
        """Send what was held for more."""
        if self._held is None:
            return
        self._held.cancel()
        self._held = None
        for lane in self._lanes.values():
            if lane.waiting and lane.sender is None:
                self._start(lane)

    @property
    def is_holding(self) -> bool:
        """Whether something waits for what comes with it."""
        return self._held is not None

    @property
    def pending(self) -> int:
        """Records that are not acknowledged yet."""
        return self._pending

    @property
    def is_full(self) -> bool:
        """Whether as much is pending as may be, in records or in bytes."""
        return self._pending >= self._max_pending or self._bytes >= self._max_pending_bytes

    def is_settled(self, topic: str, partition: int) -> bool:
        """Tell whether everything added to a partition is acknowledged."""
        lane = self._lanes.get((topic, partition))
        return lane is None or lane.acknowledged == lane.added

    @property
    def is_running(self) -> bool:
        """Whether anything sends what is pending."""
        return self._producer is not None

    async def wait_for_room(self) -> None:
        """Wait until less is pending than may be."""
        while self.is_full:
            await self._progress()

    async def drain(self) -> None:
        """Wait until every record added before this call is acknowledged."""
        targets = [(lane, lane.added) for lane in self._lanes.values() if lane.acknowledged < lane.added]
        while any(lane.acknowledged < target for lane, target in targets):
            await self._progress()

    def end_offset(self, topic: str, partition: int) -> int | None:
        """Give the offset after the last acknowledged record of a partition; None before the first."""
        lane = self._lanes.get((topic, partition))
        return None if lane is None else lane.end_offset

    async def run(self, producer: AIOKafkaProducer) -> None:
        """Send what is pending until cancelled, through a started producer: idempotent, acks=all."""
        self._producer = producer
        self._failed = asyncio.get_running_loop().create_future()
        for lane in self._lanes.values():
            if lane.waiting:
                self._start(lane)
        try:
            await self._failed
        finally:
            for lane in self._lanes.values():
                if lane.sender is not None:
                    lane.sender.cancel()

    def _start(self, lane: _Lane) -> None:
        lane.sender = asyncio.get_running_loop().create_task(self._send(lane))
        lane.sender.add_done_callback(self._ended)

    def _ended(self, sender: asyncio.Task[None]) -> None:
        if sender.cancelled() or sender.exception() is None:
            return
        assert self._failed is not None
        if not self._failed.done():
            self._failed.set_exception(cast(BaseException, sender.exception()))

    async def _send(self, lane: _Lane) -> None:
        """Send what waits in a lane, and what is added meanwhile; end when there is no more."""
        under_way: deque[tuple[_Cut, asyncio.Future[RecordMetadata]]] = deque()
        cuts: Iterator[_Cut] = iter(())
        try:
            while True:
                if under_way and under_way[0][1].done():
                    self._settle(lane, *under_way.popleft())
                elif len(under_way) < _MAX_UNDER_WAY and (cut := next(cuts, None)) is not None:
                    under_way.append((cut, await self._hand_over(lane, cut)))
                elif lane.waiting and _is_next(lane, len(under_way)):
                    cuts = self._cut(lane.take())
                elif under_way:
                    lane.moved.clear()
                    await lane.moved.wait()
                else:
                    break
        except (TimeoutError, KafkaError) as error:
            where = f"{lane.topic}[{lane.partition}]"
            failure = ServiceUnavailable("Kafka", where, f"a batch was not acknowledged: {error!r}")
            self._on_failure(failure)
            raise failure from error
        finally:
            lane.sender = None

    async def _hand_over(self, lane: _Lane, cut: _Cut) -> asyncio.Future[RecordMetadata]:
        """Give a batch to the producer when it is its turn."""
        assert self._producer is not None
        size = cut.batch.size()
        await self._window.enter(lane.priority, size)
        began_us = self._clock()
        try:
            batch: Any = cut.batch
            if not self.takes_prebuilt:
                now_ms = self._clock() // 1_000
                batch = copied(self._producer.create_batch(), cut.block, cut.begin, cut.end, now_ms)
            sent = await self._producer.send_batch(batch, lane.topic, partition=lane.partition)
        except BaseException:
            self._window.leave(size, 0)
            raise

        def done(_: asyncio.Future[RecordMetadata]) -> None:
            # Not when the lane gets to it: it may be waiting for its next turn.
            self._window.leave(size, self._clock() - began_us)
            lane.moved.set()

        sent.add_done_callback(done)
        return cast("asyncio.Future[RecordMetadata]", sent)

    def _cut(self, records: list[Pending | Block]) -> Iterator[_Cut]:
        for block in _blocks(records):
            begin = 0
            while begin < block.count:
                # Our time and not the tick's: the broker would delete what is made of an old log at once.
                batch, end = prebuilt(block, begin, _MAX_BATCH_BYTES, self._clock() // 1_000)
                yield _Cut(block, begin, end, batch)
                begin = end

    def _settle(self, lane: _Lane, cut: _Cut, sent: asyncio.Future[RecordMetadata]) -> None:
        count = cut.end - cut.begin
        # Of a retried batch that was written already the broker may not tell the offset.
        lane.end_offset = max(sent.result().offset + count, lane.end_offset or 0)
        lane.acknowledged += count
        self._pending -= count
        self._bytes -= cut.size
        if cut.block.name:
            self._on_latency(cut.block.name, self._clock() - cut.block.ts_trigger[cut.begin : cut.end])
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _progress(self) -> None:
        """Wait for the next acknowledgement."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter


def _is_next(lane: _Lane, under_way: int) -> bool:
    """Tell whether to build of what waits: one more while the broker is at the one before; a small one rather grows."""
    return not under_way or (under_way < _MAX_UNDER_WAY and lane.waiting_bytes >= _WORTH_BYTES)


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
