"""The rows of a decoded batch in compiled code: all that the normaliser does of most of them.

It takes row after row as long as each is like most: next in its stream, in time, its message whole, valid and near the
last price. At the first that is not it stops, having done nothing of it but let time pass, and the normaliser takes
it. So rare cases have one meaning, in `normalise`; both work on the same memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import boolean, from_dtype, int64, types, uint8

from processors.kernel.books import BOOKS, apply_depth, apply_top, evaluate, note_status, row_at
from processors.kernel.lane import (
    LANE,
    LAST_US,
    OF_BOOK,
    OF_GRID,
    OF_ROOM,
    OF_ROW,
    OF_SESSION,
    OF_STREAM,
    PRINTS,
    STREAM,
    look_ahead,
    settle_trade,
    trade_verdict,
)
from processors.kernel.seen import SEEN
from processors.kernel.steprows import GAP, GRID, STEP, WATERMARK
from processors.kernel.tops import LAST_TOP, TOP_ACCEPT, TOP_STOP, TOP_TOO_OLD, TOPS, settle_top, top_verdict
from schemas.clock import BOOK_GRID_US, GRID_US
from schemas.columns import KINDS, SIDES
from schemas.columns.layout import layout_of
from schemas.columns.rows import row_dtype
from schemas.compiled import Array, compiled
from schemas.enums import Flag, Side, TickKind
from schemas.records import Tick, Trade

__all__ = ["BY_ROWS", "take_rows"]

BY_ROWS = 2
"""`is_open` of a stream whose message is put together here, from rows."""

_NONE = -1
_STOP = 0
_HEARTBEAT, _BLOCK = KINDS.index(TickKind.HEARTBEAT), KINDS.index(TickKind.BLOCK)
_STATUS, _CLEAR, _LEVEL = KINDS.index(TickKind.STATUS), KINDS.index(TickKind.CLEAR), KINDS.index(TickKind.LEVEL)
_TOP, _TRADE = KINDS.index(TickKind.TOP), KINDS.index(TickKind.TRADE)
_NO_SIDE, _BUY = SIDES.index(Side.NONE), SIDES.index(Side.BUY)
_HOLE = int(Flag.GAPPED | Flag.STALE)


def _array(dtype: np.dtype[Any], **options: Any) -> Any:
    return types.Array(from_dtype(dtype), 1, "C", **options)


_TICKS = _array(layout_of(Tick).dtype)
_BYTES = types.Array(uint8, 1, "C", readonly=True)
_BATCH = types.Tuple(
    (_TICKS, _TICKS, types.Array(boolean, 1, "C"), types.Array(int64, 1, "C", readonly=True), int64[::1], int64[::1])
)
_NAMES = types.Tuple((int64[::1], int64[:, ::1], int64[:, ::1]))
_LAYOUT = types.Tuple((int64[:, ::1], int64[::1]))
_MEMORY = types.Tuple((_array(STREAM), _array(PRINTS), _array(TOPS), _array(LAST_TOP), int64[::1]))


@compiled()
def _step(lane: Array, steps: Array, kind: int, market: int, source: int, at_us: int, is_null: Any) -> None:
    step = steps[lane.steps]
    lane.steps += 1
    step.kind, step.market, step.source, step.offset = kind, market, source, lane.offset
    step.ts_recv, step.at_us, step.is_null, step.flags = lane.ts_recv, at_us, is_null, 0
    step.price = step.size = step.is_buy = step.sequence = step.has_sequence = 0


@compiled()
def _pass_time(lane: Array, books: Any, steps: Array, ts_recv: int, offset: int) -> bool:
    """Let the clock come to a row; False where a grid point before it asks for objects first."""
    lane.offset, lane.ts_recv = offset, ts_recv
    if ts_recv <= lane.clock_us:
        return True
    last = ts_recv - ts_recv % BOOK_GRID_US
    if last > lane.clock_us:
        point = ts_recv - ts_recv % GRID_US
        if point > lane.clock_us:
            evaluate(lane, books, point, point == last)
            if lane.is_stepwise:
                # Here again, the clock stands at the point, and what is left of the time passes.
                lane.clock_us = lane.point_us = point
                lane.why = OF_GRID
                return False
            _step(lane, steps, GRID, 0, 0, point, False)
        if point < last:
            evaluate(lane, books, last, True)
    lane.clock_us = ts_recv
    return True


@compiled()
def _has_room(lane: Array, quotes: Array, shown: Array, pairs: Array) -> bool:
    """Tell whether what one row may lead to can be written: two points, at each of which any book may change."""
    return bool(
        lane.quotes + 2 * lane.books + 2 <= len(quotes)
        and lane.shown + lane.books <= len(shown)
        and lane.shown_levels + 2 * lane.books * lane.depth <= len(pairs)
    )


@compiled()
def _move(lane: Array, stream: Array, heard: Array, tick: Array) -> None:
    """Note that a tick is the last one of its stream, and that its source spoke."""
    stream.message, stream.ordinal = tick.message, tick.ordinal
    row = heard[stream.source]
    if not row.is_heard or row.session <= tick.session:
        row.is_heard, row.session, row.clock_us = 1, tick.session, lane.clock_us


@compiled()
def _is_part(lane: Array, stream: Array, tick: Array) -> bool:
    """Tell whether a tick begins a message of several, or goes on with the one that is open."""
    if tick.kind != _LEVEL and tick.kind != _CLEAR and tick.kind != _TOP:
        return False
    if tick.first:
        return not stream.is_open
    return bool(
        stream.is_open == BY_ROWS
        and stream.parts < lane.max_parts
        and tick.message == stream.message
        and tick.ordinal == stream.ordinal + 1
    )


@compiled()
def _gather(stream: Array, before: Array, parts: Array, last: int) -> int:
    """List the parts of a message that `last` completes; give how many."""
    count = stream.parts + 1
    parts[count - 1] = last
    part = stream.last_part
    for k in range(count - 2, -1, -1):
        parts[k] = part
        part = before[part] if part >= 0 else part + 1
    return count  # type: ignore[no-any-return]


@compiled()
def _is_depth(message: tuple[Array, Array, Array, int]) -> bool:
    """Tell whether a message is of levels alone, and each is valid."""
    ticks, kept, parts, count = message
    for k in range(count):
        tick = row_at(ticks, kept, parts[k])
        if tick.kind == _CLEAR:
            continue
        if tick.kind != _LEVEL or tick.side == _NO_SIDE or tick.size < 0 or tick.price <= 0:
            return False
    return True


@compiled()
def _has_room_for(lane: Array, ladders: Array, number: int, message: tuple[Array, Array, Array, int]) -> bool:
    """Tell whether a message of levels fits its book."""
    ticks, kept, parts, count = message
    bid_side, ask_side = ladders[2 * number], ladders[2 * number + 1]
    # What is before a snapshot goes.
    is_kept = row_at(ticks, kept, parts[0]).kind != _CLEAR
    bids, asks = bid_side.count if is_kept else 0, ask_side.count if is_kept else 0
    if bids + count <= bid_side.room and asks + count <= ask_side.room:
        return True
    for k in range(count):
        if row_at(ticks, kept, parts[k]).side == _BUY:
            bids += 1
        else:
            asks += 1
    bids, asks = min(bids, lane.max_levels), min(asks, lane.max_levels)
    if bids <= bid_side.room and asks <= ask_side.room:
        return True
    lane.why, lane.book, lane.bids, lane.asks = OF_ROOM, number, bids, asks
    return False


@compiled()
def _is_all_top(message: tuple[Array, Array, Array, int]) -> bool:
    ticks, kept, parts, count = message
    is_all = True
    for k in range(count):
        is_all &= row_at(ticks, kept, parts[k]).kind == _TOP
    return is_all


@compiled(
    int64(
        _array(LANE),
        _BATCH,
        _BYTES,
        _NAMES,
        _LAYOUT,
        _MEMORY,
        SEEN,
        BOOKS,
        types.Tuple((_array(STEP), _array(row_dtype(Trade)))),
        int64[:, ::1],
        int64,
        int64,
    )
)
def take_rows(
    lanes: Array,
    batch: Any,
    text: Array,
    names: Any,
    layout: Any,
    memory: Any,
    seen: Any,
    books: Any,
    outs: Any,
    ahead: Array,
    begin: int,
    end: int,
) -> int:
    """Take rows from `begin` on; give the first that is left, the reason being in `why`.

    Args:
        batch: Its rows; rows kept from before, parts of messages that are open; which rows are ticks; their offsets;
            for each row the part before it, written here; room for the parts of one message.
        text: What the spans of the ticks point into.
        names: The partition's number of each text of the batch, -1 where it has none; the streams by their key (see
            `find_stream`); and by the batch's number of a symbol its latest source, venue and stream, -1 before.
        layout: See `settle_trade`.
        memory: Streams; trades, tops and last tops by market; by market its book and 1, 0 where it has none.
        outs: Room for the steps and the trades, three steps and one trade a row.
        ahead: Room for the stream and the digest of as many rows as are looked at ahead.
    """
    lane = lanes[0]
    ticks, kept, ok, offsets, before, parts = batch
    numbers, bits = names[0], layout[1]
    streams, prints, tops, lasts, by_market = memory
    ladders, heard, beats, quotes, (shown, pairs) = books[2], books[4], books[5], books[8], books[9]
    steps = outs[0]
    looked = begin
    for i in range(begin, end):
        if i == looked:
            looked = min(i + len(ahead), end)
            first = i
            look_ahead(ticks, i, looked, text, names, streams, prints, seen, ahead)
        lane.why = OF_ROW
        if not ok[i]:
            return i
        if not _has_room(lane, quotes, shown, pairs):
            lane.why, lane.book = OF_ROOM, _NONE
            return i
        tick = ticks[i]
        ts_recv, kind = tick.ts_recv, tick.kind
        if ts_recv < 0 or ts_recv > LAST_US or ts_recv > lane.clock_us + lane.max_ahead_us:
            return i
        if kind == _HEARTBEAT and numbers[tick.source] == lane.watchdog and numbers[tick.venue] == lane.nothing:
            if not _pass_time(lane, books, steps, ts_recv, offsets[i]):
                return i
            lane.accepted += 1
            continue
        number = ahead[i - first, 0]
        if number == _NONE:
            lane.why = OF_STREAM
            return i
        stream = streams[number]
        market, source = stream.market, stream.source
        if tick.session != stream.session:
            if tick.session > stream.session and _pass_time(lane, books, steps, ts_recv, offsets[i]):
                lane.why = OF_SESSION
            return i
        if tick.message < stream.message or (tick.message == stream.message and tick.ordinal <= stream.ordinal):
            if not lane.is_reject_plain or not _pass_time(lane, books, steps, ts_recv, offsets[i]):
                return i
            lane.duplicates += 1
            continue
        is_null = (tick.nulls & bits[0] != 0, tick.nulls & bits[2] != 0)
        count = 1
        parts[0] = i
        if tick.first and tick.last:
            if stream.is_open:
                return i
            if kind == _TRADE:
                key = (text, ahead[i - first, 1])
                verdict = trade_verdict(lane, tick, stream, prints[market], seen, key, bits)
                if verdict == _STOP or not _pass_time(lane, books, steps, ts_recv, offsets[i]):
                    return i
                _move(lane, stream, heard, tick)
                settle_trade(lane, verdict, tick, stream, prints[market], seen, key, outs, layout)
                continue
            if kind in (_HEARTBEAT, _BLOCK) or (kind == _STATUS and numbers[tick.symbol] == lane.nothing):
                if not _pass_time(lane, books, steps, ts_recv, offsets[i]):
                    return i
                _move(lane, stream, heard, tick)
                lane.accepted += 1
                if kind == _HEARTBEAT:
                    beat = beats[source]
                    beat.exists, beat.session, beat.ts_recv = 1, tick.session, ts_recv
                    _step(lane, steps, WATERMARK, 0, source, tick.watermark, tick.nulls & bits[3] != 0)
                continue
        else:
            if not _is_part(lane, stream, tick):
                return i
            if not tick.last:
                if not _pass_time(lane, books, steps, ts_recv, offsets[i]):
                    return i
                _move(lane, stream, heard, tick)
                before[i] = stream.last_part
                stream.parts = 1 if tick.first else stream.parts + 1
                stream.is_open, stream.last_part = BY_ROWS, i
                continue
            count = _gather(stream, before, parts, i)
        message = (ticks, kept, parts, count)
        verdict = TOP_ACCEPT
        is_depth = kind in (_LEVEL, _CLEAR)
        if is_depth:
            if not _is_depth(message):
                return i
        elif kind == _TOP:
            if not _is_all_top(message):
                return i
            verdict = top_verdict(lane, source, market, message, tops, lasts, bits)
            if verdict == TOP_STOP:
                return i
        elif kind != _STATUS:
            return i
        book = by_market[market] - 1
        if verdict == TOP_ACCEPT:
            if book < 0:
                lane.why = OF_BOOK
                return i
            if is_depth and not _has_room_for(lane, ladders, book, message):
                return i
        if not _pass_time(lane, books, steps, ts_recv, offsets[i]):
            return i
        _move(lane, stream, heard, tick)
        stream.is_open = 0
        if verdict != TOP_ACCEPT:
            if verdict == TOP_TOO_OLD:
                lane.too_old += count
            else:
                lane.out_of_order += count
            continue
        lane.accepted += count
        if kind == _STATUS:
            if tick.flags & _HOLE:
                _step(lane, steps, GAP, market, 0, 0, False)
            note_status(lane, books, book, tick.flags)
        elif kind == _TOP:
            settle_top(source, market, message, tops, lasts, bits)
            apply_top(lane, books, book, source, message, is_null, 0)
        else:
            apply_depth(lane, books, book, source, message, is_null)
    lane.why = OF_ROW
    return end
