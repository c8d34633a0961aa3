"""Requests to a venue and what it says, by short names: shared by the tests of adapters."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.enums import Mode, OrderAction, Side, TimeInForce
from schemas.reasons import OrderReason
from schemas.records import Market, OrderIntent
from sinks.executor.port import Answered, Request, VenueEvent

FAR_US = 1 << 53


def request(
    name: str,
    action: OrderAction,
    market: Market,
    side: Side = Side.NONE,
    price: int = 0,
    size: int = 0,
    *,
    ts_expire: int = FAR_US,
    ts_due: int | None = None,
    tick_offset: int | None = None,
    time_in_force: TimeInForce = TimeInForce.POST_ONLY,
) -> Request:
    """Ask for an order by a name of up to seven letters, which is its nonce."""
    intent = OrderIntent(
        order_id=name,
        decision_id="d",
        action=action,
        mode=Mode.PAPER,
        account="demo",
        venue=market[0],
        symbol=market[1],
        side=side,
        price=price,
        size=size,
        time_in_force=time_in_force,
        nonce=int.from_bytes(name.encode()),
        ts_expire=ts_expire,
        reason=OrderReason.TARGET_CHANGED if action is OrderAction.CANCEL else None,
        ts_due=ts_due,
        tick_offset=tick_offset,
        ts_intent=0,
        ts_cause=0,
        cause_topic="trading.quotes",
        cause_partition=2,
        cause_first_offset=40,
        cause_offset=40,
    )
    return Request.of(intent)


def name_of(event: VenueEvent) -> str:
    """Give the name of the order that a paper venue speaks of."""
    nonce = event.nonce if isinstance(event, Answered) else int(event.fill.venue_order_id.removeprefix("paper-"))
    return nonce.to_bytes(7).lstrip(b"\0").decode()


def said(events: Iterable[VenueEvent]) -> list[tuple[str, str | int]]:
    """Give the order and what is said of it: an answer, or the size that traded."""
    return [(name_of(e), str(e.answer) if isinstance(e, Answered) else e.fill.size) for e in events]
