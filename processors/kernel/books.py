"""The book of a market, its best bid and ask, and whether either may be trusted, in compiled code.

A market has up to two feeds of prices: its depth (CLEAR and LEVEL) and its top (TOP). Each has a state:

    SYNCING   no complete snapshot since the connection was made (a top: no quote)
    LIVE      complete, and its source is heard
    STALE     complete, but the source or the subscription fell silent
    GAPPED    something is missing; only a snapshot (a top: the next quote) cures it
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import from_dtype, int64, types

from processors.kernel.ladder import LADDERS, LEVELS, copy_best, put
from schemas.columns import KINDS, SIDES
from schemas.columns.books import BOOK_ROW
from schemas.columns.rows import row_dtype
from schemas.compiled import Array, compiled
from schemas.enums import BookState, Flag, Side, TickKind
from schemas.records import Quote

__all__ = [
    "BEAT",
    "BOOK",
    "BOOKS",
    "DEPTH",
    "FEED",
    "HEARD",
    "SHOWN",
    "STATES",
    "TOP",
    "apply_depth",
    "apply_top",
    "evaluate",
    "marks_of",
    "miss",
    "note_status",
    "show_views",
    "state_of",
]


def _dtype(names: str) -> np.dtype[Any]:
    return np.dtype([(name, "<i8") for name in names.split()])


FEED = _dtype(
    "exists source session heard_us is_synced is_gapped is_stale is_silent"
    " offset ts_recv ts_event sequence flags no_event no_sequence"
)
"""One feed of a market's prices: who speaks on which connection, the clock when it last did; what its state is made of,
`is_stale` being said by the source and `is_silent` judged from the clock; and its last change."""
BOOK = _dtype(
    "market bid_price bid_size ask_price ask_size"
    " is_quoted quoted_state quoted_bid quoted_bid_size quoted_ask quoted_ask_size"
    " is_changed changed_offset is_unseen seen_us"
)
"""A market: its top, of size 0 where a side is empty; what its last quote said; the first change since its book was
last published; and whether it changed, or was confirmed, since it was last viewed."""
BEAT = _dtype("exists session ts_recv")
"""The last heartbeat of a source."""
HEARD = _dtype("is_heard session clock_us")
"""A source: its newest session, and the partition's clock when it was heard."""
SHOWN = np.dtype([*BOOK_ROW.descr, *((name, "<i8") for name in ("book", "feed_offset", "seen_us", "has_levels"))])
"""A book to publish or to view; of a view also when its book was known to be right, the offset of its last change, and
whether its levels are other than in the one before."""

DEPTH, TOP = 0, 1
STATES = tuple(BookState)
_SYNCING, _LIVE = STATES.index(BookState.SYNCING), STATES.index(BookState.LIVE)
_STALE, _GAPPED = STATES.index(BookState.STALE), STATES.index(BookState.GAPPED)
_STALE_FLAG, _GAPPED_FLAG = int(Flag.STALE), int(Flag.GAPPED)
_CLEAR, _BUY = KINDS.index(TickKind.CLEAR), SIDES.index(Side.BUY)


def _array(dtype: np.dtype[Any]) -> Any:
    return types.Array(from_dtype(dtype), 1, "C")


BOOKS = types.Tuple(
    (
        _array(BOOK),
        _array(FEED),
        LADDERS,
        LEVELS,
        _array(HEARD),
        _array(BEAT),
        types.Array(int64, 2, "C"),
        int64[::1],
        _array(row_dtype(Quote)),
        types.Tuple((_array(SHOWN), types.Array(int64, 2, "C"))),
    )
)
"""Books by their numbers; two feeds of each, the depth before the top; two sides of each and their levels; sources
heard and their heartbeats; the texts of each market; the bits of a quote's nulls: of its two prices and sizes, event
time and sequence. Then room for quotes, and for books to show."""


