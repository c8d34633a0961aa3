"""The book of a market, its best bid and ask, and whether either may be trusted.

A market has up to two feeds of prices: its depth (CLEAR and LEVEL) and its top (TOP). Each has a state:

    SYNCING   no complete snapshot since the connection was made (a top: no quote)
    LIVE      complete, and its source is heard
    STALE     complete, but the source or the subscription fell silent
    GAPPED    something is missing; only a snapshot (a top: the next quote) cures it
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any, TypeAlias

from processors.kernel.steps import BookView
from schemas.enums import BookState, Flag, Side
from schemas.records import BookLevel, Market, Tick
from tests.oracle.ladder import Ladder

__all__ = ["BookLimits", "Feed", "MarketBook", "QuoteKey"]

QuoteKey: TypeAlias = tuple[BookState, int | None, int | None, int | None, int | None]
"""What a quote says: state, bid price and size, ask price and size. A quote is made when it changes."""


@dataclass(frozen=True, slots=True)
class BookLimits:
    """How much of a book is shown and kept, a side, and the silence that makes it STALE."""

    depth: int
    max_levels: int
    stale_us: int


@dataclass(slots=True)
class Feed:
    """One feed of a market's prices: its state and its last change.

    Attributes:
        source, session: Who speaks, on which connection.
        heard_us: Partition clock when it last spoke of this market.
        is_synced, is_gapped, is_stale, is_silent: What the state is made of; `is_stale` is said by the source,
            `is_silent` judged from the clock.
        offset, ts_recv, ts_event, sequence, flags: Of the last change.
    """

    source: str
    session: int
    heard_us: int = 0
    is_synced: bool = False
    is_gapped: bool = False
    is_stale: bool = False
    is_silent: bool = False
    offset: int = 0
    ts_recv: int = 0
    ts_event: int | None = None
    sequence: int | None = None
    flags: int = 0

    @property
    def state(self) -> BookState:
        """How far it may be trusted."""
        if self.is_gapped:
            return BookState.GAPPED
        if not self.is_synced:
            return BookState.SYNCING
        return BookState.STALE if self.is_stale or self.is_silent else BookState.LIVE

    @property
    def marks(self) -> int:
        """The flags of the last change and those of the state."""
        return self.flags | _STATE_FLAGS.get(self.state, 0)

    def change(self, offset: int, tick: Tick, flags: int, now_us: int) -> None:
        """Note a message: it ends silence. Another source's changes do not continue this one's snapshot."""
        if self.source != tick.source:
            self.is_synced = False
        self.source = tick.source
        self.session = tick.session
        self.heard_us = now_us
        self.is_stale = self.is_silent = False
        self.offset = offset
        self.ts_recv = tick.ts_recv
        self.ts_event = tick.ts_event
        self.sequence = tick.sequence
        self.flags = flags

    def renew(self, *, is_synced: bool) -> None:
        """Forget every fault: what follows is complete, or starts anew."""
        self.is_synced = is_synced
        self.is_gapped = self.is_stale = self.is_silent = False

    def status(self, flags: int) -> None:
        """Note what the source says of its feed; no flag says that it starts anew."""
        if flags & Flag.GAPPED:
            self.is_gapped = True
        elif flags & Flag.STALE:
            self.is_stale = True
        else:
            self.renew(is_synced=False)


_STATE_FLAGS = {BookState.GAPPED: int(Flag.GAPPED), BookState.STALE: int(Flag.STALE)}


class MarketBook:
    """The depth and the top of one market."""

    def __init__(self, market: Market, limits: BookLimits) -> None:
        self.market = market
        self.depth: Feed | None = None
        self.top: Feed | None = None
        self.bids = Ladder(is_bid=True, depth=limits.depth, max_levels=limits.max_levels)
        self.asks = Ladder(is_bid=False, depth=limits.depth, max_levels=limits.max_levels)
        self.changed_offset: int | None = None
        """Offset of the first change since the book was last published."""
        self._limits = limits
        self._best: list[tuple[int | None, int | None]] = [(None, None), (None, None)]
        self._quoted: QuoteKey | None = None
        self._view: BookView | None = None

    def clear(self) -> None:
        """Forget the levels: a snapshot follows."""
        self.bids.clear()
        self.asks.clear()

    def commit(self, offset: int, tick: Tick, flags: int, now_us: int, *, has_changed: bool) -> None:
        """End a message of levels. `tick` is its last; `has_changed` tells of the levels shown."""
        depth = self.depth
        if depth is None:
            depth = self.depth = Feed(tick.source, tick.session)
            has_changed = True
        before = depth.state
        depth.change(offset, tick, flags, now_us)
        self._view = None
        if has_changed or depth.state is not before:
            self._touch(offset)

    def cleared(self, *, is_snapshot: bool) -> None:
        """End a message that had a CLEAR: with a snapshot the book is whole, else it is nothing yet."""
        if self.depth is not None:
            self.depth.renew(is_synced=is_snapshot)

    def quote(self, offset: int, ticks: list[Tick], flags: int, now_us: int) -> None:
        """Take the tops of one message."""
        tick = ticks[-1]
        if self.top is None:
            self.top = Feed(tick.source, tick.session)
        for one in ticks:
            self._best[one.side is Side.SELL] = (one.price, one.size) if one.size else (None, None)
        self.top.change(offset, tick, flags, now_us)
        self.top.renew(is_synced=True)
        if self.depth is None:
            self._view = None

    def status(self, offset: int, flags: int) -> None:
        """Note what the source says of the market's feeds."""
        for feed in (self.depth, self.top):
            if feed is not None:
                feed.status(flags)
        self._touch(offset)

    def lose(self, offset: int, *, depth: bool, top: bool) -> None:
        """Note that a message was not applied: what it would have changed is not known until it is said anew."""
        for feed, is_hit in ((self.depth, depth), (self.top, top)):
            if feed is not None and is_hit:
                feed.status(Flag.GAPPED)
                self._touch(offset)

    def hear(self, point_us: int, offset: int, heard: dict[str, tuple[int, int]]) -> bool:
        """Judge silence at a grid point, from each source's session and the clock when it was heard; True if news."""
        is_news = False
        for feed in (self.depth, self.top):
            if feed is None or not feed.is_synced:
                continue
            session, heard_us = heard[feed.source]
            last = max(heard_us, feed.heard_us) if session == feed.session else feed.heard_us
            is_silent = point_us - last > self._limits.stale_us
            if is_silent is not feed.is_silent:
                feed.is_silent = is_silent
                is_news = True
                self._touch(offset)
        return is_news

    def _touch(self, offset: int) -> None:
        self._view = None
        if self.changed_offset is None:
            self.changed_offset = offset

    @property
    def depth_or_empty(self) -> Feed:
        """The depth; of a market that has none, one that was never in sync."""
        return self.depth or Feed("", 0)

    @property
    def quoting(self) -> Feed | None:
        """The feed that quotes come from: the top where the venue sends it, else the depth."""
        return self.top or self.depth

    def requote(self) -> QuoteKey | None:
        """Give what a quote would say, if that is news. A SYNCING book has no best price: what it holds is no book."""
        feed = self.quoting
        if feed is None:
            return None
        state = feed.state
        if state is BookState.SYNCING:
            key: QuoteKey = (state, None, None, None, None)
        elif feed is self.top:
            key = (state, *self._best[0], *self._best[1])
        else:
            key = (state, *self.bids.best(), *self.asks.best())
        if key == self._quoted:
            return None
        self._quoted = key
        return key

    def view(self, beats: dict[str, tuple[int, int]]) -> BookView | None:
        """Give the book as it stands, else the top; None of a market that has neither.

        Args:
            beats: Of each source the session and `ts_recv` of its last HEARTBEAT: it confirms what is known.
        """
        feed = self.depth or self.top
        if feed is None:
            return None
        ts_change = feed.ts_recv
        session, ts_beat = beats.get(feed.source, (0, 0))
        if session == feed.session and ts_beat > ts_change:
            ts_change = ts_beat
        view = self._view
        if view is None or view.ts_change != ts_change:
            bids, asks = (view.bids, view.asks) if view else self.shown()
            view = self._view = BookView(
                self.market,
                feed.state,
                bids,
                asks,
                ts_change,
                feed.ts_event,
                feed.sequence,
                feed.marks,
                feed.offset,
            )
        return view

    def shown(self) -> tuple[tuple[BookLevel, ...], tuple[BookLevel, ...]]:
        """Give the best levels of both sides; of a market without depth, its top."""
        if self.depth is not None:
            return self.bids.levels(self._limits.depth), self.asks.levels(self._limits.depth)
        bids, asks = (
            () if price is None or size is None else (BookLevel(price=price, size=size),) for price, size in self._best
        )
        return bids, asks

    def state(self) -> list[Any]:
        """Give what is remembered."""
        return [
            self.bids.state(),
            self.asks.state(),
            None if self.depth is None else list(astuple(self.depth)),
            None if self.top is None else list(astuple(self.top)),
            [list(side) for side in self._best],
            None if self._quoted is None else list(self._quoted),
            self.changed_offset,
        ]
