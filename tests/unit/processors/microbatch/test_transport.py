"""The transport asks the broker as seldom as it can without delaying a record, and outlives a lost position."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.structs import TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP
from mode.utils.locks import Event

from processors.microbatch.pace import FetchPace
from processors.microbatch.transport import Consumer, PatientFetcher, _ConsumerThread
from schemas.clock import GRID_US

POINT = 9_000_000 * GRID_US


@pytest.mark.parametrize(("wait_ms", "unread", "waits_ms"), [(5, False, 100), (5, True, 5), (300, False, 300)])
def test_a_fetch_waits_long_only_where_no_partition_is_left_out(wait_ms: int, unread: bool, waits_ms: int) -> None:
    """A partition with unread records is not in the fetch, and must not wait for what others have to say."""
    fetcher = PatientFetcher.__new__(PatientFetcher)
    fetcher._records = OrderedDict({"market.ticks-0": object()} if unread else {})
    fetcher.wait_ms = wait_ms

    assert fetcher._fetch_max_wait_ms == waits_ms


@pytest.mark.parametrize(("highwater", "rests"), [(7, True), (None, True), (8, False)])
async def test_a_fetch_keeps_the_pace_unless_more_was_there(
    monkeypatch: pytest.MonkeyPatch, highwater: int | None, rests: bool
) -> None:
    """What comes meanwhile is one batch; who is behind does not rest, nor who was told nothing."""
    now_us, slept, answers = POINT, [], iter([False, True, True])

    async def sleep(seconds: float) -> None:
        nonlocal now_us
        slept.append(round(seconds * 1_000_000))
        now_us += slept[-1]

    async def answer(*_: Any) -> bool:
        return next(answers)

    monkeypatch.setattr("processors.microbatch.transport.asyncio.sleep", sleep)
    monkeypatch.setattr(Fetcher, "_proc_fetch_request", answer)
    fetcher = PatientFetcher.__new__(PatientFetcher)
    fetcher.engine = SimpleNamespace(  # type: ignore[assignment]
        fetch_pace=FetchPace(5_000, is_at_grid=True),
        clock=lambda: now_us,
        worked_us=0,
        is_batched=lambda topic: topic == "market.ticks",
    )
    assignment = SimpleNamespace(state_value=lambda _: SimpleNamespace(highwater=highwater))
    request = SimpleNamespace(topics=[("market.ticks", [(0, 7, 1 << 20)]), ("other", [(3, 7, 1 << 20)])])

    for _ in range(2):
        await fetcher._proc_fetch_request(assignment, 1, request)
    assert slept == []
    now_us += 2_000
    await fetcher._proc_fetch_request(assignment, 1, request)

    assert slept == ([3_000] if rests else [])


@pytest.fixture
async def consumer() -> Any:
    """As much of a consumer as waits."""
    consumer: Any = Consumer.__new__(Consumer)
    consumer._stopped, consumer._crashed = Event(), Event()
    consumer.loop = asyncio.get_running_loop()
    return consumer


async def test_a_message_that_need_not_wait_is_delivered_at_once(consumer: Any) -> None:
    """Before anything else that is ready: the others of its answer stand behind it."""
    ran: list[str] = []

    async def deliver() -> str:
        ran.append("delivered")
        return "done"

    asyncio.get_running_loop().call_soon(ran.append, "another")
    result = await consumer.wait_first(deliver(), asyncio.Event().wait())

    assert (ran, result.results, result.stopped) == (["delivered"], ["done"], False)


async def test_a_delivery_that_waits_is_waited_for_and_given_up_for_what_comes_first(consumer: Any) -> None:
    """The stream's buffer has room again, or the partitions are taken away meanwhile."""
    room, suspended = asyncio.Event(), asyncio.Event()
    delivered: list[str] = []

    async def deliver(name: str) -> str:
        await room.wait()
        await asyncio.sleep(0)
        delivered.append(name)
        return name

    asyncio.get_running_loop().call_soon(suspended.set)
    first = await consumer.wait_first(deliver("a"), suspended.wait())
    suspended.clear()
    asyncio.get_running_loop().call_soon(room.set)
    second = await consumer.wait_first(deliver("b"), suspended.wait())

    assert (first.results, second.results, delivered) == ([True], ["b"], ["b"])


async def test_what_a_delivery_raises_is_raised(consumer: Any) -> None:
    """Whether it has waited or not."""

    async def deliver(*waits: float) -> None:
        for wait in waits:
            await asyncio.sleep(wait)
        raise LookupError

    for waits in ((), (0.0,)):
        with pytest.raises(LookupError):
            await consumer.wait_first(deliver(*waits), asyncio.Event().wait())


async def test_a_position_that_is_looked_up_does_not_end_the_worker() -> None:
    """Retention trimmed what was to be read: until the new position is known Faust's watch over it finds none."""
    ticks = TP("market.ticks", 0)
    subscription = SimpleNamespace(assignment=Assignment([TopicPartition(*ticks)]))
    fetcher = SimpleNamespace(_subscriptions=SimpleNamespace(subscription=subscription))
    thread: Any = _ConsumerThread.__new__(_ConsumerThread)
    thread.time_started = 0.0
    thread.consumer = SimpleNamespace(
        app=SimpleNamespace(monitor=object(), topics=SimpleNamespace(acks_enabled_for=lambda topic: True))
    )
    thread._ensure_consumer = lambda: SimpleNamespace(_fetcher=fetcher)
    thread._verify_aiokafka_event_path = lambda now, tp: False
    with pytest.raises(AssertionError):
        AIOKafkaConsumerThread.verify_event_path(thread, 1.0, ticks)

    thread.verify_event_path(1.0, ticks)


async def test_partitions_that_decide_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders wait for them, and nothing as urgent waits for the others."""
    parts = [TP("market.ticks", number) for number in range(3)]

    async def fetched(*_: Any) -> dict[TP, list[str]]:
        return {part: ["one", "two"] for part in parts}

    monkeypatch.setattr(AIOKafkaConsumerThread, "_fetch_records", fetched)
    thread: Any = _ConsumerThread.__new__(_ConsumerThread)
    thread._waiting = deque()
    engine = SimpleNamespace(is_deciding=lambda partition: partition == 2)
    thread.consumer = SimpleNamespace(flow_active=True, app=SimpleNamespace(engine=engine))
    thread.app = thread.consumer.app

    found = await thread._fetch_records(None, set(parts))

    assert list(found) == [parts[2], parts[0], parts[1]]
    assert all(records == ["one", "two"] for records in found.values())