@compiled()
def state_of(feed: Array) -> int:
    """Say how far a feed may be trusted."""
    if feed.is_gapped:
        return _GAPPED
    if not feed.is_synced:
        return _SYNCING
    return _STALE if feed.is_stale or feed.is_silent else _LIVE


@compiled()
def marks_of(feed: Array) -> int:
    """Give the flags of the last change and those of the state."""
    state = state_of(feed)
    if state == _GAPPED:
        return feed.flags | _GAPPED_FLAG  # type: ignore[no-any-return]
    return feed.flags | _STALE_FLAG if state == _STALE else feed.flags  # type: ignore[no-any-return]


@compiled()
def _renew(feed: Array, is_synced: Any) -> None:
    """Forget every fault: what follows is complete, or starts anew."""
    feed.is_synced = 1 if is_synced else 0
    feed.is_gapped = feed.is_stale = feed.is_silent = 0


@compiled()
def _change(lane: Array, feed: Array, source: int, tick: Array, flags: int, is_null: Any) -> None:
    """Note a message: it ends silence. Another source's changes do not continue this one's snapshot."""
    if not feed.exists or feed.source != source:
        feed.is_synced = 0
    feed.exists = 1
    feed.source, feed.session, feed.heard_us = source, tick.session, lane.clock_us
    feed.is_stale = feed.is_silent = 0
    feed.offset, feed.ts_recv, feed.flags = lane.offset, tick.ts_recv, flags
    feed.ts_event, feed.sequence = tick.ts_event, tick.sequence
    feed.no_event, feed.no_sequence = is_null


@compiled()
def _touch(book: Array, offset: int) -> None:
    book.is_unseen = 1
    if not book.is_changed:
        book.is_changed, book.changed_offset = 1, offset


@compiled()
def _quote(lane: Array, books: Any, number: int) -> None:
    """Write a quote if it would be news. A SYNCING book has no best price: what it holds is no book."""
    rows, feeds, ladders, levels, _, _, market_texts, bits, quotes, _ = books
    book = rows[number]
    has_top = feeds[2 * number + TOP].exists
    feed = feeds[2 * number + (TOP if has_top else DEPTH)]
    if not feed.exists:
        return
    state = state_of(feed)
    bid = bid_size = ask = ask_size = 0
    if state != _SYNCING and has_top:
        bid, bid_size, ask, ask_size = book.bid_price, book.bid_size, book.ask_price, book.ask_size
    elif state != _SYNCING:
        keys, sizes = levels
        bids, asks = ladders[2 * number], ladders[2 * number + 1]
        if bids.count:
            bid, bid_size = keys[bids.at + bids.count - 1], sizes[bids.at + bids.count - 1]
        if asks.count:
            ask, ask_size = -keys[asks.at + asks.count - 1], sizes[asks.at + asks.count - 1]
    if (
        book.is_quoted
        and book.quoted_state == state
        and book.quoted_bid == bid
        and book.quoted_bid_size == bid_size
        and book.quoted_ask == ask
        and book.quoted_ask_size == ask_size
    ):
        return
    book.is_quoted, book.quoted_state = 1, state
    book.quoted_bid, book.quoted_bid_size, book.quoted_ask, book.quoted_ask_size = bid, bid_size, ask, ask_size
    quote = quotes[lane.quotes]
    lane.quotes += 1
    quote.venue, quote.symbol = market_texts[book.market, 0], market_texts[book.market, 1]
    quote.state, quote.market, quote.ts_trigger = state, book.market, lane.ts_recv
    quote.bid_price, quote.bid_size, quote.ask_price, quote.ask_size = bid, bid_size, ask, ask_size
    quote.ts_event, quote.ts_recv, quote.sequence = feed.ts_event, lane.ts_recv, feed.sequence
    quote.flags = marks_of(feed)
    quote.cause_topic, quote.cause_partition = lane.cause_topic, lane.cause_partition
    quote.cause_first_offset, quote.cause_offset = feed.offset, lane.offset
    quote.nulls = (
        (0 if bid_size else bits[0] | bits[1])
        | (0 if ask_size else bits[2] | bits[3])
        | (bits[4] if feed.no_event else 0)
        | (bits[5] if feed.no_sequence else 0)
    )


