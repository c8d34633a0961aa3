"""Targets: which decision holds, and which live orders do what it asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from schemas.enums import Side, Verdict
from schemas.errors import ConfigurationError
from schemas.records import QuoteDecision
from sinks.executor.orders import Order, OrderState
from sinks.executor.targets import Change, Ignored, Tolerance, changes, refusal
from tests.unit.sinks.executor.conftest import GRID_US, MARKET, price, size

Decide = Callable[..., QuoteDecision]
EXPIRY_US = 60_000_000


def order(at_price: str = "9.99", of_size: str = "5", *, filled: str = "0", nonce: int = 1, **changed: Any) -> Order:
    facts: dict[str, Any] = {
        "side": Side.BUY,
        "ts_expire": GRID_US + EXPIRY_US,
        "state": OrderState.OPEN,
        "filled": size(filled),
    }
    return Order(nonce=nonce, market=MARKET, price=price(at_price), size=size(of_size), **(facts | changed))


def change(working: list[Order], decision: QuoteDecision, **tolerance: int) -> Change:
    return changes(working, decision, Tolerance(**tolerance), EXPIRY_US)


@pytest.mark.parametrize(
    ("live", "tolerance", "stays"),
    [
        (order(), {}, True),
        (order("10.00"), {}, False),
        (order("10.00"), {"price_bps": 11}, True),
        (order("9.98"), {"price_bps": 11}, True),
        (order("10.00"), {"price_bps": 10}, False),
        (order(filled="2"), {}, True),
        (order(filled="3"), {}, False),
        (order(filled="3"), {"open_pct": 40}, True),
        (order(of_size="6"), {}, False),
        (order(of_size="6", filled="1"), {}, True),
        (order(side=Side.SELL), {}, False),
        (order(is_reduce_only=True), {}, False),
        (order(state=OrderState.UNKNOWN), {}, True),
    ],
    ids=[
        *("same", "moved", "near-above", "near-below", "not-near", "partly-filled", "mostly-filled", "filled-allowed"),
        *("larger", "larger-and-filled", "other-side", "flattening", "unknown"),
    ],
)
def test_an_order_stays_while_it_does_what_is_asked(
    make_decision: Decide, live: Order, tolerance: dict[str, int], stays: bool
) -> None:
    """Near enough in price, with enough of the size open, and never more than is asked for."""
    found = change([live], make_decision(0, (("9.99", "5"),)), **tolerance)

    assert (found.cancels, len(found.places)) == (((), 0) if stays else ((live,), 1))


def test_the_nearest_order_takes_a_target_and_then_the_oldest(make_decision: Decide) -> None:
    """What is left over is cancelled."""
    far, late, early = order("10.00", nonce=1), order(nonce=3), order(nonce=2)

    assert change([far, late, early], make_decision(0, (("9.99", "5"),)), price_bps=20).cancels == (far, late)


def refused(decision: QuoteDecision, held: QuoteDecision | None, clock_us: int = 0) -> Ignored | None:
    return refusal(decision, held, clock_us=clock_us, stale_us=2_000_000, is_mine=True, is_listed=True)


def test_a_pull_comes_after_the_decision_of_its_grid_point(make_decision: Decide) -> None:
    """By its sequence; and the decision does not come back after it."""
    decision = make_decision(200, (("9.99", "5"),))
    pull = make_decision(200, verdict=Verdict.DENIED, sequence=1)

    assert refused(pull, decision) is None
    assert refused(decision, pull) is Ignored.OLD_GRID
    assert refused(pull, pull) is Ignored.OLD_GRID
    assert refused(make_decision(400, (("9.99", "5"),)), pull) is None


def test_what_asks_for_nothing_is_never_too_late(make_decision: Decide) -> None:
    """Cancels always pass; new orders on old data do not."""
    clock_us = GRID_US + 2_000_001

    assert refused(make_decision(0, (("9.99", "5"),)), None, clock_us) is Ignored.STALE
    assert refused(make_decision(0, verdict=Verdict.DENIED), None, clock_us) is None


@pytest.mark.parametrize("wrong", [{"price_bps": -1}, {"price_bps": 10_000}, {"open_pct": 0}, {"open_pct": 101}])
def test_a_tolerance_that_means_nothing_is_refused(wrong: dict[str, int]) -> None:
    """When it is made, with the setting's name."""
    with pytest.raises(ConfigurationError):
        Tolerance(**wrong)
