"""What the normaliser accepts, rejects and holds, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from processors.kernel.normalise import NormaliseConfig
from processors.kernel.snapshot import freeze, thaw
from processors.kernel.steps import GapStep, WatermarkStep
from schemas.enums import Flag, Side, TickKind
from schemas.reasons import RejectReason
from tests.ticks import T0, Feed, Run, px, qty, second


def gaps(run: Run) -> int:
    return sum(isinstance(step, GapStep) for step in run.steps)


def test_a_trade_becomes_a_trade_record_and_a_step() -> None:
    """One for one, with its cause."""
    run, feed = Run(), Feed()

    run.feed(feed.heartbeat(T0), feed.trade(second(1), "0.4", 5, Side.SELL, trade_id="x", tx_hash="ab"))

    (trade,) = run.trades
    assert (trade.trade_id, trade.price, trade.size, trade.side) == ("x", px("0.4"), qty(5), Side.SELL)
    assert (trade.cause_topic, trade.cause_partition, trade.cause_first_offset, trade.cause_offset) == (
        "market.ticks",
        0,
        1,
        1,
    )
    assert run.triggers[run.records.index(trade)] == second(1)
    assert trade.flags == 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": TickKind.UNKNOWN}, RejectReason.UNKNOWN_KIND),
        ({"side": Side.NONE}, RejectReason.UNKNOWN_SIDE),
        ({"price": 0}, RejectReason.INVALID_PRICE),
        ({"price": -1}, RejectReason.INVALID_PRICE),
        ({"size": 0}, RejectReason.INVALID_SIZE),
        ({"size": -1}, RejectReason.INVALID_SIZE),
        ({"kind": TickKind.TOP, "side": Side.NONE}, RejectReason.UNKNOWN_SIDE),
        ({"kind": TickKind.TOP, "price": 0}, RejectReason.INVALID_PRICE),
        ({"kind": TickKind.TOP, "size": -1}, RejectReason.INVALID_SIZE),
        ({"kind": TickKind.LEVEL, "side": Side.NONE}, RejectReason.UNKNOWN_SIDE),
        ({"kind": TickKind.LEVEL, "price": 0, "size": 0}, RejectReason.INVALID_PRICE),
        ({"kind": TickKind.LEVEL, "size": -1}, RejectReason.INVALID_SIZE),
    ],
)
def test_a_tick_that_cannot_be_is_rejected_with_its_reason(fields: dict[str, Any], reason: RejectReason) -> None:
    """Nothing is guessed: an unknown side is never BUY."""
    run, feed = Run(), Feed()

    run.feed(replace(feed.trade(T0), **fields), feed.trade(T0))

    assert run.rejects == [(0, reason)]
    assert len(run.trades) == 1


def test_an_undecodable_record_is_counted() -> None:
    """Its bytes are dead-lettered elsewhere; the rest of the batch goes on."""
    run, feed = Run(), Feed()

    run.feed(None, feed.trade(T0))

    assert run.rejects == [(0, RejectReason.UNDECODABLE)]
    assert (run.normaliser.received, run.normaliser.accepted) == (2, 1)


# Duplicates and order


def test_a_redelivered_tick_is_a_duplicate() -> None:
    """Known by session, message and ordinal."""
    run, feed = Run(), Feed()
    beat = feed.heartbeat(T0)
    status = feed.status(T0)

    run.feed(beat, status, beat, status)

    assert run.reasons == [RejectReason.DUPLICATE, RejectReason.DUPLICATE]


def test_a_trade_seen_on_another_connection_is_a_duplicate_by_its_id() -> None:
    """Fail-over and gap-filling read the same trade again."""
    run = Run()

    run.feed(Feed(session=1).trade(T0, trade_id="7"), Feed(session=2).trade(second(1), trade_id="7"))

    assert run.reasons == [RejectReason.DUPLICATE]


def test_a_trade_without_id_is_known_by_all_that_the_venue_said() -> None:
    """The hash leaves out our clock and the connection."""
    run = Run()

    run.feed(
        Feed(session=1).trade(T0, trade_id=None, ts_event=T0),
        Feed(session=2).trade(second(1), trade_id=None, ts_event=T0),
        Feed(session=3).trade(second(1), 101, trade_id=None, ts_event=T0),
    )

    assert run.reasons == [RejectReason.DUPLICATE]
    assert [len(trade.trade_id) for trade in run.trades] == [64, 64]


def test_the_window_of_trade_ids_is_bounded() -> None:
    """The oldest id is forgotten first."""
    run = Run(NormaliseConfig(dedup_window=2))
    feed = Feed()

    run.feed(*[feed.trade(T0, trade_id=key) for key in ("a", "b", "c", "a", "c")])

    assert run.rejects == [(4, RejectReason.DUPLICATE)]


def test_an_older_connection_may_still_bring_trades_but_no_books() -> None:
    """A newer one speaks for the market."""
    run = Run()
    old, new = Feed(session=1), Feed(session=2)
    first = old.trade(T0, trade_id="1")
    run.feed(first, new.trade(T0, trade_id="2"))

    run.feed(old.trade(T0, trade_id="3"), old.trade(T0, trade_id="2"), old.levels(T0, [(1, 1)]))

    assert [trade.trade_id for trade in run.trades] == ["1", "2", "3"]
    assert run.reasons == [RejectReason.DUPLICATE, RejectReason.OUT_OF_ORDER]


def test_a_trade_out_of_order_is_accepted_and_flagged() -> None:
    """Bars place it by its time."""
    run, feed = Run(), Feed()

    run.feed(*[feed.trade(second(2), ts_event=at) for at in (second(1), T0, second(1))])

    assert [bool(trade.flags & Flag.OUT_OF_ORDER) for trade in run.trades] == [False, True, False]


def test_a_quote_that_is_not_newer_is_rejected() -> None:
    """By sequence where the venue gives one, within one connection."""
    run, feed = Run(), Feed()

    run.feed(
        feed.top(T0, 1, 2, sequence=5),
        feed.top(T0, 1, 3, sequence=5),
        feed.top(T0, 1, 4, sequence=4),
        feed.top(T0, 1, 2, 2, sequence=6),
    )

    assert run.reasons == [RejectReason.OUT_OF_ORDER] * 4
    assert [(quote.ask_price, quote.ask_size) for quote in run.quotes] == [(px(2), qty(1)), (px(2), qty(2))]


def test_without_sequences_an_older_quote_is_known_by_its_time() -> None:
    """Equal times are not older."""
    run, feed = Run(), Feed()

    times = ((101, second(1)), (102, T0), (103, second(1)))
    run.feed(*[feed.top(second(2), 100, ask, ts_event=at) for ask, at in times])

    assert [quote.ask_price for quote in run.quotes] == [px(101), px(103)]


# Age and clocks


def test_age_judges_trades_and_tops_only() -> None:
    """A book level may be as old as it likes: it is still the book."""
    run, feed = Run(), Feed()
    old = T0 - 60_000_001

    run.feed(
        feed.trade(T0, ts_event=old),
        feed.top(T0, 1, 2, ts_event=old),
        [replace(tick, ts_event=old) for tick in feed.levels(T0, [(1, 1)], clear=True)],
        feed.trade(T0, ts_event=T0 - 60_000_000),
    )

    assert run.reasons == [RejectReason.TOO_OLD] * 3
    assert len(run.trades) == 1


def test_a_trade_filled_in_after_a_gap_is_not_too_old() -> None:
    """It is late by design."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(T0, ts_event=second(-300), flags=Flag.REPLAYED))

    assert run.reasons == []


