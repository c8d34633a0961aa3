"""A desk held back: each rung's effect at once, breakers, and positions closed slice by slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from schemas.enums import ControlAction, ControlLevel, Mode, OrderAction, OrderStatus, Side, TickKind, TimeInForce
from schemas.numbers import PRICE_SCALE, SIZE_SCALE, to_units
from schemas.records import Cause, Command, ExecutionReport, OrderIntent, QuoteDecision, Tick
from sinks.executor.account.positions import zero_position
from sinks.executor.account.rules import AccountLimits
from sinks.executor.control.breakers import BreakerLimits
from sinks.executor.control.flatten import FlattenLimits
from sinks.executor.control.supervisor import Supervisor
from sinks.executor.desk import Desk
from sinks.executor.identity import FLATTEN_LEVEL, slot_of
from sinks.executor.paper.venue import PaperVenue
from sinks.executor.port import Listings

GRID_US = 1_700_000_000_000_000
MARKET = ("sim-sei-clob", "SEI/USDC")
BOOK = ({"9.99": "100"}, {"10.01": "80"})
BID, ASK = ("9.99", "5"), ("10.01", "5")
LIMITS = AccountLimits(
    order_notional=10**21, gross_notional=10**22, open_orders=10, sends_per_s=100, sends_for_cancels=50
)
FLATTEN = FlattenLimits(
    price_bps=50, participation_pct=25, order_notional=10**21, interval_us=1_000_000, book_age_us=2_000_000
)
BREAKERS = BreakerLimits(
    latency_us=1_000_000,
    latency_window_us=10_000_000,
    position_notional=to_units("10.00", PRICE_SCALE) * to_units("100", SIZE_SCALE),
    inventory_pct=150,
    rest_us=1_000_000,
    trial_us=1_000_000,
)


def size(text: str) -> int:
    return to_units(text, SIZE_SCALE)


class Account:
    """A desk on paper under a supervisor, and the shell around them; times in milliseconds after the grid point."""

    def __init__(
        self,
        listings: Listings,
        feed_of: Callable[[Any], Any],
        decide: Callable[..., QuoteDecision],
        limits: AccountLimits = LIMITS,
    ) -> None:
        self.desk = Desk(PaperVenue(listings), listings, "demo", limits)
        self.desk.positions[MARKET] = zero_position(Mode.PAPER, "demo", MARKET, 2, 0, 0)
        self.supervisor = Supervisor(self.desk, FLATTEN, BREAKERS, escalate_us=5_000_000)
        self.feed = feed_of(self)
        self.intents: list[OrderIntent] = []
        self.reports: list[ExecutionReport] = []
        self._decide = decide
        self._commands = 0

    def on_tick(self, tick: Tick, cause: Cause, now_us: int) -> list[ExecutionReport]:
        self.supervisor.on_tick(tick)
        return self._book(self.desk.on_tick(tick, cause, now_us))

    def hold(self, quantity: str) -> None:
        self.desk.positions[MARKET] = replace(self.desk.positions[MARKET], quantity=size(quantity))

    @property
    def held(self) -> int:
        return self.desk.positions[MARKET].quantity

    def decide(self, at_ms: int, *, bids: Any = (BID,), asks: Any = (ASK,)) -> None:
        now_us = GRID_US + at_ms * 1_000
        cause = Cause("trading.quotes", 2, at_ms, at_ms)
        self._carry_out(self.desk.decide(self._decide(at_ms, bids, asks), cause, now_us), now_us)

    def command(self, level: ControlLevel | None, at_ms: int) -> list[OrderIntent]:
        """Halt, or without a level resume; give what that makes the executor do."""
        self._commands += 1
        action = ControlAction.RESUME if level is None else ControlAction.HALT
        command = Command(
            command_id=f"c{self._commands}",
            mode=Mode.PAPER,
            account="demo",
            action=action,
            level=level,
            issued_by="operator:a@b",
            reason="test",
            ts_command=0,
        )
        place = self._commands
        self.supervisor.on_command(command, Cause("control.commands", 0, place, place))
        return self.turn(at_ms)

    def turn(self, at_ms: int) -> list[OrderIntent]:
        before, now_us = len(self.intents), GRID_US + at_ms * 1_000
        for orders in self.supervisor.turn(now_us):
            self._carry_out(orders, now_us)
        return self.intents[before:]

    def working(self) -> list[tuple[Side, int]]:
        return [(order.side, order.price) for order in self.desk.working(MARKET)]

    def codes(self) -> list[str]:
        notices, self.supervisor.notices = self.supervisor.notices, []
        return [notice.code for notice in notices]

    def _carry_out(self, orders: Any, now_us: int) -> None:
        if orders is not None:
            self.intents += orders.intents
            self._book(self.desk.submit(orders, now_us))

    def _book(self, reports: list[ExecutionReport]) -> list[ExecutionReport]:
        offsets = range(len(self.reports), len(self.reports) + len(reports))
        self.desk.booked(list(zip(reports, offsets, strict=True)), 0)
        self.reports += reports
        return reports


@pytest.fixture
def account(listings: Listings, feed_of: Any, make_decision: Any) -> Account:
    """Quoting on both sides of a book."""
    account = Account(listings, feed_of, make_decision)
    account.feed.snapshot(0, *BOOK)
    account.decide(0)
    account.feed.snapshot(60, *BOOK)
    assert len(account.working()) == 2
    return account


def actions(intents: list[OrderIntent]) -> list[tuple[OrderAction, Side]]:
    return [(intent.action, intent.side) for intent in intents]


def test_without_a_command_nothing_is_held_back(account: Account) -> None:
    """A turn asks for nothing."""
    assert account.turn(100) == []
    assert account.codes() == []


def test_widen_pulls_what_is_too_near_and_quotes_further_out(account: Account) -> None:
    """At once; the intents of the next decision say why their prices are not its own."""
    pulled = account.command(ControlLevel.WIDEN, 100)
    account.decide(200)

    assert actions(pulled) == [(OrderAction.CANCEL, Side.BUY), (OrderAction.CANCEL, Side.SELL)]
    assert account.working() == [(Side.BUY, 9_980_000_000), (Side.SELL, 10_020_000_000)]
    assert [intent.reason for intent in account.intents[-2:]] == ["WIDENED", "WIDENED"]
    assert account.turn(300) == []


def test_stop_new_leaves_what_closes(account: Account) -> None:
    """Long 7: the sell of 5 stays, the buy goes and does not come back."""
    account.hold("7")

    cancelled = account.command(ControlLevel.STOP_NEW, 100)
    account.decide(200)

    assert actions(cancelled) == [(OrderAction.CANCEL, Side.BUY)]
    assert [side for side, _ in account.working()] == [Side.SELL]
    assert account.desk.counts["denied_trading_reducing"] == 1


def test_stop_new_follows_the_position(account: Account) -> None:
    """When it has shrunk below what rests, that goes too."""
    account.hold("7")
    account.command(ControlLevel.STOP_NEW, 100)
    account.hold("4")

    assert actions(account.turn(110)) == [(OrderAction.CANCEL, Side.SELL)]


@pytest.mark.parametrize("level", [ControlLevel.CANCEL_ALL, ControlLevel.FLATTEN, ControlLevel.DISCONNECT])
def test_from_cancel_all_on_nothing_rests(account: Account, level: ControlLevel) -> None:
    """Cancelled at once, naming the command; decisions bring nothing back until a resume."""
    cancelled = account.command(level, 100)
    account.decide(200)

    assert actions(cancelled) == [(OrderAction.CANCEL, Side.BUY), (OrderAction.CANCEL, Side.SELL)]
    assert {(i.decision_id, i.cause_topic, i.cause_offset) for i in cancelled} == {("c1", "control.commands", 1)}
    assert [r.reason for r in account.reports if r.status is OrderStatus.CANCELLED] == ["TRADING_HALTED"] * 2
    assert account.working() == []
    assert account.desk.counts["denied_trading_halted"] == 2
    account.command(None, 300)
    account.decide(400)
    assert len(account.working()) == 2
    assert account.codes() == ["HALTED", "RESUMED"]


def test_disconnect_is_silent_once_nothing_is_left(account: Account) -> None:
    """While an order may live the venue is still asked about it."""
    nonces = [order.nonce for order in account.desk.working(MARKET)]
    account.desk.venue = Mute(account.desk.venue)  # type: ignore[assignment]
    account.command(ControlLevel.DISCONNECT, 100)

    assert not account.supervisor.is_silent
    for nonce in nonces:
        account.desk.blotter.cancelled(nonce)
    assert account.supervisor.is_silent
    assert account.supervisor.gauges()["ladder.rung"] == 5


def test_flatten_closes_slice_by_slice(account: Account) -> None:
    """A quarter of the displayed 100 each second, taking and reduce-only, each once, until nothing is held."""
    account.hold("40")
    account.command(ControlLevel.FLATTEN, 100)

    assert account.intents[-1].reason == "FLATTENED"
    for at_ms in range(150, 2_500, 50):
        account.feed.snapshot(at_ms, *BOOK)
        account.turn(at_ms)

    slices = [intent for intent in account.intents if intent.reason == "FLATTENED"]
    assert [(i.side, i.size) for i in slices] == [(Side.SELL, size("25")), (Side.SELL, size("15"))]
    assert all(i.reduce_only and i.time_in_force is TimeInForce.IOC for i in slices)
    assert [slot_of(i.nonce or 0)[1].level for i in slices] == [FLATTEN_LEVEL] * 2
    assert (account.held, account.desk.blotter.live_count) == (0, 0)
    assert account.codes() == ["HALTED", "FLATTEN_BEGAN", "FLATTEN_ENDED"]


def test_flatten_waits_for_orders_that_may_fill(account: Account) -> None:
    """One of unknown fate keeps its market from being closed; after a while that is said once."""
    account.hold("40")
    account.desk.venue = Mute(account.desk.venue)  # type: ignore[assignment]
    account.command(ControlLevel.FLATTEN, 100)

    for at_ms in (200, 1_200, 2_200, 3_200):
        account.feed.snapshot(at_ms, *BOOK)
        assert account.turn(at_ms) == []
    assert account.codes() == ["HALTED", "FLATTEN_BEGAN", "FLATTEN_BLOCKED"]


def test_flatten_does_nothing_on_a_book_that_is_not_known(account: Account, make_tick: Callable[..., Tick]) -> None:
    """It goes on when there is one."""
    account.hold("40")
    account.feed.message(100, make_tick(kind=TickKind.STATUS))

    assert [i.action for i in account.command(ControlLevel.FLATTEN, 110)] == [OrderAction.CANCEL] * 2
    assert account.turn(2_200) == []
    assert account.codes() == ["HALTED", "FLATTEN_BEGAN", "FLATTEN_BLOCKED"]
    account.feed.snapshot(2_300, *BOOK)
    assert [i.reason for i in account.turn(2_310)] == ["FLATTENED"]


def test_inventory_closes_what_is_past_the_limit(account: Account) -> None:
    """160 of a limit of 100 at 10: quotes go, the position is closed to 100, then what reduces may rest."""
    account.hold("160")
    for at_ms in range(100, 4_000, 100):
        account.feed.snapshot(at_ms, {"9.99": "200"}, {"10.01": "200"})
        account.turn(at_ms)

    slices = [intent for intent in account.intents if intent.reason == "FLATTENED"]
    assert [(i.side, i.size) for i in slices] == [(Side.SELL, size("50")), (Side.SELL, size("10"))]
    assert {i.decision_id for i in slices} == {"breaker:INVENTORY"}
    assert account.held == size("100")
    assert account.codes() == [
        "BREAKER_OPEN",
        "FLATTEN_BEGAN",
        "FLATTEN_ENDED",
        "BREAKER_HALF_OPEN",
        "BREAKER_CLOSED",
    ]


def test_inventory_that_cannot_be_closed_halts_the_account(account: Account) -> None:
    """By a command, which holds over restarts; once."""
    account.hold("160")
    for at_ms in range(100, 7_000, 500):
        account.turn(at_ms)

    (command,) = account.supervisor.commands
    assert (command.action, command.level, command.issued_by) == (
        ControlAction.HALT,
        ControlLevel.STOP_NEW,
        "breaker:INVENTORY",
    )


def test_late_orders_widen_quotes(account: Account) -> None:
    """And they are wide until orders are in time again."""
    for number in range(20):
        account.supervisor.observe_latency(2_000_000, GRID_US + number)

    assert actions(account.turn(1_000)) == [(OrderAction.CANCEL, Side.BUY), (OrderAction.CANCEL, Side.SELL)]
    account.decide(1_200)
    assert account.working() == [(Side.BUY, 9_980_000_000), (Side.SELL, 10_020_000_000)]
    assert account.codes() == ["BREAKER_OPEN"]


def test_who_could_not_hear_of_a_halt_cancels_everything(account: Account) -> None:
    """Until commands can be read again."""
    account.supervisor.hear(is_heard=False)

    assert actions(account.turn(100)) == [(OrderAction.CANCEL, Side.BUY), (OrderAction.CANCEL, Side.SELL)]
    account.decide(200)
    assert account.working() == []
    account.supervisor.hear(is_heard=True)
    account.turn(300)
    account.decide(400)
    assert len(account.working()) == 2
    assert account.codes() == ["COMMANDS_UNHEARD", "COMMANDS_HEARD"]


def test_what_was_read_at_the_start_is_told_as_it_stands(account: Account) -> None:
    """The rung in force once, not its history."""
    account.command(ControlLevel.WIDEN, 100)
    account.command(None, 100)
    account.command(ControlLevel.CANCEL_ALL, 100)

    account.supervisor.started()

    assert account.codes() == ["HALTED"]


class Mute:
    """A venue whose answers to whatever is sent are lost."""

    def __init__(self, venue: Any) -> None:
        self._venue = venue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._venue, name)

    def submit(self, orders: Any, now_us: int) -> list[Any]:
        return []


def test_a_loss_beyond_its_limit_leaves_only_reductions_until_a_person_resumes(
    listings: Listings, feed_of: Callable[[Any], Any], make_decision: Callable[..., QuoteDecision]
) -> None:
    """What rests and could make the position larger is cancelled at once, and people are told; once."""
    limits = replace(LIMITS, drawdown=20 * 10**17, daily_loss=20 * 10**17)
    account = Account(listings, feed_of, make_decision, limits)
    money = account.desk.count_money({"USDC": 10**22, "SEI": 10**22})
    account.hold("10")
    account.feed.snapshot(0, *BOOK)
    account.decide(200)
    money.observe(GRID_US)
    assert account.turn(300) == []
    assert {side for side, _ in account.working()} == {Side.BUY, Side.SELL}

    account.desk.value(MARKET, to_units("7.99", PRICE_SCALE))
    money.observe(GRID_US)
    cancels = account.turn(400)
    assert [(one.action, one.side, one.reason) for one in cancels] == [
        (OrderAction.CANCEL, Side.BUY, "TRADING_HALTED"),
    ]
    assert cancels[0].decision_id == "limit:DRAWDOWN"
    account.turn(500)
    assert account.codes() == ["LOSS_LIMIT"]
    assert account.desk.counts["denied_drawdown"] == 0
    account.decide(600)
    assert account.desk.counts["denied_trading_reducing"] + account.desk.counts["denied_drawdown"] == 1

    account.command(None, 700)
    assert account.codes() == ["LOSS_LIMIT_ENDED"]
    account.decide(800)
    assert {side for side, _ in account.working()} == {Side.BUY, Side.SELL}
