"""The fast lane of the normaliser: plain trades of known streams, in compiled code.

It takes row after row of a decoded batch as long as each is a trade like most: a message by itself, next in its stream,
near the last price. At the first that is not it stops, having done nothing of it, and the normaliser takes that row. So
rare cases have one meaning, in `normalise`; both work on the same memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import from_dtype, int64, types, uint8

from processors.kernel.clock import BOOK_GRID_US, GRID_US
from processors.kernel.seen import KEY_BYTES, SEEN, digest_of, expect, is_seen, remember
from processors.kernel.steprows import GRID, STEP, TRADE
from schemas.columns import KINDS, SIDES
from schemas.columns.layout import layout_of
from schemas.columns.rows import row_dtype
from schemas.compiled import Array, compiled
from schemas.enums import Flag, Side, TickKind
from schemas.machine import address, prefetch
from schemas.records import Tick, Trade

__all__ = ["HEARD", "LANE", "PRINTS", "STREAM", "find_stream", "take_plain"]

STREAM = np.dtype([(name, "<i8") for name in ("market", "source", "session", "message", "ordinal", "is_open")])
"""What a source says of one market, and where it stands; `is_open`: a message of several parts has begun."""
PRINTS = np.dtype(
    [(name, "<i8") for name in ("is_judged", "has_price", "price", "is_holding", "has_event", "last_event_us")]
)
"""The trades of a market: whether it had any, the last accepted price, whether spikes are held, the greatest event time
in order."""
HEARD = np.dtype([(name, "<i8") for name in ("is_heard", "session", "clock_us")])
"""A source: its newest session, and the partition's clock when it was heard."""
LANE = np.dtype(
    [
        (name, "<i8")
        for name in (
            *("max_ahead_us", "max_age_us", "skew_us", "numerator", "denominator", "greatest_price"),
            *("cause_topic", "cause_partition", "is_grid_plain", "is_reject_plain", "is_published"),
            *("clock_us", "offset", "accepted", "duplicates", "too_old", "steps", "trades"),
        )
    ]
)
"""Limits; whether grid points and rejects may be passed here, and trades are published; the clock; and what was done,
from 0 in each run."""

_BYTES = types.Array(uint8, 1, "C", readonly=True)
_TRADE, _NO_SIDE, _BUY = KINDS.index(TickKind.TRADE), SIDES.index(Side.NONE), SIDES.index(Side.BUY)
_REPLAYED, _NO_EVENT_TIME = int(Flag.REPLAYED), int(Flag.NO_EVENT_TIME)
_CLOCK_SKEW, _OUT_OF_ORDER = int(Flag.CLOCK_SKEW), int(Flag.OUT_OF_ORDER)
_PRINTS_BYTES = PRINTS.itemsize
_LAST_US = 1 << 53
_BITS = 21
_MIX = -7046029254386353131
_NONE = -1
_STOP, _ACCEPT, _SEEN_BEFORE, _DUPLICATE, _TOO_OLD = range(5)


def _array(dtype: np.dtype[Any]) -> Any:
    return types.Array(from_dtype(dtype), 1, "C")


@compiled(int64(int64[:, ::1], int64, int64, int64))
def find_stream(slots: Array, source: int, venue: int, symbol: int) -> int:
    """Give the slot of a stream's key, or the free one where it belongs; key and stream are its two numbers."""
    key = (source << (2 * _BITS)) | (venue << _BITS) | symbol
    mask = len(slots) - 1
    slot = (key * _MIX) ^ ((key * _MIX) >> 32)
    while True:
        slot &= mask
        if slots[slot, 1] == _NONE or slots[slot, 0] == key:
            return slot
        slot += 1


