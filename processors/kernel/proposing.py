"""From prices to the orders that a market should have: rounded, limited, and judged one by one."""

from __future__ import annotations

from dataclasses import dataclass

from processors.kernel.avellaneda_stoikov import Pricing
from processors.kernel.risk import ORDER_RULES, MarketLimits, Proposal, capacity, first_of
from processors.kernel.steps import BookView
from schemas.instruments import Instrument
from schemas.numbers import INT64_MAX
from schemas.reasons import DenyReason
from schemas.records import QuoteLevel

__all__ = ["Proposed", "propose"]


@dataclass(frozen=True, slots=True)
class Proposed:
    """What would be asked for, why a side of it is missing, and which limits changed something."""

    proposal: Proposal
    reasons: tuple[DenyReason, ...]
    clamps: tuple[str, ...]


def propose(
    pricing: Pricing,
    instrument: Instrument,
    view: BookView,
    limits: MarketLimits,
    *,
    mid: int,
    position: int,
    most: int,
    wanted: int,
) -> Proposed:
    """Turn prices into orders that the venue takes and no rule objects to.

    Args:
        most: Greatest position, either way.
        wanted: Size of one order.
    """
    tick, clamps = instrument.tick, []
    highest_bid = (view.asks[0].price - 1) // tick * tick
    lowest_ask = -(-(view.bids[0].price + 1) // tick) * tick
    bid_price = pricing.bid // tick * tick
    ask_price = -(-pricing.ask // tick) * tick
    if bid_price > highest_bid:
        bid_price = highest_bid
        clamps.append("post_only_bid")
    if ask_price < lowest_ask:
        ask_price = lowest_ask
        clamps.append("post_only_ask")

    whole = Proposal(((), ()), view, mid, instrument, limits)
    reasons: list[DenyReason] = []
    sides: list[tuple[QuoteLevel, ...]] = []
    for sign, price in ((1, bid_price), (-1, ask_price)):
        room = capacity(position, most, sign)
        order = QuoteLevel(price=price, size=min(wanted, room, INT64_MAX) // instrument.lot * instrument.lot)
        objection = first_of(rule(order, whole) for rule in ORDER_RULES)
        is_fitting = price <= INT64_MAX
        if objection is None and is_fitting:
            sides.append((order,))
            if room < wanted:
                clamps.append("position_limit_bid" if sign > 0 else "position_limit_ask")
            continue
        sides.append(())
        if objection in (None, DenyReason.BELOW_MINIMUM) and room < wanted:
            reasons.append(DenyReason.POSITION_LIMIT_LONG if sign > 0 else DenyReason.POSITION_LIMIT_SHORT)
        else:
            reasons.append(objection or DenyReason.BELOW_MINIMUM)
    proposal = Proposal((sides[0], sides[1]), view, mid, instrument, limits)
    return Proposed(proposal, tuple(reasons), tuple(clamps))
