"""Plain trades of known streams, in compiled code.

A trade like most is a message by itself, next in its stream, near the last price. One that is not is left to the
normaliser, with nothing done of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int64

from processors.kernel.seen import KEY_BYTES, digest_of, expect, is_seen, remember
from processors.kernel.steprows import TRADE
from schemas.columns import KINDS, SIDES
from schemas.compiled import Array, compiled
from schemas.enums import Flag, Side, TickKind
from schemas.machine import address, prefetch

__all__ = [
    "LANE",
    "LAST_US",
    "OF_BOOK",
    "OF_GRID",
    "OF_JUDGE",
    "OF_ROOM",
    "OF_ROW",
    "OF_SESSION",
    "OF_STREAM",
    "PRINTS",
    "STREAM",
    "find_stream",
    "look_ahead",
    "settle_trade",
    "trade_verdict",
]

STREAM = np.dtype(
    [(name, "<i8") for name in ("market", "source", "session", "message", "ordinal", "is_open", "parts", "last_part")]
)
"""What a source says of one market, and where it stands. `is_open`: a message of several parts has begun; of one that
compiled code puts together (see `processors.kernel.rowlane`) how many parts there are, and which was the last."""
PRINTS = np.dtype(
    [(name, "<i8") for name in ("is_judged", "has_price", "price", "is_holding", "has_event", "last_event_us")]
)
"""The trades of a market: whether it had any, the last accepted price, whether spikes are held, the greatest event time
in order."""
LANE = np.dtype(
    [
        (name, "<i8")
        for name in (
            *("max_ahead_us", "max_age_us", "skew_us", "numerator", "denominator", "greatest_price"),
            *("max_parts", "depth", "max_levels", "stale_us", "cause_topic", "cause_partition"),
            *("watchdog", "nothing", "is_stepwise", "is_reject_plain", "is_published"),
            *("clock_us", "offset", "ts_recv", "books", "why", "point_us", "book", "bids", "asks"),
            *("accepted", "duplicates", "too_old", "out_of_order"),
            *("steps", "trades", "quotes", "shown", "shown_levels"),
        )
    ]
)
"""Limits; the numbers of two texts; whether the later stages need objects at grid points, rejects may be passed here,
and trades are published. Then the clock, and the record in progress; how many books there are; why compiled code
stopped: at which grid point, or for want of room for how many levels of which book, -1 being any; what it counted in
one call; how many rows of each kind it has written."""

LAST_US = 1 << 53
"""Times beyond it are left to the normaliser: the difference of two others cannot wrap."""
_TRADE, _NO_SIDE, _BUY = KINDS.index(TickKind.TRADE), SIDES.index(Side.NONE), SIDES.index(Side.BUY)
_PRINTS_BYTES = PRINTS.itemsize
_REPLAYED, _NO_EVENT_TIME = int(Flag.REPLAYED), int(Flag.NO_EVENT_TIME)
_CLOCK_SKEW, _OUT_OF_ORDER = int(Flag.CLOCK_SKEW), int(Flag.OUT_OF_ORDER)
_BITS = 21
_MIX = -7046029254386353131
_NONE = -1
OF_ROW, OF_ROOM, OF_GRID, OF_STREAM, OF_SESSION, OF_BOOK, OF_JUDGE = range(7)
"""Why rows were not taken to the end. One is for the normaliser. Or the normaliser must provide something first: room,
objects at a grid point, the stream of the row, its new session, the book of its market, or what judges its prices."""
_STOP, _ACCEPT, _DUPLICATE, _TOO_OLD = range(4)


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
def trade_verdict(lane: Array, tick: Array, stream: Array, prints: Array, seen: Any, key: Any, bits: Array) -> int:
    """Judge a trade that is a message by itself, and change nothing; 0 leaves it to the normaliser.

    Args:
        key: What its id points into, and the id's digest.
    """
    ts_recv, price = tick.ts_recv, tick.price
    text, digest = key
    if tick.side == _NO_SIDE or tick.size <= 0 or price <= 0 or price > lane.greatest_price:
        return _STOP
    if not prints.is_judged:
        lane.why = OF_JUDGE
        return _STOP
    if not tick.nulls & bits[0]:
        if tick.ts_event < 0 or tick.ts_event > LAST_US:
            return _STOP
        if ts_recv - tick.ts_event > lane.max_age_us and not tick.flags & _REPLAYED:
            return _TOO_OLD if lane.is_reject_plain else _STOP
    if tick.nulls & bits[1] or tick.trade_id_length > KEY_BYTES:
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
    for k in range(4, len(bits), 2):
        # A field's bit among the nulls is another in each of the two schemas.
        if tick.nulls & bits[k]:
            trade.nulls |= bits[k + 1]


@compiled()
def settle_trade(
    lane: Array, verdict: int, tick: Array, stream: Array, prints: Array, seen: Any, key: Any, outs: Any, layout: Any
) -> None:
    """Do what a verdict says: count the trade, or accept it.

    Args:
        key: See `trade_verdict`.
        outs: Room for a step and a trade.
        layout: The texts of each market; the bits among a tick's nulls of ts_event, trade_id, sequence and watermark,
            then of each nullable field of a trade its bit in a tick and in a trade.
    """
    if verdict == _TOO_OLD:
        lane.too_old += 1
    elif verdict == _DUPLICATE:
        lane.duplicates += 1
    else:
        text, digest = key
        remember(seen, stream.market, digest, text, tick.trade_id, tick.trade_id_length)
        lane.accepted += 1
        prints.has_price, prints.price = 1, tick.price
        flags = tick.flags | _marks(lane, tick, prints, tick.nulls & layout[1][0] != 0)
        _accept(lane, tick, stream, lane.offset, flags, outs, layout)


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
def look_ahead(
    ticks: Array, begin: int, end: int, text: Array, names: Any, streams: Array, prints: Array, seen: Any, ahead: Array
) -> None:
    """Find the stream and the digest of rows, and have what they will need fetched into the cache."""
    for i in range(begin, end):
        tick = ticks[i]
        number = _stream_of(tick, names)
        row = ahead[i - begin]
        row[0] = number
        if number != _NONE and tick.kind == _TRADE:
            market = streams[number].market
            prefetch(address(prints) + market * _PRINTS_BYTES)
            row[1] = digest_of(text, tick.trade_id, tick.trade_id_length)
            expect(seen, market, row[1])
