"""The orders of an account as its log left them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.enums import OrderAction
from schemas.records import Cause, ExecutionReport, OrderIntent
from sinks.executor.blotter import Fill
from sinks.executor.orders import Order, OrderState

__all__ = ["RecoveredOrder", "recovered_orders"]


@dataclass(frozen=True, slots=True)
class RecoveredOrder:
    """An order from the log.

    Attributes:
        sent_us: When it was journalled: it was sent after that, if at all.
        cause: What it was sent for.
        reports: How many were made of it.
        fills: Its trades that are booked.
    """

    order: Order
    sent_us: int
    cause: Cause
    reports: int
    fills: tuple[Fill, ...]


def recovered_orders(
    intents: Iterable[OrderIntent], reports: Iterable[ExecutionReport], ended_after_us: int
) -> list[RecoveredOrder]:
    """Give the orders that may still fill, and those that ended lately, as a venue may still tell trades of them.

    An order of which nothing was reported was sent, as far as anybody knows: it is UNKNOWN. So is one whose cancel was
    journalled, until the venue is asked.

    Args:
        intents, reports: Of one account, in the order of the log.
        ended_after_us: Ended orders of older decisions are left out.
    """
    told: dict[str, list[ExecutionReport]] = {}
    for report in reports:
        told.setdefault(report.order_id, []).append(report)
    found = []
    for intent in intents:
        if intent.action is not OrderAction.PLACE or intent.nonce is None:
            continue
        one = _recovered(intent, intent.nonce, told.get(intent.order_id, []))
        if one.order.is_live or one.order.nonce >= ended_after_us:
            found.append(one)
    return found


def _recovered(intent: OrderIntent, nonce: int, reports: list[ExecutionReport]) -> RecoveredOrder:
    last = reports[-1] if reports else None
    name = next((report.venue_order_id for report in reversed(reports) if report.venue_order_id), None)
    order = Order(
        nonce=nonce,
        market=intent.market,
        side=intent.side,
        price=intent.price,
        size=intent.size,
        ts_expire=intent.ts_expire or 0,
        is_reduce_only=intent.reduce_only,
        time_in_force=intent.time_in_force,
        state=OrderState(last.status) if last else OrderState.UNKNOWN,
        filled=last.filled_size if last else 0,
        venue_order_id=name,
    )
    cause = Cause(intent.cause_topic, intent.cause_partition, intent.cause_first_offset, intent.cause_offset)
    return RecoveredOrder(order, intent.ts_intent, cause, len(reports), tuple(_fills(reports, name)))


def _fills(reports: list[ExecutionReport], name: str | None) -> Iterable[Fill]:
    for report in reports:
        if report.last_size and report.last_price is not None and report.trade_id is not None and name is not None:
            yield Fill(
                trade_id=report.trade_id,
                venue_order_id=name,
                market=report.market,
                side=report.side,
                price=report.last_price,
                size=report.last_size,
                fee=report.fee,
                ts_event=report.ts_event,
                flags=report.flags,
            )
