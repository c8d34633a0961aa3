"""Funding, deposits, equity and losses of an account, against the exact ledger of the simulated exchange."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.simulator.citrex.ledger import Ledger
from infra.simulator.citrex.products import ONE
from schemas.enums import Mode, OrderStatus, Side
from schemas.instruments import Instruments
from schemas.records import Balance, ExecutionReport, Market, Position
from sinks.executor.account.money import AccountMoney
from sinks.executor.account.positions import apply_fill, with_instrument, zero_position
from sinks.executor.account.view import AccountLimits
from sinks.executor.port import Listing, VenueMoney, VenuePositions

VENUE = "sim-citrex"
MARKETS = [(VENUE, "ETH/USDC-PERP"), (VENUE, "SEI/USDC-PERP")]
OWNER, OTHER = ("0xus", 0), ("0xthem", 0)
DAY_US = 86_400_000_000
LIMITS = AccountLimits(
    order_notional=10**30, gross_notional=10**6 * 10**17, open_orders=9, sends_per_s=9, sends_for_cancels=1
)
KNOWN = Instruments.load()
LISTINGS: dict[Market, Listing] = {}
for number, market in enumerate(MARKETS):
    instrument = KNOWN.get(*market)
    assert instrument is not None
    LISTINGS[market] = Listing(instrument, number)


class Account:
    """An account at the exchange's ledger, and ours of it, which is told no more than a venue tells."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.ledger.deposit(OWNER, 1_000 * ONE)
        self.positions: dict[Market, Position] = {
            market: with_instrument(
                zero_position(Mode.CITREX, "demo", market, number, 0, 0), LISTINGS[market].instrument
            )
            for number, market in enumerate(MARKETS)
        }
        self.marks = dict.fromkeys(MARKETS, 10**9)
        self.money = self._money()
        self.now_us = 20_000 * DAY_US
        self.offset = 0
        self.record: Balance | None = None

    def _money(self) -> AccountMoney:
        return AccountMoney(Mode.CITREX, "demo", LISTINGS, LIMITS, self.positions, self.marks, None)

    def trade(self, number: int, is_buy: bool, lots: int, ticks: int) -> None:
        """Trade lots of 0.1 at ticks of 1e-5, told at once; a fee in thousandths of the value."""
        price, size = ticks * ONE // 100_000, lots * ONE // 10
        sides = (OWNER, OTHER) if is_buy else (OTHER, OWNER)
        self.ledger.trade(number, *sides, price=price, quantity=size)
        fee = price * size // ONE // 1_000
        self.ledger.charge(OWNER, number, fee)
        market = MARKETS[number]
        report = ExecutionReport(
            execution_id=str(self.offset),
            order_id="o",
            mode=Mode.CITREX,
            account="demo",
            venue=market[0],
            symbol=market[1],
            status=OrderStatus.FILLED,
            side=Side.BUY if is_buy else Side.SELL,
            price=price // 10**9,
            size=size // 10**10,
            filled_size=size // 10**10,
            last_price=price // 10**9,
            last_size=size // 10**10,
            fee=fee // 10,
            ts_event=0,
            ts_recv=0,
            cause_topic="t",
            cause_partition=0,
            cause_first_offset=0,
            cause_offset=0,
        )
        assert fee % 10 == 0
        self.positions[market] = apply_fill(self.positions[market], report, self.offset, self.now_us)
        self.offset += 1

    def fund(self, number: int, payment: int) -> None:
        """Let longs owe shorts; an odd amount, so that it is rounded."""
        self.ledger.fund(number, payment)

    def deposit(self, amount: int) -> None:
        """Pay in, or out: with nothing traded since the last readings, any amount is seen for what it is."""
        self.settle()
        self.ledger.deposit(OWNER, amount)
        self.read()
        self.read()

    def mark(self, number: int, ticks: int) -> None:
        self.marks[MARKETS[number]] = ticks * 10**4
        self.money.observe(self.now_us)

    def read(self) -> None:
        """One round of the venue's answers: positions, then money."""
        self.now_us += 1_000_000
        held = {m: self.ledger.position(OWNER, n) for n, m in enumerate(MARKETS)}
        open_ones = {m: p for m, p in held.items() if p.quantity}
        stated = VenuePositions(
            asked_us=self.now_us,
            quantities={m: p.quantity // 10**10 for m, p in open_ones.items()},
            accrued_funding={m: p.accrued(self.ledger.index(MARKETS.index(m))) for m, p in open_ones.items()},
            entry_values={m: p.entry_value for m, p in open_ones.items()},
        )
        told = VenueMoney(
            asked_us=self.now_us,
            asset="USDC",
            quantity=self.ledger.holding(OWNER).balance,
            equity=None,
            margin_used=None,
            margin_available=None,
        )
        for event in (stated, told):
            self.positions.update({p.market: p for p in self.money.take(event, self.now_us)})
        self.money.observe(self.now_us)

    def settle(self) -> None:
        """Two quiet rounds: what there is to know is known."""
        self.read()
        self.read()

    def restart(self) -> None:
        """Lose everything but the records; with positions known, and a balance written."""
        self.settle()
        record = self.written()
        self.money = self._money()
        self.money.restore([record])

    def written(self) -> Balance:
        """The last record of the balance."""
        self.record, *_ = [*self.money.balances(self.now_us), self.record]
        assert self.record is not None
        return self.record

    def worth(self) -> int:
        """The ledger's own equity."""
        return self.ledger.equity(OWNER, {n: self.marks[m] * 10**9 for n, m in enumerate(MARKETS)})

    def check(self, *, by_market: bool) -> None:
        self.settle()
        theirs = {m: self.ledger.position(OWNER, n) for n, m in enumerate(MARKETS)}
        funding = {m: p.funding for m, p in self.positions.items()}
        assert sum(f or 0 for f in funding.values()) == sum(p.funding for p in theirs.values())
        if by_market:
            assert funding == {m: p.funding for m, p in theirs.items()}
        assert {m: p.cash * 10 for m, p in self.positions.items()} == {m: p.cash for m, p in theirs.items()}
        assert {m: p.fees * 10 for m, p in self.positions.items()} == {m: p.fees for m, p in theirs.items()}
        balance = self.written()
        assert balance.quantity == self.ledger.holding(OWNER).balance
        assert balance.deposits == self.ledger.holding(OWNER).deposits


TRADE = st.tuples(
    st.just("trade"),
    st.integers(0, 1),
    st.booleans(),
    st.integers(1, 50),
    st.integers(10, 10_000).map(lambda n: n * 100),
)
FUND = st.tuples(st.just("fund"), st.integers(0, 1), st.integers(-(10**15), 10**15))
OTHERS = st.one_of(
    st.tuples(st.just("read")),
    st.tuples(st.just("deposit"), st.integers(-100 * ONE, 100 * ONE)),
    st.tuples(st.just("mark"), st.integers(0, 1), st.integers(1, 10**6)),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(TRADE, TRADE, FUND, OTHERS), max_size=40))
