"""What is asked of the venue: each request of its REST interface as a value."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from urllib.parse import urlencode

from schemas.venues.citrex.messages import Authentication, CancelOrder, CancelOrders, Field, Order

__all__ = [
    "DEPTH_LIMIT",
    "LOOKBACK_LIMIT",
    "Request",
    "account_health",
    "balances",
    "cancel_and_replace",
    "cancel_order",
    "cancel_orders",
    "depth",
    "open_orders",
    "place_order",
    "positions",
    "products",
    "server_time",
    "tickers",
    "trade_history",
]

DEPTH_LIMIT = 20
"""Most levels of a side that the venue gives."""

LOOKBACK_LIMIT = 500
"""Most trades that the venue gives."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request below the venue's REST address.

    Query and body hold signatures, which for queries never expire: neither is shown, and neither belongs in a log.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path


def server_time() -> Request:
    """Ask for the venue's clock."""
    return Request("GET", "time")


def products() -> Request:
    """Ask for all products."""
    return Request("GET", "products")


def tickers() -> Request:
    """Ask for the 24-hour statistics, mark prices and funding rates of all products."""
    return Request("GET", "ticker/24hr")


def depth(symbol: str, granularity: int) -> Request:
    """Ask for a product's book, as deep as it is given.

    Args:
        granularity: How many of the 18 decimals of a price are cut; levels that become one are added up.
    """
    query = (("symbol", symbol), ("limit", str(DEPTH_LIMIT)), ("granularity", str(granularity)))
    return Request("GET", "depth", query)


def trade_history(symbol: str, lookback: int, who: Authentication | None = None) -> Request:
    """Ask for the newest trades of a product, or those of an account."""
    query = [("symbol", symbol), ("lookback", str(lookback))]
    if who is not None:
        query += [("account", who.account), ("subAccountId", str(who.sub_account_id))]
    return Request("GET", "trade-history", tuple(query))


def place_order(order: Order, signature: str) -> Request:
    """Ask for an order to be placed."""
    return Request("POST", "order", body=_body(_order_fields(order, signature)))


def cancel_and_replace(order_id: str, order: Order, signature: str) -> Request:
    """Ask for an order to be cancelled and another placed. The signature covers the new one only."""
    return Request(
        "POST",
        "order/cancel-and-replace",
        body=_body({"idToCancel": order_id, "newOrder": _order_fields(order, signature)}),
    )


def cancel_order(cancel: CancelOrder, signature: str) -> Request:
    """Ask for an order to be cancelled."""
    return Request("DELETE", "order", body=_body({**cancel.fields(), "signature": signature}))


def cancel_orders(cancel: CancelOrders, signature: str) -> Request:
    """Ask for all of a sub-account's orders in a product to be cancelled."""
    return Request("DELETE", "openOrders", body=_body({**cancel.fields(), "signature": signature}))


def open_orders(who: Authentication, signature: str, symbol: str | None = None) -> Request:
    """Ask for a sub-account's open orders, of one product or of all."""
    return _signed_query("openOrders", who, signature, symbol)


def positions(who: Authentication, signature: str, symbol: str | None = None) -> Request:
    """Ask for a sub-account's positions, in one product or in all."""
    return _signed_query("positionRisk", who, signature, symbol)


def balances(who: Authentication, signature: str) -> Request:
    """Ask for a sub-account's margin balances."""
    return _signed_query("balances", who, signature)


def account_health(who: Authentication) -> Request:
    """Ask for a sub-account's margin; the venue wants no signature for it."""
    return Request("GET", "account-health", (("account", who.account), ("subAccountId", str(who.sub_account_id))))


def _signed_query(path: str, who: Authentication, signature: str, symbol: str | None = None) -> Request:
    query = [("account", who.account), ("signature", signature), ("subAccountId", str(who.sub_account_id))]
    if symbol is not None:
        query.append(("symbol", symbol))
    return Request("GET", path, tuple(query))


def _order_fields(order: Order, signature: str) -> dict[str, Field]:
    fields = order.fields()
    # Beyond 2**53 a JSON number loses digits on the way, so the venue takes these two as texts.
    return {**fields, "price": str(fields["price"]), "quantity": str(fields["quantity"]), "signature": signature}


def _body(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
