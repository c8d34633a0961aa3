"""The market rules of risk: small functions, each with one reason code; what is not known is denied.

Gates judge the market before anything is priced; if one objects, the decision is DENIED and asks for no orders. Side
rules judge one proposed order and suppress that side. The last check judges both sides together. Orders that go away
always pass: a denied or empty decision is how everything is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from processors.kernel.steps import BookView
from schemas.enums import BookState
from schemas.instruments import Instrument
from schemas.reasons import DenyReason
from schemas.records import QuoteLevel

__all__ = ["GATES", "Facts", "Gate", "OrderRate", "Target", "capacity", "crossed", "denials", "is_below_minimum"]

Target: TypeAlias = tuple[tuple[QuoteLevel, ...], tuple[QuoteLevel, ...]]
"""The bids and asks that a decision asks for."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the gates judge; None is unknown.

    Attributes:
        now_us: The partition's clock.
        view: The book; None where the market has none.
        position: Signed quantity.
        sigma: Volatility.
        stale_us: Greatest age of the book's last change or confirmation.
    """

    now_us: int
    instrument: Instrument | None
    view: BookView | None
    position: int | None
    sigma: float | None
    stale_us: int


Gate: TypeAlias = Callable[[Facts], DenyReason | None]


def instrument_known(facts: Facts) -> DenyReason | None:
    """Ask for an instrument: without one, tick, lot and minima are unknown."""
    return DenyReason.NO_INSTRUMENT if facts.instrument is None else None


def book_exists(facts: Facts) -> DenyReason | None:
    """Ask for an order book: an AMM has none, whatever prices it shows."""
    has_none = facts.view is None or (facts.instrument is not None and not facts.instrument.has_book)
    return DenyReason.NO_BOOK if has_none else None


def position_known(facts: Facts) -> DenyReason | None:
    """Ask for a position."""
    return DenyReason.POSITION_UNKNOWN if facts.position is None else None


def book_live(facts: Facts) -> DenyReason | None:
    """Ask for a book that says LIVE."""
    return DenyReason.BOOK_NOT_LIVE if facts.view and facts.view.state is not BookState.LIVE else None


def book_two_sided(facts: Facts) -> DenyReason | None:
    """Ask for a bid and an ask."""
    return DenyReason.BOOK_ONE_SIDED if facts.view and not (facts.view.bids and facts.view.asks) else None


def book_uncrossed(facts: Facts) -> DenyReason | None:
    """Ask for a best bid below the best ask."""
    view = facts.view
    is_crossed = view and view.bids and view.asks and view.bids[0].price >= view.asks[0].price
    return DenyReason.BOOK_CROSSED if is_crossed else None


def book_fresh(facts: Facts) -> DenyReason | None:
    """Ask for a book that changed, or was confirmed, within the quoting limit."""
    is_stale = facts.view and facts.now_us - facts.view.ts_change > facts.stale_us
    return DenyReason.STALE_DATA if is_stale else None


def volatility_known(facts: Facts) -> DenyReason | None:
    """Ask for an estimate of volatility."""
    return DenyReason.VOLATILITY_UNKNOWN if facts.sigma is None else None


GATES: tuple[Gate, ...] = (
    instrument_known,
    book_exists,
    position_known,
    book_live,
    book_two_sided,
    book_uncrossed,
    book_fresh,
    volatility_known,
)


def denials(facts: Facts) -> tuple[DenyReason, ...]:
    """Give the objections of all gates, in their order; none means that the market may be quoted.

    Of a market without a book nothing else is judged.
    """
    reasons = tuple(reason for gate in GATES if (reason := gate(facts)) is not None)
    return (DenyReason.NO_BOOK,) if DenyReason.NO_BOOK in reasons else reasons


def capacity(position: int, limit: int, sign: int) -> int:
    """Give the size that one side may still add: `sign` 1 for the bid, -1 for the ask.

    If all of it fills, the position is at its limit and not beyond.
    """
    return max(0, limit - sign * position)


def is_below_minimum(order: QuoteLevel, instrument: Instrument) -> bool:
    """Tell whether the venue would refuse the order as too small, or its price as not positive."""
    return (
        order.price <= 0
        or order.size <= 0
        or order.size < instrument.min_size
        or order.price * order.size < instrument.min_notional
    )


def crossed(target: Target, view: BookView) -> bool:
    """Tell whether any order would take from the book, or meet another of ours."""
    bids, asks = target
    return (
        any(bid.price >= view.asks[0].price for bid in bids)
        or any(ask.price <= view.bids[0].price for ask in asks)
        or any(bid.price >= ask.price for bid in bids for ask in asks)
    )


class OrderRate:
    """Counts the new orders that a market's targets ask for, over the last second of the partition's clock.

    An order that stays as it is costs nothing, and neither does one that goes away.
    """

    WINDOW_US = 1_000_000

    def __init__(self, max_orders: int) -> None:
        self._max_orders = max_orders
        self._target: Target = ((), ())
        self._spent: list[tuple[int, int]] = []

    def allows(self, target: Target, now_us: int) -> bool:
        """Tell whether asking for `target` now stays within the limit."""
        spent = sum(count for ts, count in self._spent if ts > now_us - self.WINDOW_US)
        new = self._new_orders(target)
        return new == 0 or spent + new <= self._max_orders

    def record(self, target: Target, now_us: int) -> None:
        """Note that `target` was asked for."""
        self._spent = [(ts, count) for ts, count in self._spent if ts > now_us - self.WINDOW_US]
        new = self._new_orders(target)
        if new:
            self._spent.append((now_us, new))
        self._target = target

    def _new_orders(self, target: Target) -> int:
        return sum(len(set(new) - set(old)) for old, new in zip(self._target, target, strict=True))

    def state(self) -> list[Sequence[object]]:
        """Give the last target and what was spent in the last second."""
        return [[[(level.price, level.size) for level in side] for side in self._target], self._spent]

    def restore(self, state: list[list[list[list[int]]]]) -> None:
        """Take back what `state` gave."""
        target, spent = state
        bids, asks = (tuple(QuoteLevel(price=p, size=s) for p, s in side) for side in target)
        self._target = (bids, asks)
        self._spent = [(ts, count) for ts, count in spent]  # type: ignore[misc]