def test_funding_and_deposits_are_the_ledgers_to_the_unit(actions: list[tuple[Any, ...]]) -> None:
    """The sum of funding, cash, fees and deposits, whatever is traded between two readings."""
    account = Account()
    account.settle()
    for name, *arguments in actions:
        getattr(account, name)(*arguments)
    account.check(by_market=False)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(TRADE, TRADE, FUND, OTHERS), max_size=40))
def test_each_market_has_its_own_funding_where_the_rate_is_read_before_a_fill(actions: list[tuple[Any, ...]]) -> None:
    """A venue moves its rate once an hour, and is read every second; restarts in between change nothing."""
    account = Account()
    account.settle()
    for number, (name, *arguments) in enumerate(actions):
        getattr(account, name)(*arguments)
        if name == "fund":
            account.read()
        if number % 7 == 6:
            account.restart()
    account.check(by_market=True)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(TRADE, FUND, OTHERS), max_size=30))
def test_equity_is_the_ledgers(actions: list[tuple[Any, ...]]) -> None:
    """What was paid in and what trading made of it is what the venue would pay out at the same marks."""
    account = Account()
    account.settle()
    for name, *arguments in actions:
        getattr(account, name)(*arguments)
    account.settle()
    money = account.money
    deposits = account.ledger.holding(OWNER).deposits
    made = money.profit()
    assert made is not None
    assert deposits + made == account.worth()


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("mark"), st.integers(1, 10**6)),
            st.tuples(st.just("deposit"), st.integers(-(10**20), 10**20)),
            st.tuples(st.just("restart")),
            st.tuples(st.just("day")),
        ),
        max_size=30,
    )
)
def test_losses_survive_restarts_and_are_not_made_by_deposits(actions: list[tuple[Any, ...]]) -> None:
    """Drawdown from the best, daily loss from the last worth of the day before; counted here without deposits."""
    account = Account()
    account.settle()
    account.trade(1, True, 100, 10_000)
    account.mark(1, 10_000)
    account.settle()
    fees = account.positions[MARKETS[1]].fees * 10
    best = day = last = 0
    account.money.observe(account.now_us)
    best, day = 0, 0
    last = -fees
    for name, *arguments in actions:
        if name == "mark":
            account.mark(1, *arguments)
            last = 10 * (account.positions[MARKETS[1]].cash + 100 * 10**7 * arguments[0] * 10**4) - fees
            best = max(best, last)
        elif name == "day":
            account.now_us += DAY_US
            day = last
            account.money.observe(account.now_us)
        elif name == "restart":
            account.positions.update({p.market: p for p in account.money.revalued(account.now_us)})
            account.restart()
        else:
            account.deposit(*arguments)
        money = account.money.money()
        assert (money.drawdown, money.daily_loss) == (best - last, max(0, day - last))
