"""What may not be traded, because the venue holds something else or cannot be read."""

from __future__ import annotations

import pytest

from sinks.executor.port import VenueMoney, VenuePositions
from sinks.executor.reconciliation import Reconciliation

MARKET, OTHER = ("citrex", "SEI/USDC-PERP"), ("citrex", "ETH/USDC-PERP")
MONEY = VenueMoney(asked_us=1, asset="USDC", quantity=1, equity=1, margin_used=0, margin_available=1)
S = 1_000_000


@pytest.fixture
def reconciliation() -> Reconciliation:
    """Ours are 5 and nothing."""
    reconciliation = Reconciliation(stale_us=5 * S)
    reconciliation.restore({MARKET: 5, OTHER: 0})
    return reconciliation


def stated(asked_us: int, quantity: int) -> VenuePositions:
    return VenuePositions(asked_us, {MARKET: quantity} if quantity else {}, {})


def codes(reconciliation: Reconciliation, now_us: int) -> list[str]:
    return [notice.code for notice in reconciliation.review(now_us)]


def test_nothing_is_sent_before_positions_and_money_were_read(reconciliation: Reconciliation) -> None:
    """Either alone is not enough."""
    assert reconciliation.blocked(0) == {MARKET, OTHER}
    reconciliation.take_money(MONEY)
    assert reconciliation.blocked(0) == {MARKET, OTHER}

    assert reconciliation.compare(stated(0, 5)) == {MARKET: True, OTHER: True}
    assert reconciliation.blocked(0) == frozenset()
    assert codes(reconciliation, 0) == ["VENUE_READ"]


def test_what_was_read_long_ago_is_not_known(reconciliation: Reconciliation) -> None:
    """It is told once."""
    reconciliation.take_money(MONEY)
    reconciliation.compare(stated(0, 5))
    reconciliation.review(0)

    assert reconciliation.blocked(5 * S) == frozenset()
    assert reconciliation.blocked(5 * S + 1) == {MARKET, OTHER}
    assert codes(reconciliation, 5 * S + 1) == ["VENUE_NOT_READ"]
    assert codes(reconciliation, 6 * S) == []


@pytest.mark.parametrize(("quantity", "is_equal"), [(5, True), (7, True), (4, True), (6, False), (-3, False)])
def test_the_venue_may_state_any_position_that_ours_had_since(
    reconciliation: Reconciliation, quantity: int, is_equal: bool
) -> None:
    """Its positions were asked for before the last of the fills."""
    reconciliation.filled(MARKET, 2)
    reconciliation.filled(MARKET, -3)

    assert reconciliation.compare(stated(0, quantity))[MARKET] is is_equal


def test_what_was_had_before_the_last_comparison_is_not_equal_any_more(reconciliation: Reconciliation) -> None:
    """The venue was asked after it."""
    reconciliation.filled(MARKET, 2)
    reconciliation.compare(stated(0, 5))

    assert reconciliation.compare(stated(1, 5)) == {MARKET: False, OTHER: True}


def test_a_difference_blocks_its_market_at_once_and_is_told_when_it_lasts(reconciliation: Reconciliation) -> None:
    """Until positions are equal; the other market goes on."""
    reconciliation.take_money(MONEY)
    reconciliation.compare(stated(0, 9))
    assert reconciliation.blocked(0) == {MARKET}
    assert codes(reconciliation, 0) == ["VENUE_READ"]

    reconciliation.compare(stated(1, 9))
    reconciliation.compare(stated(2, 9))
    assert codes(reconciliation, 2) == ["POSITION_DIFFERS"]

    reconciliation.compare(stated(3, 5))
    assert reconciliation.blocked(3) == frozenset()
    assert codes(reconciliation, 3) == ["POSITION_AGREES"]