def test_a_recorder_behind_the_venue_is_a_flag_not_a_reject() -> None:
    """Event times ahead of our receipt say that clocks disagree."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(T0, ts_event=second(1.25)), feed.trade(T0, ts_event=second(0.4)))

    assert [bool(trade.flags & Flag.CLOCK_SKEW) for trade in run.trades] == [True, False]


def test_a_trade_without_event_time_says_so() -> None:
    """Receipt stands in where a time is needed."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(T0, ts_event=None))

    assert run.trades[0].flags == Flag.NO_EVENT_TIME


# Messages


def test_a_message_is_applied_when_its_last_part_is_here() -> None:
    """Until then its parts are held."""
    run, feed = Run(), Feed()
    *parts, last = feed.levels(T0, [(1, 1)], [(2, 1)], clear=True)

    run.feed(parts)
    assert (run.normaliser.held, run.quotes) == (2, [])

    run.feed(last)
    assert (run.normaliser.held, len(run.quotes)) == (0, 1)


def test_a_message_cut_off_by_the_next_one_is_dropped_whole() -> None:
    """Each of its records is rejected, and the market has a gap."""
    run, feed = Run(), Feed()
    run.feed(feed.levels(T0, [(1, 1)], [(2, 1)], clear=True))

    run.feed(feed.levels(T0, [(1, 2), (3, 1)])[:1], feed.trade(T0))

    assert run.rejects == [(3, RejectReason.INCOMPLETE_MESSAGE)]
    assert run.quotes[-1].state == "GAPPED"
    assert gaps(run) == 1
    assert len(run.trades) == 1


