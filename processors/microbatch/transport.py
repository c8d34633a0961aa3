"""The micro-batch transport: Faust's aiokafka driver with another idea of an event, acknowledgement and position.

Chosen by the URL scheme `flashmm://` through Faust's entry point for transports. Group membership, assignment,
rebalancing, pausing and all topics that are not batched stay stock. What differs, and why:

- Positions come from restored snapshots, not from the committed offsets: `perform_seek` is the one hook after which
  nothing seeks again (a seek in the rebalance callbacks is undone by it).
- The offset to commit is that of the last acknowledged snapshot, whatever events were acknowledged: stock Faust
  acknowledges an event even when its agent raised.
- Batches are decoded in the consumer's thread, one ahead of the kernels in the main thread, while the next fetch is on
  its way.
- The producer is idempotent with acks=all.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Coroutine, Generator, Iterator, Mapping
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any, Protocol, cast

from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import IllegalStateError
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.services import WaitResults

from infra.runtime.clock import Clock
from processors.microbatch.batches import BatchingPartitionRecords, FetchedBatch
from processors.microbatch.pace import FetchPace

__all__ = ["REQUEST_TIMEOUT_S", "Engine", "PatientFetcher", "Transport"]

REQUEST_TIMEOUT_S = 40.0
"""For Faust's requests. It waits no longer for `perform_seek` either, and then goes on as if it were done."""

_RESTORE_TIMEOUT_S = REQUEST_TIMEOUT_S * 0.75
_HAND_OVER_TIMEOUT_S = 5.0
_RESTS = 2  # a pause, then what is left until the slot
_IDLE_WAIT_MS = 100  # as long as a seek, or a new assignment, may have to wait for its first fetch


class Engine(Protocol):
    """What the transport asks of the app's `engine`."""

    fetch_wait_ms: int
    fetch_bytes: int
    fetch_pace: FetchPace
    worked_us: int
    clock: Clock

    def is_batched(self, topic: str) -> bool:
        """Tell whether a topic's events are batches."""

    def is_deciding(self, partition: int) -> bool:
        """Tell whether a partition goes before others."""

    def decode(self, fetched: FetchedBatch) -> None:
        """Decode a batch, in the thread that fetched it."""

    async def restore(self, partitions: list[int], generation: int) -> Mapping[int, int]:
        """Make the state of these partitions of the ticks, forgetting all others; gives where to read on."""

    def owned(self) -> list[TP]:
        """Give the batched partitions whose state is here."""

    def committable(self, partition: int) -> int | None:
        """Give the offset of the last acknowledged snapshot."""

    async def hand_over(self) -> None:
        """Apply nothing more, and write a last snapshot of each partition."""

    def release(self) -> None:
        """Forget all partitions: they are being revoked."""

    def fail(self, reason: BaseException) -> None:
        """End the process with nothing further committed."""


class PatientFetcher(Fetcher):  # type: ignore[misc]  # aiokafka ships no types
    """aiokafka's fetcher, with a wait of each fetch that delays nothing, and fetches at the worker's pace.

    A fetch is answered when a partition in it has something. One with unread records is left out, and can be asked for
    only after that: then the wait is short. Else all are in it, and it may be long: fetches that bring nothing cost an
    idle worker, and its broker, most of their time. (Faust's own is 1500 ms, always.)

    Attributes:
        engine: Gives the pace, which no fetch keeps where the last answers left something.
        wait_ms: The short wait.
    """

    engine: Engine
    wait_ms: int

    async def _proc_fetch_request(self, assignment: Any, node_id: int, request: Any) -> bool:
        if not _is_behind(assignment, request):
            await self._rest(node_id, request)
        has_records = cast(bool, await super()._proc_fetch_request(assignment, node_id, request))
        if has_records:
            self.engine.fetch_pace.answered(node_id, self.engine.clock(), self.engine.worked_us)
        return has_records

    async def _rest(self, node_id: int, request: Any) -> None:
        engine = self.engine
        batched = [part[0] for topic, parts in request.topics if engine.is_batched(topic) for part in parts]
        for _ in range(_RESTS):
            rest_us = engine.fetch_pace.rest_us(node_id, engine.clock(), batched)
            if rest_us <= 0:
                break
            await asyncio.sleep(rest_us / 1_000_000)

    @property
    def _fetch_max_wait_ms(self) -> int:
        return self.wait_ms if self._records else max(self.wait_ms, _IDLE_WAIT_MS)


