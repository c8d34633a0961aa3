"""Risk rules: each objects to its own thing alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from processors.kernel.risk import (
    ORDER_RULES,
    TARGET_RULES,
    Facts,
    MarketLimits,
    OrderRate,
    Proposal,
    Target,
    capacity,
    denials,
    first_of,
)
from schemas.enums import BookState
from schemas.reasons import DenyReason
from schemas.records import QuoteLevel
from tests.kernel_steps import T0, instrument, price, size, view

GOOD = Facts(now_us=T0, limits=MarketLimits(), instrument=instrument(), view=view(), position=0, sigma=0.0)


def order(at: str, quantity: str = "100") -> QuoteLevel:
    return QuoteLevel(price=price(at), size=size(quantity))


def test_nothing_objects_to_a_good_market() -> None:
    """Known instrument, position and volatility, and a live and fresh book."""
    assert denials(GOOD) == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"instrument": None}, DenyReason.NO_INSTRUMENT),
        ({"instrument": instrument(has_book=False)}, DenyReason.NO_BOOK),
        ({"view": None}, DenyReason.NO_BOOK),
        ({"position": None}, DenyReason.POSITION_UNKNOWN),
        ({"sigma": None}, DenyReason.VOLATILITY_UNKNOWN),
        ({"view": view(state=BookState.SYNCING)}, DenyReason.BOOK_NOT_LIVE),
        ({"view": view(bids=())}, DenyReason.BOOK_ONE_SIDED),
        ({"view": view(bids=[("0.5", "1")])}, DenyReason.BOOK_CROSSED),
        ({"now_us": T0 + 1_000_001}, DenyReason.STALE_DATA),
        ({"view": view(bids=[("0.3", "1")])}, DenyReason.MARKET_TOO_WIDE),
        ({"is_disconnected": True}, DenyReason.DISCONNECTED),
        ({"is_extreme": True}, DenyReason.EXTREME_MARKET),
        ({"limits": MarketLimits(is_model_required=True)}, DenyReason.MODEL_UNAVAILABLE),
    ],
)
def test_each_gate_objects_alone(change: dict[str, object], reason: DenyReason) -> None:
    """One thing wrong gives one reason."""
    assert denials(replace(GOOD, **change)) == (reason,)  # type: ignore[arg-type]


def test_all_objections_are_named() -> None:
    """Two things wrong give both reasons, in the order of the gates."""
    facts = replace(GOOD, position=None, view=view(state=BookState.STALE))

    assert denials(facts) == (DenyReason.POSITION_UNKNOWN, DenyReason.BOOK_NOT_LIVE)


@pytest.mark.parametrize(
    ("position", "bid", "ask"), [(0, 10, 10), (4, 6, 14), (10, 0, 20), (12, 0, 22), (-10, 20, 0), (-11, 21, 0)]
)
def test_capacity_is_what_keeps_a_full_fill_within_the_limit(position: int, bid: int, ask: int) -> None:
    """At a limit of 10."""
    assert (capacity(position, 10, 1), capacity(position, 10, -1)) == (bid, ask)


def test_a_required_model_is_enough_when_it_is_there() -> None:
    """And a book that is not LIVE is told once, not as disconnected too."""
    required = MarketLimits(is_model_required=True)

    assert denials(replace(GOOD, limits=required, has_model=True)) == ()
    gone = replace(GOOD, view=view(state=BookState.STALE), is_disconnected=True)
    assert denials(gone) == (DenyReason.BOOK_NOT_LIVE,)


def proposal(target: Target = ((), ()), **limits: int) -> Proposal:
    return Proposal(target, view(), price("0.4"), instrument(), MarketLimits(**limits))


@pytest.mark.parametrize(
    ("at", "quantity", "limits", "reason"),
    [
        ("0.4", "3", {}, None),
        ("0.4", "2", {}, DenyReason.BELOW_MINIMUM),
        ("9", "0.5", {}, DenyReason.BELOW_MINIMUM),
        ("0", "9", {}, DenyReason.BELOW_MINIMUM),
        ("0.4", "1250", {}, None),
        ("0.4", "1251", {}, DenyReason.ORDER_SIZE),
        ("0.38", "3", {}, None),
        ("0.3799", "3", {}, DenyReason.PRICE_BAND),
        ("0.4201", "3", {}, DenyReason.PRICE_BAND),
        ("0.4005", "3", {"band_bps": 12}, DenyReason.PRICE_BAND),
    ],
)
def test_an_order_is_large_enough_small_enough_and_near(
    at: str, quantity: str, limits: dict[str, int], reason: DenyReason | None
) -> None:
    """At least one lot and one quote unit, at most 500, within 5 % of a mid of 0.4."""
    assert first_of(rule(order(at, quantity), proposal(**limits)) for rule in ORDER_RULES) is reason


@pytest.mark.parametrize(
    ("bid", "ask", "limits", "reason"),
    [
        ("0.3999", "0.4001", {}, None),
        ("0.4002", None, {}, DenyReason.QUOTE_CROSSED),
        (None, "0.3998", {}, DenyReason.QUOTE_CROSSED),
        ("0.4", "0.4", {}, DenyReason.QUOTE_CROSSED),
        ("0.3999", "0.4001", {"min_spread_bps": 5}, None),
        ("0.3999", "0.4001", {"min_spread_bps": 6}, DenyReason.SPREAD_TOO_NARROW),
        ("0.3999", "0.4001", {"max_spread_bps": 5}, None),
        ("0.3999", "0.4001", {"max_spread_bps": 4}, DenyReason.SPREAD_TOO_WIDE),
        ("0.3999", None, {"min_spread_bps": 6}, None),
    ],
)
def test_a_target_crosses_nothing_and_has_a_sane_spread(
    bid: str | None, ask: str | None, limits: dict[str, int], reason: DenyReason | None
) -> None:
    """Taking is seen on either side, and our own bid at or above our own ask; one side has no spread."""
    target = ((order(bid),) if bid else (), (order(ask),) if ask else ())

    assert first_of(rule(proposal(target, **limits)) for rule in TARGET_RULES) is reason


def test_cancels_always_pass() -> None:
    """A target of no orders, or of fewer, is allowed with nothing left to spend."""
    rate = OrderRate(2)
    both = ((order("0.39"),), (order("0.41"),))
    assert rate.allows(both, T0)
    rate.record(both, T0)

    assert rate.allows(((), ()), T0 + 1)
    assert rate.allows((both[0], ()), T0 + 1)
    assert rate.allows(both, T0 + 1)
    assert not rate.allows(((order("0.38"),), both[1]), T0 + 1)
    assert rate.allows(((order("0.38"),), both[1]), T0 + 1_000_000)


def test_cancelled_orders_cost_again_when_they_come_back() -> None:
    """The count follows what was asked for last."""
    rate = OrderRate(2)
    both = ((order("0.39"),), (order("0.41"),))
    rate.record(both, T0)
    rate.record(((), ()), T0 + 1)

    assert not rate.allows(both, T0 + 2)
