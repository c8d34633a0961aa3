"""Whatever happens in whatever order, a held-back account sends only what its rung allows; counted independently.

Decisions, fills, lost answers, refusals, halts, resumes, restarts, books that come and go: the venue's own book
and a rung folded by other means are what the executor is judged by.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.enums import ControlAction, ControlLevel, Mode, OrderAction, Side, TickKind, Verdict
from schemas.instruments import Instrument
from schemas.records import Cause, Command, Market, QuoteDecision, QuoteLevel, Tick
from sinks.executor.account.positions import zero_position
from sinks.executor.account.rules import AccountLimits
from sinks.executor.blotter import Fill
from sinks.executor.control.breakers import BreakerLimits
from sinks.executor.control.flatten import FlattenLimits
from sinks.executor.control.supervisor import Supervisor
from sinks.executor.desk import Desk
from sinks.executor.orders import Order
from sinks.executor.port import Answer, Answered, Filled, Listing, Moment, Orders, VenueEvent
from tests.decisions import decision_of

MARKETS = [("v", "A/USD"), ("v", "B/USD"), ("v", "C/USD")]
MARKS = {market: 1_000 * (number + 1) for number, market in enumerate(MARKETS)}
LEVELS = list(ControlLevel)
GRID_US = 200_000
LIMITS = AccountLimits(order_notional=20_000, gross_notional=50_000, open_orders=4, sends_per_s=12, sends_for_cancels=4)
FLATTEN = FlattenLimits(
    price_bps=100, participation_pct=50, order_notional=20_000, interval_us=400_000, book_age_us=2_000_000
)
BREAKERS = BreakerLimits(
    latency_us=1_000_000,
    latency_window_us=10_000_000,
    position_notional=10_000,
    inventory_pct=150,
    rest_us=1_000_000,
    trial_us=1_000_000,
)
FATES = ("accept", "accept", "accept", "refuse", "lose")
NOWHERE = Cause("t", 0, 0, 0)


def listing(market: Market) -> Listing:
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
    )
    return Listing(instrument, 0)


@dataclass
class ScriptedVenue:
    """Answers as it is told, and keeps what it was asked for: the truth that a test counts by."""

    mode = Mode.PAPER
    banner = "scripted"
    is_executing = True
    is_on_log = False
    shows_our_orders = True
    fate: str = "accept"
    taken: int = 0
    now_us: int = 0
    open: dict[int, Order] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    position: dict[Market, int] = field(default_factory=lambda: dict.fromkeys(MARKETS, 0))
    places: list[tuple[int, Order]] = field(default_factory=list)
    trades: int = 0

    def submit(self, orders: Orders, now_us: int) -> list[VenueEvent]:
        events: list[VenueEvent] = []
        for request in orders.requests:
            place = request.action is OrderAction.PLACE
            events += self._place(request.order, now_us) if place else self._cancel(request.order.nonce)
        return events

    def _cancel(self, nonce: int) -> list[VenueEvent]:
        if self.fate == "lose":
            return [self._say(nonce, Answer.UNANSWERED)]
        self.open.pop(nonce, None)
        # The name first, so that trades told of an unknown order find it.
        return [self._say(nonce, Answer.ACCEPTED), self._say(nonce, Answer.CANCELLED)]

    def _place(self, order: Order, now_us: int) -> list[VenueEvent]:
        self.places.append((now_us, order))
        if self.fate == "refuse":
            return [self._say(order.nonce, Answer.REFUSED)]
        self.open[order.nonce], self.left[order.nonce] = order, order.size
        events = [self._say(order.nonce, Answer.UNANSWERED if self.fate == "lose" else Answer.ACCEPTED)]
        if order.is_taker:
            events += self.fill(order.nonce, self.taken)
            if self.open.pop(order.nonce, None) is not None and self.fate == "accept":
                events.append(self._say(order.nonce, Answer.CANCELLED))
        return events

    def fill(self, nonce: int, size: int) -> list[VenueEvent]:
        """Trade some of an open order."""
        order = self.open[nonce]
        size = min(size, self.left[nonce])
        if not size:
            return []
        self.left[nonce] -= size
        if not self.left[nonce]:
            del self.open[nonce]
        self.position[order.market] += size if order.side is Side.BUY else -size
        self.trades += 1
        fill = Fill(
            trade_id=str(self.trades),
            venue_order_id=str(nonce),
            market=order.market,
            side=order.side,
            price=order.price,
            size=size,
            fee=0,
            ts_event=0,
        )
        return [Filled(fill, Moment(0, 0, NOWHERE))]

    def _say(self, nonce: int, answer: Answer) -> VenueEvent:
        return Answered(nonce, answer, Moment(0, 0, NOWHERE), venue_order_id=str(nonce))

    def on_tick(self, tick: Tick, cause: Cause, now_us: int) -> list[VenueEvent]:
        return []

    def poll(self, now_us: int) -> list[VenueEvent]:
        return []

    def worst(self, market: Market) -> int:
        """The greatest position that its book can make."""
        ours = [(order.side, self.left[nonce]) for nonce, order in self.open.items() if order.market == market]
        buy = sum(size for side, size in ours if side is Side.BUY)
        sell = sum(size for side, size in ours if side is Side.SELL)
        return max(abs(self.position[market] + buy), abs(self.position[market] - sell))


class Run:
    """An executor's pure parts, its venue, and the log of commands."""

    def __init__(self) -> None:
        self.venue = ScriptedVenue()
        self.log: list[Command] = []
        self.now_us = 1_700_000_000_000_000
        self.grid = 0
        self.offset = 0
        self.displayed: dict[Market, int] = dict.fromkeys(MARKETS, 0)
        self._begin()

    def _begin(self) -> None:
        listings: Any = {market: listing(market) for market in MARKETS}
        self.desk = Desk(self.venue, listings, "demo", LIMITS)
        self.supervisor = Supervisor(self.desk, FLATTEN, BREAKERS, escalate_us=3_000_000)
        for market in MARKETS:
            zero = zero_position(Mode.PAPER, "demo", market, 0, 0, 0)
            self.desk.positions[market] = replace(zero, quantity=self.venue.position[market])
        self.desk.remember(order.nonce for _, order in self.venue.places)
        for offset, command in enumerate(self.log):
            self.supervisor.on_command(command, Cause("c", 0, offset, offset))
        self.supervisor.started()

    # What happens

    def wait(self, micros: int) -> None:
        self.now_us += micros

    def decide(self, market: int, bids: list[int], asks: list[int], fate: str) -> None:
        """Ask for sizes a side, all at the mark."""
        self.grid = max(self.grid + 1, self.now_us // GRID_US)
        self.now_us = max(self.now_us, self.grid * GRID_US)
        self.venue.fate = fate
        cause = Cause("q", 0, self.grid, self.grid)
        self._carry_out(self.desk.decide(self._decision(MARKETS[market], bids, asks), cause, self.now_us))

    def turn(self, fate: str, taken: int) -> None:
        """Let the ladder and the breakers act, with a venue in some mood; takers get so much at most."""
        self.venue.fate, self.venue.taken = fate, taken
        for orders in self.supervisor.turn(self.now_us):
            self._carry_out(orders)
        self.log += self.supervisor.commands
        for offset, command in enumerate(self.supervisor.commands, len(self.log) - len(self.supervisor.commands)):
            self.supervisor.on_command(command, Cause("c", 0, offset, offset))
        self.supervisor.commands.clear()
        if self.level in LEVELS[2:]:
            assert not any(self.desk.working(market) for market in MARKETS)

    def command(self, level: ControlLevel | None) -> None:
        """Halt, or without a level resume; the shell lets the ladder act before anything else is decided."""
        action = ControlAction.RESUME if level is None else ControlAction.HALT
        command = Command(
            command_id=str(len(self.log)),
            mode=Mode.PAPER,
            account="demo",
            action=action,
            level=level,
            issued_by="operator:a@b",
            reason="",
            ts_command=0,
        )
        self.log.append(command)
        self.supervisor.on_command(command, Cause("c", 0, len(self.log) - 1, len(self.log) - 1))
        self.turn("accept", 0)

    def fill(self, number: int, size: int) -> None:
        """Trade some of an open order of the venue's, whether we know of it or not."""
        if self.venue.open:
            nonce = sorted(self.venue.open)[number % len(self.venue.open)]
            self._book(self.desk.take(self.venue.fill(nonce, size)))

    def book(self, market: int, size: int) -> None:
        """Show a book with a size on both sides of the mark, within the cap and beyond it."""
        name, mark = MARKETS[market], MARKS[MARKETS[market]]
        self.displayed[name] = size
        levels = [(TickKind.CLEAR, Side.NONE, 0, 0)]
        levels += [(TickKind.LEVEL, Side.BUY, mark - 1, size), (TickKind.LEVEL, Side.SELL, mark + 1, size)]
        levels += [(TickKind.LEVEL, Side.BUY, mark // 2, 99), (TickKind.LEVEL, Side.SELL, mark * 2, 99)]
        for ordinal, (kind, side, price, of) in enumerate(levels):
            self._tick(name, kind, side, price, of, (ordinal == 0, ordinal == len(levels) - 1))

    def tear(self, market: int) -> None:
        """Say that a feed is gone."""
        self._tick(MARKETS[market], TickKind.STATUS, Side.NONE, 0, 0, (True, True))

    def late(self, count: int) -> None:
        """Let orders have left late."""
        for _ in range(count):
            self.supervisor.observe_latency(2_000_000, self.now_us)

    def restart(self) -> None:
        """Die, and begin anew a second later: the venue cancels all when asked to, and says what is held."""
        self.now_us += 1_000_000
        self.venue.open.clear()
        self._begin()

    def cancel_all(self, fate: str) -> None:
        """Ask for an end of everything."""
        self.venue.fate = fate
        working = {order.nonce for market in MARKETS for order in self.desk.working(market)}
        orders = self.desk.cancel_all(self.now_us)
        assert working <= {request.order.nonce for request in orders.requests} if orders else not working
        self._carry_out(orders)

    # What must hold

    @property
    def level(self) -> ControlLevel | None:
        """The rung, by the log: the highest since the last resume."""
        level = None
        for command in self.log:
            if command.action is ControlAction.RESUME:
                level = None
            elif level is None or LEVELS.index(command.level) > LEVELS.index(level):  # type: ignore[arg-type]
                level = command.level
        return level

    def _carry_out(self, orders: Orders | None) -> None:
        """Send as the shell does; look at each order before and after the venue has it."""
        if orders is None:
            return
        for request in orders.requests:
            if request.action is OrderAction.PLACE:
                self._look_at(request.order)
        self._book(self.desk.submit(orders, self.now_us))

    def _look_at(self, order: Order) -> None:
        level, position = self.level, self.venue.position[order.market]
        assert level not in (ControlLevel.CANCEL_ALL, ControlLevel.DISCONNECT)
        closes = position > 0 if order.side is Side.SELL else position < 0
        if order.is_taker:
            assert order.is_reduce_only
            assert closes
            assert self.venue.worst(order.market) == abs(position)
            assert order.size <= abs(position)
            assert order.size <= self.displayed[order.market] * FLATTEN.participation_pct // 100
            assert abs(order.price - MARKS[order.market]) * 100 <= MARKS[order.market]
        else:
            assert level is not ControlLevel.FLATTEN
        if level is ControlLevel.STOP_NEW and not order.is_taker:
            assert closes
            rest = sum(
                self.venue.left[nonce]
                for nonce, one in self.venue.open.items()
                if (one.market, one.side) == (order.market, order.side)
            )
            assert rest + order.size <= abs(position)
        if level is ControlLevel.WIDEN and not order.is_taker:
            assert order.price != MARKS[order.market]
            assert (order.price < MARKS[order.market]) == (order.side is Side.BUY)

    def check(self) -> None:
        """Compare the venue's own book with the limits."""
        venue = self.venue
        assert sum(venue.worst(market) * MARKS[market] for market in MARKETS) <= LIMITS.gross_notional
        assert all(order.size * order.price <= LIMITS.order_notional for order in venue.open.values())
        assert len(venue.open) <= LIMITS.open_orders
        times = [at for at, _ in venue.places]
        for sent in times:
            assert sum(sent - 1_000_000 < at <= sent for at in times) <= LIMITS.sends_per_s - LIMITS.sends_for_cancels
        nonces = [order.nonce for _, order in venue.places]
        assert len(nonces) == len(set(nonces))

    def _book(self, reports: list[Any]) -> None:
        offsets = range(self.offset, self.offset + len(reports))
        self.offset += len(reports)
        self.desk.booked(list(zip(reports, offsets, strict=True)), 0)

    def _tick(self, market: Market, kind: TickKind, side: Side, price: int, size: int, ends: tuple[bool, bool]) -> None:
        first, last = ends
        self.supervisor.on_tick(
            Tick(
                venue=market[0],
                source="s",
                symbol=market[1],
                kind=kind,
                side=side,
                price=price,
                size=size,
                ts_recv=self.now_us,
                session=1,
                message=1,
                ordinal=0,
                first=first,
                last=last,
            )
        )

    def _decision(self, market: Market, bids: list[int], asks: list[int]) -> QuoteDecision:
        mark = MARKS[market]
        return decision_of(
            decision_id=str(self.grid),
            mode=Mode.PAPER,
            account="demo",
            venue=market[0],
            symbol=market[1],
            ts_grid=self.grid * GRID_US,
            epoch=1,
            verdict=Verdict.QUOTE,
            bids=tuple(QuoteLevel(price=mark, size=size) for size in bids),
            asks=tuple(QuoteLevel(price=mark, size=size) for size in asks),
            mid=mark,
            cause_partition=0,
            cause_first_offset=0,
            cause_offset=0,
        )


MARKET, FATE = st.integers(0, 2), st.sampled_from(FATES)
SIZES = st.lists(st.integers(1, 25), max_size=3)
ACTIONS = st.one_of(
    st.tuples(st.just("decide"), MARKET, SIZES, SIZES, FATE),
    st.tuples(st.just("decide"), MARKET, SIZES, SIZES, st.just("accept")),
    st.tuples(st.just("fill"), st.integers(0, 9), st.integers(1, 25)),
    st.tuples(st.just("turn"), FATE, st.integers(0, 30)),
    st.tuples(st.just("command"), st.sampled_from([None, *LEVELS])),
    st.tuples(st.just("book"), MARKET, st.integers(0, 60)),
    st.tuples(st.just("tear"), MARKET),
    st.tuples(st.just("late"), st.integers(1, 30)),
    st.tuples(st.just("wait"), st.integers(0, 2_500_000)),
    st.tuples(st.just("restart")),
    st.tuples(st.just("cancel_all"), FATE),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(ACTIONS, min_size=5, max_size=50))
def test_no_sequence_of_events_sends_more_than_the_rung_allows(actions: list[tuple[Any, ...]]) -> None:
    """Limits hold by the venue's own book; no name is used twice; halted sends nothing but what its level allows."""
    run = Run()
    for name, *arguments in actions:
        getattr(run, name)(*arguments)
        run.check()


@settings(max_examples=50, deadline=None)
@given(st.lists(ACTIONS, max_size=30))
def test_flatten_ends_with_nothing_held(actions: list[tuple[Any, ...]]) -> None:
    """From wherever an account is, with a venue that answers and books that are shown, as soon as fates are known."""
    run = Run()
    for name, *arguments in actions:
        getattr(run, name)(*arguments)
    run.restart()  # which settles what is unknown
    run.command(None)
    run.command(ControlLevel.FLATTEN)
    for _ in range(12):
        run.wait(400_000)
        for market in range(3):
            run.book(market, 60)
        run.turn("accept", 30)
        run.check()

    assert set(run.venue.position.values()) == {0}
    assert not run.venue.open
