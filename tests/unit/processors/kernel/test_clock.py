"""The partition's clock, its grid and its candidate."""

from __future__ import annotations

from processors.kernel.steps import GridStep
from schemas.enums import Flag, Side, TickKind
from schemas.reasons import RejectReason
from schemas.records import Tick
from tests.ticks import T0, Feed, Run, px, second


def grid(run: Run) -> list[int]:
    return [step.ts_grid - T0 for step in run.steps if isinstance(step, GridStep)]


def watchdog(at: int, session: int = 1, message: int = 0) -> Tick:
    return Tick(
        venue="",
        source="watchdog",
        symbol="",
        kind=TickKind.HEARTBEAT,
        side=Side.NONE,
        price=0,
        size=0,
        ts_recv=at,
        session=session,
        message=message,
        ordinal=0,
        first=True,
        last=True,
    )


def test_the_first_record_sets_the_clock_and_fires_no_grid_point() -> None:
    """Grid points lie after the first record, even one exactly on the grid."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(T0))

    assert run.normaliser.clock_us == T0
    assert grid(run) == []


def test_a_grid_point_comes_before_the_record_that_crosses_it() -> None:
    """A trade received at the grid point itself is not seen by it."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(T0 + 1), feed.trade(T0 + 200_000))

    assert [type(step).__name__ for step in run.steps] == ["TradeStep", "GridStep", "TradeStep"]
    assert grid(run) == [200_000]
    assert (run.steps[1].offset, run.steps[1].ts_trigger) == (1, T0 + 200_000)  # type: ignore[union-attr]


def test_after_a_jump_only_the_last_grid_point_fires() -> None:
    """Nothing changed in between."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(T0), feed.trade(second(3.3)))

    assert grid(run) == [3_200_000]


def test_a_book_is_published_at_10_hz_also_between_grid_points() -> None:
    """Books have a finer grid, which contains the other."""
    run, feed = Run(), Feed()

    run.feed(feed.levels(T0, [(1, 1)], [(2, 1)], clear=True), feed.trade(T0 + 100_000), feed.trade(T0 + 350_000))

    assert [book.ts_grid - T0 for book in run.books] == [100_000]
    assert grid(run) == [200_000]


def test_the_clock_never_goes_back() -> None:
    """A record received earlier than the one before changes nothing of time."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(second(1)), feed.trade(T0))

    assert run.normaliser.clock_us == second(1)
    assert len(run.trades) == 2


def test_a_record_far_ahead_is_held_and_forgotten_when_the_next_one_disagrees() -> None:
    """One wrong clock cannot move the partition's time."""
    run, feed = Run(), Feed()
    run.feed(feed.trade(T0), feed.trade(second(100)))
    assert run.normaliser.held == 1

    run.feed(feed.trade(second(1)))

    assert run.rejects == [(1, RejectReason.CLOCK_SKEW)]
    assert run.normaliser.clock_us == second(1)
    assert len(run.trades) == 2


def test_the_next_message_within_five_seconds_confirms_the_candidate() -> None:
    """The clock jumps to the candidate, which is applied first and flagged."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(T0, 1), feed.trade(second(100), 1), feed.trade(second(98), 1))

    assert run.normaliser.clock_us == second(100)
    assert [trade.cause_first_offset for trade in run.trades] == [0, 1, 2]
    assert [bool(trade.flags & Flag.CLOCK_SKEW) for trade in run.trades] == [False, True, False]
    assert run.reasons == []


def test_the_candidates_grid_point_is_caused_by_the_record_that_confirmed_it() -> None:
    """Causes never go back in the log."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(T0), feed.trade(second(100)), feed.trade(second(100)))

    (step,) = [step for step in run.steps if isinstance(step, GridStep)]
    assert (step.ts_grid, step.offset) == (second(100), 2)


def test_parts_of_the_candidates_own_message_do_not_confirm_it() -> None:
    """They share its clock."""
    run, feed = Run(), Feed()
    run.feed(feed.trade(T0))

    run.feed(feed.top(second(100), 100, 102))
    assert run.normaliser.held == 2

    run.feed(feed.top(second(100), 100, 103))
    assert run.normaliser.held == 0
    assert [quote.ask_price for quote in run.quotes] == [px(102), px(103)]


def test_a_second_record_as_far_ahead_in_another_direction_becomes_the_candidate() -> None:
    """Each candidate must be confirmed by itself."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(T0), feed.trade(second(100)), feed.trade(second(200)), feed.trade(second(201)))

    assert run.rejects == [(1, RejectReason.CLOCK_SKEW)]
    assert run.normaliser.clock_us == second(201)


def test_a_book_change_that_is_forgotten_leaves_the_book_gapped() -> None:
    """A message that is not applied makes the book wrong."""
    run, feed = Run(), Feed()
    run.feed(feed.levels(T0, [(1, 1)], [(2, 1)], clear=True))

    run.feed(feed.levels(second(60), [(1, 2)]), feed.trade(T0 + 1))

    assert run.quotes[-1].state == "GAPPED"


def test_a_watchdog_tick_advances_the_clock_however_far_it_is() -> None:
    """It is how time passes in a silent log; it needs no confirmation, and workers need not agree on sessions."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(T0), watchdog(second(60), session=9), watchdog(second(61), session=3))

    assert run.normaliser.clock_us == second(61)
    assert run.reasons == []


def test_a_watchdog_tick_does_not_disprove_a_candidate() -> None:
    """It is our own time, not another witness."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(T0), feed.trade(second(1000)), watchdog(second(3)))
    assert run.normaliser.held == 1

    run.feed(feed.trade(second(1001)))
    assert len(run.trades) == 3


def test_a_watchdog_tick_near_the_candidate_confirms_it() -> None:
    """Time reached it by itself."""
    run, feed = Run(), Feed()

    run.feed(feed.trade(T0), feed.trade(second(8)), watchdog(second(4)))

    assert run.normaliser.held == 0
    assert run.normaliser.clock_us == second(8)
