"""What an account signs and asks of Citrex: requests made of orders, markets and ids. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.enums import Side, TimeInForce
from schemas.records import Market, OrderIntent
from schemas.venues.citrex import requests
from schemas.venues.citrex.messages import (
    Authentication,
    CancelOrder,
    CancelOrders,
    Network,
    Order,
    OrderType,
    SignedMessage,
)
from schemas.venues.citrex.messages import TimeInForce as WireTimeInForce
from schemas.venues.citrex.requests import Request
from schemas.venues.citrex.signing import Signer
from sinks.executor.port import Listings

__all__ = ["AccountRequests"]

_FORCES = {
    TimeInForce.POST_ONLY: WireTimeInForce.GTC,
    TimeInForce.GTC: WireTimeInForce.GTC,
    TimeInForce.IOC: WireTimeInForce.IOC,
}


@dataclass(slots=True)
class AccountRequests:
    """Makes one sub-account's requests.

    Attributes:
        listings: The markets that it trades.
        product_ids: The venue's number of each, once it has listed them.
    """

    signer: Signer
    network: Network
    sub_account_id: int
    listings: Listings
    product_ids: dict[Market, int] = field(default_factory=dict)

    @property
    def account(self) -> str:
        """The account's address."""
        return self.signer.address

    @property
    def markets(self) -> Mapping[str, Market]:
        """The markets by the venue's own symbols."""
        return {listing.instrument.venue_symbol: market for market, listing in self.listings.items()}

    def venue_symbol(self, market: Market) -> str:
        """Give the venue's own symbol of a market."""
        return self.listings[market].instrument.venue_symbol

    def order(self, intent: OrderIntent) -> Order:
        """Give the message that an intent is signed as."""
        kind = OrderType.LIMIT_MAKER if intent.time_in_force is TimeInForce.POST_ONLY else OrderType.LIMIT
        if intent.reduce_only:
            kind = OrderType.LIMIT_REDUCE_ONLY
        return Order(
            account=self.account,
            sub_account_id=self.sub_account_id,
            product_id=self.product_ids[intent.market],
            is_buy=intent.side is Side.BUY,
            order_type=kind,
            time_in_force=_FORCES[intent.time_in_force],
            expiration_ms=(intent.ts_expire or 0) // 1_000,
            price=intent.price,
            size=intent.size,
            nonce=intent.nonce or 0,
        )

    def place(self, intent: OrderIntent) -> Request:
        """Ask for an order."""
        order = self.order(intent)
        return requests.place_order(order, self._sign(order))

    def replace(self, venue_order_id: str, intent: OrderIntent) -> Request:
        """Ask for an order to be cancelled and another placed."""
        order = self.order(intent)
        return requests.cancel_and_replace(venue_order_id, order, self._sign(order))

    def cancel(self, market: Market, venue_order_id: str) -> Request:
        """Ask for an order to be cancelled."""
        message = CancelOrder(
            account=self.account,
            sub_account_id=self.sub_account_id,
            product_id=self.product_ids[market],
            order_id=venue_order_id,
        )
        return requests.cancel_order(message, self._sign(message))

    def cancel_all(self, market: Market) -> Request:
        """Ask for all orders of a market to be cancelled."""
        return self.cancel_product(self.product_ids[market])

    def cancel_product(self, product_id: int) -> Request:
        """Ask for all orders of a product to be cancelled."""
        message = CancelOrders(account=self.account, sub_account_id=self.sub_account_id, product_id=product_id)
        return requests.cancel_orders(message, self._sign(message))

    def open_orders(self) -> Request:
        """Ask for the open orders."""
        return requests.open_orders(self.who, self._sign(self.who))

    def positions(self) -> Request:
        """Ask for the positions."""
        return requests.positions(self.who, self._sign(self.who))

    def balances(self) -> Request:
        """Ask for the margin balances."""
        return requests.balances(self.who, self._sign(self.who))

    def health(self) -> Request:
        """Ask for the margin."""
        return requests.account_health(self.who)

    def trades(self, market: Market, lookback: int) -> Request:
        """Ask for the account's newest trades in a market."""
        return requests.trade_history(self.venue_symbol(market), lookback, self.who)

    @property
    def who(self) -> Authentication:
        """The sub-account, as its questions are signed."""
        return Authentication(account=self.account, sub_account_id=self.sub_account_id)

    def _sign(self, message: SignedMessage) -> str:
        return self.signer.sign(message, self.network.domain)
