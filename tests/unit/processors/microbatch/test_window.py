"""What is under way to a slow broker is little, and the most urgent of what waits goes next."""

from __future__ import annotations

import asyncio

from processors.microbatch.window import Window
from schemas.topics import Priority

FAST_US, SLOW_US = 1_000, 1_000_000


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_waits_goes_by_priority_and_then_in_order() -> None:
    """A quote that comes last goes before the trades that were there already."""
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
    assert gone == ["quotes", "trades 1", "trades 2", "metrics"]


async def test_nobody_overtakes_what_is_as_urgent_or_more() -> None:
    """A small batch does not slip in before a large one that waits for room; a more urgent one may."""
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
