"""Whether a best bid and ask is believed, in compiled code: its age, its order, its price.

One that is a spike, or that cannot be judged in 64 bits, is left to the normaliser, with nothing done of it.
"""

from __future__ import annotations

import numpy as np

from processors.kernel.books import row_at
from processors.kernel.lane import LAST_US, OF_JUDGE
from schemas.columns import SIDES
from schemas.compiled import Array, compiled
from schemas.enums import Flag, Side

__all__ = ["LAST_TOP", "TOPS", "TOP_ACCEPT", "TOP_STOP", "TOP_TOO_OLD", "settle_top", "top_verdict"]

TOPS = np.dtype([(name, "<i8") for name in ("is_judged", "is_holding", "has_bid", "bid", "has_ask", "ask")])
"""The tops of a market: whether it may have any, whether spikes are held, and the last accepted prices."""
LAST_TOP = np.dtype(
    [(name, "<i8") for name in ("exists", "source", "session", "sequence", "ts_event", "no_sequence", "no_event")]
)
"""The last top of a side; of market n the bid is 2n and the ask 2n + 1."""
TOP_STOP, TOP_ACCEPT, TOP_TOO_OLD, TOP_OUT_OF_ORDER = range(4)

_NO_SIDE, _BUY = SIDES.index(Side.NONE), SIDES.index(Side.BUY)
_REPLAYED = int(Flag.REPLAYED)


@compiled()
def _is_before(last: Array, tick: Array, source: int, bits: Array) -> bool:
    if not last.exists or last.source != source or last.session != tick.session:
        return False
    if not last.no_sequence and not tick.nulls & bits[2]:
        return bool(tick.sequence <= last.sequence)
    return not last.no_event and not tick.nulls & bits[0] and tick.ts_event < last.ts_event


@compiled()
def _is_far(lane: Array, price: int, base: int) -> bool:
    # Beyond the greatest price the products would wrap.
    if price > lane.greatest_price or base > lane.greatest_price:
        return True
    return bool(abs(price - base) * lane.denominator > lane.numerator * base)


@compiled()
def top_verdict(
    lane: Array,
    source: int,
    market: int,
    message: tuple[Array, Array, Array, int],
    tops: Array,
    lasts: Array,
    bits: Array,
) -> int:
    """Judge a message of tops, and change nothing; 0 leaves it to the normaliser."""
    ticks, kept, parts, count = message
    guard = tops[market]
    verdict, is_far = TOP_ACCEPT, False
    for k in range(count):
        tick = row_at(ticks, kept, parts[k])
        if tick.side == _NO_SIDE or tick.size < 0 or (tick.price <= 0 and tick.size):
            return TOP_STOP
        has_event = not tick.nulls & bits[0]
        if has_event and (tick.ts_event < 0 or tick.ts_event > LAST_US):
            return TOP_STOP
        if verdict == TOP_ACCEPT:
            if has_event and tick.ts_recv - tick.ts_event > lane.max_age_us and not tick.flags & _REPLAYED:
                verdict = TOP_TOO_OLD
            elif _is_before(lasts[2 * market + (0 if tick.side == _BUY else 1)], tick, source, bits):
                verdict = TOP_OUT_OF_ORDER
        if tick.size and tick.side == _BUY:
            is_far |= guard.has_bid and _is_far(lane, tick.price, guard.bid)
        elif tick.size:
            is_far |= guard.has_ask and _is_far(lane, tick.price, guard.ask)
    if not guard.is_judged:
        lane.why = OF_JUDGE
        return TOP_STOP
    if verdict != TOP_ACCEPT:
        return verdict if lane.is_reject_plain else TOP_STOP
    return TOP_STOP if guard.is_holding or is_far else TOP_ACCEPT


@compiled()
def settle_top(
    source: int, market: int, message: tuple[Array, Array, Array, int], tops: Array, lasts: Array, bits: Array
) -> None:
    """Note the tops of an accepted message as the last ones."""
    ticks, kept, parts, count = message
    guard = tops[market]
    for k in range(count):
        tick = row_at(ticks, kept, parts[k])
        is_bid = tick.side == _BUY
        last = lasts[2 * market + (0 if is_bid else 1)]
        last.exists, last.source, last.session = 1, source, tick.session
        last.sequence, last.ts_event = tick.sequence, tick.ts_event
        last.no_event = 1 if tick.nulls & bits[0] else 0
        last.no_sequence = 1 if tick.nulls & bits[2] else 0
        if not tick.size:
            continue
        if is_bid:
            guard.has_bid, guard.bid = 1, tick.price
        else:
            guard.has_ask, guard.ask = 1, tick.price
