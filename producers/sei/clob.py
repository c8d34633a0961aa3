"""The order book feed as a source: books with a sequence, and trades.

Each book is a full snapshot, so a gap in the sequence loses no state: it is said (STATUS GAPPED) and the snapshot that
showed it makes the book good again. Trades have no sequence: what was traded while a subscription was down is lost,
and said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from producers.core import Effects
from producers.numbering import HeartbeatClock, TickFactory, TickFields
from producers.sei.clob_frames import (
    BookUpdate,
    ClobEvent,
    TradePrint,
    events_of,
    parse_book,
    parse_event,
    parse_sequence,
    parse_trade,
)
from producers.sei.jsonrpc import Ack, RpcError, parse_frame
from producers.sei.subscriptions import MAX_PER_CLIENT, Judgement, Subscription, Subscriptions
from producers.wire import bad_frame
from schemas.enums import Flag, Side, TickKind
from schemas.errors import ConfigurationError, ContractError, ProtocolError
from schemas.instruments import Instruments
from schemas.reasons import DeadLetterReason
from schemas.wire import parse_json

__all__ = ["MARKETS_PER_SOCKET", "SeiClobSource"]

MARKETS_PER_SOCKET = MAX_PER_CLIENT // 2
"""Each market takes two subscriptions."""

_BOOK = "OrderBookUpdate"
_TRADE = "Trade"


@dataclass(slots=True)
class _Market:
    symbol: str
    book: Subscription
    trades: Subscription
    sequence: int | None = None
    ts_book: int | None = None


class SeiClobSource:
    """The books and trades of a few markets.

    Args:
        venue: Venue of the ticks: `sei-clob`, or `sim-sei-clob` for a simulated node.
        symbols: Canonical symbols of the markets, at most two: a node takes five subscriptions of a socket.
        instruments: Explain the feed's own symbols.
        name: The source; the venue where it has one only.
        lateness_us: How far the watermark stays behind the greatest event time.
        stale_us: Silence after which a book's subscription is stale.

    Raises:
        ConfigurationError: no market, or too many.
    """

    def __init__(
        self,
        *,
        venue: str,
        symbols: Sequence[str],
        instruments: Instruments,
        name: str | None = None,
        lateness_us: int = 1_000_000,
        heartbeat_us: int = 1_000_000,
        stale_us: int = 10_000_000,
    ) -> None:
        if not 0 < len(symbols) <= MARKETS_PER_SOCKET:
            problem = f"{len(symbols)} markets for one connection to {venue}"
            raise ConfigurationError("FLASHMM_SEI_SYMBOLS", problem, f"Give 1 to {MARKETS_PER_SOCKET} per connection")
        self.name = name or venue
        self.symbols: Sequence[tuple[str, str]] = tuple((venue, symbol) for symbol in symbols)
        self._venue = venue
        self._instruments = instruments
        self._factory = TickFactory(venue, self.name)
        self._heartbeat = HeartbeatClock(lateness_us, heartbeat_us)
        self._markets = {symbol: self._market(symbol) for symbol in symbols}
        subscriptions = [s for market in self._markets.values() for s in (market.book, market.trades)]
        self._subscriptions = Subscriptions(subscriptions, stale_us=stale_us, quiet_us=6 * stale_us)
        self._is_open = False
        self._counters: Counter[str] = Counter()

    @property
    def counters(self) -> Mapping[str, int]:
        """What was left out on purpose."""
        return self._counters

    def open(self, now_us: int) -> Effects:
        """Subscribe. What was traded before is not known, so each market starts GAPPED; its first book is LIVE."""
        self._factory.open(now_us)
        self._is_open = True
        effects = Effects(send=self._subscriptions.open(now_us))
        for market in self._markets.values():
            market.sequence = market.ts_book = None
            self._status(market.symbol, Flag.GAPPED, now_us, effects)
        return effects

    def close(self, now_us: int) -> Effects:
        """End the session: the books are STALE."""
        self._is_open = False
        effects = Effects()
        for symbol in self._markets:
            self._status(symbol, Flag.STALE, now_us, effects)
        return effects

    def receive(self, frame: str | bytes, now_us: int) -> Effects:
        """Take one frame of the feed; an event that is wrong does not concern the others of the frame."""
        effects = Effects()
        try:
            document = parse_json(frame)
            is_bare = isinstance(document, dict) and ("type" in document or "events" in document)
            parsed = None if is_bare else parse_frame(document)
            if isinstance(parsed, Ack | RpcError):
                self._answer(parsed, now_us, effects)
                return effects
            events = events_of(document)
        except ContractError as error:
            effects.bad.append(bad_frame(error, frame))
            return effects
        for item in events:
            try:
                self._event(item, now_us, effects)
            except ContractError as error:
                effects.bad.append(bad_frame(error, frame))
        return effects

    def fetched(self, tag: str, body: bytes | None, now_us: int) -> Effects:
        """Do nothing: this source asks for nothing over HTTP."""
        return Effects()

    def tick(self, now_us: int) -> Effects:
        """Judge silence, and beat."""
        effects = Effects()
        if self._is_open:
            self._judge(self._subscriptions.check(now_us), now_us, effects)
            effects.ticks += self._heartbeat.beat(now_us, self._factory)
        return effects

    def _market(self, symbol: str) -> _Market:
        instrument = self._instruments.get(self._venue, symbol)
        own = instrument.venue_symbol if instrument else symbol
        return _Market(
            symbol,
            book=Subscription(f"orderbook_{own}", f"tm.event='{_BOOK}' AND market_id='{own}'", symbol),
            trades=Subscription(f"trade_{own}", f"tm.event='{_TRADE}' AND market_id='{own}'", symbol, is_quiet=True),
        )

    def _answer(self, frame: Ack | RpcError, now_us: int, effects: Effects) -> None:
        judgement = self._subscriptions.answered(frame, now_us)
        if judgement is None:
            self._counters["answers_unasked"] += 1
        else:
            self._judge(judgement, now_us, effects)

    def _judge(self, judgement: Judgement, now_us: int, effects: Effects) -> None:
        effects.send += judgement.send
        effects.reconnect = effects.reconnect or judgement.reconnect
        self._counters["subscriptions_lost"] += len(judgement.lost)
        for flag, subscriptions in ((Flag.GAPPED, judgement.lost), (Flag.STALE, judgement.stale)):
            for subscription in subscriptions:
                self._status(subscription.market, flag, now_us, effects)
                # The book that is sent on subscribing is good again, though it may be the one that we had.
                self._markets[subscription.market].sequence = None

    def _event(self, item: object, now_us: int, effects: Effects) -> None:
        event = parse_event(item)
        if event.type not in (_BOOK, _TRADE):
            raise ProtocolError(DeadLetterReason.UNKNOWN_MESSAGE, f"event of type {event.type!r}")
        symbol = event.symbol(lambda own: self._instruments.canonical(self._venue, own))
        market = self._markets.get(symbol)
        if market is None:
            self._counters["events_of_other_markets"] += 1
            return
        if event.type == _TRADE:
            self._trade(market, parse_trade(event), now_us, effects)
        else:
            self._book(market, event, now_us, effects)

    def _trade(self, market: _Market, trade: TradePrint, now_us: int, effects: Effects) -> None:
        fields = TickFields(
            symbol=market.symbol,
            kind=TickKind.TRADE,
            side=trade.side,
            price=trade.price,
            size=trade.size,
            ts_event=trade.ts_event,
            trade_id=trade.trade_id,
        )
        effects.ticks += self._factory.message(now_us, [fields])
        self._heartbeat.observe(trade.ts_event, now_us)
        self._subscriptions.heard(market.trades, now_us)

    def _book(self, market: _Market, event: ClobEvent, now_us: int, effects: Effects) -> None:
        try:
            book = parse_book(event)
        except ContractError:
            self._spoil(market, event, now_us, effects)
            raise
        last = market.sequence
        if last is not None and book.sequence <= last and not _is_restart(market, book):
            self._counters["old_books"] += 1
            return
        if last is not None and book.sequence != last + 1:
            self._counters["sequence_gaps"] += 1
            self._status(market.symbol, Flag.GAPPED, now_us, effects)
        market.sequence, market.ts_book = book.sequence, book.ts_event
        effects.ticks += self._factory.message(now_us, _book_fields(market.symbol, book))
        self._heartbeat.observe(book.ts_event, now_us)
        self._subscriptions.heard(market.book, now_us)

    def _spoil(self, market: _Market, event: ClobEvent, now_us: int, effects: Effects) -> None:
        """Say that a book was bad; where its sequence can be read, the next one is not another gap."""
        self._status(market.symbol, Flag.GAPPED, now_us, effects)
        try:
            sequence = parse_sequence(event)
        except ContractError:
            return
        if market.sequence is not None and sequence == market.sequence + 1:
            market.sequence = sequence

    def _status(self, symbol: str, flags: Flag, now_us: int, effects: Effects) -> None:
        effects.ticks += self._factory.status(now_us, symbol, flags)


def _is_restart(market: _Market, book: BookUpdate) -> bool:
    """Tell a venue that began to count anew from an old book: its time goes on."""
    return (
        market.sequence is not None
        and book.sequence < market.sequence
        and market.ts_book is not None
        and book.ts_event is not None
        and book.ts_event > market.ts_book
    )


def _book_fields(symbol: str, book: BookUpdate) -> list[TickFields]:
    def part(kind: TickKind, side: Side = Side.NONE, price: int = 0, size: int = 0) -> TickFields:
        return TickFields(
            symbol=symbol,
            kind=kind,
            side=side,
            price=price,
            size=size,
            ts_event=book.ts_event,
            sequence=book.sequence,
            flags=int(Flag.SNAPSHOT),
        )

    return [
        part(TickKind.CLEAR),
        *(part(TickKind.LEVEL, Side.BUY, price, size) for price, size in book.bids),
        *(part(TickKind.LEVEL, Side.SELL, price, size) for price, size in book.asks),
    ]
