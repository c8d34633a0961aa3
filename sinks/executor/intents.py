"""From a request to the venue to its record in the journal. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.enums import Mode, OrderAction
from schemas.reasons import OrderReason
from schemas.records import Cause, OrderIntent
from sinks.executor.facts import order_id
from sinks.executor.orders import Order
from sinks.executor.port import Request

__all__ = ["Why", "request_of"]


@dataclass(frozen=True, slots=True)
class Why:
    """What something is asked of the venue for.

    Attributes:
        decision_id: The decision, else the command or the breaker.
        cause: The place of its record.
        ts_cause: When the record that made it was received.
        reason: Why it is cancelled, or what it is placed for besides a target.
    """

    decision_id: str
    cause: Cause
    ts_cause: int
    flags: int = 0
    reason: OrderReason | None = None


def request_of(mode: Mode, account: str, action: OrderAction, order: Order, why: Why, now_us: int) -> Request:
    """Give a request with its intent."""
    venue, symbol = order.market
    cause = why.cause
    intent = OrderIntent(
        order_id=order_id(account, order.nonce),
        decision_id=why.decision_id,
        action=action,
        mode=mode,
        account=account,
        venue=venue,
        symbol=symbol,
        side=order.side,
        price=order.price,
        size=order.size,
        time_in_force=order.time_in_force,
        reduce_only=order.is_reduce_only,
        nonce=order.nonce,
        ts_expire=order.ts_expire,
        reason=why.reason,
        ts_intent=now_us,
        ts_cause=why.ts_cause,
        flags=why.flags,
        cause_topic=cause.topic,
        cause_partition=cause.partition,
        cause_first_offset=cause.first_offset,
        cause_offset=cause.offset,
    )
    return Request(action, order, intent)
