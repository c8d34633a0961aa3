"""No sequence of events binds more margin than there is, or widens a position beyond a limit of loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.enums import ContractKind, Side
from schemas.records import Market
from sinks.executor.account.view import AccountLimits
from tests.property.test_account_rules import ACTIONS, LIMITS, MARKETS, Run

MARGIN_PPM = 300_000
STARTING = 1_000
"""In units of 1e-17, like the values of orders here."""


class Funded(Run):
    """An account of 1,000 that trades perpetuals at a margin of 30 %, and its worth counted by the venue's fills."""

    def __init__(self, limits: AccountLimits) -> None:
        super().__init__(limits, contract=ContractKind.PERPETUAL, margin_ppm=MARGIN_PPM)
        self.desk.count_money({"USD": 10 * STARTING})
        self.cash = 0

    def mark(self, market: int, percent: int) -> None:
        """Let a price move; positions are valued at it from now on."""
        name = MARKETS[market]
        self.marks[name] = max(1, self.marks[name] * percent // 100)
        self.desk.value(name, self.marks[name])
        assert self.desk.money is not None
        self.desk.money.observe(self.grid * 200_000)

    def fill(self, number: int, size: int) -> None:
        """Count the cash of what trades."""
        before = dict(self.position)
        prices = {nonce: order.price for nonce, order in self.venue.open.items()}
        ours = dict(self.venue.open)
        super().fill(number, size)
        if ours:
            nonce = sorted(ours)[number % len(ours)]
            market = ours[nonce].market
            self.cash -= (self.position[market] - before[market]) * prices[nonce]

    def worth(self) -> int:
        return STARTING + self.cash + sum(self.position[market] * self.marks[market] for market in MARKETS)

    def margin(self) -> float:
        return sum(self.worst(market) * self.marks[market] for market in MARKETS) * MARGIN_PPM / 1_000_000

    def widened(self, act: Any) -> list[Market]:
        """Do something, and give the markets whose worst case it has made worse."""
        before = {market: self.worst(market) for market in MARKETS}
        act()
        return [market for market in MARKETS if self.worst(market) > before[market]]


MONEY_ACTIONS = st.one_of(ACTIONS, st.tuples(st.just("mark"), st.integers(0, 2), st.integers(50, 150)))


@settings(max_examples=300, deadline=None)
@given(st.lists(MONEY_ACTIONS, min_size=5, max_size=40))
def test_no_order_binds_more_margin_than_there_is(actions: list[tuple[Any, ...]]) -> None:
    """After whatever is sent that widens a worst case, the worst case of all markets is covered by the worth."""
    run = Funded(LIMITS)
    for name, *arguments in actions:
        if name in ("state", "fill", "mark"):
            _do(run, name, arguments)
            continue
        if run.widened(lambda name=name, arguments=arguments: _do(run, name, arguments)):
            assert run.margin() <= run.worth()


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 20), st.integers(50, 100), st.lists(MONEY_ACTIONS, min_size=5, max_size=40))
def test_beyond_a_limit_of_loss_nothing_is_widened(held: int, percent: int, actions: list[tuple[Any, ...]]) -> None:
    """After a position has been bought and its price has fallen; once passed, a limit holds whatever prices do."""
    run = Funded(replace(LIMITS, drawdown=200, daily_loss=150))
    run.decide(0, [held], [], "accept", 0)
    run.fill(0, held)
    run.mark(0, percent)
    assert run.desk.money is not None
    is_passed = run.desk.money.breach is not None
    assert is_passed == (held * (100 - percent) > 150)
    for name, *arguments in actions:
        if name in ("state", "fill", "mark"):
            _do(run, name, arguments)
            is_passed = is_passed or run.desk.money.breach is not None
            continue
        widened = run.widened(lambda name=name, arguments=arguments: _do(run, name, arguments))
        assert not (is_passed and widened)


def test_a_worst_case_has_two_sides() -> None:
    """The counting of these tests: what is open on one side does not pay for the other."""
    run = Funded(LIMITS)
    run.decide(0, [2], [3], "accept", 0)
    assert run.worst(MARKETS[0]) == 3
    assert {order.side for order in run.venue.open.values()} == {Side.BUY, Side.SELL}


def _do(run: Funded, name: str, arguments: list[Any]) -> None:
    if name == "state":
        (state,) = arguments
        run.desk.restraint = replace(run.desk.restraint, state=state)
    else:
        getattr(run, name)(*arguments)
