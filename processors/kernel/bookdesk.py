"""The books of a partition: their memory, what the normaliser asks of them, and what they show as records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numba import from_dtype, int64, types, void
from numpy.typing import NDArray

from processors.kernel import books as kernel
from processors.kernel.books import BOOK, BOOKS, DEPTH, FEED, SHOWN, STATES, TOP
from processors.kernel.cursor import Cursor
from processors.kernel.ladder import Ladders
from processors.kernel.lane import LANE
from processors.kernel.memory import Growing, Memory
from processors.kernel.steps import BookView, State
from schemas.columns import KINDS, SIDES
from schemas.columns.books import BOOK_ROW, BookRows, levels_of
from schemas.columns.layout import layout_of
from schemas.columns.rows import Rows, row_dtype
from schemas.compiled import Array, compiled
from schemas.enums import BookState
from schemas.records import Book, Market, Quote, Tick

__all__ = ["Books"]

_LANES = types.Array(from_dtype(LANE), 1, "C")
_TICKS = types.Array(from_dtype(layout_of(Tick).dtype), 1, "C")
_FEEDS = types.Array(from_dtype(FEED), 1, "C")
_MESSAGE = types.Tuple((_TICKS, _TICKS, int64[::1], int64))
_NULL = types.UniTuple(types.boolean, 2)
_QUOTE_BITS = np.array(
    [
        layout_of(Quote).null_bits[name]
        for name in ("bid_price", "bid_size", "ask_price", "ask_size", "ts_event", "sequence")
    ],
    np.int64,
)
_FAULTS = ("is_synced", "is_gapped", "is_stale", "is_silent")
_BLOCK = 256


@compiled(void(_LANES, BOOKS, int64, int64, _MESSAGE, _NULL))
def _apply_depth(lanes: Array, books: Any, number: int, source: int, message: Any, is_null: Any) -> None:
    kernel.apply_depth(lanes[0], books, number, source, message, is_null)


@compiled(void(_LANES, BOOKS, int64, int64, _MESSAGE, _NULL, int64))
def _apply_top(lanes: Array, books: Any, number: int, source: int, message: Any, is_null: Any, flags: int) -> None:
    kernel.apply_top(lanes[0], books, number, source, message, is_null, flags)


@compiled(void(_LANES, BOOKS, int64, int64))
def _note_status(lanes: Array, books: Any, number: int, flags: int) -> None:
    kernel.note_status(lanes[0], books, number, flags)


@compiled(void(_LANES, BOOKS, int64, types.boolean, types.boolean))
def _miss(lanes: Array, books: Any, number: int, is_depth: Any, is_top: Any) -> None:
    kernel.miss(lanes[0], books, number, is_depth, is_top)


@compiled(void(_LANES, BOOKS, int64, types.boolean))
def _evaluate(lanes: Array, books: Any, point_us: int, is_published: Any) -> None:
    kernel.evaluate(lanes[0], books, point_us, is_published)


@compiled(void(_LANES, BOOKS))
def _view(lanes: Array, books: Any) -> None:
    kernel.show_views(lanes[0], books)


@compiled(int64(_FEEDS, int64))
def _state_at(feeds: Array, at: int) -> int:
    return kernel.state_of(feeds[at])


@compiled(int64(_FEEDS, int64))
def _marks_at(feeds: Array, at: int) -> int:
    return kernel.marks_of(feeds[at])


class Books:
    """The book and the top of every market.

    Args:
        lanes: Limits, the clock and the record in progress, for compiled code; see `LANE`.
    """

    def __init__(self, lanes: NDArray[np.void], memory: Memory, cursor: Cursor) -> None:
        self._lanes = lanes
        self._memory = memory
        self._cursor = cursor
        self._numbers: dict[Market, int] = {}
        self._rows = Growing(BOOK)
        self._feeds = Growing(FEED)
        self._ladders = Ladders()
        self._quotes: NDArray[np.void] = np.zeros(0, row_dtype(Quote))
        self._shown: NDArray[np.void] = np.zeros(0, SHOWN)
        self._pairs: NDArray[np.int64] = np.zeros((0, 2), np.int64)
        self._made: list[BookRows] = []
        self._views: dict[Market, BookView] = {}
        lanes["books"] = 0
        self.begin()

    def __contains__(self, market: Market) -> bool:
        return market in self._numbers

    def __iter__(self) -> Iterator[Market]:
        return iter(self._numbers)

    def begin(self) -> None:
        """Start a batch: what nobody took of the one before is forgotten."""
        self._made = []
        for name in ("quotes", "shown", "shown_levels"):
            self._lanes[name] = 0

    def arrays(self) -> tuple[Any, ...]:
        """Give what compiled code works on, as `BOOKS`; `fit` makes room in it."""
        memory = self._memory
        return (
            self._rows.rows,
            self._feeds.rows,
            self._ladders.rows,
            self._ladders.levels,
            memory.heard.rows,
            memory.beats.rows,
            memory.names.market_texts,
            _QUOTE_BITS,
            self._quotes,
            (self._shown, self._pairs),
        )

    def fit(self) -> None:
        """Have room for the quotes and shown books that one record may lead to, and more."""
        lane, count = self._lanes[0], len(self._numbers)
        quotes = int(lane["quotes"])
        if quotes + 2 * count + 2 > len(self._quotes):
            more = np.zeros(2 * (quotes + 2 * count + _BLOCK), self._quotes.dtype)
            more[:quotes] = self._quotes[:quotes]
            self._quotes = more
        levels = 2 * int(lane["depth"])
        if lane["shown"] + count > len(self._shown) or lane["shown_levels"] + count * levels > len(self._pairs):
            self._make()
            if count + _BLOCK > len(self._shown):
                self._shown = np.zeros(2 * count + _BLOCK, SHOWN)
                self._pairs = np.zeros((len(self._shown) * levels, 2), np.int64)

    def fit_levels(self, number: int, bids: int, asks: int) -> None:
        """Have room for so many levels of a book's sides."""
        self._ladders.fit(2 * number, bids)
        self._ladders.fit(2 * number + 1, asks)

    def open(self, market: Market) -> int:
        """Give the number of a market's book; makes it where there is none."""
        number = self._numbers.get(market)
        if number is None:
            number = self._numbers[market] = len(self._numbers)
            self._rows.fit(number + 1)
            self._feeds.fit(2 * number + 2)
            self._ladders.fit_books(number + 1)
            known = self._memory.names.market(market)
            self._memory.books.fit(known + 1)
            self._memory.books.rows[known] = number + 1
            self._rows.rows[number]["market"], self._rows.rows[number]["is_unseen"] = known, 1
            self._lanes["books"] = number + 1
        return number

    # What is said

    def apply_depth(self, market: Market, ticks: Sequence[Tick]) -> None:
        """Apply a whole message of CLEAR and LEVEL."""
        number, most = self.open(market), int(self._lanes["max_levels"][0])
        counts = self._ladders.rows["count"][2 * number : 2 * number + 2].tolist()
        self.fit_levels(number, *(min(most, count + len(ticks)) for count in counts))
        source, message, is_null = self._message(ticks)
        _apply_depth(*self._now(), number, source, message, is_null)

    def apply_top(self, market: Market, ticks: Sequence[Tick], flags: int) -> None:
        """Apply a whole, accepted message of TOP; `flags` are added to its own."""
        number = self.open(market)
        source, message, is_null = self._message(ticks)
        _apply_top(*self._now(), number, source, message, is_null, flags)

    def status(self, market: Market, flags: int) -> None:
        """Note what the source says of a market's feeds, if it has any; no flag says that they start anew."""
        if market in self._numbers:
            _note_status(*self._now(), self._numbers[market], flags)

    def miss(self, market: Market, *, depth: bool, top: bool) -> None:
        """Note that a message was not applied, if the market has a book."""
        if market in self._numbers:
            _miss(*self._now(), self._numbers[market], depth, top)

    def evaluate(self, point_us: int, *, is_published: bool) -> None:
        """Judge silence at a grid point, and show the books that changed since they last were published."""
        _evaluate(*self._now(), point_us, is_published)

    def _now(self) -> tuple[NDArray[np.void], tuple[Any, ...]]:
        cursor, lane = self._cursor, self._lanes[0]
        lane["offset"], lane["ts_recv"], lane["clock_us"] = cursor.offset, cursor.ts_recv, cursor.now_us
        self.fit()
        return self._lanes, self.arrays()

    def _message(self, ticks: Sequence[Tick]) -> tuple[int, tuple[Any, ...], tuple[bool, bool]]:
        rows = np.zeros(len(ticks), layout_of(Tick).dtype)
        for name in ("price", "size", "flags", "ts_recv", "session"):
            rows[name] = [getattr(tick, name) for tick in ticks]
        rows["kind"] = [KINDS.index(tick.kind) for tick in ticks]
        rows["side"] = [SIDES.index(tick.side) for tick in ticks]
        last = ticks[-1]
        rows[-1]["ts_event"], rows[-1]["sequence"] = last.ts_event or 0, last.sequence or 0
        message = (rows, rows[:0], np.arange(len(ticks)), len(ticks))
        return self._memory.names.text(last.source), message, (last.ts_event is None, last.sequence is None)

    # What is shown

    def take_quotes(self) -> Rows:
        """Hand over the quotes since the last call."""
        count = int(self._lanes["quotes"][0])
        self._lanes["quotes"] = 0
        return Rows(Quote, self._quotes[:count].copy(), self._memory.names.texts)

    def take_books(self) -> list[BookRows]:
        """Hand over the conflated books since the last call."""
        self._make()
        made, self._made = self._made, []
        return made

    def _make(self) -> None:
        """Take the shown books as they are; there is room for others then."""
        rows, levels = self._take_shown()
        if len(rows):
            values = rows[[*(BOOK_ROW.names or ())]].astype(BOOK_ROW)
            self._made.append(BookRows(record=Book, values=values, strings=self._memory.names.texts, levels=levels))

    def _take_shown(self) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        lane = self._lanes[0]
        rows, levels = self._shown[: lane["shown"]].copy(), self._pairs[: lane["shown_levels"]].copy()
        lane["shown"] = lane["shown_levels"] = 0
        return rows, levels

    def views(self) -> Mapping[Market, BookView]:
        """Give every market with a book or a quote, as it stands."""
        lanes, arrays = self._now()
        self._make()
        _view(lanes, arrays)
        rows, levels = self._take_shown()
        for values in rows.tolist():
            row = dict(zip(SHOWN.names or (), values, strict=True))
            market = self._memory.names.markets[row["market"]]
            middle = row["at"] + row["bids"]
            if row["has_levels"]:
                bids, asks = levels_of(levels[row["at"] : middle]), levels_of(levels[middle : middle + row["asks"]])
            else:
                bids, asks = self._views[market].bids, self._views[market].asks
            self._views[market] = BookView(
                market,
                STATES[row["state"]],
                bids,
                asks,
                row["seen_us"],
                None if row["no_event"] else row["ts_event"],
                None if row["no_sequence"] else row["sequence"],
                row["flags"],
                row["feed_offset"],
            )
        return dict(self._views)

    def whole(self) -> list[Book]:
        """Give the book of every market with all its levels, as it stands at the clock."""
        return [self._whole(market, number) for market, number in sorted(self._numbers.items())]

    def _whole(self, market: Market, number: int) -> Book:
        at, feeds, cursor = 2 * number + DEPTH, self._feeds.rows, self._cursor
        feed = feeds[at]
        return Book(
            venue=market[0],
            symbol=market[1],
            state=STATES[_state_at(feeds, at)],
            bids=self._ladders.all_of(2 * number),
            asks=self._ladders.all_of(2 * number + 1),
            ts_grid=cursor.now_us,
            ts_event=int(feed["ts_event"]) if feed["exists"] and not feed["no_event"] else None,
            ts_recv=int(feed["ts_recv"]),
            sequence=int(feed["sequence"]) if feed["exists"] and not feed["no_sequence"] else None,
            flags=_marks_at(feeds, at),
            cause_topic=cursor.topic,
            cause_partition=cursor.partition,
            cause_first_offset=int(feed["offset"]),
            cause_offset=cursor.offset,
        )

    # What is remembered

    def state(self) -> State:
        """Give what is remembered."""
        return {
            "books": [[*market, self._state(number)] for market, number in self._numbers.items()],
            "levels": self._ladders.state(2 * len(self._numbers)),
        }

    def _state(self, number: int) -> list[Any]:
        row = dict(zip(BOOK.names or (), self._rows.rows[number].tolist(), strict=True))
        best = _nulled([row[name] for name in ("bid_price", "bid_size", "ask_price", "ask_size")])
        quoted = [row[name] for name in ("quoted_bid", "quoted_bid_size", "quoted_ask", "quoted_ask_size")]
        return [
            self._feed_state(2 * number + DEPTH),
            self._feed_state(2 * number + TOP),
            [best[:2], best[2:]],
            [STATES[row["quoted_state"]], *_nulled(quoted)] if row["is_quoted"] else None,
            row["changed_offset"] if row["is_changed"] else None,
        ]

    def _feed_state(self, at: int) -> list[Any] | None:
        feed = dict(zip(FEED.names or (), self._feeds.rows[at].tolist(), strict=True))
        if not feed["exists"]:
            return None
        return [
            self._memory.names.texts[feed["source"]],
            feed["session"],
            feed["heard_us"],
            *(feed[name] != 0 for name in _FAULTS),
            feed["offset"],
            feed["ts_recv"],
            None if feed["no_event"] else feed["ts_event"],
            None if feed["no_sequence"] else feed["sequence"],
            feed["flags"],
        ]

    def restore(self, state: State) -> None:
        """Take back what `state` gave, into books that are empty."""
        for venue, symbol, (depth, top, best, quoted, changed_offset) in state["books"]:
            number = self.open((venue, symbol))
            for at, feed in ((2 * number + DEPTH, depth), (2 * number + TOP, top)):
                if feed is not None:
                    self._restore_feed(at, feed)
            row = self._rows.rows[number]
            row["bid_price"], row["bid_size"], row["ask_price"], row["ask_size"] = (
                value or 0 for side in best for value in side
            )
            if quoted is not None:
                row["is_quoted"], row["quoted_state"] = 1, STATES.index(BookState(quoted[0]))
                row["quoted_bid"], row["quoted_bid_size"], row["quoted_ask"], row["quoted_ask_size"] = (
                    value or 0 for value in quoted[1:]
                )
            if changed_offset is not None:
                row["is_changed"], row["changed_offset"] = 1, changed_offset
        self._ladders.restore(state["levels"])

    def _restore_feed(self, at: int, state: list[Any]) -> None:
        source, session, heard_us, *faults, offset, ts_recv, ts_event, sequence, flags = state
        self._feeds.rows[at] = (
            1,
            self._memory.names.text(source),
            session,
            heard_us,
            *faults,
            offset,
            ts_recv,
            ts_event or 0,
            sequence or 0,
            flags,
            ts_event is None,
            sequence is None,
        )


def _nulled(prices: list[int]) -> list[int | None]:
    """Give prices and sizes by turns, those of an empty side as nulls."""
    return [value if prices[k | 1] else None for k, value in enumerate(prices)]