def _is_behind(assignment: Any, request: Any) -> bool:
    """Tell whether the last answers left something in the partitions of a fetch."""
    for topic, partitions in request.topics:
        for partition, offset, *_ in partitions:
            if (assignment.state_value(TopicPartition(topic, partition)).highwater or 0) > offset:
                return True
    return False


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # faust ships no types
    """Faust's thread of the consumer: it fetches, splits and decodes.

    What was fetched waits here undecoded, so the fetcher asks for more at once. It is one answer to a fetch, and there
    is at most one more in the fetcher: however far behind, twice the bytes that a fetch may ask for.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: deque[tuple[TP, Any]] = deque()

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_bytes = self.app.engine.fetch_bytes
        return consumer

    async def crash(self, reason: BaseException) -> None:
        """End the process: Faust would stop service by service, from a thread that does not run any more."""
        cast(Engine, self.app.engine).fail(reason)

    async def on_start(self) -> None:
        await super().on_start()
        fetcher = self._consumer._fetcher
        # A partition with unread records holds back fetches of its broker for this long.
        fetcher._prefetch_backoff = 0.005
        fetcher.__class__ = PatientFetcher
        engine = cast(Engine, self.app.engine)
        fetcher.engine, fetcher.wait_ms = engine, engine.fetch_wait_ms

    async def _fetch_records(
        self, consumer: Any, active_partitions: set[TP], timeout: float | None = None, max_records: int | None = None
    ) -> dict[TP, list[Any]]:
        """Give what is next: small batches of several partitions, those that decide first, or one large one."""
        if not self.consumer.flow_active:
            return {}
        if not any(tp in active_partitions for tp, _ in self._waiting):
            fetched = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
            engine = cast(Engine, self.app.engine)
            first = sorted(fetched.items(), key=lambda part: not engine.is_deciding(part[0].partition))
            of_each = ([(tp, one) for one in records] for tp, records in first)
            self._waiting.extend(pair for pair in chain.from_iterable(zip_longest(*of_each)) if pair is not None)
        return self._next(active_partitions)

    def _next(self, active_partitions: set[TP]) -> dict[TP, list[Any]]:
        engine = cast(Engine, self.app.engine)
        found: dict[TP, list[Any]] = {}
        kept: list[tuple[TP, Any]] = []
        records = 0
        while self._waiting and records < BatchingPartitionRecords.max_records:
            tp, record = self._waiting.popleft()
            if tp not in active_partitions:
                kept.append((tp, record))
                continue
            if isinstance(record, FetchedBatch):
                engine.decode(record)
                records += len(record.offsets)
            else:
                records += 1
            found.setdefault(tp, []).append(record)
        self._waiting.extendleft(reversed(kept))
        return found

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Watch a partition as Faust does, unless its position is being looked up, as after a trim."""
        # aiokafka asserts that the position which Faust reads is there, and the worker would end where it is not.
        with suppress(AssertionError):
            super().verify_event_path(now, tp)

    async def _seek_wait(self, consumer: Any, partitions: Mapping[TP, int]) -> None:
        self._waiting.clear()  # read before the seek
        await super()._seek_wait(consumer, partitions)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget what was fetched of partitions that are another's next."""
        self._waiting.clear()
        await super().on_partitions_revoked(revoked)


