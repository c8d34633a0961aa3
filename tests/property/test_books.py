"""Books against a dictionary of prices."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.enums import BookState
from tests.ladders import OneSide
from tests.ticks import T0, Feed, Run, px, qty, second

_CHANGES = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), max_size=6)


@given(changes=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3)), max_size=80), is_bid=st.booleans())
def test_a_ladder_is_a_sorted_dictionary(changes: list[tuple[int, int]], is_bid: bool) -> None:
    """And tells truly whether one of the shown levels changed."""
    ladder = OneSide(is_bid=is_bid, depth=3, max_levels=100)
    sizes: dict[int, int] = {}

    for price, size in changes:
        before = ladder.levels(3)
        is_news = ladder.put(price, size)
        sizes[price] = size
        assert is_news == (ladder.levels(3) != before)

    expected = sorted(((price, size) for price, size in sizes.items() if size), reverse=is_bid)
    assert [(level.price, level.size) for level in ladder.levels()] == expected

    again = OneSide(is_bid=is_bid, depth=3, max_levels=100)
    again.ladders.restore(ladder.ladders.state(2))
    assert again.levels() == ladder.levels()


@settings(max_examples=60, deadline=None)
@given(messages=st.lists(st.tuples(st.booleans(), _CHANGES, _CHANGES), min_size=1, max_size=20))
def test_a_book_holds_what_was_said_since_its_last_snapshot(
    messages: list[tuple[bool, list[tuple[int, int]], list[tuple[int, int]]]],
) -> None:
    """The last quote is its best, and it is LIVE exactly if its last CLEAR was a snapshot."""
    run, feed = Run(), Feed()
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    is_live = False

    for clear, bid_changes, ask_changes in messages:
        if not (clear or bid_changes or ask_changes):
            continue
        if clear:
            bids, asks = {}, {}
            is_live = bool(bid_changes or ask_changes)
        bids.update(bid_changes)
        asks.update((20 + price, size) for price, size in ask_changes)
        run.feed(feed.levels(T0, bid_changes, [(20 + price, size) for price, size in ask_changes], clear=clear))
    run.feed(feed.heartbeat(second(1)))

    expected_bids = sorted(((px(price), qty(size)) for price, size in bids.items() if size), reverse=True)
    expected_asks = sorted((px(price), qty(size)) for price, size in asks.items() if size)
    for book in run.normaliser.books():
        assert [(level.price, level.size) for level in book.bids] == expected_bids
        assert [(level.price, level.size) for level in book.asks] == expected_asks
        assert (book.state is BookState.LIVE) == is_live
        quote = run.quotes[-1]
        best = (*(expected_bids or [(None, None)])[0], *(expected_asks or [(None, None)])[0])
        assert (quote.bid_price, quote.bid_size, quote.ask_price, quote.ask_size) == (
            best if is_live else (None, None, None, None)
        )
        assert run.books[-1].bids == book.bids[:20]
