"""Books: what they hold, whether they may be trusted, what is published of them."""

from __future__ import annotations

from processors.kernel.normalise import NormaliseConfig
from processors.kernel.steps import BookView, GapStep, GridStep
from schemas.enums import BookState, Flag
from schemas.numbers import format_units
from schemas.records import Tick
from tests.ladders import OneSide
from tests.ticks import T0, Feed, Run, px, qty, second


def states(run: Run) -> list[str]:
    return [quote.state for quote in run.quotes]


def view(run: Run) -> BookView:
    step = [step for step in run.steps if isinstance(step, GridStep)][-1]
    return step.books["venue", "SEI/USDC"]


def snapshot(feed: Feed, at: int = T0) -> list[Tick]:
    return feed.levels(at, [(10, 1), (9, 2)], [(11, 1), (12, 2)], clear=True)


def test_a_ladder_keeps_the_best_first() -> None:
    """Bids from the highest, asks from the lowest."""
    bids = OneSide(is_bid=True, depth=2, max_levels=9)
    asks = OneSide(is_bid=False, depth=2, max_levels=9)

    for price in (3, 1, 2):
        bids.put(price, price * 10)
        asks.put(price, price * 10)

    assert [(level.price, level.size) for level in bids.levels()] == [(3, 30), (2, 20), (1, 10)]
    assert [level.price for level in asks.levels(2)] == [1, 2]


def test_a_ladder_tells_whether_a_shown_level_changed() -> None:
    """Changes below the depth, and those that change nothing, are no news."""
    bids = OneSide(is_bid=True, depth=2, max_levels=9)
    assert all(bids.put(price, 1) for price in (5, 6))

    assert not bids.put(4, 1)
    assert not bids.put(4, 2)
    assert not bids.put(6, 1)
    assert not bids.put(7, 0)
    assert bids.put(5, 3)
    assert bids.put(6, 0)
    assert bids.put(4, 0)


def test_a_ladder_forgets_the_worst_level_beyond_its_bound() -> None:
    """An endless feed cannot grow it."""
    asks = OneSide(is_bid=False, depth=2, max_levels=3)

    for price in (5, 4, 3, 2, 6):
        asks.put(price, 1)

    assert [level.price for level in asks.levels()] == [2, 3, 4]


def test_a_book_is_live_after_its_snapshot() -> None:
    """CLEAR and levels of one message."""
    run, feed = Run(), Feed()

    run.feed(snapshot(feed), feed.levels(T0, [(10, 0), (8, 5)], [(11, 4)]))

    (book,) = run.normaliser.books()
    assert book.state is BookState.LIVE
    assert [(format_units(x.price, 9), format_units(x.size, 8)) for x in book.bids] == [("9", "2"), ("8", "5")]
    assert [(format_units(x.price, 9), format_units(x.size, 8)) for x in book.asks] == [("11", "4"), ("12", "2")]


def test_levels_alone_never_make_a_book_live() -> None:
    """They count as records, but the book misses what was before them, and its best is not known."""
    run, feed = Run(), Feed()

    run.feed(feed.levels(T0, [(10, 1)], [(11, 1)]))

    assert run.normaliser.accepted == 2
    assert [(quote.state, quote.bid_price) for quote in run.quotes] == [(BookState.SYNCING, None)]


def test_a_clear_alone_forgets_the_book() -> None:
    """No snapshot is not an empty snapshot."""
    run, feed = Run(), Feed()

    run.feed(snapshot(feed), feed.levels(T0, clear=True), feed.levels(T0, [(10, 1)]))

    (book,) = run.normaliser.books()
    assert (book.state, len(book.bids), book.asks) == (BookState.SYNCING, 1, ())


def test_deleting_an_unknown_level_is_normal() -> None:
    """Venues send it."""
    run, feed = Run(), Feed()

    run.feed(snapshot(feed), feed.levels(T0, [(3, 0)]))

    assert run.reasons == []
    assert states(run) == ["LIVE"]


def test_a_crossed_book_is_kept_as_it_is() -> None:
    """Whether to quote on it is a matter of risk."""
    run, feed = Run(), Feed()

    run.feed(snapshot(feed), feed.levels(T0, [(13, 1)]))

    assert (run.quotes[-1].bid_price, run.quotes[-1].ask_price) == (px(13), px(11))


def test_status_says_gapped_until_the_next_snapshot() -> None:
    """Levels in between do not cure it."""
    run, feed = Run(), Feed()

    run.feed(snapshot(feed), feed.status(T0, Flag.GAPPED), feed.levels(T0, [(10, 5)]), snapshot(feed))

    assert states(run) == ["LIVE", "GAPPED", "GAPPED", "LIVE"]
    assert run.quotes[1].flags & Flag.GAPPED
    assert sum(isinstance(step, GapStep) for step in run.steps) == 1


def test_a_stale_book_is_live_again_when_its_feed_speaks() -> None:
    """Silent is not wrong: a hole would be said to be one."""
    run, feed = Run(), Feed()

    run.feed(snapshot(feed), feed.status(T0, Flag.STALE), feed.heartbeat(T0), feed.levels(T0, [(10, 5)]))

    assert states(run) == ["LIVE", "STALE", "LIVE"]
    assert run.quotes[1].bid_price == px(10)


def test_status_without_flags_says_that_the_feed_starts_anew() -> None:
    """The book waits for its snapshot."""
    run, feed = Run(), Feed()

    run.feed(snapshot(feed), feed.status(T0), snapshot(feed))

    assert states(run) == ["LIVE", "SYNCING", "LIVE"]


