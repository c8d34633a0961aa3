"""The simulated venue's REST interface: pure, a request and the time in, an answer out.

Whoever signs is found out here from the signature alone; what the request says of the account must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias

from infra.simulator.citrex import documents
from infra.simulator.citrex.book import RestingOrder
from infra.simulator.citrex.exchange import Refused, Trade
from infra.simulator.citrex.faults import Operation
from infra.simulator.citrex.ledger import Owner
from infra.simulator.citrex.products import PRODUCTS, Product
from infra.simulator.citrex.signatures import message_digest, signer_of
from infra.simulator.citrex.venue import Venue
from schemas.errors import ProtocolError
from schemas.reasons import DeadLetterReason
from schemas.venues.citrex.messages import OrderStatus, OrderType, TimeInForce
from schemas.venues.citrex.units import wire_integer
from schemas.wire import parse_json

__all__ = ["ApiRequest", "Reply", "answer", "operation_of"]

_MOST_LEVELS = 20
_MOST_TRADES = 500
_MOST_DECIMALS = 36
_LAST_SUB_ACCOUNT = 255


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request below the venue's REST address. `client` is what the rate limit counts by."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    client: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: a status and a JSON document. `order_id` is that of a new order."""

    status: HTTPStatus
    document: Any
    order_id: str | None = None


class _Denied(Exception):
    """Ends the work on a request with a refusal."""

    def __init__(self, status: HTTPStatus, error: str) -> None:
        self.reply = _refusal(status, error)
        super().__init__(error)


_Handler: TypeAlias = Callable[[Venue, ApiRequest, int], Reply]


def answer(venue: Venue, request: ApiRequest, now_us: int) -> Reply:
    """Let time pass, then answer a request."""
    venue.advance(now_us)
    handler = _HANDLERS.get((request.method, request.path)) or _PREFIXES.get(
        (request.method, request.path.partition("/")[0])
    )
    try:
        if handler is None:
            raise _Denied(HTTPStatus.NOT_FOUND, "no such endpoint")
        return handler(venue, request, now_us)
    except _Denied as denied:
        return denied.reply
    except Refused as refused:
        venue.counters[f"refused_{refused.reason.name.lower()}"] += 1
        return _refusal(HTTPStatus.BAD_REQUEST, refused.reason)
    except ProtocolError as error:
        return _refusal(HTTPStatus.BAD_REQUEST, error.detail)


def operation_of(request: ApiRequest) -> Operation:
    """Tell what a request asks for."""
    if request.path == "trade-history" and "account" in request.query:
        return Operation.QUERY
    return _OPERATIONS.get((request.method, request.path), Operation.MARKET_DATA)


