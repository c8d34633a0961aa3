"""No sequence of events takes an account past its limits, and cancels pass in every state; counted independently."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.enums import ContractKind, Mode, OrderAction, Side, TradingState, Verdict
from schemas.instruments import Instrument
from schemas.records import Cause, Market, QuoteDecision, QuoteLevel, Tick
from sinks.executor.account.positions import zero_position
from sinks.executor.account.rules import AccountLimits
from sinks.executor.blotter import Fill
from sinks.executor.control.restraint import Restraint
from sinks.executor.desk import Desk
from sinks.executor.orders import Order
from sinks.executor.port import Answer, Answered, Filled, Listing, Moment, Orders, VenueEvent
from tests.decisions import decision_of

MARKETS = [("v", "A/USD"), ("v", "B/USD"), ("v", "C/USD")]
PARTITIONS = {market: number % 2 for number, market in enumerate(MARKETS)}
MARKS = {market: 100 * (number + 1) for number, market in enumerate(MARKETS)}
GRID_US = 200_000
LIMITS = AccountLimits(order_notional=2_000, gross_notional=5_000, open_orders=4, sends_per_s=12, sends_for_cancels=4)


def listing(market: Market, contract: ContractKind = ContractKind.SPOT, margin_ppm: int = 0) -> Listing:
    """A market of one of two partitions: each has a worker of its own."""
    instrument = Instrument(
        venue=market[0],
        symbol=market[1],
        venue_symbol=market[1],
        group="A",
        has_book=True,
        tick=1,
        lot=1,
        min_size=1,
        min_notional=0,
        maker_fee_ppm=0,
        taker_fee_ppm=0,
        contract=contract,
        initial_margin_ppm=margin_ppm,
    )
    return Listing(instrument, PARTITIONS[market])


@dataclass
class ScriptedVenue:
    """Answers as it is told, and keeps what it was asked for."""

    mode = Mode.PAPER
    banner = "scripted"
    is_executing = True
    is_on_log = False
    fate: str = "accept"
    open: dict[int, Order] = field(default_factory=dict)
    filled: dict[int, int] = field(default_factory=dict)
    placed_us: list[int] = field(default_factory=list)

    def submit(self, orders: Orders, now_us: int) -> list[VenueEvent]:
        at = Moment(now_us, now_us, Cause("t", 0, 0, 0))
        events: list[VenueEvent] = []
        for request in orders.requests:
            nonce = request.order.nonce
            if request.action is OrderAction.CANCEL:
                if self.fate != "lose":
                    self.open.pop(nonce, None)
                    # The name first, so that trades told of an unknown order find it.
                    events.append(Answered(nonce, Answer.ACCEPTED, at, venue_order_id=str(nonce)))
                    events.append(Answered(nonce, Answer.CANCELLED, at))
                continue
            self.placed_us.append(now_us)
            if self.fate == "refuse":
                events.append(Answered(nonce, Answer.REFUSED, at))
                continue
            self.open[nonce] = request.order
            if self.fate == "accept":
                events.append(Answered(nonce, Answer.ACCEPTED, at, venue_order_id=str(nonce)))
            else:
                events.append(Answered(nonce, Answer.UNANSWERED, at))
        return events

    def on_tick(self, tick: Tick, cause: Cause, now_us: int) -> list[VenueEvent]:
        return []


class Run:
    """A desk, its venue, and an account counted by the venue's own book."""

    def __init__(self, limits: AccountLimits = LIMITS, **of: Any) -> None:
        self.venue = ScriptedVenue()
        listings: Any = {market: listing(market, **of) for market in MARKETS}
        self.desk = Desk(self.venue, listings, "demo", limits)
        for market in MARKETS:
            self.desk.positions[market] = zero_position(Mode.PAPER, "demo", market, PARTITIONS[market], 0, 0)
        self.marks = dict(MARKS)
        self.epochs = [1, 1]
        self.position = dict.fromkeys(MARKETS, 0)
        self.grid = 0
        self.offset = 0

    def decide(self, market: int, bids: list[int], asks: list[int], fate: str, wait_us: int) -> None:
        """Ask for sizes a side; sizes only, all at the mark. The worker of the market's partition does."""
        self.grid += 1
        now_us = self.grid * GRID_US + wait_us
        self.venue.fate = fate
        name = MARKETS[market]
        before, worst = set(self.venue.open), self.worst(name)
        state = self.desk.restraint.state
        decision = self._decision(name, bids, asks)
        orders = self.desk.decide(decision, Cause("q", PARTITIONS[name], self.grid, self.grid), now_us)
        if orders is not None:
            self.book(self.desk.submit(orders, now_us))
        new = [order for nonce, order in self.venue.open.items() if nonce not in before]
        assert state is not TradingState.HALTED or not new
        if state is TradingState.REDUCING:
            # What rested before the state came may still fill; `test_halts` has who cancels it.
            assert not new or self.worst(name) <= max(worst, abs(self.position[name]))

    def fill(self, number: int, size: int) -> None:
        """Trade some of an open order of the venue's, whether we know of it or not."""
        if not self.venue.open:
            return
        nonce = sorted(self.venue.open)[number % len(self.venue.open)]
        order = self.venue.open[nonce]
        done = self.venue.filled.get(nonce, 0)
        size = min(size, order.size - done)
        self.venue.filled[nonce] = done + size
        if done + size == order.size:
            del self.venue.open[nonce]
        self.position[order.market] += size if order.side is Side.BUY else -size
        self.offset += 1
        fill = Fill(
            trade_id=str(self.offset),
            venue_order_id=str(nonce),
            market=order.market,
            side=order.side,
            price=order.price,
            size=size,
            fee=0,
            ts_event=0,
        )
        self.book(self.desk.take([Filled(fill, Moment(0, 0, Cause("t", 0, 0, 0)))]))

    def book(self, reports: list[Any]) -> None:
        """Book reports as the shell does."""
        offsets = range(1_000 * self.grid + self.offset, 1_000 * self.grid + self.offset + len(reports))
        self.desk.booked(list(zip(reports, offsets, strict=True)), 0)

    def replace_worker(self, partition: int, by: int) -> None:
        """Let a new worker of a partition decide, or the one that it replaced go on."""
        self.epochs[partition] = max(1, self.epochs[partition] + by)

    def worst(self, market: Market) -> int:
        """The greatest position that the venue's own book can make."""
        rest = [
            (o.side, o.size - self.venue.filled.get(n, 0)) for n, o in self.venue.open.items() if o.market == market
        ]
        buy = sum(size for side, size in rest if side is Side.BUY)
        sell = sum(size for side, size in rest if side is Side.SELL)
        return max(abs(self.position[market] + buy), abs(self.position[market] - sell))

    def check(self) -> None:
        """Compare the venue's own book with the limits."""
        assert sum(self.worst(market) * MARKS[market] for market in MARKETS) <= LIMITS.gross_notional
        assert all(order.size * order.price <= LIMITS.order_notional for order in self.venue.open.values())
        assert len(self.venue.open) <= LIMITS.open_orders
        for sent in self.venue.placed_us:
            places = [at for at in self.venue.placed_us if sent - 1_000_000 < at <= sent]
            assert len(places) <= LIMITS.sends_per_s - LIMITS.sends_for_cancels

    def cancel_all(self) -> None:
        """Ask for an end of everything, with a venue that answers."""
        self.venue.fate = "accept"
        orders = self.desk.cancel_all(0)
        asked = {request.order.nonce for request in orders.requests} if orders else set()
        assert {order.nonce for market in MARKETS for order in self.desk.working(market)} <= asked
        if orders is not None:
            self.book(self.desk.submit(orders, 0))

    def _decision(self, market: Market, bids: list[int], asks: list[int]) -> QuoteDecision:
        mark = self.marks[market]
        return decision_of(
            decision_id=str(self.grid),
            mode=Mode.PAPER,
            account="demo",
            venue=market[0],
            symbol=market[1],
            ts_grid=self.grid * GRID_US,
            epoch=self.epochs[PARTITIONS[market]],
            verdict=Verdict.QUOTE,
            bids=tuple(QuoteLevel(price=mark, size=size) for size in bids),
            asks=tuple(QuoteLevel(price=mark, size=size) for size in asks),
            mid=mark,
            cause_partition=PARTITIONS[market],
            cause_first_offset=0,
            cause_offset=0,
        )


SIZES = st.lists(st.integers(1, 25), max_size=3)
ACTIONS = st.one_of(
    st.tuples(
        st.just("decide"),
        st.integers(0, 2),
        SIZES,
        SIZES,
        st.sampled_from(["accept", "accept", "accept", "refuse", "lose"]),
        st.integers(0, GRID_US - 1),
    ),
    st.tuples(st.just("fill"), st.integers(0, 9), st.integers(1, 25)),
    st.tuples(st.just("state"), st.sampled_from(list(TradingState))),
    st.tuples(st.just("replace_worker"), st.integers(0, 1), st.sampled_from([1, -1])),
    st.tuples(st.just("cancel_all")),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ACTIONS, min_size=5, max_size=40))
def test_no_sequence_of_events_takes_an_account_past_its_limits(actions: list[tuple[Any, ...]]) -> None:
    """Gross notional, one order's, open orders and rate, by the venue's own book; nothing new when halted.

    Two workers, three markets: each market alone may ask for all of the account.
    """
    run = Run()
    for name, *arguments in actions:
        if name == "state":
            run.desk.restraint = Restraint(state=arguments[0])
        else:
            getattr(run, name)(*arguments)
        run.check()