@compiled()
def row_at(ticks: Array, kept: Array, part: int) -> Array:
    """Give a part of a message: a row of the batch, or below 0 one kept from before (-1 is the first)."""
    return ticks[part] if part >= 0 else kept[-1 - part]


@compiled()
def apply_depth(
    lane: Array, books: Any, number: int, source: int, message: tuple[Array, Array, Array, int], is_null: Any
) -> None:
    """Apply a whole message of CLEAR and LEVEL; its sides must have room for its levels."""
    rows, feeds, ladders, levels, _, _, _, _, _, _ = books
    ticks, kept, parts, count = message
    book, feed = rows[number], feeds[2 * number + DEPTH]
    bids, asks = ladders[2 * number], ladders[2 * number + 1]
    has_changed = is_cleared = False
    flags = 0
    for k in range(count):
        level = row_at(ticks, kept, parts[k])
        flags |= level.flags
        if level.kind == _CLEAR:
            bids.count = asks.count = 0
            has_changed = is_cleared = True
        elif level.side == _BUY:
            has_changed |= put(bids, levels, level.price, level.size, lane.depth, lane.max_levels)
        else:
            has_changed |= put(asks, levels, level.price, level.size, lane.depth, lane.max_levels)
    is_new, before = not feed.exists, state_of(feed)
    _change(lane, feed, source, row_at(ticks, kept, parts[count - 1]), flags, is_null)
    book.is_unseen = 1
    if is_new or has_changed or state_of(feed) != before:
        _touch(book, lane.offset)
    if is_cleared:
        # A CLEAR alone forgets; only one with levels is a snapshot.
        _renew(feed, count > 1)
    if not feeds[2 * number + TOP].exists:
        _quote(lane, books, number)


@compiled()
def apply_top(
    lane: Array,
    books: Any,
    number: int,
    source: int,
    message: tuple[Array, Array, Array, int],
    is_null: Any,
    more_flags: int,
) -> None:
    """Apply a whole, accepted message of TOP."""
    rows, feeds, _, _, _, _, _, _, _, _ = books
    ticks, kept, parts, count = message
    book, feed = rows[number], feeds[2 * number + TOP]
    flags = more_flags
    for k in range(count):
        tick = row_at(ticks, kept, parts[k])
        flags |= tick.flags
        price = tick.price if tick.size else 0
        if tick.side == _BUY:
            book.bid_price, book.bid_size = price, tick.size
        else:
            book.ask_price, book.ask_size = price, tick.size
    _change(lane, feed, source, row_at(ticks, kept, parts[count - 1]), flags, is_null)
    _renew(feed, True)
    if not feeds[2 * number + DEPTH].exists:
        book.is_unseen = 1
    _quote(lane, books, number)


@compiled()
def note_status(lane: Array, books: Any, number: int, flags: int) -> None:
    """Note what the source says of a market's feeds; no flag says that they start anew."""
    feeds = books[1]
    for at in range(2 * number, 2 * number + 2):
        feed = feeds[at]
        if not feed.exists:
            continue
        if flags & _GAPPED_FLAG:
            feed.is_gapped = 1
        elif flags & _STALE_FLAG:
            feed.is_stale = 1
        else:
            _renew(feed, False)
    _touch(books[0][number], lane.offset)
    _quote(lane, books, number)


@compiled()
def miss(lane: Array, books: Any, number: int, is_depth: Any, is_top: Any) -> None:
    """Note that a message was not applied: what it would have changed is not known until it is said anew."""
    feeds = books[1]
    for at in range(2 * number, 2 * number + 2):
        feed = feeds[at]
        if feed.exists and (is_depth if at == 2 * number + DEPTH else is_top):
            feed.is_gapped = 1
            _touch(books[0][number], lane.offset)
    _quote(lane, books, number)


