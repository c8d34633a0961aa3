"""What is under way to a slow broker is little, and the most urgent of what waits goes next."""

from __future__ import annotations

import asyncio

from processors.microbatch.window import Window
from schemas.topics import Priority

FAST_US, SLOW_US = 1_000, 1_000_000


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_waits_goes_by_weight_and_then_in_order() -> None:
    """A quote that comes last goes before the trades that were there already, a metric not after all of them."""
    window = Window(most=100)
    await window.enter(Priority.MEDIUM, 100)
    gone: list[str] = []

    async def go(name: str, priority: Priority) -> None:
        await window.enter(priority, 60)
        gone.append(name)

    lines = [
        ("trades 1", Priority.MEDIUM),
        ("metrics", Priority.LOW),
        ("trades 2", Priority.MEDIUM),
        ("quotes", Priority.HIGH),
    ]
    async with asyncio.TaskGroup() as group:
        for name, priority in lines:
            group.create_task(go(name, priority))
        await settled()
        assert gone == []
        window.leave(100, FAST_US)
        for number in range(len(lines)):
            await settled()
            assert len(gone) == number + 1
            window.leave(60, FAST_US)
    assert gone == ["quotes", "trades 1", "metrics", "trades 2"]


async def test_of_two_that_always_have_something_one_gets_eight_times_the_other() -> None:
    """In bytes; so neither starves."""
    window = Window(most=100)
    sent = dict.fromkeys((Priority.HIGH, Priority.MEDIUM), 0)

    async def always(priority: Priority, size: int) -> None:
        while sum(sent.values()) < 90_000:
            await window.enter(priority, size)
            sent[priority] += size
            asyncio.get_running_loop().call_soon(window.leave, size, FAST_US)

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(always(Priority.HIGH, 40))
            group.create_task(always(Priority.MEDIUM, 90))
    assert 7 < sent[Priority.HIGH] / sent[Priority.MEDIUM] < 9


async def test_nobody_overtakes_what_waits_for_room() -> None:
    """A small batch does not slip in again and again before a large one; a more urgent one may go first."""
    window = Window(most=100)
    await window.enter(Priority.MEDIUM, 50)
    large = asyncio.create_task(window.enter(Priority.MEDIUM, 60))
    await settled()
    small = asyncio.create_task(window.enter(Priority.MEDIUM, 10))
    await window.enter(Priority.HIGH, 10)
    await settled()
    assert not large.done()
    assert not small.done()
    window.leave(50, FAST_US)
    await large
    await small


async def test_the_window_shrinks_while_the_broker_is_slow_and_grows_again() -> None:
    """Between its bounds; a batch larger than it may go alone."""
    window = Window(least=10, most=1_000)
    for _ in range(20):
        await window.enter(Priority.LOW, 100)
        window.leave(100, SLOW_US)
    assert window.size == 10
    for _ in range(20):
        await window.enter(Priority.LOW, 100)
        window.leave(100, FAST_US)
    assert window.size == 1_000


async def test_who_stops_waiting_holds_nothing_back() -> None:
    """Whether it was let in already or not."""
    window = Window(most=100)
    await window.enter(Priority.MEDIUM, 100)
    first, second = (asyncio.create_task(window.enter(Priority.HIGH, 100)) for _ in range(2))
    third = asyncio.create_task(window.enter(Priority.LOW, 100))
    await settled()
    second.cancel()
    await settled()
    window.leave(100, FAST_US)
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    await third
    assert first.cancelled()
    assert second.cancelled()
