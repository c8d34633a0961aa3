"""The memory of the bars stage: what compiled code knows of markets, intervals and sources.

An interval's bar is a slot. The slots of a market and timeframe are a list in the order of time, in a pool that all
share; a cursor stays where the last one was found, since the next is mostly the same or near. Where it is not, slots
are found as in a skip list: one in eight is also in a list that leaves the others out, one in 64 in one that leaves out
more, and so on. Which ones follows from their time alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import from_dtype, int64, types, void

from schemas.compiled import Array, compiled
from schemas.enums import Timeframe
from schemas.machine import leading_zeros

__all__ = [
    "BOOK",
    "BOUND",
    "CONFIG",
    "CORRECTED",
    "FINAL",
    "FRAMES",
    "LENGTHS",
    "NONE",
    "PARTIAL",
    "SCRATCH",
    "SLOT",
    "SOURCE",
    "STATE",
    "array_of",
    "drop_first",
    "follow",
    "link_all",
    "seek",
    "slot_of",
]

FRAMES = len(Timeframe)
LENGTHS = tuple(timeframe.micros for timeframe in Timeframe)
NONE = -1
BLANK, SCRATCH = 0, 1
"""Slots that are no bars: what a new one is copied from, and where an open higher bar is summed up."""
_NEAR = 8
_LEVELS = 4
_LEVEL_BITS = 3
_MIX = -7046029254386353131
PARTIAL, FINAL, CORRECTED = range(3)
"""States of a bar, numbered as in `schemas.enums.BarState`."""

SLOT = np.dtype(
    [
        (name, "<u8" if name.startswith("quote") else "<i8")
        for name in (
            *("revision", "is_complete", "carry", "next", "previous", "state", "flags", "start", "is_changed"),
            # The trades, where `count` is not 0; of an open higher bar those of its final one-minute bars.
            *("count", "first_us", "first_at", "last_us", "last_at", "open", "high", "low", "close"),
            *("volume", "buy_volume", "sell_volume", "quote_high", "quote_low", "is_overfull"),
            *("has_sequence", "first_sequence", "last_sequence", "first_offset", "trade_flags"),
        )
    ]
    + [("skips", "<i8", (_LEVELS,))]
)
"""A bar. `first_at` and `last_at` are offsets: of trades at one microsecond the arrival decides. `skips` are the next
slots in the lists that leave slots out."""

_LIST = ("<i8", (FRAMES,))
BOOK = np.dtype(
    [
        ("cursor", *_LIST),
        *((name, "<i8") for name in ("source", "has_final", "final_us", "has_gap", "first_bound", "market")),
        *((name, "<i8") for name in ("has_closed", "closed_us", "gap_us", "last_close", "has_news", "news_us")),
        *((name, "<i8") for name in ("slots", "last_bound", "bounds")),
        *((name, *_LIST) for name in ("head", "tail")),
        ("skips", "<i8", (FRAMES * _LEVELS,)),
    ]
)
"""A market: its source (of the last trade), until when bars are final and closed, its lists; `news_us` is the earliest
minute with news since the last partial bars."""

BOUND = np.dtype([("clock_us", "<i8"), ("final_us", "<i8"), ("next", "<i8")])
"""When (partition clock) a market's bars became final until when: it ends the time of corrections."""

SOURCE = np.dtype([(name, "<i8") for name in ("has_watermark", "watermark", "heard_us", "has_observed", "observed_us")])
"""A source: its promise, when it was heard, and since when (event time) it observes."""

STATE = np.dtype(
    [
        (name, "<i8")
        for name in (
            *("clock_us", "offset", "has_grid", "grid_us", "too_late", "unfit", "books", "emitted"),
            *("free_slot", "free_slots", "free_bound", "free_bounds", "resume", "is_second"),
        )
    ]
)
"""The stage itself; `resume` is the market at which a step goes on that had no room, NONE where none is begun."""

CONFIG = np.dtype(
    [
        (name, "<i8")
        for name in (
            *("silence_us", "correction_us", "lateness_us", "max_ahead_us", "is_carrying"),
            *("cause_topic", "cause_partition", "null_first_sequence", "null_last_sequence"),
        )
    ]
)


def array_of(dtype: np.dtype[Any]) -> Array:
    return types.Array(from_dtype(dtype), 1, "C")