@compiled()
def _show(lane: Array, books: Any, number: int, feed: Array, has_levels: Any) -> Array:
    """Write the best levels of both sides; of a market without depth, its top."""
    rows, feeds, ladders, levels, _, _, market_texts, _, _, (shown, pairs) = books
    book, row = rows[number], shown[lane.shown]
    lane.shown += 1
    row.book, row.market, row.ts_trigger = number, book.market, lane.ts_recv
    row.venue, row.symbol = market_texts[book.market, 0], market_texts[book.market, 1]
    row.cause_topic, row.cause_partition, row.cause_offset = lane.cause_topic, lane.cause_partition, lane.offset
    row.state, row.flags = state_of(feed), marks_of(feed)
    row.ts_event, row.no_event, row.ts_recv = feed.ts_event, feed.no_event, feed.ts_recv
    row.sequence, row.no_sequence, row.feed_offset = feed.sequence, feed.no_sequence, feed.offset
    row.at, row.bids, row.asks, row.has_levels = lane.shown_levels, 0, 0, 1 if has_levels else 0
    if not has_levels:
        return row
    at = lane.shown_levels
    if feeds[2 * number + DEPTH].exists:
        row.bids = copy_best(ladders[2 * number], levels, lane.depth, pairs, at)
        row.asks = copy_best(ladders[2 * number + 1], levels, lane.depth, pairs, at + row.bids)
    else:
        if book.bid_size:
            pairs[at, 0], pairs[at, 1], row.bids = book.bid_price, book.bid_size, 1
        if book.ask_size:
            pairs[at + row.bids, 0], pairs[at + row.bids, 1], row.asks = book.ask_price, book.ask_size, 1
    lane.shown_levels += row.bids + row.asks
    return row


@compiled()
def evaluate(lane: Array, books: Any, point_us: int, is_published: Any) -> None:
    """Judge silence at a grid point, and show the books that changed since they last were published."""
    rows, feeds, _, _, heard, _, _, _, _, _ = books
    for number in range(lane.books):
        book = rows[number]
        is_news = False
        for at in range(2 * number, 2 * number + 2):
            feed = feeds[at]
            if not feed.is_synced:
                continue
            last = feed.heard_us
            source = heard[feed.source]
            if source.session == feed.session and source.clock_us > last:
                last = source.clock_us
            is_silent = 1 if point_us - last > lane.stale_us else 0
            if is_silent != feed.is_silent:
                feed.is_silent = is_silent
                is_news = True
                _touch(book, lane.offset)
        if is_news:
            _quote(lane, books, number)
        if is_published and book.is_changed and feeds[2 * number + DEPTH].exists:
            row = _show(lane, books, number, feeds[2 * number + DEPTH], True)
            row.ts_grid, row.cause_first_offset = point_us, book.changed_offset
            book.is_changed = 0


@compiled()
def show_views(lane: Array, books: Any) -> None:
    """Show every market with a book or a quote that changed, or that its source confirmed, since it was last viewed."""
    rows, feeds, _, _, _, beats, _, _, _, _ = books
    for number in range(lane.books):
        book = rows[number]
        feed = feeds[2 * number + DEPTH]
        if not feed.exists:
            feed = feeds[2 * number + TOP]
            if not feed.exists:
                continue
        seen_us = feed.ts_recv
        beat = beats[feed.source]
        if beat.session == feed.session and beat.ts_recv > seen_us:
            seen_us = beat.ts_recv
        if book.is_unseen or book.seen_us != seen_us:
            row = _show(lane, books, number, feed, book.is_unseen)
            row.seen_us = seen_us
            book.is_unseen, book.seen_us = 0, seen_us
