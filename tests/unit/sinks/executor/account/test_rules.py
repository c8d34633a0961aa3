"""Each rule of the account by itself: what it lets through, what it stops, and with which code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from schemas.enums import ContractKind, Side, TradingState
from schemas.instruments import Instruments
from schemas.numbers import AMOUNT_SCALE, NOTIONAL_SCALE, PRICE_SCALE, SIZE_SCALE, to_units
from schemas.reasons import AccountReason
from schemas.records import Instrument, Market
from sinks.executor.account.money_rules import balance_enough, losses_within, margin_enough
from sinks.executor.account.rules import denial, gross_notional_within, instrument_fits, price_sane
from sinks.executor.account.view import AccountLimits, AccountView, MarketView, Money, Purse
from sinks.executor.blotter import Exposure
from sinks.executor.orders import Order

PERP: Market = ("sim-citrex", "SEI/USDC-PERP")
OTHER_PERP: Market = ("sim-citrex", "ETH/USDC-PERP")
SPOT: Market = ("sim-sei-clob", "SEI/USDC")


def price(text: str) -> int:
    return to_units(text, PRICE_SCALE)


def size(text: str) -> int:
    return to_units(text, SIZE_SCALE)


def amount(text: str) -> int:
    return to_units(text, AMOUNT_SCALE, bits=128)


def notional(text: str) -> int:
    return to_units(text, NOTIONAL_SCALE, bits=128)


LIMITS = AccountLimits(
    order_notional=notional("1000"),
    gross_notional=notional("10000"),
    open_orders=10,
    sends_per_s=10,
    sends_for_cancels=5,
    drawdown=notional("100"),
    daily_loss=notional("50"),
    price_band_bps=1_000,
)


def instrument(market: Market, **changes: Any) -> Instrument:
    found = Instruments.load().get(*market)
    assert found is not None
    return replace(found, **changes)


def view(
    market: Market, position: str = "0", mark: str = "0.5", exposure: Exposure | None = None, **of: Any
) -> MarketView:
    return MarketView(
        position=size(position),
        mark=price(mark),
        exposure=exposure or Exposure(),
        instrument=instrument(market, **of),
        last_trade=price(mark),
    )


def money(**changes: Any) -> Money:
    purses = {
        (PERP[0], "USDC"): Purse(equity=amount("100"), margin_available=None, holdings={"USDC": amount("100")}),
        (SPOT[0], "USDC"): Purse(
            equity=amount("100"), margin_available=None, holdings={"USDC": amount("100"), "SEI": amount("300")}
        ),
    }
    return replace(Money(purses=purses, drawdown=0, daily_loss=0), **changes)


def account(*views: tuple[Market, MarketView], **changes: Any) -> AccountView:
    plain = AccountView(
        state=TradingState.ACTIVE, markets=dict(views), open_orders=0, sends=0, unknown=frozenset(), money=money()
    )
    return replace(plain, **changes)


def order(market: Market, side: Side, at: str, of: str) -> Order:
    return Order(nonce=1, market=market, side=side, price=price(at), size=size(of), ts_expire=0)


def purse(market: Market, **changes: Any) -> Money:
    key = (market[0], "USDC")
    plain = money()
    return replace(plain, purses={**plain.purses, key: replace(plain.purses[key], **changes)})


# Margin


@pytest.mark.parametrize(("of", "is_enough"), [("2000", True), ("2000.1", False)])
def test_margin_of_the_worst_case_is_within_equity(of: str, is_enough: bool) -> None:
    """100 USDC at 10 % of initial margin hold 1000 USDC of a position, or 2000 SEI at 0.5."""
    held = account((PERP, view(PERP, initial_margin_ppm=100_000)))
    wanted = None if is_enough else AccountReason.MARGIN

    assert margin_enough(LIMITS, held, order(PERP, Side.BUY, "0.5", of)) is wanted


def test_margin_counts_open_orders_and_other_markets_of_the_venue() -> None:
    """Half of it is bound by orders of the same side, and by another market's position; nothing is left for more."""
    open_buys = view(PERP, exposure=Exposure(buy=size("1000")), initial_margin_ppm=100_000)
    other = view(OTHER_PERP, "-0.5", "2000", initial_margin_ppm=50_000)
    held = account((PERP, open_buys), (OTHER_PERP, other))

    assert margin_enough(LIMITS, held, order(PERP, Side.BUY, "0.5", "0.1")) is AccountReason.MARGIN
    assert margin_enough(LIMITS, held, order(PERP, Side.SELL, "0.5", "1000")) is None