@compiled()
def _verdict(lane: Array, tick: Array, stream: Array, prints: Array, seen: Any, key: Any, no_event: Any) -> int:
    """Judge a row and change nothing."""
    ts_recv, price = tick.ts_recv, tick.price
    text, digest, has_key = key
    if ts_recv < 0 or ts_recv > _LAST_US or ts_recv > lane.clock_us + lane.max_ahead_us:
        return _STOP
    if not lane.is_grid_plain and ts_recv - ts_recv % BOOK_GRID_US > lane.clock_us:
        return _STOP
    if tick.session != stream.session:
        return _STOP
    if tick.message < stream.message or (tick.message == stream.message and tick.ordinal <= stream.ordinal):
        return _SEEN_BEFORE if lane.is_reject_plain else _STOP
    if not prints.is_judged or stream.is_open:
        return _STOP
    if tick.side == _NO_SIDE or tick.size <= 0 or price <= 0 or price > lane.greatest_price:
        return _STOP
    if not no_event:
        if tick.ts_event < 0 or tick.ts_event > _LAST_US:
            return _STOP
        if ts_recv - tick.ts_event > lane.max_age_us and not tick.flags & _REPLAYED:
            return _TOO_OLD if lane.is_reject_plain else _STOP
    if not has_key:
        return _STOP
    if is_seen(seen, stream.market, digest, text, tick.trade_id, tick.trade_id_length):
        return _DUPLICATE if lane.is_reject_plain else _STOP
    if prints.is_holding:
        return _STOP
    if prints.has_price:
        # Beyond the greatest price the products below would wrap.
        if prints.price > lane.greatest_price:
            return _STOP
        if abs(price - prints.price) * lane.denominator > lane.numerator * prints.price:
            return _STOP
    return _ACCEPT


@compiled()
def _pass_time(lane: Array, ts_recv: int, offset: int, steps: Array) -> None:
    if ts_recv <= lane.clock_us:
        return
    point = ts_recv - ts_recv % GRID_US
    if point > lane.clock_us:
        step = steps[lane.steps]
        lane.steps += 1
        step.kind, step.offset, step.ts_recv, step.at_us = GRID, offset, ts_recv, point
        step.market = step.source = step.is_null = step.flags = 0
    lane.clock_us = ts_recv


@compiled()
def _marks(lane: Array, tick: Array, prints: Array, no_event: Any) -> int:
    """Give the flags that a trade earns by its times, and note them."""
    if no_event:
        return _NO_EVENT_TIME
    marks = _CLOCK_SKEW if tick.ts_event > tick.ts_recv + lane.skew_us else 0
    if prints.has_event and tick.ts_event < prints.last_event_us:
        return marks | _OUT_OF_ORDER
    prints.has_event, prints.last_event_us = 1, tick.ts_event
    return marks


@compiled()
def _accept(lane: Array, tick: Array, stream: Array, offset: int, flags: int, outs: Any, layout: Any) -> None:
    """Write an accepted trade out: a step for the later stages, a row of `market.trades`."""
    steps, trades = outs
    texts, bits = layout
    no_event, no_sequence = tick.nulls & bits[0] != 0, tick.nulls & bits[2] != 0
    step = steps[lane.steps]
    lane.steps += 1
    step.kind, step.market, step.source, step.offset = TRADE, stream.market, stream.source, offset
    step.ts_recv, step.at_us, step.is_null, step.flags = tick.ts_recv, tick.ts_event, no_event, flags
    step.price, step.size, step.is_buy = tick.price, tick.size, tick.side == _BUY
    step.sequence, step.has_sequence = tick.sequence, not no_sequence
    if not lane.is_published:
        return
    trade = trades[lane.trades]
    lane.trades += 1
    trade.venue, trade.symbol, trade.source = texts[stream.market, 0], texts[stream.market, 1], stream.source
    trade.market, trade.ts_trigger, trade.flags = stream.market, tick.ts_recv, flags
    trade.trade_id, trade.trade_id_length = tick.trade_id, tick.trade_id_length
    trade.side, trade.price, trade.size = tick.side, tick.price, tick.size
    trade.base_amount, trade.base_amount_low = tick.base_amount, tick.base_amount_low
    trade.quote_amount, trade.quote_amount_low = tick.quote_amount, tick.quote_amount_low
    trade.ts_event, trade.ts_recv, trade.sequence = tick.ts_event, tick.ts_recv, tick.sequence
    trade.tx_hash, trade.tx_hash_length = tick.tx_hash, tick.tx_hash_length
    trade.block_height, trade.tx_index, trade.event_index = tick.block_height, tick.tx_index, tick.event_index
    trade.cause_topic, trade.cause_partition = lane.cause_topic, lane.cause_partition
    trade.cause_first_offset = trade.cause_offset = offset
    trade.nulls = 0
    for k in range(3, len(bits), 2):
        # A field's bit among the nulls is another in each of the two schemas.
        if tick.nulls & bits[k]:
            trade.nulls |= bits[k + 1]


