"""The publisher keeps order, waits for each batch, and lets no failure pass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    TopicAuthorizationFailedError,
)
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from numpy.typing import NDArray

from processors.microbatch.publisher import Pending, Publisher
from processors.microbatch.recordbatch import Block, PrebuiltBatch, copied, prebuilt
from schemas.errors import ServiceUnavailable
from schemas.topics import Priority


@dataclass
class Metadata:
    offset: int


def records_of(batch: PrebuiltBatch | BatchBuilder) -> list[tuple[bytes | None, bytes, int]]:
    """What a consumer reads from a batch."""
    (read,) = [MemoryRecords(bytes(batch._build())).next_batch()]
    assert read is not None
    assert read.validate_crc()
    return [(record.key, record.value, record.timestamp) for record in read]


@dataclass
class FakeProducer:
    """A broker that acknowledges when told to."""

    sent: list[tuple[str, int, list[tuple[bytes | None, bytes, int]]]] = field(default_factory=list)
    futures: list[asyncio.Future[Metadata]] = field(default_factory=list)
    holds: bool = False
    error: Exception | None = None

    async def send_batch(self, builder: PrebuiltBatch, topic: str, *, partition: int) -> asyncio.Future[Metadata]:
        assert builder.closed()
        self.sent.append((topic, partition, records_of(builder)))
        future: asyncio.Future[Metadata] = asyncio.get_running_loop().create_future()
        if self.error is not None:
            future.set_exception(self.error)
        elif not self.holds:
            future.set_result(Metadata(100))
        self.futures.append(future)
        return future


def make(
    on_failure: Callable[[BaseException], None] = lambda _: None, **kwargs: int
) -> tuple[Publisher, list[tuple[str, int]]]:
    seen: list[tuple[str, int]] = []

    def note(name: str, micros: NDArray[np.int64]) -> None:
        seen.extend((name, one) for one in micros.tolist())

    def priority_of(topic: str) -> Priority:
        return Priority.HIGH if topic == "quotes" else Priority.MEDIUM

    publisher = Publisher(
        clock=lambda: 5_000, priority_of=priority_of, on_failure=on_failure, on_latency=note, **kwargs
    )
    return publisher, seen


async def running(publisher: Publisher, producer: FakeProducer) -> asyncio.Task[None]:
    task = asyncio.create_task(publisher.run(producer))
    await asyncio.sleep(0)
    return task


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_drain_returns_when_everything_added_before_it_is_acknowledged() -> None:
    """Then the end offset and the latency of the acknowledged records are known."""
    publisher, seen = make()
    task = await running(publisher, FakeProducer())
    publisher.add("t", 1, Pending(b"k", b"a", 1_000, "tick_to_bar"))
    publisher.add("t", 1, Pending(b"k", b"b", 2_000, "tick_to_bar"))

    await publisher.drain()

    assert publisher.end_offset("t", 1) == 102
    assert publisher.end_offset("t", 0) is None
    assert seen == [("tick_to_bar", 4_000), ("tick_to_bar", 3_000)]
    await stop(task)


async def test_order_within_a_partition_is_kept_while_a_batch_is_under_way() -> None:
    """The second batch of a partition is not sent before the first is acknowledged."""
    publisher, _ = make()
    producer = FakeProducer(holds=True)
    task = await running(publisher, producer)
    publisher.add("t", 0, Pending(None, b"1", 0))
    for _ in range(5):
        await asyncio.sleep(0)
    publisher.add("t", 0, Pending(None, b"2", 0))
    for _ in range(5):
        await asyncio.sleep(0)

    assert [[value for _, value, _ in records] for _, _, records in producer.sent] == [[b"1"]]

    producer.holds = False
    producer.futures[0].set_result(Metadata(0))
    await publisher.drain()
    assert [[value for _, value, _ in records] for _, _, records in producer.sent] == [[b"1"], [b"2"]]
    await stop(task)


async def test_what_has_more_behind_it_is_sent_with_that() -> None:
    """One batch, and one request, where each of them would be one; what is large does not wait."""
    publisher, _ = make()
    producer = FakeProducer()
    task = await running(publisher, producer)
    publisher.add("t", 0, Pending(None, b"1", 0), has_more=True)
    publisher.add("t", 1, Pending(None, b"x" * 100_000, 0), has_more=True)
    for _ in range(5):
        await asyncio.sleep(0)
    assert [partition for _, partition, _ in producer.sent] == [1]

    publisher.add("t", 0, Pending(None, b"2", 0), has_more=True)
    publisher.send_held()
    await publisher.drain()

    assert [[value for _, value, _ in records] for _, _, records in producer.sent[1:]] == [[b"1", b"2"]]
    await stop(task)


async def test_what_is_held_is_sent_though_nothing_more_comes() -> None:
    """The rest of an answer may never be given to the stages: its partitions are taken away."""
    publisher, _ = make()
    task = await running(publisher, FakeProducer())
    publisher.add("t", 0, Pending(None, b"1", 0), has_more=True)

    await publisher.drain()

    assert publisher.is_settled("t", 0)
    await stop(task)


@pytest.mark.parametrize(
    "error",
    [
        InvalidProducerEpoch(),
        KafkaTimeoutError(),
        MessageSizeTooLargeError(),
        OutOfOrderSequenceNumber(),
        TopicAuthorizationFailedError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_failed_batch_is_told_and_drain_never_returns(error: KafkaError) -> None:
    """What was not acknowledged must never be counted as done, whatever ended it."""
    failures: list[BaseException] = []
    publisher, _ = make(failures.append)
    task = await running(publisher, FakeProducer(error=error))
    publisher.add("t", 0, Pending(None, b"1", 0))

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(publisher.drain(), 0.05)

    assert isinstance(failures[0], ServiceUnavailable)
    with pytest.raises(ServiceUnavailable):
        await task


async def test_large_amounts_are_cut_below_the_broker_limit() -> None:
    """Each batch stays below max.message.bytes, and nothing is lost or reordered."""
    publisher, _ = make()
    producer = FakeProducer()
    task = await running(publisher, producer)
    values = [bytes([i]) * 200_000 for i in range(12)]
    for value in values:
        publisher.add("t", 0, Pending(None, value, 0))

    await publisher.drain()

    assert [value for _, _, records in producer.sent for _, value, _ in records] == values
    assert all(sum(len(value) for _, value, _ in records) <= 1_000_000 for _, _, records in producer.sent)
    await stop(task)


async def test_callers_wait_for_room() -> None:
    """The number of pending records is bounded."""
    publisher, _ = make(max_pending=2)
    producer = FakeProducer(holds=True)
    task = await running(publisher, producer)
    publisher.add("t", 0, Pending(None, b"1", 0))
    publisher.add("t", 0, Pending(None, b"2", 0))
    waiting = asyncio.create_task(publisher.wait_for_room())
    for _ in range(5):
        await asyncio.sleep(0)

    assert not waiting.done()

    producer.futures[0].set_result(Metadata(0))
    await waiting
    await stop(task)


async def test_bytes_are_bounded_too() -> None:
    """A few thousand dead letters can be larger than fifty thousand bars."""
    publisher, _ = make(max_pending_bytes=10)
    task = await running(publisher, FakeProducer(holds=True))
    publisher.add("t", 0, Pending(None, b"12345", 0))
    assert not publisher.is_full

    publisher.add("t", 0, Pending(None, b"67890", 0))

    assert publisher.is_full
    assert publisher.pending == 2
    await stop(task)


async def test_an_end_offset_never_falls() -> None:
    """Of a batch that was written by an earlier attempt the broker may not tell the offset."""
    publisher, _ = make()
    producer = FakeProducer()
    task = await running(publisher, producer)
    publisher.add("t", 0, Pending(None, b"1", 0))
    await publisher.drain()
    producer.holds = True
    publisher.add("t", 0, Pending(None, b"2", 0))
    while len(producer.futures) < 2:
        await asyncio.sleep(0)
    producer.futures[1].set_result(Metadata(-1))
    await publisher.drain()

    assert publisher.end_offset("t", 0) == 101
    await stop(task)


async def test_blocks_and_single_records_are_joined_in_order() -> None:
    """Records of one kind go out together whatever they came in, each with its key, at our time."""
    publisher, seen = make()
    producer = FakeProducer()
    block = Block(
        b"bcd",
        np.array([1, 3], np.int64),
        [b"unused", b"k"],
        np.array([1, -1], np.int64),
        np.array([2_000, 1_000], np.int64),
        "n",
    )
    publisher.add("t", 0, Pending(None, b"a", 3_000, "n"))
    publisher.add("t", 0, block)
    publisher.add("t", 0, block)
    publisher.add("t", 0, Pending(b"k", b"e", 4_000, "n"))
    task = await running(publisher, producer)

    await publisher.drain()

    twice = [(b"k", b"b", 5), (None, b"cd", 5)] * 2
    assert producer.sent == [("t", 0, [(None, b"a", 5), *twice, (b"k", b"e", 5)])]
    assert [us for _, us in seen] == [2_000, 3_000, 4_000, 3_000, 4_000, 1_000]
    await stop(task)


async def test_a_partition_does_not_wait_for_another() -> None:
    """One whose batch is held up leaves the others free, and drain waits for it alone."""
    publisher, _ = make()
    producer = FakeProducer(holds=True)
    task = await running(publisher, producer)
    publisher.add("t", 0, Pending(None, b"slow", 0))
    for _ in range(5):
        await asyncio.sleep(0)
    producer.holds = False
    publisher.add("t", 1, Pending(None, b"1", 0))
    for _ in range(5):
        await asyncio.sleep(0)
    publisher.add("t", 1, Pending(None, b"2", 0))
    for _ in range(5):
        await asyncio.sleep(0)

    assert [(partition, value) for _, partition, ((_, value, _),) in producer.sent] == [
        (0, b"slow"),
        (1, b"1"),
        (1, b"2"),
    ]
    assert publisher.pending == 1

    draining = asyncio.create_task(publisher.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    producer.futures[0].set_result(Metadata(0))
    await draining
    await stop(task)


async def test_a_large_batch_is_made_ready_while_the_one_before_is_under_way() -> None:
    """The broker then never waits for us; of small ones it gets more at once."""
    publisher, _ = make()
    producer = FakeProducer(holds=True)
    task = await running(publisher, producer)
    for value in (b"1", b"2" * 100_000, b"3", b"4"):
        publisher.add("t", 0, Pending(None, value, 0))
        for _ in range(5):
            await asyncio.sleep(0)

    assert len(producer.sent) == 2

    producer.holds = False
    for future in producer.futures:
        future.set_result(Metadata(0))
    await publisher.drain()
    assert [[value[:1] for _, value, _ in records] for _, _, records in producer.sent] == [[b"1"], [b"2"], [b"3", b"4"]]
    await stop(task)


async def test_what_is_urgent_goes_before_a_backlog() -> None:
    """The broker is given so much at a time; of what waits then, quotes have eight times the share of trades."""
    publisher, _ = make()
    producer = FakeProducer(holds=True)
    task = await running(publisher, producer)
    for partition in range(20):
        publisher.add("trades", partition, Pending(None, bytes(890_000), 0))
    publisher.add("quotes", 0, Pending(None, bytes(890_000), 0))
    publisher.add("quotes", 1, Pending(None, bytes(890_000), 0))
    for _ in range(50):
        await asyncio.sleep(0)
    began = len(producer.sent)
    assert 10 < began < 20
    assert all(topic == "trades" for topic, _, _ in producer.sent)

    for at in range(began):
        producer.futures[at].set_result(Metadata(0))
    producer.holds = False
    await publisher.drain()

    assert [topic for topic, _, _ in producer.sent[began : began + 3]] == ["quotes", "trades", "quotes"]
    assert len(producer.sent) == 22
    await stop(task)


async def test_a_partition_is_settled_when_all_of_it_is_acknowledged() -> None:
    """Who writes the same again and again need not pile it up."""
    publisher, _ = make()
    producer = FakeProducer(holds=True)
    task = await running(publisher, producer)
    assert publisher.is_settled("t", 0)
    publisher.add("t", 0, Pending(None, b"1", 0))
    assert not publisher.is_settled("t", 0)
    assert publisher.is_settled("t", 1)
    while not producer.futures:
        await asyncio.sleep(0)
    producer.futures[0].set_result(Metadata(0))
    await publisher.drain()
    assert publisher.is_settled("t", 0)
    await stop(task)


async def test_where_prebuilt_batches_are_not_taken_the_producers_own_builder_gives_the_same() -> None:
    """An aiokafka that asks more of a batch gets one of its own, with the same records, keys and times."""
    block = Block(b"abc", np.array([1, 3], np.int64), [b"k"], np.array([0, -1], np.int64), np.zeros(2, np.int64))
    builder = BatchBuilder(1_000, 0)

    batch = copied(builder, block, 0, 2, 5)

    assert records_of(batch) == records_of(prebuilt(block, 0, 1_000, 5)[0])
    assert batch.closed()


def test_what_does_not_fit_the_producers_own_builder_is_refused() -> None:
    """Its batches are as large as ours at least; were they not, records would be lost."""
    block = Block(b"a" * 2_000, np.array([500, 2_000], np.int64), [], np.full(2, -1), np.zeros(2, np.int64))

    with pytest.raises(MessageSizeTooLargeError):
        copied(BatchBuilder(1_000, 0), block, 0, 2, 5)