@compiled()
def _level_of(start: int) -> int:
    """Give in how many of the lists that leave slots out an interval is."""
    return min(leading_zeros(start * _MIX | 1) // _LEVEL_BITS, _LEVELS)


@compiled()
def _link(slots: Array, book: Array, frame: int, new: int) -> None:
    """Put a slot into the lists that leave slots out."""
    start, levels = slots[new].start, _level_of(slots[new].start)
    if not levels:
        return
    at = NONE
    for level in range(_LEVELS - 1, -1, -1):
        after = book.skips[frame * _LEVELS + level] if at == NONE else slots[at].skips[level]
        while after != NONE and slots[after].start < start:
            at, after = after, slots[after].skips[level]
        if level < levels:
            slots[new].skips[level] = after
            if at == NONE:
                book.skips[frame * _LEVELS + level] = new
            else:
                slots[at].skips[level] = new


@compiled(int64(array_of(SLOT), from_dtype(BOOK), int64, int64))
def _leap(slots: Array, book: Array, frame: int, start: int) -> int:
    """Do as `seek`, wherever the cursor is."""
    at = NONE
    if slots[book.tail[frame]].start <= start:
        return book.tail[frame]  # type: ignore[no-any-return]
    for level in range(_LEVELS - 1, -1, -1):
        after = book.skips[frame * _LEVELS + level] if at == NONE else slots[at].skips[level]
        while after != NONE and slots[after].start <= start:
            at, after = after, slots[after].skips[level]
    after = book.head[frame] if at == NONE else slots[at].next
    while after != NONE and slots[after].start <= start:
        at, after = after, slots[after].next
    return at


@compiled()
def seek(slots: Array, book: Array, frame: int, start: int) -> Array:
    """Give the last slot that starts by `start`, NONE where all start later."""
    at = book.cursor[frame]
    if at == NONE:
        return NONE
    left = _NEAR
    while left:
        if at != NONE and slots[at].start > start:
            at = slots[at].previous
        else:
            after = book.head[frame] if at == NONE else slots[at].next
            if after == NONE or slots[after].start > start:
                break
            at = after
        left -= 1
    if not left:
        at = _leap(slots, book, frame, start)
    book.cursor[frame] = book.head[frame] if at == NONE else at
    return at


@compiled(int64(from_dtype(STATE), array_of(SLOT), from_dtype(BOOK), int64, int64, int64))
def _insert(state: Array, slots: Array, book: Array, frame: int, start: int, before: int) -> int:
    new = state.free_slot
    state.free_slot = slots[new].next
    state.free_slots -= 1
    slots[new] = slots[BLANK]
    after = book.head[frame] if before == NONE else slots[before].next
    slots[new].start, slots[new].previous, slots[new].next = start, before, after
    if before == NONE:
        book.head[frame] = new
    else:
        slots[before].next = new
    if after == NONE:
        book.tail[frame] = new
    else:
        slots[after].previous = new
    _link(slots, book, frame, new)
    book.cursor[frame] = new
    book.slots += 1
    return new  # type: ignore[no-any-return]


@compiled()
def slot_of(state: Array, slots: Array, book: Array, frame: int, start: int) -> Array:
    """Give the slot of an interval, an empty one where there was none."""
    before = seek(slots, book, frame, start)
    if before != NONE and slots[before].start == start:
        return before
    return _insert(state, slots, book, frame, start, before)


@compiled()
def drop_first(state: Array, slots: Array, book: Array, frame: int) -> None:
    """Forget the earliest slot of a list."""
    old = book.head[frame]
    after = slots[old].next
    book.head[frame] = after
    if after == NONE:
        book.tail[frame] = NONE
    else:
        slots[after].previous = NONE
    for k in range(frame * _LEVELS, (frame + 1) * _LEVELS):
        if book.skips[k] == old:
            book.skips[k] = slots[old].skips[k - frame * _LEVELS]
    if book.cursor[frame] == old:
        book.cursor[frame] = after
    slots[old].next = state.free_slot
    state.free_slot = old
    state.free_slots += 1
    book.slots -= 1


@compiled(void(array_of(BOOK), array_of(SLOT)))
def link_all(books: Array, slots: Array) -> None:
    """Make the lists that leave slots out of those that do not."""
    for b in range(len(books)):
        for frame in range(FRAMES):
            at = books[b].tail[frame]
            while at != NONE:
                _link(slots, books[b], frame, at)
                at = slots[at].previous


@compiled(int64(int64[::1], int64[::1], int64[::1], int64[::1]))
def follow(heads: Array, links: Array, order: Array, counts: Array) -> int:
    """Write the members of lists that begin at `heads` into `order`, list after list; give how many there are."""
    done = 0
    for k in range(len(heads)):
        counts[k] = 0
        at = heads[k]
        while at != NONE:
            order[done] = at
            done += 1
            counts[k] += 1
            at = links[at]
    return done