def _time(venue: Venue, request: ApiRequest, now_us: int) -> Reply:
    return _public(venue, request, now_us, {"serverTime": now_us // 1_000})


def _products(venue: Venue, request: ApiRequest, now_us: int) -> Reply:
    rows = [
        documents.product_of(product, venue.exchange.marks[product.product_id], venue.config.network.margin_asset)
        for product in PRODUCTS
    ]
    name = request.path.removeprefix("products").removeprefix("/").removeprefix("product-by-id/")
    if name:
        rows = [row for row in rows if name in (row["symbol"], str(row["id"]))]
        if not rows:
            raise _Denied(HTTPStatus.NOT_FOUND, "unknown product")
    return _public(venue, request, now_us, rows[0] if name else rows)


def _tickers(venue: Venue, request: ApiRequest, now_us: int) -> Reply:
    symbol = request.query.get("symbol")
    rows = [
        documents.ticker_of(
            venue.exchange,
            product,
            venue.crowd.oracle(product.product_id),
            venue.funding_rate(product),
            venue.next_funding_us,
        )
        for product in PRODUCTS
        if symbol in (None, product.symbol)
    ]
    return _public(venue, request, now_us, rows)


def _depth(venue: Venue, request: ApiRequest, now_us: int) -> Reply:
    product = _product(request)
    limit = _number(request, "limit", 5, _MOST_LEVELS)
    step = 10 ** _number(request, "granularity", 10, _MOST_DECIMALS)
    book = venue.exchange.books[product.product_id]
    return _public(venue, request, now_us, documents.depth_of(book, limit, step))


def _trade_history(venue: Venue, request: ApiRequest, now_us: int) -> Reply:
    product = _product(request)
    lookback = _number(request, "lookback", 10, _MOST_TRADES)
    trades: Iterable[Trade] = venue.exchange.trades[product.product_id]
    if "account" in request.query:
        own = venue.exchange.trades_of(_asked_owner(request))
        trades = [trade for trade in own if trade.product_id == product.product_id]
    newest = list(trades)[-lookback:][::-1] if lookback else []
    # The real one writes null for none too.
    rows = [documents.trade_of(trade) for trade in newest] or None
    return _public(venue, request, now_us, {"success": True, "trades": rows})


def _account_health(venue: Venue, request: ApiRequest, now_us: int) -> Reply:
    return _public(venue, request, now_us, documents.health_of(venue.exchange, _asked_owner(request)))


def _open_orders(venue: Venue, request: ApiRequest, now_us: int) -> Reply:
    owner, symbol = _authenticated(venue, request, now_us), request.query.get("symbol")
    rows = [
        documents.order_of(order, OrderStatus.OPEN, venue.exchange.products[order.product_id].symbol)
        for order in venue.exchange.open_orders(owner)
    ]
    return Reply(HTTPStatus.OK, [row for row in rows if symbol in (None, row["productSymbol"])])


def _positions(venue: Venue, request: ApiRequest, now_us: int) -> Reply:
    owner = _authenticated(venue, request, now_us)
    rows = documents.positions_of(venue.exchange, owner, request.query["account"], request.query.get("symbol"))
    return Reply(HTTPStatus.OK, rows)


def _balances(venue: Venue, request: ApiRequest, now_us: int) -> Reply:
    owner = _authenticated(venue, request, now_us)
    asset = venue.config.network.margin_asset
    return Reply(HTTPStatus.OK, documents.balances_of(venue.exchange, owner, request.query["account"], asset))


def _place(venue: Venue, request: ApiRequest, now_us: int) -> Reply:
    return _accept(venue, _signed_order(venue, _body(request), now_us), now_us)


def _replace(venue: Venue, request: ApiRequest, now_us: int) -> Reply:
    body = _body(request)
    new = body.get("newOrder")
    if not isinstance(new, dict):
        raise ProtocolError(DeadLetterReason.MALFORMED, "newOrder is not an object")
    order = _signed_order(venue, new, now_us)
    # The old order goes first: should the new one be refused, neither rests.
    venue.cancelled(venue.exchange.cancel(order.owner, str(body.get("idToCancel"))), now_us)
    return _accept(venue, order, now_us)


def _cancel(venue: Venue, request: ApiRequest, now_us: int) -> Reply:
    body = _body(request)
    owner = _signed(venue, "CancelOrder", body, now_us)
    venue.cancelled(venue.exchange.cancel(owner, body["orderId"]), now_us)
    return Reply(HTTPStatus.OK, {"success": True})


def _cancel_all(venue: Venue, request: ApiRequest, now_us: int) -> Reply:
    body = _body(request)
    owner = _signed(venue, "CancelOrders", body, now_us)
    for order in venue.exchange.cancel_all(owner, body["productId"]):
        venue.cancelled(order, now_us)
    return Reply(HTTPStatus.OK, {"success": True})


def _accept(venue: Venue, order: RestingOrder, now_us: int) -> Reply:
    placed = venue.exchange.place(order, now_us)
    symbol = venue.exchange.products[order.product_id].symbol
    return Reply(HTTPStatus.OK, documents.order_of(placed.order, placed.status, symbol), order.order_id)


def _signed_order(venue: Venue, body: Mapping[str, Any], now_us: int) -> RestingOrder:
    fields = {**body, **{name: wire_integer(body.get(name), name) for name in ("price", "quantity")}}
    owner = _signed(venue, "Order", fields, now_us)
    try:
        kind, force = OrderType(fields["orderType"]), TimeInForce(fields["timeInForce"])
    except ValueError as error:
        raise _Denied(HTTPStatus.BAD_REQUEST, str(error)) from None
    return RestingOrder(
        order_id=f"0x{message_digest('Order', fields, venue.config.network.domain).hex()}",
        owner=owner,
        product_id=fields["productId"],
        is_buy=fields["isBuy"],
        order_type=kind,
        time_in_force=force,
        price=fields["price"],
        quantity=fields["quantity"],
        residual=fields["quantity"],
        nonce=fields["nonce"],
        expiry_ms=fields["expiration"],
        created_us=now_us,
        account=fields["account"],
        signature=fields["signature"],
    )


def _signed(venue: Venue, primary_type: str, fields: Mapping[str, Any], now_us: int) -> Owner:
    """Give the sub-account that signed, having counted its request. Every field has been of its type then."""
    signer = signer_of(primary_type, fields, fields.get("signature"), venue.config.network.domain)
    if signer is None or signer != str(fields.get("account")).lower():
        venue.counters["refused_signature"] += 1
        raise _Denied(HTTPStatus.UNAUTHORIZED, "invalid signature")
    owner = signer, int(fields["subAccountId"])
    limit = venue.queries if primary_type == "SignedAuthentication" else venue.orders
    if not limit.allows(owner, now_us):
        venue.counters["refused_rate"] += 1
        raise _Denied(HTTPStatus.TOO_MANY_REQUESTS, "rate limit exceeded")
    venue.enrol(owner)
    return owner


def _authenticated(venue: Venue, request: ApiRequest, now_us: int) -> Owner:
    fields = {**request.query, "subAccountId": _number(request, "subAccountId", 0, _LAST_SUB_ACCOUNT)}
    return _signed(venue, "SignedAuthentication", fields, now_us)


def _public(venue: Venue, request: ApiRequest, now_us: int, document: Any) -> Reply:
    if not venue.queries.allows(request.client, now_us):
        venue.counters["refused_rate"] += 1
        raise _Denied(HTTPStatus.TOO_MANY_REQUESTS, "rate limit exceeded")
    return Reply(HTTPStatus.OK, document)


def _asked_owner(request: ApiRequest) -> Owner:
    account = request.query.get("account", "").lower()
    return account, _number(request, "subAccountId", 0, _LAST_SUB_ACCOUNT)


def _product(request: ApiRequest) -> Product:
    product = Venue.product(request.query.get("symbol"))
    if product is None:
        raise _Denied(HTTPStatus.BAD_REQUEST, "unknown symbol")
    return product


def _body(request: ApiRequest) -> Mapping[str, Any]:
    document = parse_json(request.body)
    if not isinstance(document, dict):
        raise ProtocolError(DeadLetterReason.MALFORMED, "the body is not an object")
    return document


def _number(request: ApiRequest, name: str, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= most):
        raise _Denied(HTTPStatus.BAD_REQUEST, f"{name} must be a number up to {most}")
    return int(text)


def _refusal(status: HTTPStatus, error: str) -> Reply:
    return Reply(status, {"error": error, "success": False})


_HANDLERS: Mapping[tuple[str, str], _Handler] = {
    ("GET", "time"): _time,
    ("GET", "ticker/24hr"): _tickers,
    ("GET", "depth"): _depth,
    ("GET", "trade-history"): _trade_history,
    ("GET", "account-health"): _account_health,
    ("GET", "openOrders"): _open_orders,
    ("GET", "positionRisk"): _positions,
    ("GET", "balances"): _balances,
    ("POST", "order"): _place,
    ("POST", "order/cancel-and-replace"): _replace,
    ("DELETE", "order"): _cancel,
    ("DELETE", "openOrders"): _cancel_all,
}
_PREFIXES: Mapping[tuple[str, str], _Handler] = {("GET", "products"): _products}
_OPERATIONS = {
    ("POST", "order"): Operation.PLACE,
    ("POST", "order/cancel-and-replace"): Operation.REPLACE,
    ("DELETE", "order"): Operation.CANCEL,
    ("DELETE", "openOrders"): Operation.CANCEL_ALL,
    ("GET", "openOrders"): Operation.QUERY,
    ("GET", "positionRisk"): Operation.QUERY,
    ("GET", "balances"): Operation.QUERY,
    ("GET", "account-health"): Operation.QUERY,
}
