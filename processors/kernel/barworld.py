"""The memory of the bars stage as compiled code gets it, its room, and how a bar is written out."""

from __future__ import annotations

import numpy as np
from numba import from_dtype, int64, types, void

from processors.kernel import wide
from processors.kernel.barslots import (
    BOOK,
    BOUND,
    CONFIG,
    FRAMES,
    LENGTHS,
    NONE,
    PARTIAL,
    SCRATCH,
    SLOT,
    SOURCE,
    STATE,
    array_of,
    seek,
)
from processors.kernel.bartrades import merge
from schemas.columns.rows import row_dtype
from schemas.compiled import Array, compiled
from schemas.enums import Flag
from schemas.records import Bar

__all__ = ["INNER", "MAX_EMPTY_US", "MOST_EMPTY", "WORLD", "emit_bar", "has_room", "is_final", "minute_of"]

MAX_EMPTY_US = 86_400_000_000
MOST_EMPTY = sum(MAX_EMPTY_US // length + 2 for length in LENGTHS)
"""Bars without trades that one advance of a market can make, at most."""
_GAPPED = int(Flag.GAPPED)


_ARRAYS = (
    *(array_of(dtype) for dtype in (SOURCE, BOOK, SLOT, BOUND, row_dtype(Bar))),
    int64[::1],
    int64[:, ::1],
)
WORLD = types.Tuple((array_of(CONFIG), array_of(STATE), *_ARRAYS))
"""Configuration, state, sources, books, slots, bounds, bars to emit, book by market number, texts by market number."""
INNER = types.Tuple((from_dtype(CONFIG), from_dtype(STATE), *_ARRAYS))
"""The same, with the one configuration and the one state."""


@compiled()
def minute_of(ts_us: int) -> int:
    """Give the start of the minute of a time."""
    return ts_us - ts_us % LENGTHS[0]


@compiled()
def is_final(book: Array, end_us: int) -> bool:
    """Tell whether bars that end then are final."""
    return book.has_final and end_us <= book.final_us  # type: ignore[no-any-return]


@compiled(void(INNER, int64, int64, int64, int64))
def emit_bar(world: Array, b: int, frame: int, at: int, ts_trigger: int) -> None:
    """Write a bar out as it stands; an open higher bar is its final minutes and the open ones."""
    config, state, _, books, slots, _, out, _, market_texts = world
    slot, trades = slots[at], slots[at]
    flags = slot.flags
    if frame and slot.state == PARTIAL:
        slots[SCRATCH] = slots[at]
        trades = slots[SCRATCH]
        minute = seek(slots, books[b], 0, slot.start + LENGTHS[frame] - 1)
        while minute != NONE and slots[minute].start >= slot.start:
            if slots[minute].state == PARTIAL and slots[minute].count:
                flags |= slots[minute].flags & _GAPPED
                merge(trades, slots[minute])
            minute = slots[minute].previous
    if trades.is_overfull:
        state.unfit += 1
        return
    bar = out[state.emitted]
    state.emitted += 1
    market = books[b].market
    bar.market, bar.venue, bar.symbol = market, market_texts[market, 0], market_texts[market, 1]
    bar.timeframe, bar.ts_open, bar.ts_close = frame, slot.start, slot.start + LENGTHS[frame]
    bar.ts_emit, bar.ts_trigger, bar.trade_count = state.clock_us, ts_trigger, trades.count
    bar.volume, bar.buy_volume, bar.sell_volume = trades.volume, trades.buy_volume, trades.sell_volume
    bar.quote_volume, bar.quote_volume_low = np.int64(trades.quote_high), np.int64(trades.quote_low)
    bar.nulls = 0
    bar.first_sequence, bar.last_sequence = trades.first_sequence, trades.last_sequence
    if not trades.has_sequence:
        bar.nulls = config.null_first_sequence | config.null_last_sequence
        bar.first_sequence = bar.last_sequence = 0
    if trades.count:
        bar.open, bar.high, bar.low, bar.close = trades.open, trades.high, trades.low, trades.close
        bar.vwap = wide.divide_half_even(trades.quote_high, trades.quote_low, trades.volume)
        bar.cause_first_offset = trades.first_offset
    else:
        bar.open = bar.high = bar.low = bar.close = bar.vwap = slot.carry
        bar.cause_first_offset = state.offset
    bar.state, bar.revision, bar.is_complete = slot.state, slot.revision, slot.is_complete
    bar.flags = flags | trades.trade_flags
    bar.cause_topic, bar.cause_partition, bar.cause_offset = config.cause_topic, config.cause_partition, state.offset
    slot.revision += 1


@compiled()
def has_room(world: Array, b: int) -> bool:
    """Tell whether whatever a step does to a market has room."""
    config, state, _, books, _slots, _bounds, out, _, _ = world
    more = FRAMES + 1
    if config.is_carrying:
        more += MOST_EMPTY
    live = books[b].slots if b != NONE else 0
    if state.free_slots < more or state.free_bounds < 2:
        return False
    return len(out) - state.emitted >= 2 * (live + more)  # type: ignore[no-any-return]
