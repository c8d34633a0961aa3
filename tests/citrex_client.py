"""A client of the simulated Citrex for tests: what the exchange's protocol lets it ask, signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

from pydantic import SecretStr

from infra.simulator.citrex.api import ApiRequest, Reply, answer
from infra.simulator.citrex.venue import Venue
from schemas.numbers import PRICE_SCALE, SIZE_SCALE, to_units
from schemas.venues.citrex import requests
from schemas.venues.citrex.messages import (
    SIMULATED,
    Authentication,
    CancelOrder,
    CancelOrders,
    Domain,
    Order,
    OrderType,
    TimeInForce,
)
from schemas.venues.citrex.requests import Request
from schemas.venues.citrex.signing import Signer

__all__ = ["KEYS", "SEI", "Client", "direct"]

KEYS = ("0x" + "11" * 32, "0x" + "22" * 32)
SEI = 1010
"""The id of `seiperp` on the simulated venue."""


class Client:
    """Makes requests of one account."""

    def __init__(self, key: str = KEYS[0], *, domain: Domain = SIMULATED.domain, sub_account_id: int = 0) -> None:
        self.signer = Signer(SecretStr(key), setting="key")
        self.domain = domain
        self.sub_account_id = sub_account_id
        self._nonces = count(1)

    @property
    def who(self) -> Authentication:
        """The sub-account."""
        return Authentication(account=self.signer.address, sub_account_id=self.sub_account_id)

    def order(self, *, is_buy: bool, price: str, size: str, expiration_ms: int, **changes: Any) -> Order:
        """Build a post-only order of SEI that nobody has seen before."""
        order = Order(
            account=self.signer.address,
            sub_account_id=self.sub_account_id,
            product_id=SEI,
            is_buy=is_buy,
            order_type=OrderType.LIMIT_MAKER,
            time_in_force=TimeInForce.GTC,
            expiration_ms=expiration_ms,
            price=to_units(price, PRICE_SCALE),
            size=to_units(size, SIZE_SCALE),
            nonce=next(self._nonces),
        )
        return replace(order, **changes)

    def place(self, order: Order) -> Request:
        """Sign an order."""
        return requests.place_order(order, self.signer.sign(order, self.domain))

    def replace(self, order_id: str, order: Order) -> Request:
        """Sign an order that replaces another."""
        return requests.cancel_and_replace(order_id, order, self.signer.sign(order, self.domain))

    def cancel(self, order_id: str, product_id: int = SEI) -> Request:
        """Sign a cancellation."""
        message = CancelOrder(
            account=self.signer.address,
            sub_account_id=self.sub_account_id,
            product_id=product_id,
            order_id=order_id,
        )
        return requests.cancel_order(message, self.signer.sign(message, self.domain))

    def cancel_all(self, product_id: int = SEI) -> Request:
        """Sign the cancellation of all orders."""
        message = CancelOrders(account=self.signer.address, sub_account_id=self.sub_account_id, product_id=product_id)
        return requests.cancel_orders(message, self.signer.sign(message, self.domain))

    def open_orders(self) -> Request:
        """Sign the question for open orders."""
        return requests.open_orders(self.who, self.signer.sign(self.who, self.domain))

    def positions(self) -> Request:
        """Sign the question for positions."""
        return requests.positions(self.who, self.signer.sign(self.who, self.domain))

    def balances(self) -> Request:
        """Sign the question for balances."""
        return requests.balances(self.who, self.signer.sign(self.who, self.domain))


def direct(venue: Venue) -> Callable[[Request, int], Reply]:
    """Give a way to ask a venue without a socket, at a time."""

    def ask(request: Request, now_us: int) -> Reply:
        return answer(venue, ApiRequest(request.method, request.path, dict(request.query), request.body or b""), now_us)

    return ask