def test_what_needs_no_more_margin_passes_whatever_equity_is() -> None:
    """Reducing a position is possible when equity is gone, and when it is not known."""
    for equity in (0, None):
        held = account((PERP, view(PERP, "1000", initial_margin_ppm=100_000)), money=purse(PERP, equity=equity))
        assert margin_enough(LIMITS, held, order(PERP, Side.SELL, "0.5", "2000")) is None
        wanted = AccountReason.MARGIN if equity is not None else AccountReason.EQUITY_UNKNOWN
        assert margin_enough(LIMITS, held, order(PERP, Side.BUY, "0.5", "1")) is wanted


def test_a_contract_without_a_margin_rate_is_paid_in_full() -> None:
    """Nobody said what it needs, so all of it must be there."""
    held = account((PERP, view(PERP)))

    assert margin_enough(LIMITS, held, order(PERP, Side.BUY, "0.5", "200")) is None
    assert margin_enough(LIMITS, held, order(PERP, Side.BUY, "0.5", "200.1")) is AccountReason.MARGIN


def test_what_the_venue_says_is_left_is_not_passed() -> None:
    """It may know of more than we do."""
    held = account((PERP, view(PERP, initial_margin_ppm=100_000)), money=purse(PERP, margin_available=amount("1")))

    assert margin_enough(LIMITS, held, order(PERP, Side.BUY, "0.5", "20")) is None
    assert margin_enough(LIMITS, held, order(PERP, Side.BUY, "0.5", "20.1")) is AccountReason.MARGIN


def test_an_unknown_mark_of_another_market_is_no_margin() -> None:
    """What another position needs is not known then."""
    blind = MarketView(position=size("1"), mark=None, exposure=Exposure(), instrument=instrument(OTHER_PERP))
    held = account((PERP, view(PERP)), (OTHER_PERP, blind))

    assert margin_enough(LIMITS, held, order(PERP, Side.BUY, "0.5", "1")) is AccountReason.MARK_UNKNOWN


# Balances


def test_open_buys_are_paid_from_the_quote_asset() -> None:
    """60 of 100 USDC are bound by open buys: 40 are left, less the taker's fee."""
    open_buys = view(SPOT, exposure=Exposure(buy=size("120"), buy_value=notional("60")), taker_fee_ppm=10_000)
    held = account((SPOT, open_buys))

    assert balance_enough(LIMITS, held, order(SPOT, Side.BUY, "0.5", "78")) is None
    assert balance_enough(LIMITS, held, order(SPOT, Side.BUY, "0.5", "79")) is AccountReason.BALANCE


def test_open_sells_give_the_base_asset() -> None:
    """100 of 300 SEI are in open sells; perpetuals give nothing away."""
    held = account((SPOT, view(SPOT, exposure=Exposure(sell=size("100")))), (PERP, view(PERP)))

    assert balance_enough(LIMITS, held, order(SPOT, Side.SELL, "0.5", "200")) is None
    assert balance_enough(LIMITS, held, order(SPOT, Side.SELL, "0.5", "201")) is AccountReason.BALANCE
    assert balance_enough(LIMITS, held, order(PERP, Side.SELL, "0.5", "201")) is None


def test_a_market_without_a_purse_has_no_balance() -> None:
    """Nothing is known to pay with."""
    held = account((SPOT, view(SPOT)), money=money(purses={}))

    assert balance_enough(LIMITS, held, order(SPOT, Side.BUY, "0.5", "1")) is AccountReason.BALANCE
    assert margin_enough(LIMITS, account((PERP, view(PERP)), money=money(purses={})), order(PERP, Side.BUY, "0.5", "1"))


