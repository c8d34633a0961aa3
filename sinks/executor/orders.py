r"""The life of one order, and what the venue can say that changes it. Pure.

    INTENT -> SENT -> OPEN -> PARTIAL -> FILLED
                 \-> REJECTED   \-> CANCELLED, EXPIRED
                  \-> UNKNOWN -> any of them

A timeout is never a rejection: whatever was sent without a definite answer is UNKNOWN, counts as if it were open, and
stops being so only by a fact (see `Blotter`). Fills are facts too: they count in every state, also after the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum, unique
from typing import Self, TypeVar

from schemas.enums import Side, TimeInForce
from schemas.records import Market

__all__ = ["Order", "OrderState"]


@unique
class OrderState(StrEnum):
    """Where an order is in its life."""

    INTENT = "INTENT"
    """Decided; perhaps in the journal, not sent."""
    SENT = "SENT"
    """On its way to the venue."""
    OPEN = "OPEN"
    """In the venue's book, nothing filled."""
    PARTIAL = "PARTIAL"
    """In the venue's book, partly filled."""
    UNKNOWN = "UNKNOWN"
    """Sent, or its cancel was, and no definite answer came."""
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"

    @property
    def is_live(self) -> bool:
        """Whether an order in this state may still fill."""
        return self in _LIVE


_Order = TypeVar("_Order", bound="Order")

_LIVE = frozenset({OrderState.INTENT, OrderState.SENT, OrderState.OPEN, OrderState.PARTIAL, OrderState.UNKNOWN})
_UNANSWERED = frozenset({OrderState.INTENT, OrderState.SENT, OrderState.UNKNOWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order as we know it.

    Attributes:
        nonce: Its name before the venue gives it one; see `sinks.executor.identity`.
        ts_expire: When the venue forgets it by itself, whatever becomes of us.
        filled: Size that traded.
        venue_order_id: The venue's name for it, once known.
        is_cancelling: Whether it was asked to be cancelled.
    """

    nonce: int
    market: Market
    side: Side
    price: int
    size: int
    ts_expire: int
    is_reduce_only: bool = False
    time_in_force: TimeInForce = TimeInForce.POST_ONLY
    state: OrderState = OrderState.INTENT
    filled: int = 0
    venue_order_id: str | None = None
    is_cancelling: bool = False

    @property
    def is_live(self) -> bool:
        """Whether it may still fill."""
        return self.state.is_live

    @property
    def is_taker(self) -> bool:
        """Whether it takes what is displayed when it arrives, and never rests."""
        return self.time_in_force is TimeInForce.IOC

    @property
    def open_size(self) -> int:
        """What may still fill; an order whose fate is not known may fill whole."""
        return max(self.size - self.filled, 0) if self.is_live else 0

    def sent(self) -> Self:
        """Note that it was handed to the network: from here on nobody but the venue knows."""
        return replace(self, state=OrderState.SENT) if self.state is OrderState.INTENT else self

    def accepted(self, venue_order_id: str) -> Self:
        """Note that the venue has it in its book, or had; a late answer does not bring an ended order back."""
        order = replace(self, venue_order_id=venue_order_id)
        return _working(order) if order.state in _UNANSWERED else order

    def refused(self) -> Self:
        """Note a definite refusal; of an order that the venue had acknowledged it is a contradiction: UNKNOWN."""
        if not self.is_live:
            return self
        is_plain = self.venue_order_id is None and not self.filled
        return replace(self, state=OrderState.REJECTED if is_plain else OrderState.UNKNOWN)

    def unanswered(self) -> Self:
        """Note that what was asked for it, or for its cancel, has no definite answer."""
        return replace(self, state=OrderState.UNKNOWN) if self.is_live else self

    def cancelling(self) -> Self:
        """Note that it is asked to be cancelled."""
        return replace(self, is_cancelling=True)

    def seen(self) -> Self:
        """Note that the venue lists it among the open orders: whatever was asked before was not to cancel it."""
        return replace(_working(self), is_cancelling=False)

    def with_filled(self, filled: int) -> Self:
        """Note how much of it traded in all."""
        order = replace(self, filled=filled)
        if filled >= self.size:
            return replace(order, state=OrderState.FILLED)
        if self.state in (OrderState.OPEN, OrderState.SENT, OrderState.INTENT) and filled:
            return replace(order, state=OrderState.PARTIAL)
        return order

    def ended(self, state: OrderState) -> Self:
        """Note that it is out of the book: CANCELLED or EXPIRED."""
        return replace(self, state=state) if self.is_live else self


def _working(order: _Order) -> _Order:
    return replace(order, state=OrderState.PARTIAL if order.filled else OrderState.OPEN)
