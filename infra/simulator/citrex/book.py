"""The resting orders of one product, by price and then by time."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass

from infra.simulator.citrex.ledger import Owner
from schemas.venues.citrex.messages import OrderType, TimeInForce

__all__ = ["Book", "RestingOrder"]


@dataclass(slots=True, kw_only=True)
class RestingOrder:
    """An order that the venue accepted; price and quantities in 1e-18, expiry in milliseconds UTC."""

    order_id: str
    owner: Owner
    product_id: int
    is_buy: bool
    order_type: OrderType
    time_in_force: TimeInForce
    price: int
    quantity: int
    residual: int
    nonce: int
    expiry_ms: int
    created_us: int
    account: str
    signature: str

    @property
    def is_reduce_only(self) -> bool:
        """Whether it may only make a position smaller."""
        return self.order_type is OrderType.LIMIT_REDUCE_ONLY


class _Side:
    """One side's queues; the best price sorts first."""

    __slots__ = ("_keys", "_queues", "_sign")

    def __init__(self, *, is_bid: bool) -> None:
        self._sign = -1 if is_bid else 1
        self._keys: list[int] = []
        # A dict keeps the order of arrival and lets go of one in the middle.
        self._queues: dict[int, dict[str, RestingOrder]] = {}

    @property
    def best(self) -> RestingOrder | None:
        return next(iter(self._queues[self._keys[0]].values())) if self._keys else None

    def add(self, order: RestingOrder) -> None:
        key = order.price * self._sign
        if key not in self._queues:
            insort(self._keys, key)
            self._queues[key] = {}
        self._queues[key][order.order_id] = order

    def remove(self, order: RestingOrder) -> None:
        key = order.price * self._sign
        queue = self._queues[key]
        del queue[order.order_id]
        if not queue:
            del self._queues[key]
            del self._keys[bisect_left(self._keys, key)]

    def queues(self) -> Iterator[tuple[int, list[RestingOrder]]]:
        for key in self._keys:
            yield key * self._sign, list(self._queues[key].values())


class Book:
    """Both sides. An order waits behind all that came before it at its price."""

    def __init__(self) -> None:
        self._bids = _Side(is_bid=True)
        self._asks = _Side(is_bid=False)

    def side(self, *, is_buy: bool) -> _Side:
        """Give the bids, or the asks."""
        return self._bids if is_buy else self._asks

    def best(self, *, is_buy: bool) -> RestingOrder | None:
        """Give the bid, or the ask, that is next to trade."""
        return self.side(is_buy=is_buy).best

    def add(self, order: RestingOrder) -> None:
        """Let an order rest."""
        self.side(is_buy=order.is_buy).add(order)

    def remove(self, order: RestingOrder) -> None:
        """Take an order out."""
        self.side(is_buy=order.is_buy).remove(order)

    def levels(self, *, is_buy: bool, depth: int, step: int = 1) -> list[tuple[int, int]]:
        """Give (price, quantity) of the best levels, prices rounded outward to multiples of `step`."""
        found: list[tuple[int, int]] = []
        for price, orders in self.side(is_buy=is_buy).queues():
            rounded = price // step * step if is_buy else -(-price // step) * step
            quantity = sum(order.residual for order in orders)
            if found and found[-1][0] == rounded:
                found[-1] = (rounded, found[-1][1] + quantity)
            elif len(found) == depth:
                break
            else:
                found.append((rounded, quantity))
        return found

    def orders(self, *, is_buy: bool) -> Iterator[RestingOrder]:
        """Give a side's orders in the order in which they would trade."""
        for _, orders in self.side(is_buy=is_buy).queues():
            yield from orders
