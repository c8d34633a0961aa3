"""Citrex as a source of ticks: books, trades, products and statistics by polled REST.

The venue gives a book neither a time nor a sequence, so each answer is a whole book, as old as its question: LIVE while
younger than `max_book_age_us`, STALE from then until the next one. A market is served once the venue lists it as the
instrument says; what an instrument says otherwise would be quoted wrong. Fees, smallest size and margin are the venue's
own: they go to `reference.instruments` when they are read first, and when they change.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from producers.citrex.listing import disagreement, with_terms
from producers.citrex.polls import Poll, Polls
from producers.citrex.tape import Tape
from producers.core import BadFrame, Effects
from producers.numbering import HeartbeatClock, TickFactory, TickFields
from producers.wire import bad_frame
from schemas.enums import Flag, Side, TickKind
from schemas.errors import ConfigurationError, ContractError, ProtocolError
from schemas.instruments import Instrument, Instruments
from schemas.reasons import DeadLetterReason
from schemas.venues.citrex import requests
from schemas.venues.citrex.market_data import (
    Depth,
    Product,
    TradePrint,
    parse_depth,
    parse_products,
    parse_tickers,
    parse_time,
    parse_trades,
)
from schemas.venues.citrex.units import WIRE_ONE

__all__ = ["CitrexConfig", "CitrexSource"]

_PRODUCTS, _TICKERS, _TIME, _DEPTH, _TRADES = "products", "tickers", "time", "depth", "trades"
_SLOW_US = 10_000_000
_LISTING_US = 60_000_000
_BACKFILL_US = 60_000_000
_LOOKBACK = 50
_GRANULARITY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CitrexConfig:
    """How often to ask, and how old a book may be.

    Attributes:
        poll_us: Wait between two questions for a market's book; its trades are asked for half as often.
        max_book_age_us: A book that was asked for longer ago is STALE.
        requests_per_s: Budget for all questions together.
        lateness_us: How far the watermark stays behind the venue's clock.
    """

    poll_us: int = 500_000
    max_book_age_us: int = 2_000_000
    requests_per_s: int = 10
    lateness_us: int = 1_000_000
    heartbeat_us: int = 1_000_000


@dataclass(slots=True)
class _Market:
    instrument: Instrument
    tape: Tape = field(default_factory=Tape)
    is_listed: bool = False
    problem: str = ""
    status: Flag | None = None
    book_us: int | None = None
    tape_us: int | None = None
    terms: Instrument | None = None
    gauges: dict[str, float] = field(default_factory=dict)
    told: deque[str] = field(default_factory=lambda: deque(maxlen=requests.LOOKBACK_LIMIT))


class CitrexSource:
    """The perpetuals of a Citrex network.

    Args:
        venue: Venue of the ticks: `citrex`, `citrex-testnet` or `sim-citrex`.
        symbols: Canonical symbols of the markets.

    Raises:
        ConfigurationError: a market has no instrument.
    """

    def __init__(
        self, *, venue: str, symbols: Sequence[str], instruments: Instruments, config: CitrexConfig | None = None
    ) -> None:
        self.name = venue
        self.symbols: Sequence[tuple[str, str]] = tuple((venue, symbol) for symbol in symbols)
        self._config = config or CitrexConfig()
        self._markets: dict[str, _Market] = {}
        for symbol in symbols:
            instrument = instruments.get(venue, symbol)
            if instrument is None:
                fix = "Name it in the file of FLASHMM_INSTRUMENTS"
                raise ConfigurationError("--symbol", f"{venue} {symbol} has no instrument", fix)
            self._markets[instrument.venue_symbol] = _Market(instrument)
        self._factory = TickFactory(venue, venue)
        self._heartbeat = HeartbeatClock(self._config.lateness_us, self._config.heartbeat_us)
        self._counters: Counter[str] = Counter()
        self._ahead_us: int | None = None  # the venue's clock of ours, at least
        self._is_open = False
        self._polls = Polls(self._config.requests_per_s, _SLOW_US)
        for name, request, every_us in (
            (_PRODUCTS, requests.products(), _LISTING_US),
            (_TIME, requests.server_time(), _SLOW_US),
            (_TICKERS, requests.tickers(), _SLOW_US),
        ):
            self._polls.add(Poll(name=name, path=request.target, every_us=every_us))

    @property
    def counters(self) -> Mapping[str, int]:
        """Books and trades taken, and what went wrong."""
        return {**self._counters, "polls_failed": self._polls.failures}

    @property
    def gauges(self) -> Mapping[str, float]:
        """Mark and oracle price, hourly funding rate and open interest of each market."""
        return {
            f"{name}:{market.instrument.symbol}": value
            for market in self._markets.values()
            for name, value in market.gauges.items()
        }

    def open(self, now_us: int) -> Effects:
        """Start a session: everything is asked for; every book is synchronising."""
        self._factory.open(now_us)
        self._is_open = True
        self._ahead_us = None
        self._polls.restart(now_us)
        effects = Effects()
        for market in self._markets.values():
            market.status = market.book_us = market.tape_us = None
            self._say(market, Flag.NONE, now_us, effects)
        effects.fetch = self._polls.due(now_us)
        return effects

    def receive(self, frame: str | bytes, now_us: int) -> Effects:
        """Do nothing but say so: this venue is asked, it does not send."""
        error = ProtocolError(DeadLetterReason.UNKNOWN_MESSAGE, "a frame from a venue that is polled")
        return Effects(bad=[bad_frame(error, frame)])

    def fetched(self, tag: str, body: bytes | None, now_us: int) -> Effects:
        """Take an answer; None is a failure, and the question is asked again later."""
        effects = Effects()
        answered = self._polls.answered(tag)
        if answered is None:
            self._counters["answers_too_late"] += 1
        elif body is None:
            self._polls.fail(answered[0], now_us)
        else:
            poll, asked_us = answered
            kind, _, venue_symbol = poll.name.partition(":")
            try:
                self._take(kind, venue_symbol, body, asked_us, now_us, effects)
            except ContractError as error:
                effects.bad.append(bad_frame(error, body, poll.name))
                self._polls.fail(poll, now_us)
                if kind == _DEPTH:
                    self._say(self._markets[venue_symbol], Flag.GAPPED, now_us, effects)
            else:
                self._polls.succeed(poll, asked_us)
        self._tend(now_us, effects)
        return effects

    def tick(self, now_us: int) -> Effects:
        """Ask what is due, judge the age of books, and beat."""
        effects = Effects()
        if self._is_open:
            self._tend(now_us, effects)
        return effects

    def close(self, now_us: int) -> Effects:
        """End the session: the books are STALE."""
        self._is_open = False
        effects = Effects()
        for market in self._markets.values():
            self._say(market, Flag.STALE, now_us, effects)
        return effects

    def _tend(self, now_us: int, effects: Effects) -> None:
        for market in self._markets.values():
            book_us = market.book_us
            if book_us is not None and now_us - book_us > self._config.max_book_age_us:
                market.book_us = None
                self._counters["books_stale"] += 1
                self._say(market, Flag.STALE, now_us, effects)
        effects.fetch += self._polls.due(now_us)
        effects.ticks += self._heartbeat.beat(now_us, self._factory)

    def _take(self, kind: str, symbol: str, body: bytes, asked_us: int, now_us: int, effects: Effects) -> None:
        if kind == _DEPTH:
            self._take_book(self._markets[symbol], parse_depth(body), asked_us, now_us, effects)
        elif kind == _TRADES:
            self._take_trades(self._markets[symbol], body, asked_us, now_us, effects)
        elif kind == _PRODUCTS:
            self._take_products(body, now_us, effects)
        elif kind == _TICKERS:
            self._take_tickers(body, effects)
        else:
            # The venue read its clock before now, so that by now it shows more.
            self._ahead_us = parse_time(body) - now_us

    def _take_book(self, market: _Market, book: Depth, asked_us: int, now_us: int, effects: Effects) -> None:
        if now_us - asked_us > self._config.max_book_age_us:
            self._counters["books_too_late"] += 1
            return
        parts = [_level(market, TickKind.CLEAR, Side.NONE, 0, 0)]
        for side, levels in ((Side.BUY, book.bids), (Side.SELL, book.asks)):
            parts += [_level(market, TickKind.LEVEL, side, price, size) for price, size in levels]
        effects.ticks += self._factory.message(now_us, parts)
        market.status, market.book_us = None, asked_us
        self._counters["books"] += 1

    def _take_trades(self, market: _Market, body: bytes, asked_us: int, now_us: int, effects: Effects) -> None:
        page = parse_trades(body)
        poll = self._polls.get(_poll_name(_TRADES, market))
        assert poll is not None
        asked = _LOOKBACK if poll.path == _trades_path(market, _LOOKBACK) else requests.LOOKBACK_LIMIT
        new = market.tape.page(page.good, rows=len(page.good) + len(page.bad), asked=asked)
        poll.path = _trades_path(market, requests.LOOKBACK_LIMIT if new.wants_more else _LOOKBACK)
        if new.wants_more:
            poll.is_urgent = True
            self._counters["longer_pages"] += 1
            return
        # A row that cannot be read is in page after page; its error tells which it is.
        bad = [(place, error) for place, error in page.bad if str(error) not in market.told]
        market.told.extend(str(error) for _, error in bad)
        effects.bad += [bad_frame(error, body, f"trade {place}") for place, error in bad]
        if new.is_gapped or bad:
            self._counters["trade_gaps"] += 1
            self._say(market, Flag.GAPPED, now_us, effects)
        flags = Flag.GAPPED if new.is_gapped else Flag.REPLAYED if new.is_first else Flag.NONE
        for trade in new.trades:
            if new.is_first and trade.ts_event < now_us - _BACKFILL_US:
                continue
            effects.ticks += self._factory.message(now_us, [_trade(market, trade, flags)])
            self._counters["trades"] += 1
            flags &= ~Flag.GAPPED
        market.tape_us = asked_us
        self._promise(now_us)

    def _promise(self, now_us: int) -> None:
        """Move the watermark: what was traded before a page was asked for is in it."""
        tapes = [market.tape_us for market in self._markets.values() if market.is_listed]
        if self._ahead_us is not None and tapes and None not in tapes:
            self._heartbeat.observe(min(us for us in tapes if us is not None) + self._ahead_us, now_us)

    def _take_products(self, body: bytes, now_us: int, effects: Effects) -> None:
        rows = parse_products(body)
        effects.bad += [bad_frame(error, body, f"product {place}") for place, error in rows.bad]
        listed = {product.symbol: product for product in rows.good}
        for venue_symbol, market in self._markets.items():
            product = listed.get(venue_symbol)
            problem = disagreement(market.instrument, product)
            if problem and problem != market.problem:
                detail = f"{self.name} {market.instrument.symbol} is not served: {problem}"
                effects.bad.append(BadFrame(DeadLetterReason.UNKNOWN_SYMBOL, detail, body))
            market.problem = problem
            if product is not None and not problem:
                self._tell(market, product, now_us, effects)
            if market.is_listed and problem:
                self._delist(market, now_us, effects)
            elif not market.is_listed and not problem:
                self._list(market, now_us)
        self._counters["markets_not_served"] = sum(bool(market.problem) for market in self._markets.values())

    def _tell(self, market: _Market, product: Product, now_us: int, effects: Effects) -> None:
        """Tell what the venue says of a product, where that is news."""
        terms = with_terms(market.instrument, product, now_us)
        if market.terms is None or replace(market.terms, ts_effective=now_us) != terms:
            market.terms = terms
            effects.instruments.append(terms)

    def _list(self, market: _Market, now_us: int) -> None:
        market.is_listed = True
        book = requests.depth(market.instrument.venue_symbol, _GRANULARITY).target
        poll_us = self._config.poll_us
        self._polls.add(Poll(name=_poll_name(_DEPTH, market), path=book, every_us=poll_us, due_us=now_us))
        trades = _trades_path(market, _LOOKBACK)
        self._polls.add(Poll(name=_poll_name(_TRADES, market), path=trades, every_us=2 * poll_us, due_us=now_us))

    def _delist(self, market: _Market, now_us: int, effects: Effects) -> None:
        market.is_listed, market.book_us, market.tape_us = False, None, None
        for kind in (_DEPTH, _TRADES):
            self._polls.remove(_poll_name(kind, market))
        self._say(market, Flag.STALE, now_us, effects)

    def _take_tickers(self, body: bytes, effects: Effects) -> None:
        rows = parse_tickers(body)
        effects.bad += [bad_frame(error, body, f"ticker {place}") for place, error in rows.bad]
        for ticker in rows.good:
            market = self._markets.get(ticker.symbol)
            if market is not None:
                market.gauges = {
                    "mark_price": ticker.mark_price / WIRE_ONE,
                    "oracle_price": ticker.oracle_price / WIRE_ONE,
                    "funding_rate_hourly": ticker.funding_rate_hourly / WIRE_ONE,
                    "open_interest": ticker.open_interest / WIRE_ONE,
                }

    def _say(self, market: _Market, status: Flag, now_us: int, effects: Effects) -> None:
        if market.status != status:
            market.status = status
            effects.ticks += self._factory.status(now_us, market.instrument.symbol, status)


def _poll_name(kind: str, market: _Market) -> str:
    return f"{kind}:{market.instrument.venue_symbol}"


def _trades_path(market: _Market, lookback: int) -> str:
    return requests.trade_history(market.instrument.venue_symbol, lookback).target


def _level(market: _Market, kind: TickKind, side: Side, price: int, size: int) -> TickFields:
    return TickFields(
        symbol=market.instrument.symbol, kind=kind, side=side, price=price, size=size, flags=int(Flag.SNAPSHOT)
    )


def _trade(market: _Market, trade: TradePrint, flags: Flag) -> TickFields:
    return TickFields(
        symbol=market.instrument.symbol,
        kind=TickKind.TRADE,
        side=trade.taker_side,
        price=trade.price,
        size=trade.size,
        ts_event=trade.ts_event,
        trade_id=trade.uid,
        flags=int(flags),
    )
