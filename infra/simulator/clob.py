"""The order-book side of the simulated node: the feed whose frames list events with plain attributes, without I/O.

A subscription's query names the event (`tm.event='OrderBookUpdate'` or `'Trade'`) and may name a market (`market_id`).
Every OrderBookUpdate is a whole snapshot; `sequence` grows by one per market. Prices and sizes are decimal texts, times
RFC 3339 with microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from infra.simulator import rpc
from infra.simulator.faults import Fault, FaultKind
from infra.simulator.flow import BookChanged, Level, Traded
from infra.simulator.hub import ClientId, Hub, RequestId, Subscription
from infra.simulator.query import Query, QueryError
from infra.simulator.rpc import Request, RPCError
from schemas.numbers import PRICE_SCALE, SIZE_SCALE, format_units

__all__ = ["BOOK_EVENT", "QUEUE_LIMIT", "TRADE_EVENT", "ClobFeed", "book_frame", "subscribe_query", "trade_frame"]

BOOK_EVENT = "OrderBookUpdate"
TRADE_EVENT = "Trade"
QUEUE_LIMIT = 1_000
_MAX_QUERY = 512
_MAX_SUBSCRIPTIONS = 50
_TAGS = frozenset({"tm.event", "market_id"})


def subscribe_query(event: str, symbol: str) -> str:
    """Write the query that subscribes to one event of one market."""
    return f"tm.event='{event}' AND market_id='{symbol}'"


class ClobFeed:
    """What the feed answers and publishes. The shell carries frames to and from sockets."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self.hub = Hub(QUEUE_LIMIT, _failed)
        self._symbols = {symbol.upper(): symbol for symbol in symbols}
        self._books: dict[str, BookChanged] = {}
        self._skip: dict[str, int] = {}

    def receive(self, client: ClientId, text: str | bytes) -> bool:
        """Take one message of a client; False where the client must be dropped because it reads no answers."""
        try:
            request = rpc.parse_request(text)
        except RPCError:
            return self.hub.reply(client, _failed(None))
        if request.id is None:
            return True
        try:
            subscription = self._handle(client, request, request.id)
        except (RPCError, QueryError):
            return self.hub.reply(client, _failed(request.id))
        accepted = self.hub.reply(client, rpc.result(request.id, {}))
        if subscription is not None and subscription.query.value("tm.event") == BOOK_EVENT:
            self._send_books(subscription)
        return accepted

    def publish(self, event: BookChanged | Traded, now_us: int) -> None:
        """Send an event of the market to whom it concerns."""
        if isinstance(event, BookChanged):
            self._books[event.symbol] = event
            if self._skip.get(event.symbol):
                self._skip[event.symbol] -= 1
                return
        kind = BOOK_EVENT if isinstance(event, BookChanged) else TRADE_EVENT
        tail: list[str] = []

        def frame(subscription: Subscription) -> str:
            if not tail:
                tail.append(_book_tail(event) if isinstance(event, BookChanged) else _trade_tail(event))
            return _head(subscription.id) + tail[0]

        self.hub.publish({"tm.event": [kind], "market_id": [event.symbol]}, frame, now_us)

    def apply(self, fault: Fault, now_us: int) -> list[ClientId]:
        """Misbehave; give the clients whose sockets are to be cut."""
        if fault.kind is FaultKind.GAP:
            self._skip = {symbol: fault.count for symbol in self._symbols.values() if fault.query in symbol}
        elif fault.kind is FaultKind.HEAL:
            self._skip = {}
        return self.hub.apply(fault, now_us)

    def _handle(self, client: ClientId, request: Request, request_id: RequestId) -> Subscription | None:
        if request.method == "unsubscribe_all":
            self.hub.unsubscribe(client, None)
            return None
        query, raw = self._query(request)
        if request.method == "unsubscribe" and self.hub.unsubscribe(client, str(query)):
            return None
        known = self.hub.subscriptions(client)
        if request.method != "subscribe" or str(query) in known or len(known) >= _MAX_SUBSCRIPTIONS:
            raise QueryError("refused")
        return self.hub.subscribe(client, request_id, query, raw)

    def _query(self, request: Request) -> tuple[Query, str]:
        raw = rpc.params_of(request, "query").get("query")
        if not isinstance(raw, str) or len(raw) > _MAX_QUERY:
            raise QueryError("no query")
        query = Query.parse(raw)
        market = query.value("market_id")
        if query.value("tm.event") not in (BOOK_EVENT, TRADE_EVENT) or {c.tag for c in query.conditions} - _TAGS:
            raise QueryError("no such event")
        if market is None:
            return query, raw
        symbol = self._symbols.get(market.upper())
        if symbol is None:
            raise QueryError("no such market")
        return Query.parse(subscribe_query(query.value("tm.event") or "", symbol)), raw

    def _send_books(self, subscription: Subscription) -> None:
        """Send the present books, so that a subscriber need not wait for the next change."""
        for symbol, book in self._books.items():
            if subscription.query.matches({"tm.event": [BOOK_EVENT], "market_id": [symbol]}):
                self.hub.push(subscription, book_frame(subscription.id, book))


def book_frame(request_id: RequestId, book: BookChanged) -> str:
    """Write an OrderBookUpdate frame."""
    return _head(request_id) + _book_tail(book)


def trade_frame(request_id: RequestId, trade: Traded) -> str:
    """Write a Trade frame."""
    return _head(request_id) + _trade_tail(trade)


def _head(request_id: RequestId) -> str:
    return f'{{"jsonrpc":"2.0","id":{rpc.dumps(request_id)},"result":{{"events":[{{'


def _book_tail(book: BookChanged) -> str:
    attributes = _attributes(market_id=book.symbol, sequence=str(book.sequence), timestamp=_time(book.ts_us))
    data = f'"data":{{"bids":{_levels(book.bids)},"asks":{_levels(book.asks)}}}'
    return f'"type":"{BOOK_EVENT}",{attributes},{data}}}]}}}}'


def _trade_tail(trade: Traded) -> str:
    attributes = _attributes(
        market_id=trade.symbol,
        price=format_units(trade.price, PRICE_SCALE),
        size=format_units(trade.size, SIZE_SCALE),
        side=trade.side.lower(),
        trade_id=str(trade.trade_id),
        timestamp=_time(trade.ts_us),
    )
    return f'"type":"{TRADE_EVENT}",{attributes}}}]}}}}'


def _attributes(**attributes: str) -> str:
    listed = ",".join(f'{{"key":"{key}","value":"{value}"}}' for key, value in attributes.items())
    return f'"attributes":[{listed}]'


def _levels(levels: Iterable[Level]) -> str:
    pairs = (f'["{format_units(p, PRICE_SCALE)}","{format_units(s, SIZE_SCALE)}"]' for p, s in levels)
    return f"[{','.join(pairs)}]"


def _time(ts_us: int) -> str:
    return datetime.fromtimestamp(ts_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ts_us % 1_000_000:06d}Z"


def _failed(request_id: RequestId | None) -> str:
    return rpc.dumps({"jsonrpc": "2.0", "id": request_id, "error": {"code": -32000, "message": "Subscription failed"}})