def test_a_message_whose_begin_is_missing_is_dropped() -> None:
    """However many parts follow, it is one gap."""
    run, feed = Run(), Feed()

    run.feed(feed.levels(T0, [(1, 1), (2, 1), (3, 1)])[1:])

    assert run.reasons == [RejectReason.INCOMPLETE_MESSAGE] * 2
    assert gaps(run) == 1


def test_a_message_with_a_hole_is_dropped() -> None:
    """An ordinal is missing: the parts before and after it go."""
    run, feed = Run(), Feed()
    first, _, third, last = feed.levels(T0, [(1, 1), (2, 1), (3, 1), (4, 1)])

    run.feed(first, third, last, feed.levels(T0, [(1, 1)]))

    assert run.reasons == [RejectReason.INCOMPLETE_MESSAGE] * 3
    assert gaps(run) == 1
    assert run.normaliser.accepted == 1


def test_a_new_connection_drops_the_message_that_was_open() -> None:
    """Nobody will end it."""
    run = Run()

    run.feed(Feed(session=1).levels(T0, [(1, 1), (2, 1)])[:1], Feed(session=2).trade(T0))

    assert run.rejects == [(0, RejectReason.INCOMPLETE_MESSAGE)]
    assert gaps(run) == 1


def test_a_message_longer_than_the_bound_is_dropped() -> None:
    """Memory is bounded whatever a source says."""
    run = Run(NormaliseConfig(max_message_records=3))
    feed = Feed()

    run.feed(feed.levels(T0, [(price, 1) for price in range(1, 6)]), feed.levels(T0, [(1, 1), (2, 1)]))

    assert run.reasons == [RejectReason.INCOMPLETE_MESSAGE] * 5
    assert gaps(run) == 1
    assert run.normaliser.accepted == 2


def test_one_bad_part_makes_the_whole_message_bad() -> None:
    """The bad one keeps its own reason."""
    run, feed = Run(), Feed()
    run.feed(feed.levels(T0, [(1, 1)], [(2, 1)], clear=True))

    run.feed(feed.levels(T0, [(1, 2), (1, -1)], [(2, 5)]))

    assert run.reasons == [RejectReason.BAD_MESSAGE, RejectReason.INVALID_SIZE, RejectReason.BAD_MESSAGE]
    assert (run.quotes[-1].state, run.quotes[-1].bid_size) == ("GAPPED", qty(1))
    assert gaps(run) == 1


def test_a_lone_trade_that_is_none_leaves_no_gap() -> None:
    """Nothing that was traded is missing."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(T0, size=0), feed.trade(T0))

    assert gaps(run) == 0


def test_messages_of_two_markets_may_interleave() -> None:
    """A message is open per market."""
    run = Run()
    one, other = Feed("A/USDC", source="s1"), Feed("B/USDC", source="s2")
    first, second_part = one.levels(T0, [(1, 1), (2, 1)])

    run.feed(first, other.levels(T0, [(1, 1), (2, 1)]), second_part)

    assert (run.normaliser.accepted, run.reasons) == (4, [])


# Spikes


def test_a_spike_that_is_not_confirmed_is_rejected() -> None:
    """The price returned to the old level first."""
    run, feed = Run(), Feed()
    run.feed(feed.trade(T0, 100), feed.trade(T0, 150))
    assert run.normaliser.held == 1

    run.feed(feed.trade(T0, 101))

    assert run.rejects == [(1, RejectReason.SPIKE)]
    assert [trade.price for trade in run.trades] == [px(100), px(101)]


def test_three_prints_at_the_new_level_confirm_a_jump() -> None:
    """All of them are accepted, in order, and flagged; the next is no spike."""
    run, feed = Run(), Feed()

    run.feed(*[feed.trade(T0, price) for price in (100, 150, 151, 149, 150)])

    assert run.reasons == []
    assert [trade.price // 10**9 for trade in run.trades] == [100, 150, 151, 149, 150]
    assert [bool(trade.flags & Flag.SPIKE) for trade in run.trades] == [False, True, True, True, False]
    assert [(trade.cause_first_offset, trade.cause_offset) for trade in run.trades][1:4] == [(1, 3), (2, 3), (3, 3)]


def test_a_print_at_the_new_level_after_five_seconds_confirms_it() -> None:
    """Two prints are enough then."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(T0, 100), feed.trade(T0, 150), feed.trade(second(5), 150))

    assert len(run.trades) == 3