def test_a_market_of_which_only_the_status_is_known_has_an_empty_book() -> None:
    """As of a recording without a snapshot."""
    run, feed = Run(), Feed()

    run.feed(feed.status(T0))

    (book,) = run.normaliser.books()
    assert (book.state, book.bids, book.asks) == (BookState.SYNCING, (), ())


def test_a_new_connection_ends_the_old_book() -> None:
    """Also when the one before was lost without a word."""
    run = Run()

    run.feed(snapshot(Feed(session=1)), Feed(session=2).trade(T0))

    assert states(run) == ["LIVE", "SYNCING"]
    assert sum(isinstance(step, GapStep) for step in run.steps) == 1


def test_another_sources_levels_do_not_continue_a_book() -> None:
    """Its sequence is another."""
    run = Run()

    run.feed(snapshot(Feed(source="a")), Feed(source="b").levels(T0, [(10, 7)]))

    assert states(run) == ["LIVE", "SYNCING"]


def test_a_book_whose_source_is_silent_is_stale_at_the_next_grid_point() -> None:
    """Judged from the partition's clock, so by records; and live again when the source is heard."""
    run, feed = Run(), Feed()
    other = Feed("B/USDC", source="other")
    run.feed(snapshot(feed))

    run.feed([other.trade(second(s), trade_id=str(s)) for s in range(1, 13)])
    assert states(run) == ["LIVE", "STALE"]
    assert view(run).state is BookState.STALE

    run.feed(feed.heartbeat(second(12.1)), other.trade(second(12.3), trade_id="x"))
    assert states(run) == ["LIVE", "STALE", "LIVE"]


def test_a_heartbeat_confirms_a_quiet_book() -> None:
    """ts_change is the last time at which the book was known to be right."""
    run, feed = Run(), Feed()

    run.feed(snapshot(feed), feed.heartbeat(second(1)), feed.heartbeat(second(2)), feed.heartbeat(second(3)))

    assert view(run).ts_change == second(2)
    assert view(run).bids[0].price == px(10)


def test_a_heartbeat_of_another_connection_does_not_confirm_a_book() -> None:
    """It says nothing about what the old one knew."""
    run = Run()
    old, new = Feed(session=1), Feed(session=2)

    run.feed(snapshot(old), new.heartbeat(second(1)), new.heartbeat(second(2)))

    assert view(run).ts_change == T0


def test_quotes_are_made_on_change_only() -> None:
    """Changes behind the best level are none."""
    run, feed = Run(), Feed()

    run.feed(snapshot(feed), feed.levels(T0, [(9, 7)]), feed.levels(T0, [(10, 7)]), feed.levels(T0, [(10, 7)]))

    assert [quote.bid_size for quote in run.quotes] == [qty(1), qty(7)]


def test_quotes_come_from_tops_where_the_venue_sends_them() -> None:
    """The book goes on beside them."""
    run, feed = Run(), Feed()

    run.feed(feed.top(T0, 100, 101), snapshot(feed), feed.top(T0, 100, 102))

    assert [quote.ask_price for quote in run.quotes] == [px(101), px(102)]


def test_a_market_without_depth_shows_its_top_at_the_grid() -> None:
    """A view has one level a side then, and there is no book record."""
    run, feed = Run(), Feed()

    run.feed(feed.top(T0, 100, None, 3), feed.heartbeat(second(1)))

    shown = view(run)
    assert (shown.state, [(x.price, x.size) for x in shown.bids], shown.asks) == ("LIVE", [(px(100), qty(3))], ())
    assert run.books == []


def test_a_book_record_shows_the_best_levels_and_is_conflated() -> None:
    """Many changes between two points are one record, with the range of its causes."""
    run = Run(NormaliseConfig(book_depth=2))
    feed = Feed()

    run.feed(
        feed.levels(T0, [(price, 1) for price in (7, 8, 9)], [(11, 1)], clear=True),
        feed.levels(T0 + 1, [(9, 5)]),
        feed.trade(second(1)),
        feed.trade(second(2)),
    )

    (book,) = run.books
    assert [(level.price, level.size) for level in book.bids] == [(px(9), qty(5)), (px(8), qty(1))]
    assert (book.cause_first_offset, book.cause_offset, book.ts_recv) == (4, 6, T0 + 1)


def test_a_change_below_the_shown_levels_makes_no_book_record() -> None:
    """What is published did not change."""
    run = Run(NormaliseConfig(book_depth=1))
    feed = Feed()
    run.feed(snapshot(feed), feed.trade(second(1)))

    run.feed(feed.levels(second(1), [(9, 9)]), feed.trade(second(2)))

    assert len(run.books) == 1


def test_a_change_of_state_is_published() -> None:
    """A book that is not LIVE any more must be known as such."""
    run, feed = Run(), Feed()

    run.feed(snapshot(feed), feed.trade(second(1)), feed.status(second(1), Flag.GAPPED), feed.trade(second(2)))

    assert [book.state for book in run.books] == ["LIVE", "GAPPED"]
    assert run.books[-1].flags & Flag.GAPPED


def test_a_lost_top_does_not_hurt_the_depth() -> None:
    """Each feed is judged by what it lost; the next top cures it."""
    run, feed = Run(), Feed()
    run.feed(snapshot(feed), feed.top(T0, 100, 101))

    run.feed(feed.top(T0, 100, 102, size=-1), feed.heartbeat(second(1)))
    assert (states(run)[-1], view(run).state) == ("GAPPED", "LIVE")

    run.feed(feed.top(second(1), 100, 102))
    assert states(run)[-1] == "LIVE"
