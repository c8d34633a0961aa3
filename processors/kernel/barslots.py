"""The memory of the bars stage: what compiled code knows of markets, intervals and sources.

An interval's bar is a slot. The slots of a market and timeframe are a list in the order of time, in a pool that all
share; a cursor stays where the last one was found, since the next is mostly the same.
"""

from __future__ import annotations

import numpy as np
from numba import int64

from schemas.compiled import Array, compiled
from schemas.enums import Timeframe

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
    "drop_first",
    "follow",
    "seek",
    "slot_of",
]

FRAMES = len(Timeframe)
LENGTHS = tuple(timeframe.micros for timeframe in Timeframe)
NONE = -1
BLANK, SCRATCH = 0, 1
"""Slots that are no bars: what a new one is copied from, and where an open higher bar is summed up."""
PARTIAL, FINAL, CORRECTED = range(3)
"""States of a bar, numbered as in `schemas.enums.BarState`."""

SLOT = np.dtype(
    [
        (name, "<u8" if name.startswith("quote") else "<i8")
        for name in (
            *("start", "next", "previous", "state", "revision", "is_complete", "flags", "carry", "is_changed"),
            # The trades, where `count` is not 0; of an open higher bar those of its final one-minute bars.
            *("count", "first_us", "first_at", "last_us", "last_at", "open", "high", "low", "close"),
            *("volume", "buy_volume", "sell_volume", "quote_high", "quote_low", "is_overfull"),
            *("has_sequence", "first_sequence", "last_sequence", "first_offset", "trade_flags"),
        )
    ]
)
"""A bar. `first_at` and `last_at` are offsets: of trades at one microsecond the arrival decides."""

_LIST = ("<i8", (FRAMES,))
BOOK = np.dtype(
    [
        *((name, "<i8") for name in ("market", "source", "has_final", "final_us", "has_closed", "closed_us")),
        *((name, "<i8") for name in ("has_gap", "gap_us", "last_close", "has_news", "news_us", "slots")),
        *((name, "<i8") for name in ("first_bound", "last_bound", "bounds")),
        *((name, *_LIST) for name in ("head", "tail", "cursor")),
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


@compiled()
def seek(slots: Array, book: Array, frame: int, start: int) -> Array:
    """Give the last slot that starts by `start`, NONE where all start later."""
    at = book.cursor[frame]
    if at == NONE:
        return NONE
    if slots[at].start <= start:
        after = slots[at].next
        while after != NONE and slots[after].start <= start:
            at, after = after, slots[after].next
    else:
        while at != NONE and slots[at].start > start:
            at = slots[at].previous
        if at == NONE:
            book.cursor[frame] = book.head[frame]
            return NONE
    book.cursor[frame] = at
    return at


@compiled()
def slot_of(state: Array, slots: Array, book: Array, frame: int, start: int) -> Array:
    """Give the slot of an interval, an empty one where there was none."""
    before = seek(slots, book, frame, start)
    if before != NONE and slots[before].start == start:
        return before
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
    book.cursor[frame] = new
    book.slots += 1
    return new


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
    if book.cursor[frame] == old:
        book.cursor[frame] = after
    slots[old].next = state.free_slot
    state.free_slot = old
    state.free_slots += 1
    book.slots -= 1


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