class _ReadOffsets(defaultdict[TP, "int | None"]):
    """Faust's greatest offset read, by partition; it drops what comes at a lower one.

    Unknown for batched partitions: the engine knows by itself what it applied, and after a seek backwards a batch must
    not be dropped for what was read before.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(lambda: None)
        self._engine = engine

    def __getitem__(self, tp: TP) -> int | None:
        return None if self._engine.is_batched(tp.topic) else super().__getitem__(tp)


class _Begun:
    """A coroutine that was begun, to await the rest of it: what it waits for first is passed on."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], awaited: Any) -> None:
        self._coroutine = coroutine
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        yield self._awaited
        return (yield from self._coroutine.__await__())


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer, with positions and commits from the engine."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _ReadOffsets(self._engine)

    @property
    def _engine(self) -> Engine:
        return cast(Engine, self.app.engine)

    async def wait_first(self, *waits: Any, timeout: float | None = None) -> Any:
        """Wait until one of these is done; where the first need not wait, as a delivery seldom must, at once.

        Stock, every message that is handed over makes four tasks, and the others of its answer stand behind them.
        """
        if not all(isinstance(wait, Coroutine) for wait in waits):
            return await super().wait_first(*waits, timeout=timeout)
        first, *others = waits
        begun: _Begun | None = None
        try:
            begun = _Begun(first, first.send(None))
        except StopIteration as done:
            return WaitResults([first], [done.value], stopped=False)
        finally:
            if begun is None:
                for other in others:
                    other.close()
        return await super().wait_first(begun, *others, timeout=timeout)

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: Any) -> Any:
        if self._engine.is_batched(tp.topic):
            batch = record if isinstance(record, FetchedBatch) else FetchedBatch.of_record(record)
            record = batch
        return super()._to_message(tp, record)

    def on_buffer_full(self, tp: TP) -> None:
        """Leave a batched partition active: who hands a batch over waits while the stream's buffer is full.

        With no partition active Faust would sleep for a second.
        """
        if not self._engine.is_batched(tp.topic):
            super().on_buffer_full(tp)

    async def crash(self, reason: BaseException) -> None:
        """End the process, with nothing further committed."""
        self._engine.fail(reason)

    async def perform_seek(self) -> None:
        """Restore the owned partitions and seek to where their snapshots end. Idempotent; Faust may call it twice.

        Whatever goes wrong, or takes too long, ends the process: Faust would go on with partitions without state.
        """
        try:
            async with asyncio.timeout(_RESTORE_TIMEOUT_S):
                await super().perform_seek()
                if not self.app.client_only:
                    await self._restore()
        except IllegalStateError:
            raise  # a partition was taken away meanwhile: Faust calls again when the new assignment is there
        except Exception as error:
            if not self.app.should_stop:
                self._engine.fail(error)
            raise

    async def _restore(self) -> None:
        owned = {tp.partition: tp for tp in self.assignment() if self._engine.is_batched(tp.topic)}
        positions = await self._engine.restore(sorted(owned), self.app.consumer_generation_id)
        await self.seek_wait({owned[each]: offset for each, offset in positions.items() if each in owned})

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Hand the partitions over before Faust gives them up: assignment is eager, so all of them go.

        The next owner is told only when this returns: it finds every output and decision of ours in the topics.
        """
        await self.hand_over()
        await super().on_partitions_revoked(revoked)

    async def hand_over(self) -> None:
        """Write and commit where the owned partitions stand, and forget them; what takes too long is left undone."""
        try:
            async with asyncio.timeout(_HAND_OVER_TIMEOUT_S):
                await self._engine.hand_over()
                await self.commit()
        except TimeoutError:
            self.log.warning("No last snapshot in time: the next owner repeats what came after the one before.")
        finally:
            self._engine.release()

    def ack(self, message: Any) -> bool:
        """Acknowledge an event; of a batch, only that it left the stream."""
        if not self._engine.is_batched(message.topic):
            return cast(bool, super().ack(message))
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        if not self._engine.is_batched(tp.topic):
            await super()._add_gap(tp, offset_from, offset_to)

    def _new_offset(self, tp: TP) -> int | None:
        if self._engine.is_batched(tp.topic):
            return self._engine.committable(tp.partition)
        return cast("int | None", super()._new_offset(tp))

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        yield from super()._filter_tps_with_pending_acks(topics)
        yield from self._engine.owned()


class Producer(driver.Producer):  # type: ignore[misc]
    """Faust's producer, idempotent: a retried batch is written once and in order."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class Transport(driver.Transport):  # type: ignore[misc]
    """aiokafka with batches for events, for apps that have an `engine`."""

    Consumer = Consumer
    Producer = Producer
    driver_version = f"flashmm micro-batch over {driver.Transport.driver_version}"