@compiled()
def _stream_of(tick: Array, names: Any) -> int:
    """Give the stream of a row, NONE where it is not known."""
    numbers, slots, known = names
    one = known[tick.symbol]
    if one[0] == tick.source and one[1] == tick.venue:
        return one[2]  # type: ignore[no-any-return]
    source, venue, symbol = numbers[tick.source], numbers[tick.venue], numbers[tick.symbol]
    if source < 0 or venue < 0 or symbol < 0:
        return _NONE
    number = slots[find_stream(slots, source, venue, symbol), 1]
    if number != _NONE:
        one[0], one[1], one[2] = tick.source, tick.venue, number
    return number  # type: ignore[no-any-return]


@compiled()
def _look_ahead(
    ticks: Array, begin: int, end: int, text: Array, names: Any, memory: Any, seen: Any, ahead: Array
) -> None:
    """Find the stream and the digest of rows, and have what they will need fetched into the cache."""
    streams, markets, _ = memory
    for i in range(begin, end):
        tick = ticks[i]
        number = _stream_of(tick, names)
        row = ahead[i - begin]
        row[0] = number
        if number != _NONE and tick.kind == _TRADE:
            market = streams[number].market
            prefetch(address(markets) + market * _PRINTS_BYTES)
            row[1] = digest_of(text, tick.trade_id, tick.trade_id_length)
            expect(seen, market, row[1])


@compiled(
    int64(
        _array(LANE),
        _array(layout_of(Tick).dtype),
        types.Array(int64, 1, "C", readonly=True),
        _BYTES,
        types.Tuple((int64[::1], int64[:, ::1], int64[:, ::1])),
        types.Tuple((int64[:, ::1], int64[::1])),
        types.Tuple((_array(STREAM), _array(PRINTS), _array(HEARD))),
        SEEN,
        types.Tuple((_array(STEP), _array(row_dtype(Trade)))),
        int64[:, ::1],
        int64,
        int64,
    )
)
def take_plain(
    lanes: Array,
    ticks: Array,
    offsets: Array,
    text: Array,
    names: Any,
    layout: Any,
    memory: Any,
    seen: Any,
    outs: Any,
    ahead: Array,
    begin: int,
    end: int,
) -> int:
    """Take plain trades from `begin` on; give the first row that is not one.

    Args:
        ticks: A decoded batch.
        text: What the spans of the ticks point into.
        names: The partition's number of each text of the batch, -1 where it has none; the streams by their key (see
            `find_stream`); and by the batch's number of a symbol its latest source, venue and stream, -1 before.
        layout: The texts of each market; the bits among a tick's nulls of ts_event, trade_id and sequence, then of each
            nullable field of a trade its bit in a tick and in a trade.
        memory: Streams, trades by market, sources heard.
        outs: Room for the steps and the trades, two steps and one trade a row.
        ahead: Room for the stream and the digest of as many rows as are looked at ahead.
    """
    lane = lanes[0]
    streams, markets, heard = memory
    bits = layout[1]
    looked = begin
    for i in range(begin, end):
        if i == looked:
            looked = min(i + len(ahead), end)
            first = i
            _look_ahead(ticks, i, looked, text, names, memory, seen, ahead)
        tick = ticks[i]
        number = ahead[i - first, 0]
        if number == _NONE or tick.kind != _TRADE or not tick.first or not tick.last:
            return i
        stream = streams[number]
        prints = markets[stream.market]
        no_event = tick.nulls & bits[0] != 0
        key = (text, ahead[i - first, 1], tick.nulls & bits[1] == 0 and tick.trade_id_length <= KEY_BYTES)
        verdict = _verdict(lane, tick, stream, prints, seen, key, no_event)
        if verdict == _STOP:
            return i
        lane.offset = offsets[i]
        _pass_time(lane, tick.ts_recv, offsets[i], outs[0])
        if verdict == _SEEN_BEFORE:
            lane.duplicates += 1
            continue
        stream.message, stream.ordinal = tick.message, tick.ordinal
        source = heard[stream.source]
        if not source.is_heard or source.session <= tick.session:
            source.is_heard, source.session, source.clock_us = 1, tick.session, lane.clock_us
        if verdict == _TOO_OLD:
            lane.too_old += 1
        elif verdict == _DUPLICATE:
            lane.duplicates += 1
        else:
            remember(seen, stream.market, key[1], text, tick.trade_id, tick.trade_id_length)
            lane.accepted += 1
            prints.has_price, prints.price = 1, tick.price
            flags = tick.flags | _marks(lane, tick, prints, no_event)
            _accept(lane, tick, stream, offsets[i], flags, outs, layout)
    return end
