"""The queue before a source is bounded twice, and wakes who waits."""

from __future__ import annotations

import asyncio

from producers.inbox import Answer, Closed, Frame, Inbox


async def test_who_puts_waits_until_both_bounds_have_room() -> None:
    """In number and in bytes; order is kept, and nothing that waits is forgotten."""
    inbox = Inbox(max_items=3, max_bytes=10)
    items = [Frame("x" * 8, 0), Answer("a", b"y" * 8), Frame(b"z", 1), Frame("", 2), Frame("", 3), Closed("end")]

    async def put() -> None:
        for item in items:
            await inbox.put(item)

    putting = asyncio.create_task(put())
    seen, greatest = [], 0
    while len(seen) < len(items):
        greatest = max(greatest, inbox.qsize())
        seen.append(await inbox.get())
    await putting
    assert seen == items
    assert greatest <= 3


async def test_one_item_larger_than_the_bound_is_taken_alone() -> None:
    """Frames have a bound of their own."""
    inbox = Inbox(max_items=3, max_bytes=10)
    inbox.put_nowait(Frame("x" * 100, 0))
    assert inbox.full()
    await inbox.get()
    assert not inbox.full()


async def test_what_is_left_is_counted_by_frames() -> None:
    """An answer that nobody waits for any more is no loss."""
    inbox = Inbox(max_items=10, max_bytes=100)
    for item in (Frame("1", 0), Answer("a", None), Frame("2", 0), Closed("end")):
        inbox.put_nowait(item)
    assert inbox.frames_left() == 2
    assert inbox.empty()
