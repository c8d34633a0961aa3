"""The money of an account: paper balances, what records say, losses over days, restarts and resumptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from schemas.enums import Mode
from schemas.errors import StateError
from schemas.instruments import Instruments
from schemas.numbers import AMOUNT_SCALE, NOTIONAL_SCALE, PRICE_SCALE, SIZE_SCALE, to_units
from schemas.reasons import AccountReason
from schemas.records import Market, Position
from sinks.executor.account.money import AccountMoney
from sinks.executor.account.positions import zero_position
from sinks.executor.account.view import AccountLimits
from sinks.executor.port import Listing, VenueMoney

SEI: Market = ("sim-sei-clob", "SEI/USDC")
WETH: Market = ("sim-sei-clob", "WETH/USDC")
DAY_US = 86_400_000_000
NOW_US = 20_000 * DAY_US + 3_600_000_000


def amount(text: str) -> int:
    return to_units(text, AMOUNT_SCALE, bits=128)


def notional(text: str) -> int:
    return to_units(text, NOTIONAL_SCALE, bits=128)


STARTING = {"USDC": amount("1000"), "SEI": amount("50")}
LIMITS = AccountLimits(
    order_notional=notional("1000"),
    gross_notional=notional("10000"),
    open_orders=10,
    sends_per_s=10,
    sends_for_cancels=5,
    drawdown=notional("20"),
    daily_loss=notional("10"),
)


class Held:
    """Two spot markets on paper: 100 SEI bought at 0.5, and a price for them."""

    def __init__(self) -> None:
        known = Instruments.load()
        found = {market: known.get(*market) for market in (SEI, WETH)}
        self.listings = {market: Listing(one, 0) for market, one in found.items() if one is not None}
        self.positions = {m: zero_position(Mode.PAPER, "demo", m, 0, 0, 0) for m in self.listings}
        self.positions[SEI] = replace(self.positions[SEI], quantity=to_units("100", SIZE_SCALE), cash=-notional("50"))
        self.marks: dict[Market, int] = {}
        self.money = self.new()

    def new(self, starting: Mapping[str, int] | None = STARTING) -> AccountMoney:
        return AccountMoney(Mode.PAPER, "demo", self.listings, LIMITS, self.positions, self.marks, starting)

    def mark(self, text: str, now_us: int = NOW_US) -> None:
        self.marks[SEI] = to_units(text, PRICE_SCALE)
        self.money.observe(now_us)

    def revalue(self) -> list[Position]:
        found = self.money.revalued(NOW_US)
        self.positions.update({position.market: position for position in found})
        return found


@pytest.fixture
def held() -> Held:
    return Held()


def test_a_paper_account_holds_what_it_began_with_and_what_was_traded(held: Held) -> None:
    """50 of 1000 USDC were paid for 100 SEI, besides the 50 there were; equity counts the traded ones at the mark."""
    held.mark("0.6")
    (purse,) = held.money.money().purses.values()
    (balance,) = held.money.balances(NOW_US)

    assert (purse.holdings["USDC"], purse.holdings["SEI"]) == (amount("950"), amount("150"))
    assert (balance.quantity, balance.equity, balance.deposits) == (amount("950"), amount("1010"), amount("1000"))
    assert (balance.venue, balance.asset, balance.mode) == ("sim-sei-clob", "USDC", Mode.PAPER)


def test_without_a_price_for_a_position_its_worth_is_not_known(held: Held) -> None:
    """Then losses are not known either, and nothing but reductions is sent."""
    money = held.money.money()
    assert (money.drawdown, money.daily_loss) == (None, None)
    (balance,) = held.money.balances(NOW_US)
    assert balance.equity is None


def test_only_what_changed_is_written(held: Held) -> None:
    """The same balance is not written twice, nor a position whose mark has not moved."""
    held.mark("0.6")
    assert len(held.money.balances(NOW_US)) == 1
    assert [position.unrealised_pnl for position in held.revalue()] == [notional("10")]
    held.mark("0.6")
    assert held.money.balances(NOW_US + 1) == []
    assert held.revalue() == []


def test_drawdown_is_from_the_best_and_holds_until_a_person_resumes(held: Held) -> None:
    """Also when the price comes back."""
    held.mark("0.7")
    held.mark("0.499")
    assert held.money.money().drawdown == amount("20.1")
    assert held.money.breach is AccountReason.DRAWDOWN
    held.mark("0.7")
    assert held.money.breach is AccountReason.DRAWDOWN

    held.money.resumed(NOW_US)
    held.mark("0.6")
    assert held.money.breach is None
    assert held.money.money().drawdown == 0


def test_daily_loss_ends_with_the_utc_day(held: Held) -> None:
    """The next day begins at what was last known of this one."""
    held.mark("0.6")
    held.mark("0.499")
    assert (held.money.breach, held.money.money().daily_loss) == (AccountReason.DAILY_LOSS, amount("10.1"))

    held.mark("0.489", NOW_US + DAY_US)
    assert (held.money.breach, held.money.money().daily_loss) == (None, amount("1"))


def test_a_restart_goes_on_measuring(held: Held) -> None:
    """From the records alone: the best, the day's beginning, and what had been passed."""
    held.mark("0.7")
    held.mark("0.498")
    held.revalue()
    written = held.money.balances(NOW_US)

    held.money = held.new()
    held.money.restore(written)
    assert held.money.breach is AccountReason.DRAWDOWN
    held.mark("0.5")
    money = held.money.money()
    assert (money.drawdown, money.daily_loss) == (amount("20"), amount("20"))


def test_a_resumption_while_nobody_ran_counts(held: Held) -> None:
    """The command is in the log, later than the balance that says what was passed."""
    held.mark("0.7")
    held.mark("0.49")
    written = held.money.balances(NOW_US)

    held.money = held.new()
    held.money.resumed(NOW_US + 1)
    held.money.restore(written)
    held.mark("0.49")
    assert (held.money.breach, held.money.money().drawdown) == (None, 0)


def test_another_beginning_is_a_deposit_and_no_profit(held: Held) -> None:
    """A paper account that is given more at its next start has won nothing by that."""
    held.mark("0.6")
    held.revalue()
    written = held.money.balances(NOW_US)

    held.money = held.new({**STARTING, "USDC": amount("5000")})
    held.money.restore(written)
    held.mark("0.55")
    (balance,) = held.money.balances(NOW_US)
    assert held.money.money().drawdown == amount("5")
    assert (balance.equity, balance.peak_equity) == (amount("5005"), amount("5010"))


def test_money_that_a_venue_tells_is_of_one_purse(held: Held) -> None:
    """Which of several it would be of, nobody knows."""
    other = ("sim-sei", "SEI/USDT")
    held.listings[other] = held.listings[SEI]
    held.positions[other] = zero_position(Mode.CITREX, "demo", other, 0, 0, 0)
    told = VenueMoney(asked_us=0, asset="USDC", quantity=0, equity=0, margin_used=0, margin_available=0)

    with pytest.raises(StateError, match="quote one venue only"):
        held.new(None).take(told, NOW_US)
