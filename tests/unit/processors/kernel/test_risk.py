"""Risk rules: each objects to its own thing alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from processors.kernel.risk import Facts, OrderRate, capacity, crossed, denials, is_below_minimum
from schemas.enums import BookState
from schemas.reasons import DenyReason
from schemas.records import QuoteLevel
from tests.kernel_steps import T0, instrument, price, size, view

GOOD = Facts(now_us=T0, instrument=instrument(), view=view(), position=0, sigma=0.0, stale_us=1_000_000)


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


@pytest.mark.parametrize(
    ("at", "quantity", "is_small"), [("0.4", "3", False), ("0.4", "2", True), ("9", "0.5", True), ("0", "9", True)]
)
def test_minimum_size_and_notional(at: str, quantity: str, is_small: bool) -> None:
    """At least one lot and one quote unit."""
    assert is_below_minimum(order(at, quantity), instrument()) is is_small


def test_crossed_sees_the_book_and_ourselves() -> None:
    """Taking is seen on either side, and our own bid at or above our own ask."""
    book = view()

    assert not crossed(((order("0.3999"),), (order("0.4001"),)), book)
    assert crossed(((order("0.4002"),), ()), book)
    assert crossed(((), (order("0.3998"),)), book)
    assert crossed(((order("0.4"),), (order("0.4"),)), book)


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
