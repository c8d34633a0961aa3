"""The desk: which decisions count, and what becomes of orders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from schemas.enums import Mode, OrderAction, OrderStatus, Side, Verdict
from schemas.records import Cause, OrderIntent, QuoteDecision
from sinks.executor.account.positions import zero_position
from sinks.executor.account.rules import AccountLimits
from sinks.executor.desk import Desk
from sinks.executor.dry_run import DryRunVenue
from sinks.executor.identity import Slot, slot_of
from sinks.executor.paper.venue import PaperVenue
from sinks.executor.port import Answer, Answered, Listings, Moment, Orders

GRID_US = 1_700_000_000_000_000
MARKET = ("sim-sei-clob", "SEI/USDC")
LIMITS = AccountLimits(
    order_notional=10**21, gross_notional=10**22, open_orders=10, sends_per_s=100, sends_for_cancels=50
)
BOOK = ({"9.99": "100"}, {"10.01": "80"})
BID, ASK = ("9.99", "5"), ("10.01", "5")
Decide = Callable[..., QuoteDecision]


def at(offset: int) -> Cause:
    return Cause("trading.quotes", 2, offset, offset)


def actions(orders: Orders | None) -> list[tuple[OrderAction, Side]]:
    intents: tuple[OrderIntent, ...] = orders.intents if orders else ()
    return [(intent.action, intent.side) for intent in intents]


@pytest.fixture
def desk(listings: Listings) -> Desk:
    desk = Desk(PaperVenue(listings), listings, "demo", LIMITS)
    desk.positions[MARKET] = zero_position(Mode.PAPER, "demo", MARKET, 2, 0, 0)
    return desk


@pytest.fixture
def feed(desk: Desk, feed_of: Callable[[Any], Any]) -> Any:
    return feed_of(desk)


def test_a_target_becomes_orders_after_the_latency(desk: Desk, feed: Any, make_decision: Decide) -> None:
    """Intents name the decision; they reach the venue 50 ms after the grid point."""
    feed.snapshot(0, *BOOK)
    decision = make_decision(0, (BID,), (ASK,))

    orders = desk.decide(decision, at(7), now_us=9)

    assert orders is not None
    assert [(i.ts_due, i.tick_offset) for i in orders.intents] == [(decision.ts_grid + 50_000, None)] * 2
    assert [i.decision_id for i in orders.intents] == [decision.decision_id] * 2
    assert [i.order_id for i in orders.intents] == [f"demo|{i.nonce}" for i in orders.intents]
    assert [(i.ts_intent, i.cause_topic, i.cause_offset) for i in orders.intents] == [(9, "trading.quotes", 7)] * 2
    assert desk.submit(orders, 10) == []
    assert [r.status for r in feed.trade(50, Side.SELL, "9.98", "101")] == [
        OrderStatus.OPEN,
        OrderStatus.OPEN,
        OrderStatus.PARTIAL,
    ]


def test_an_unchanged_target_keeps_its_orders(desk: Desk, feed: Any, make_decision: Decide) -> None:
    """Same price and size: the order keeps its place in the queue; what moved is replaced, cancels first."""
    feed.snapshot(0, *BOOK)
    first = desk.decide(make_decision(0, (BID,), (ASK,)), at(1), 0)
    assert first is not None
    desk.submit(first, 0)

    assert desk.decide(make_decision(200, (BID,), (ASK,)), at(2), 0) is None
    moved = desk.decide(make_decision(400, (BID,), (("10.02", "5"),)), at(3), 0)

    assert actions(moved) == [(OrderAction.CANCEL, Side.SELL), (OrderAction.PLACE, Side.SELL)]


@pytest.mark.parametrize("verdict", [Verdict.EMPTY, Verdict.DENIED])
def test_empty_and_denied_cancel_everything(desk: Desk, make_decision: Decide, verdict: Verdict) -> None:
    """Neither asks for orders, whatever levels it names."""
    placed = desk.decide(make_decision(0, (BID,), (ASK,)), at(1), 0)
    assert placed is not None
    desk.submit(placed, 0)

    cancels = desk.decide(make_decision(200, (BID,), verdict=verdict), at(2), 0)

    assert actions(cancels) == [(OrderAction.CANCEL, Side.BUY), (OrderAction.CANCEL, Side.SELL)]


@pytest.mark.parametrize(
    ("late", "why"),
    [
        ({"at_ms": 1_000}, "old_grid"),
        ({"at_ms": 800}, "old_grid"),
        ({"at_ms": 1_200, "epoch": 4}, "old_epoch"),
        ({"at_ms": 1_200, "epoch": 5, "account": "other"}, "foreign"),
        ({"at_ms": 1_200, "epoch": 5, "mode": Mode.DRY_RUN}, "foreign"),
        ({"at_ms": 1_200, "epoch": 5, "symbol": "BTC/USDC"}, "unlisted"),
    ],
)
def test_old_and_foreign_decisions_change_nothing(
    desk: Desk, make_decision: Decide, late: dict[str, Any], why: str
) -> None:
    """Delivered again, older, of a replaced worker, of somebody else: counted and passed over."""
    held = desk.decide(make_decision(1_000, (BID,), epoch=5), at(1), 0)
    assert held is not None
    desk.submit(held, 0)

    assert desk.decide(make_decision(**{"epoch": 5, "asks": (ASK,), **late}), at(2), 0) is None
    assert desk.counts[f"ignored_{why}"] == 1
    assert len(desk.working(MARKET)) == 1


def test_a_decision_behind_the_market_is_not_acted_on(
    listings: Listings, feed_of: Callable[[Any], Any], make_decision: Decide
) -> None:
    """The clock of ticks has moved on by more than two seconds."""
    desk = Desk(DryRunVenue(), listings, "demo", LIMITS)
    desk.positions[MARKET] = zero_position(Mode.DRY_RUN, "demo", MARKET, 2, 0, 0)
    feed_of(desk).snapshot(2_001, *BOOK)

    assert desk.decide(make_decision(0, (BID,), mode=Mode.DRY_RUN), at(1), 0) is None
    assert desk.counts["ignored_stale"] == 1
    assert desk.decide(make_decision(200, (BID,), mode=Mode.DRY_RUN), at(2), 0) is not None


def test_paper_orders_that_would_be_late_are_not_sent(desk: Desk, feed: Any, make_decision: Decide) -> None:
    """They cannot be at the venue before a tick that was applied there; what asks for nothing cancels at once."""
    feed.snapshot(0, *BOOK)
    placed = desk.decide(make_decision(0, (BID,)), at(1), 0)
    assert placed is not None
    desk.submit(placed, 0)
    feed.trade(250, Side.BUY, "10.01", "1")

    assert desk.decide(make_decision(200, (), (ASK,)), at(2), 0) is None
    assert desk.counts["ignored_late"] == 1
    pulled = desk.decide(make_decision(200), at(3), 0)
    assert pulled is not None
    assert [(i.action, i.ts_due, i.tick_offset) for i in pulled.intents] == [
        (OrderAction.CANCEL, None, feed.offset + 1)
    ]


def test_the_latency_counts_from_the_tick_that_a_decision_names(desk: Desk, feed: Any, make_decision: Decide) -> None:
    """From the partition's clock there, however much later the decision is read."""
    feed.snapshot(0, *BOOK)
    feed.trade(203, Side.BUY, "10.01", "1")
    decision = replace(make_decision(200, (BID,)), cause_offset=feed.offset)
    feed.trade(230, Side.BUY, "10.01", "1")

    orders = desk.decide(decision, at(1), 0)

    assert orders is not None
    assert [i.ts_due for i in orders.intents] == [GRID_US + 253_000]