def test_a_third_level_disproves_the_second() -> None:
    """It is held in its place."""
    run, feed = Run(), Feed()

    run.feed(*[feed.trade(T0, price) for price in (100, 150, 200)])

    assert run.rejects == [(1, RejectReason.SPIKE)]
    assert run.normaliser.held == 1


@pytest.mark.parametrize(("price", "held"), [(110, 0), (90, 0), ("110.000000001", 1), ("89.999999999", 1)])
def test_the_threshold_is_exact(price: int | str, held: int) -> None:
    """Ten per cent is no spike, a unit more is."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(T0, 100), feed.trade(T0, price))

    assert run.normaliser.held == held


def test_a_duplicate_of_a_held_trade_does_not_confirm_it() -> None:
    """It is the same print."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(T0, 100), *[feed.trade(T0, 150, trade_id="x") for _ in range(3)])

    assert run.reasons == [RejectReason.DUPLICATE] * 2
    assert run.normaliser.held == 1


def test_the_two_sides_of_a_top_are_held_together() -> None:
    """A top is one print, judged apart from trades."""
    run, feed = Run(), Feed()
    run.feed(feed.trade(T0, 200), feed.top(T0, 100, 101), feed.top(T0, 100, 150))
    assert run.normaliser.held == 2

    run.feed(feed.top(T0, 100, 151), feed.top(T0, 100, 152))

    assert [quote.ask_price for quote in run.quotes] == [px(ask) for ask in (101, 150, 151, 152)]
    assert [bool(quote.flags & Flag.SPIKE) for quote in run.quotes] == [False, True, True, True]


def test_an_empty_side_is_no_spike() -> None:
    """It has no price."""
    run, feed = Run(), Feed()

    run.feed(feed.top(T0, 100, 101), feed.top(T0, None, 101), feed.top(T0, 99, 101))

    assert [quote.bid_price for quote in run.quotes] == [px(100), None, px(99)]
    assert run.normaliser.held == 0


# The rest


def test_a_heartbeat_becomes_a_watermark_step() -> None:
    """Also one that promises nothing yet."""
    run, feed = Run(), Feed()

    run.feed(feed.heartbeat(T0), feed.heartbeat(second(1), watermark=T0))

    assert run.steps[0] == WatermarkStep("src", None, 0, T0)
    assert run.steps[-1] == WatermarkStep("src", T0, 1, second(1))


def test_what_is_held_at_the_end_can_be_listed() -> None:
    """In the order of the log, whatever holds it."""
    run, feed = Run(), Feed()
    other = Feed("B/USDC", source="other")

    run.feed(
        feed.trade(T0, 100),
        feed.trade(T0, 150),
        other.levels(T0, [(1, 1), (2, 1)])[:1],
        feed.trade(second(99), 100),
    )

    assert [offset for offset, _ in run.normaliser.pending()] == [1, 2, 3]


def test_a_trimmed_log_leaves_every_market_gapped() -> None:
    """What the lost records said of it is not known."""
    run, feed = Run(), Feed()
    run.feed(feed.levels(T0, [(1, 1)], [(2, 1)], clear=True), Feed("B/USDC", source="b").trade(T0))

    run.normaliser.mark_gap()
    run.feed(feed.heartbeat(second(1)))

    assert gaps(run) == 2
    assert run.quotes[-1].state == "GAPPED"


def test_the_state_comes_back_exactly() -> None:
    """With a candidate, an open message, held spikes and books in it."""
    run, feed = Run(), Feed()
    run.feed(
        feed.levels(T0, [(1, 1)], [(2, 1)], clear=True),
        feed.top(T0, 100, 101),
        feed.top(T0, 100, 150),
        feed.trade(T0, 100),
        feed.trade(T0, 150),
        feed.heartbeat(T0, watermark=T0),
        Feed("B/USDC", source="b").levels(T0, [(1, 1), (2, 1)])[:1],
        feed.trade(T0, 0),
        feed.trade(second(99), 100),
    )
    state = run.snapshot()

    run.restart(thaw(freeze(state)))

    assert run.snapshot() == state