# Losses


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"drawdown": amount("100")}, None),
        ({"drawdown": amount("100") + 1}, AccountReason.DRAWDOWN),
        ({"daily_loss": amount("50") + 1}, AccountReason.DAILY_LOSS),
        ({"drawdown": None}, AccountReason.EQUITY_UNKNOWN),
        ({"breach": AccountReason.DAILY_LOSS}, AccountReason.DAILY_LOSS),
    ],
)
def test_beyond_a_limit_of_loss_only_reductions_are_sent(changes: dict[str, Any], reason: AccountReason | None) -> None:
    """Whatever fills: as much as the position less the open sells."""
    held = account((PERP, view(PERP, "10", exposure=Exposure(sell=size("4")))), money=money(**changes))

    assert losses_within(LIMITS, held, order(PERP, Side.BUY, "0.5", "1")) is reason
    assert losses_within(LIMITS, held, order(PERP, Side.SELL, "0.5", "6")) is None
    assert losses_within(LIMITS, held, order(PERP, Side.SELL, "0.5", "6.1")) is reason


def test_without_limits_losses_are_not_asked_for() -> None:
    """Unknown losses do not matter then."""
    limits = replace(LIMITS, drawdown=None, daily_loss=None)
    held = account((PERP, view(PERP)), money=money(drawdown=None))

    assert losses_within(limits, held, order(PERP, Side.BUY, "0.5", "1")) is None


# Instrument and price


@pytest.mark.parametrize(
    ("at", "of", "is_fitting"),
    [
        ("0.5", "10", True),
        ("0.500001", "10", False),
        ("0.5", "10.05", False),
        ("0.5", "1.9", False),
        ("0", "10", False),
    ],
)
def test_an_order_fits_the_instrument_in_force(at: str, of: str, is_fitting: bool) -> None:
    """Tick 0.00001, lot 0.1, 1 USDC at least."""
    wanted = None if is_fitting else AccountReason.INSTRUMENT

    assert instrument_fits(LIMITS, account((PERP, view(PERP))), order(PERP, Side.BUY, at, of)) is wanted


def test_a_market_without_an_instrument_has_no_orders() -> None:
    """What its tick is, nobody knows."""
    assert instrument_fits(LIMITS, account(), order(PERP, Side.BUY, "0.5", "10")) is AccountReason.INSTRUMENT


@pytest.mark.parametrize(("at", "is_sane"), [("0.45", True), ("0.55", True), ("0.44999", False), ("0.55001", False)])
def test_a_price_is_near_the_last_trade(at: str, is_sane: bool) -> None:
    """Within 10 %, though the decision takes twice of it for fair."""
    held = account((PERP, replace(view(PERP, mark="1"), last_trade=price("0.5"))))

    assert price_sane(LIMITS, held, order(PERP, Side.BUY, at, "10")) is (None if is_sane else AccountReason.PRICE)


def test_before_the_first_trade_the_mark_stands_in() -> None:
    """And without either no price can be judged."""
    held = account((PERP, replace(view(PERP), last_trade=None)))
    blind = account((PERP, replace(view(PERP), last_trade=None, mark=None)))

    assert price_sane(LIMITS, held, order(PERP, Side.BUY, "0.5", "10")) is None
    assert price_sane(LIMITS, blind, order(PERP, Side.BUY, "0.5", "10")) is AccountReason.MARK_UNKNOWN


def test_an_order_that_no_rule_objects_to_is_sent() -> None:
    """All rules together, on both kinds of contract."""
    held = account((PERP, view(PERP, contract=ContractKind.PERPETUAL)), (SPOT, view(SPOT)))

    assert denial(LIMITS, held, order(PERP, Side.SELL, "0.5", "10")) is None
    assert denial(LIMITS, held, order(SPOT, Side.SELL, "0.5", "10")) is None


# All positions together


def test_what_makes_a_position_smaller_passes_though_another_mark_is_not_known() -> None:
    """One lost feed does not keep the rest from being closed; what makes it larger waits for the mark."""
    unknown = replace(view(OTHER_PERP, "1"), mark=None)
    held = account((PERP, view(PERP, "100")), (OTHER_PERP, unknown))

    assert gross_notional_within(LIMITS, held, order(PERP, Side.SELL, "0.5", "100")) is None
    assert gross_notional_within(LIMITS, held, order(PERP, Side.BUY, "0.5", "1")) is AccountReason.MARK_UNKNOWN