def test_silence_cancels_everything(desk: Desk, make_decision: Decide) -> None:
    """Before the next tick, whichever that is; said once."""
    placed = desk.decide(make_decision(0, (BID,), (ASK,)), at(1), now_us=0)
    assert placed is not None
    desk.submit(placed, 0)

    cancels = desk.silenced([MARKET], 2_000_001)

    assert cancels is not None
    assert actions(cancels) == [(OrderAction.CANCEL, Side.BUY), (OrderAction.CANCEL, Side.SELL)]
    assert [(i.ts_due, i.tick_offset, i.reason) for i in cancels.intents] == [(None, 0, "TARGETS_SILENT")] * 2
    reports = desk.submit(cancels, 2_000_002)
    assert [(r.status, r.reason) for r in reports] == [(OrderStatus.CANCELLED, "TARGETS_SILENT")] * 2
    assert desk.silenced([MARKET], 4_000_000) is None


def test_an_executor_that_ends_cancels_everything(desk: Desk, make_decision: Decide) -> None:
    """Also what is on its way."""
    placed = desk.decide(make_decision(0, (BID,)), at(1), 0)
    assert placed is not None
    desk.submit(placed, 0)

    cancels = desk.cancel_all(0)

    assert cancels is not None
    assert actions(cancels) == [(OrderAction.CANCEL, Side.BUY)]
    assert [r.reason for r in desk.submit(cancels, 1)] == ["EXECUTOR_STOPPED"]
    assert desk.working(MARKET) == []


