"""The market rules of risk: small functions, each with one reason code; what is not known is denied.

Gates judge the market before anything is priced; if one objects, the decision is DENIED and asks for no orders. Order
rules judge one proposed order and suppress that side. Target rules judge both sides together, and deny. Orders that go
away always pass: a denied or empty decision is how everything is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from processors.kernel.steps import BookView
from schemas.enums import BookState
from schemas.errors import ConfigurationError
from schemas.instruments import Instrument
from schemas.numbers import NOTIONAL_SCALE
from schemas.reasons import DenyReason
from schemas.records import QuoteLevel

__all__ = [
    "GATES",
    "ORDER_RULES",
    "TARGET_RULES",
    "Facts",
    "Gate",
    "MarketLimits",
    "OrderRate",
    "Proposal",
    "Target",
    "capacity",
    "denials",
    "first_of",
]

_BPS = 10_000

Target: TypeAlias = tuple[tuple[QuoteLevel, ...], tuple[QuoteLevel, ...]]
"""The bids and asks that a decision asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketLimits:
    """The limits of the rules, for every market.

    Attributes:
        stale_us: Greatest age of a book's last change or confirmation.
        market_spread_bps: A market whose own spread is wider is not quoted.
        band_bps: Greatest distance of an order from the mid.
        min_spread_bps, max_spread_bps: Between our own bid and ask, over the mid.
        order_quote: Greatest value of one order, in units of notionals.
        is_model_required: Whether a market is denied while its model cannot be used; else it is quoted without.

    Raises:
        ConfigurationError: no spread is allowed.
    """

    stale_us: int = 1_000_000
    market_spread_bps: int = 500
    band_bps: int = 500
    min_spread_bps: int = 1
    max_spread_bps: int = 1_000
    order_quote: int = 500 * 10**NOTIONAL_SCALE
    is_model_required: bool = False

    def __post_init__(self) -> None:
        """Refuse what nothing can pass."""
        if self.min_spread_bps > self.max_spread_bps:
            problem = f"is {self.min_spread_bps}, above FLASHMM_MAX_SPREAD_BPS, {self.max_spread_bps}"
            raise ConfigurationError("FLASHMM_MIN_SPREAD_BPS", problem, "Lower it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the gates judge; None is unknown.

    Attributes:
        now_us: The partition's clock.
        view: The book; None where the market has none.
        position: Signed quantity.
        sigma: Volatility.
        has_model: Whether there is a prediction that may be used.
        is_disconnected, is_extreme: Whether the market's breakers are open.
    """

    now_us: int
    limits: MarketLimits
    instrument: Instrument | None
    view: BookView | None
    position: int | None
    sigma: float | None
    has_model: bool = False
    is_disconnected: bool = False
    is_extreme: bool = False


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
    is_stale = facts.view and facts.now_us - facts.view.ts_change > facts.limits.stale_us
    return DenyReason.STALE_DATA if is_stale else None


def volatility_known(facts: Facts) -> DenyReason | None:
    """Ask for an estimate of volatility."""
    return DenyReason.VOLATILITY_UNKNOWN if facts.sigma is None else None


def market_not_too_wide(facts: Facts) -> DenyReason | None:
    """Ask for a market whose own spread says what a price is."""
    view = facts.view
    if not view or not view.bids or not view.asks:
        return None
    bid, ask = view.bids[0].price, view.asks[0].price
    return DenyReason.MARKET_TOO_WIDE if _is_wider(bid, ask, facts.limits.market_spread_bps) else None


def feed_settled(facts: Facts) -> DenyReason | None:
    """Ask for a book that has been LIVE for a while; of one that is not LIVE another gate speaks."""
    is_back = facts.view is not None and facts.view.state is BookState.LIVE
    return DenyReason.DISCONNECTED if facts.is_disconnected and is_back else None


def market_calm(facts: Facts) -> DenyReason | None:
    """Ask for a market that moves as it usually does."""
    return DenyReason.EXTREME_MARKET if facts.is_extreme else None


def model_usable(facts: Facts) -> DenyReason | None:
    """Ask for a prediction, where the configuration demands one."""
    is_missing = facts.limits.is_model_required and not facts.has_model
    return DenyReason.MODEL_UNAVAILABLE if is_missing else None


GATES: tuple[Gate, ...] = (
    instrument_known,
    book_exists,
    position_known,
    book_live,
    book_two_sided,
    book_uncrossed,
    book_fresh,
    market_not_too_wide,
    feed_settled,
    market_calm,
    volatility_known,
    model_usable,
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


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be asked for, and what it is judged by."""

    target: Target
    view: BookView
    mid: int
    instrument: Instrument
    limits: MarketLimits


OrderRule: TypeAlias = Callable[[QuoteLevel, Proposal], DenyReason | None]
TargetRule: TypeAlias = Callable[[Proposal], DenyReason | None]


def not_below_minimum(order: QuoteLevel, proposal: Proposal) -> DenyReason | None:
    """Ask for what the venue does not refuse as too small, nor for its price."""
    instrument = proposal.instrument
    is_refused = (
        order.price <= 0
        or order.size <= 0
        or order.size < instrument.min_size
        or order.price * order.size < instrument.min_notional
    )
    return DenyReason.BELOW_MINIMUM if is_refused else None


def within_order_size(order: QuoteLevel, proposal: Proposal) -> DenyReason | None:
    """Ask for an order of a bounded value."""
    return DenyReason.ORDER_SIZE if order.price * order.size > proposal.limits.order_quote else None


def within_band(order: QuoteLevel, proposal: Proposal) -> DenyReason | None:
    """Ask for a price near the mid."""
    is_far = abs(order.price - proposal.mid) * _BPS > proposal.limits.band_bps * proposal.mid
    return DenyReason.PRICE_BAND if is_far else None


ORDER_RULES: tuple[OrderRule, ...] = (not_below_minimum, within_order_size, within_band)


def not_crossed(proposal: Proposal) -> DenyReason | None:
    """Ask for orders that neither take from the book nor meet another of ours."""
    (bids, asks), view = proposal.target, proposal.view
    is_crossed = (
        any(bid.price >= view.asks[0].price for bid in bids)
        or any(ask.price <= view.bids[0].price for ask in asks)
        or any(bid.price >= ask.price for bid in bids for ask in asks)
    )
    return DenyReason.QUOTE_CROSSED if is_crossed else None


def spread_not_too_narrow(proposal: Proposal) -> DenyReason | None:
    """Ask for a spread that pays for the risk."""
    bids, asks = proposal.target
    least = proposal.limits.min_spread_bps * proposal.mid
    is_narrow = any((ask.price - bid.price) * _BPS < least for bid in bids for ask in asks)
    return DenyReason.SPREAD_TOO_NARROW if is_narrow else None


def spread_not_too_wide(proposal: Proposal) -> DenyReason | None:
    """Ask for a spread that is still a quote."""
    bids, asks = proposal.target
    most = proposal.limits.max_spread_bps * proposal.mid
    is_wide = any((ask.price - bid.price) * _BPS > most for bid in bids for ask in asks)
    return DenyReason.SPREAD_TOO_WIDE if is_wide else None


TARGET_RULES: tuple[TargetRule, ...] = (not_crossed, spread_not_too_narrow, spread_not_too_wide)


def first_of(reasons: Iterable[DenyReason | None]) -> DenyReason | None:
    """Give the first objection."""
    return next((reason for reason in reasons if reason is not None), None)


def _is_wider(bid: int, ask: int, bps: int) -> bool:
    return 2 * (ask - bid) * _BPS > bps * (bid + ask)


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
