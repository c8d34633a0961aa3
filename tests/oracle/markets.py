"""The markets of a partition: accepted messages become trades, quotes and books."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from processors.kernel.counters import TickCounters
from processors.kernel.dedup import trade_key
from processors.kernel.held import Held
from processors.kernel.steps import BookView, Emit, GapStep, State, Step, TradeStep, WatermarkStep
from schemas.enums import Flag, Side, TickKind
from schemas.reasons import RejectReason
from schemas.records import Book, BookLevel, Market, Quote, Tick, Trade
from tests.oracle.books import BookLimits, MarketBook
from tests.oracle.judge import MarketJudge
from tests.oracle.spike import Print, SpikeLimits

__all__ = ["Cursor", "Limits", "Markets"]

_DEPTH_KINDS = frozenset({TickKind.LEVEL, TickKind.CLEAR, TickKind.STATUS})


@dataclass(frozen=True, slots=True)
class Limits:
    """What the markets are judged by; see `NormaliseConfig`."""

    spike: SpikeLimits
    book: BookLimits
    max_age_us: int
    skew_us: int
    dedup_window: int


@dataclass(slots=True)
class Cursor:
    """The record in progress, and where what follows from it goes.

    Attributes:
        offset, ts_recv: Of the record being applied: the cause and the trigger of all that is emitted.
        now_us: The partition's clock.
    """

    topic: str
    partition: int
    emit: Emit
    steps: list[Step] = field(default_factory=list)
    offset: int = 0
    ts_recv: int = 0
    now_us: int = 0


class Markets:
    """Every market of a partition."""

    def __init__(self, limits: Limits, counters: TickCounters, cursor: Cursor) -> None:
        self._limits = limits
        self._counters = counters
        self._cursor = cursor
        self._books: dict[Market, MarketBook] = {}
        self._judges: dict[Market, MarketJudge] = {}
        # By source: its newest session, with the clock when it was heard, or with ts_recv of its last heartbeat.
        self._heard: dict[str, tuple[int, int]] = {}
        self._beats: dict[str, tuple[int, int]] = {}

    # What is lost

    def hear(self, source: str, session: int) -> None:
        """Note that a source spoke."""
        heard = self._heard.get(source)
        if heard is None or heard[0] <= session:
            self._heard[source] = (session, self._cursor.now_us)

    def gap(self, market: Market) -> None:
        """Tell the later stages that a market's data has a hole here."""
        self._cursor.steps.append(GapStep(market, self._cursor.offset, self._cursor.ts_recv))

    def restart(self, market: Market) -> None:
        """A new connection: what was said since the old one is missing, and a book is no book until its snapshot."""
        self.gap(market)
        self._set_status(market, 0)

    def lose(self, held: Sequence[Held]) -> None:
        """Parts of a message are not applied: what they would have changed is wrong from here on."""
        kinds = {tick.kind for _, tick in held}
        tick = held[0][1]
        book = self._books.get(tick.market)
        if not tick.symbol or not kinds - {TickKind.UNKNOWN}:
            return
        if kinds != {TickKind.TOP}:
            self.gap(tick.market)
        if book is not None:
            book.lose(self._cursor.offset, depth=bool(kinds & _DEPTH_KINDS), top=TickKind.TOP in kinds)
            self._publish_quote(book)

    def lose_all(self) -> None:
        """A part of the log is missing: every market has a hole, every book is wrong."""
        for market in dict.fromkeys((*self._judges, *self._books)):
            self.gap(market)
            self._set_status(market, Flag.GAPPED)

    # What is said

    def apply(self, held: Sequence[Held]) -> None:
        """Apply a whole, valid message; what its trades and tops are judged to be is counted here."""
        tops: list[Held] = []
        levels: list[Tick] = []
        for entry in held:
            tick = entry[1]
            kind = tick.kind
            if kind is TickKind.LEVEL or kind is TickKind.CLEAR:
                levels.append(tick)
            elif kind is TickKind.TOP:
                tops.append(entry)
            elif kind is TickKind.TRADE:
                self._trade(*entry)
            else:
                self._counters.accepted += 1
                self._say(*entry)
        if levels:
            self._counters.accepted += len(levels)
            self._levels(levels)
        if tops:
            self._top(tops)

    def _say(self, offset: int, tick: Tick) -> None:
        if tick.kind is TickKind.HEARTBEAT:
            self._beats[tick.source] = (tick.session, tick.ts_recv)
            self._cursor.steps.append(WatermarkStep(tick.source, tick.watermark, offset, tick.ts_recv))
        elif tick.kind is TickKind.STATUS and tick.symbol:
            if tick.flags & (Flag.GAPPED | Flag.STALE):
                self.gap(tick.market)
            self._book_of(tick.market)
            self._set_status(tick.market, tick.flags)

    def _set_status(self, market: Market, flags: int) -> None:
        book = self._books.get(market)
        if book is not None:
            book.status(self._cursor.offset, flags)
            self._publish_quote(book)

    def _levels(self, levels: Sequence[Tick]) -> None:
        tick = levels[-1]
        book = self._book_of(tick.market)
        put_bid, put_ask = book.bids.put, book.asks.put
        has_changed = is_cleared = False
        flags = 0
        for level in levels:
            flags |= level.flags
            if level.kind is TickKind.CLEAR:
                book.clear()
                has_changed = is_cleared = True
            elif (put_bid if level.side is Side.BUY else put_ask)(level.price, level.size):
                has_changed = True
        # A CLEAR alone forgets; only one with levels is a snapshot.
        is_snapshot = is_cleared and len(levels) > 1
        cursor = self._cursor
        book.commit(cursor.offset, tick, flags, cursor.now_us, has_changed=has_changed)
        if is_cleared:
            book.cleared(is_snapshot=is_snapshot)
        if book.top is None:
            self._publish_quote(book)

    def _top(self, held: list[Held]) -> None:
        judge = self._judge_of(held[0][1].market)
        reason = judge.top_fault(held)
        if reason is not None:
            self._counters.reject_all(held, reason)
            return
        prices = judge.top_prices(held)
        if judge.tops.passes(prices):
            self._accept_top(held, 0)
            return
        disproved, confirmed = judge.tops.judge(Print(self._cursor.now_us, prices, held))
        for one in disproved:
            self._counters.reject_all(one.ticks, RejectReason.SPIKE)
        for one in confirmed:
            self._accept_top(one.ticks, Flag.SPIKE)
        if not confirmed and judge.tops.passes(prices):
            self._accept_top(held, 0)

    def _accept_top(self, held: Sequence[Held], flags: int) -> None:
        self._counters.accepted += len(held)
        book = self._book_of(held[0][1].market)
        for _, tick in held:
            flags |= tick.flags
        book.quote(self._cursor.offset, [tick for _, tick in held], flags, self._cursor.now_us)
        self._publish_quote(book)

    def _trade(self, offset: int, tick: Tick) -> None:
        judge = self._judge_of(tick.market)
        reason = judge.trade_fault(tick)
        if reason is not None:
            self._counters.reject(offset, tick, reason)
            return
        prices = (tick.price, None)
        if judge.trades.passes(prices):
            self._accept_trade(judge, offset, tick, 0)
            return
        disproved, confirmed = judge.trades.judge(Print(self._cursor.now_us, prices, [(offset, tick)]))
        for one in disproved:
            self._counters.reject_all(one.ticks, RejectReason.SPIKE)
        for one in confirmed:
            self._accept_trade(judge, *one.ticks[0], Flag.SPIKE)
        if not confirmed and judge.trades.passes(prices):
            self._accept_trade(judge, offset, tick, 0)

    def _accept_trade(self, judge: MarketJudge, offset: int, tick: Tick, flags: int) -> None:
        self._counters.accepted += 1
        flags |= tick.flags | judge.trade_marks(tick)
        trade_id = trade_key(tick)
        cursor = self._cursor
        cursor.steps.append(TradeStep(tick, offset, flags))
        trade = Trade(
            venue=tick.venue,
            source=tick.source,
            symbol=tick.symbol,
            trade_id=trade_id,
            side=tick.side,
            price=tick.price,
            size=tick.size,
            base_amount=tick.base_amount,
            quote_amount=tick.quote_amount,
            ts_event=tick.ts_event,
            ts_recv=tick.ts_recv,
            sequence=tick.sequence,
            tx_hash=tick.tx_hash,
            block_height=tick.block_height,
            tx_index=tick.tx_index,
            event_index=tick.event_index,
            flags=flags,
            cause_topic=cursor.topic,
            cause_partition=cursor.partition,
            cause_first_offset=offset,
            cause_offset=cursor.offset,
        )
        cursor.emit(trade, cursor.ts_recv)

    # What is shown

    def evaluate(self, point: int, *, is_published: bool) -> None:
        """Judge silence at a grid point, and publish the books that changed since they last were."""
        cursor = self._cursor
        for book in self._books.values():
            if book.hear(point, cursor.offset, self._heard):
                self._publish_quote(book)
            first = book.changed_offset
            if is_published and first is not None and book.depth is not None:
                book.changed_offset = None
                cursor.emit(self._book(book, point, first, *book.shown()), cursor.ts_recv)

    def views(self) -> dict[Market, BookView]:
        """Give every market with a book or a quote, as it stands."""
        views: dict[Market, BookView] = {}
        for market, book in self._books.items():
            view = book.view(self._beats)
            if view is not None:
                views[market] = view
        return views

    def books(self) -> list[Book]:
        """Give the book of every market with all its levels, as it stands at the clock."""
        return [
            self._book(book, self._cursor.now_us, book.depth_or_empty.offset, book.bids.levels(), book.asks.levels())
            for _, book in sorted(self._books.items())
        ]

    def _book(
        self, book: MarketBook, point: int, first: int, bids: tuple[BookLevel, ...], asks: tuple[BookLevel, ...]
    ) -> Book:
        depth = book.depth_or_empty
        cursor = self._cursor
        return Book(
            venue=book.market[0],
            symbol=book.market[1],
            state=depth.state,
            bids=bids,
            asks=asks,
            ts_grid=point,
            ts_event=depth.ts_event,
            ts_recv=depth.ts_recv,
            sequence=depth.sequence,
            flags=depth.marks,
            cause_topic=cursor.topic,
            cause_partition=cursor.partition,
            cause_first_offset=first,
            cause_offset=cursor.offset,
        )

    def _publish_quote(self, book: MarketBook) -> None:
        feed = book.quoting
        key = book.requote()
        if key is None or feed is None:
            return
        state, bid_price, bid_size, ask_price, ask_size = key
        cursor = self._cursor
        quote = Quote(
            venue=book.market[0],
            symbol=book.market[1],
            state=state,
            bid_price=bid_price,
            bid_size=bid_size,
            ask_price=ask_price,
            ask_size=ask_size,
            ts_event=feed.ts_event,
            ts_recv=cursor.ts_recv,
            sequence=feed.sequence,
            flags=feed.marks,
            cause_topic=cursor.topic,
            cause_partition=cursor.partition,
            cause_first_offset=feed.offset,
            cause_offset=cursor.offset,
        )
        cursor.emit(quote, cursor.ts_recv)

    # What is remembered

    def pending(self) -> Iterable[Held]:
        """Give the records held as spikes."""
        for judge in self._judges.values():
            yield from judge.pending()

    def _book_of(self, market: Market) -> MarketBook:
        book = self._books.get(market)
        if book is None:
            book = self._books[market] = MarketBook(market, self._limits.book)
        return book

    def _judge_of(self, market: Market) -> MarketJudge:
        judge = self._judges.get(market)
        if judge is None:
            limits = self._limits
            judge = MarketJudge(limits.spike, limits.max_age_us, limits.skew_us, limits.dedup_window)
            self._judges[market] = judge
        return judge

    def state(self) -> State:
        """Give what is remembered."""
        return {
            "books": [[*market, book.state()] for market, book in self._books.items()],
            "judges": [[*market, judge.state()] for market, judge in self._judges.items()],
            "heard": {source: list(heard) for source, heard in self._heard.items()},
            "beats": {source: list(beat) for source, beat in self._beats.items()},
        }


def _pairs(state: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {source: (session, ts) for source, (session, ts) in state.items()}