def test_a_fill_is_booked_with_its_offset(desk: Desk, feed: Any, make_decision: Decide) -> None:
    """Reports that fill nothing leave the position as it is."""
    feed.snapshot(0, *BOOK)
    placed = desk.decide(make_decision(0, (BID,)), at(1), 0)
    assert placed is not None
    desk.submit(placed, 0)
    opened, filled = feed.trade(60, Side.SELL, "9.98", "105")

    assert desk.booked([(opened, 30)], 1) == []
    (position,) = desk.booked([(filled, 31)], 2)

    assert (position.quantity, position.executions_offset, position.fill_count) == (5 * 10**8, 32, 1)
    assert desk.positions[MARKET] == position


def test_a_tick_that_is_delivered_again_changes_nothing(desk: Desk, feed: Any, make_decision: Decide) -> None:
    """Offsets that were applied are passed over: a print fills once."""
    feed.snapshot(0, *BOOK)
    placed = desk.decide(make_decision(0, (("10.00", "5"),)), at(1), 0)
    assert placed is not None
    desk.submit(placed, 0)
    feed.trade(60, Side.SELL, "10.00", "1")
    feed.offset -= 1

    assert feed.trade(60, Side.SELL, "10.00", "1") == []


def test_the_cause_of_an_order_is_the_tick_behind_its_decision(desk: Desk, feed: Any, make_decision: Decide) -> None:
    """Tick to order is measured from there; before that tick is known, from the grid point."""
    feed.snapshot(0, *BOOK)
    feed.trade(203, Side.BUY, "10.01", "1")
    decision = make_decision(200, (BID,))

    known = desk.decide(replace(decision, cause_offset=feed.offset), at(1), 0)
    unknown = desk.decide(make_decision(400, (ASK,)), at(2), 0)

    assert known is not None
    assert known.intents[0].ts_cause == decision.ts_grid + 3_000
    assert unknown is not None
    assert unknown.intents[0].ts_cause == decision.ts_grid + 200_000


def test_a_dry_run_journals_and_never_fills(
    listings: Listings, feed_of: Callable[[Any], Any], make_decision: Decide
) -> None:
    """Its intents say dry_run, targets are still compared, and no execution is ever reported."""
    desk = Desk(DryRunVenue(), listings, "demo", LIMITS)
    desk.positions[MARKET] = zero_position(Mode.DRY_RUN, "demo", MARKET, 2, 0, 0)
    feed = feed_of(desk)
    feed.snapshot(0, *BOOK)
    orders = desk.decide(make_decision(0, (BID,), mode=Mode.DRY_RUN), at(1), 0)
    assert orders is not None

    assert desk.submit(orders, 0) == []
    assert {intent.mode for intent in orders.intents} == {Mode.DRY_RUN}
    assert feed.trade(60, Side.SELL, "9.00", "500") == []
    assert desk.decide(make_decision(200, (BID,), mode=Mode.DRY_RUN), at(2), 0) is None
    cancels = desk.decide(make_decision(400, mode=Mode.DRY_RUN), at(3), 0)
    assert actions(cancels) == [(OrderAction.CANCEL, Side.BUY)]


def test_an_order_names_its_grid_point_and_expires(desk: Desk, make_decision: Decide) -> None:
    """The nonce is the grid point and the slot; the venue forgets the order after a minute, whatever becomes of us."""
    decision = make_decision(200, (BID,), (ASK,))
    orders = desk.decide(decision, at(1), 0)

    assert orders is not None
    names = [slot_of(intent.nonce or 0) for intent in orders.intents]
    assert names == [(decision.ts_grid, Slot(0, Side.BUY, 0)), (decision.ts_grid, Slot(0, Side.SELL, 0))]
    assert {intent.ts_expire for intent in orders.intents} == {decision.ts_grid + 60_000_000}


