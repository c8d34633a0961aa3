"""The checks before real money is traded: each fails by itself, and what cannot be read fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from schemas.venues.citrex.account import AccountHealth, MarginBalance
from schemas.venues.citrex.market_data import Depth, parse_products
from schemas.venues.citrex.messages import SIMULATED
from sinks.executor.citrex.preflight import Facts, PreflightFailed, PreflightLimits, judge, require
from tests import citrex
from tests.unit.sinks.executor.citrex.making import IDS, account_requests

ONE = 10**18
QUOTE = 10**17
LIMITS = PreflightLimits(
    max_skew_us=2_000_000,
    order_notional=500 * QUOTE,
    position_notional=2_000 * QUOTE,
    gross_notional=10_000 * QUOTE,
    sends_for_cancels=20,
)
BOOK = Depth(((419_000_000, 10**8),), ((421_000_000, 10**8),))


def product(symbol: str, **changes: Any) -> dict[str, Any]:
    fees = {"makerFee": citrex.wei("0.00005"), "takerFee": citrex.wei("0.0002")}
    steps = {"increment": citrex.wei("0.00001"), "minQuantity": citrex.wei("0.0001")}
    return citrex.product(symbol=symbol, **fees, **steps, **changes)


def good(*products: dict[str, Any]) -> Facts:
    """What a venue says where all is well."""
    rows = products or (product("seiperp"), product("ethperp"))
    return Facts(
        clocks=[(0, 5_000, 10_000)],
        products=parse_products(citrex.body(list(rows))),
        orders=(),
        positions=(),
        balances=(MarginBalance(asset=SIMULATED.margin_asset.lower(), quantity=5_000 * ONE, pending_withdrawal=0),),
        health=AccountHealth(
            equity=5_000 * ONE,
            initial_health=0,
            maintenance_health=0,
            initial_margin_used=0,
            initial_margin_available=5_000 * ONE,
            total_profit=0,
        ),
        books=dict.fromkeys(IDS, BOOK),
        asked=10,
    )


def failed(facts: Facts, limits: PreflightLimits = LIMITS) -> list[str]:
    return [check.name for check in judge(facts, account_requests(), limits) if not check.is_passed]


def with_health(facts: Facts, **changes: int) -> Facts:
    assert facts.health is not None
    return replace(facts, health=replace(facts.health, **changes))


def test_all_is_well() -> None:
    """Every check passes, and nothing is objected to."""
    assert failed(good()) == []
    require(judge(good(), account_requests(), LIMITS))


CROSSED = Depth(((421_000_000, 1),), ((421_000_000, 1),))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda facts: replace(facts, clocks=[(0, 2_005_001, 10_000)]), ["clock"]),
        (lambda facts: replace(facts, clocks=[(0, 500_000, 1_000_001)]), ["clock"]),
        (lambda facts: replace(facts, books=dict.fromkeys(IDS, CROSSED)), ["book ETH/USDC-PERP", "book SEI/USDC-PERP"]),
        (lambda facts: replace(facts, balances=()), ["balance"]),
        (lambda facts: with_health(facts, equity=999 * ONE), ["margin"]),
        (lambda facts: with_health(facts, initial_margin_available=0), ["margin"]),
        (lambda facts: replace(facts, rate_limited=1), ["rate budget"]),
        (lambda facts: replace(facts, positions=None), ["account"]),
    ],
)
def test_each_check_fails_by_itself(change: Callable[[Facts], Facts], names: list[str]) -> None:
    """Skew, slow answers, books, money, margin for the limits, too many questions, an account that cannot be read."""
    assert failed(change(good())) == names


@pytest.mark.parametrize("changes", [{"active": False}, {"increment": citrex.wei("0.003")}, {"makerFee": "1"}])
def test_a_market_must_be_listed_as_its_instrument_says(changes: dict[str, Any]) -> None:
    """Active, with a tick that divides the instrument's, and with its fees."""
    sei = product("seiperp") | changes

    assert failed(good(sei, product("ethperp"))) == ["market SEI/USDC-PERP"]


def test_limits_must_be_in_order() -> None:
    """An order no larger than a position, that no larger than the account; a cancel a second for each market."""
    assert failed(good(), replace(LIMITS, order_notional=2_001 * QUOTE)) == ["limits"]
    assert failed(good(), replace(LIMITS, sends_for_cancels=1)) == ["rate budget"]


def test_a_venue_that_says_nothing_passes_nothing() -> None:
    """But for the limits, which are ours."""
    with pytest.raises(PreflightFailed, match=r"nothing is traded: clock"):
        require(judge(Facts(), account_requests(), LIMITS))
    assert "limits" not in failed(Facts())
    assert len(failed(Facts())) == 8