def test_what_the_journal_holds_is_never_sent_again(desk: Desk, make_decision: Decide) -> None:
    """A decision that is delivered again after a restart, when nothing but the journal remembers it."""
    orders = desk.decide(make_decision(0, (BID,)), at(1), 0)
    assert orders is not None
    restarted = Desk(PaperVenue(desk.listings), desk.listings, "demo", LIMITS)
    restarted.positions = dict(desk.positions)
    restarted.remember(intent.nonce for intent in orders.intents if intent.nonce is not None)

    assert restarted.decide(make_decision(0, (BID,), (ASK,)), at(1), 0) is not None
    assert restarted.counts["repeated_orders"] == 1
    assert [order.side for order in restarted.working(MARKET)] == [Side.SELL]


def test_an_order_is_replaced_before_it_expires(desk: Desk, feed: Any, make_decision: Decide) -> None:
    """After 45 of its 60 seconds, though the target has not changed."""
    feed.snapshot(0, *BOOK)
    placed = desk.decide(make_decision(0, (BID,)), at(1), 0)
    assert placed is not None
    desk.submit(placed, 0)

    assert desk.decide(make_decision(44_800, (BID,)), at(2), 0) is None
    assert actions(desk.decide(make_decision(45_000, (BID,)), at(3), 0)) == [
        (OrderAction.CANCEL, Side.BUY),
        (OrderAction.PLACE, Side.BUY),
    ]


def test_nothing_new_is_sent_beside_an_order_of_unknown_fate(desk: Desk, make_decision: Decide) -> None:
    """Cancels pass; new orders wait until the fate is known."""
    placed = desk.decide(make_decision(0, (BID,)), at(1), 0)
    assert placed is not None
    desk.submit(placed, 0)
    nonce = placed.requests[0].order.nonce
    moment = Moment(GRID_US, 0, at(1))

    (report,) = desk.take([Answered(nonce, Answer.UNANSWERED, moment)])
    changed = desk.decide(make_decision(200, (), (ASK,)), at(2), 0)

    assert report.status is OrderStatus.UNKNOWN
    assert actions(changed) == [(OrderAction.CANCEL, Side.BUY)]
    assert desk.counts["denied_order_unknown"] == 1


def test_a_decision_off_the_grid_is_refused(desk: Desk, make_decision: Decide) -> None:
    """Its orders could not be named."""
    assert desk.decide(make_decision(100, (BID,)), at(1), 0) is None
    assert desk.counts["ignored_off_grid"] == 1


def test_a_pull_cancels_at_once_what_its_grid_point_asked_for(desk: Desk, feed: Any, make_decision: Decide) -> None:
    """Due at its tick and the latency, not at the next grid point; what it took back does not come again."""
    feed.snapshot(0, *BOOK)
    decision = make_decision(0, (BID,), (ASK,))
    placed = desk.decide(decision, at(1), 0)
    assert placed is not None
    desk.submit(placed, 0)
    feed.snapshot(70, {"9.50": "100"}, {"9.52": "80"})
    pull = make_decision(0, verdict=Verdict.DENIED, sequence=1)

    cancels = desk.decide(replace(pull, cause_offset=feed.offset), at(2), 0)

    assert actions(cancels) == [(OrderAction.CANCEL, Side.BUY), (OrderAction.CANCEL, Side.SELL)]
    assert cancels is not None
    assert {intent.ts_due for intent in cancels.intents} == {GRID_US + 120_000}
    assert desk.decide(decision, at(3), 0) is None
    desk.submit(cancels, 0)
    ended = feed.snapshot(121, {"9.50": "100"}, {"9.52": "80"})
    assert [(report.status, report.side) for report in ended] == [
        (OrderStatus.CANCELLED, Side.BUY),
        (OrderStatus.CANCELLED, Side.SELL),
    ]
    assert actions(desk.decide(make_decision(200, (("9.49", "5"),)), at(4), 0)) == [(OrderAction.PLACE, Side.BUY)]
