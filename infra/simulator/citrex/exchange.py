"""The simulated venue's one engine: what it lists, matches and settles. Pure: time and order ids are passed in.

Prices decide, then time of arrival. A taker trades at the maker's price. Its own resting orders in the way of an order
are cancelled, never matched. Fees are a part of the value, rounded half-even.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum, unique
from heapq import heappop, heappush

from infra.simulator.citrex.book import Book, RestingOrder
from infra.simulator.citrex.ledger import Ledger, Owner
from infra.simulator.citrex.products import ONE, Product, value_of
from schemas.numbers import divide_half_even
from schemas.venues.citrex.messages import OrderStatus, OrderType, TimeInForce

__all__ = ["Exchange", "Placed", "RefusalReason", "Refused", "Trade"]

_TRADES_KEPT = 1_000
_OWN_TRADES_KEPT = 100_000
_MAX_OPEN_ORDERS = 200


@unique
class RefusalReason(StrEnum):
    """Why the venue would not do something; the value is the text of its answer."""

    UNKNOWN_PRODUCT = "unknown product"
    UNKNOWN_ORDER = "order not found"
    OFF_TICK = "price is not a positive multiple of the increment"
    OFF_LOT = "quantity is not a positive multiple of the minimum, or too large"
    EXPIRED = "expiration is in the past"
    NONCE_USED = "nonce was used"
    WOULD_MATCH = "post only order would match"
    WOULD_NOT_FILL = "fill or kill order would not fill"
    NOT_REDUCING = "reduce only order would not reduce the position"
    NO_MARGIN = "insufficient margin"
    TOO_MANY_ORDERS = "too many open orders"


class Refused(Exception):
    """An order or cancellation that the venue would not do."""

    def __init__(self, reason: RefusalReason) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One match, in 1e-18."""

    uid: str
    product_id: int
    ts_us: int
    price: int
    quantity: int
    taker_is_buyer: bool
    maker: Owner
    maker_order_id: str
    maker_fee: int
    taker: Owner
    taker_order_id: str
    taker_fee: int


@dataclass(frozen=True, slots=True)
class Placed:
    """An order as it stands after it was taken, and what it traded at once."""

    order: RestingOrder
    status: OrderStatus
    trades: tuple[Trade, ...]


class Exchange:
    """Products, their books, and the ledger.

    Args:
        house: Accounts of the venue's own crowd: they need no margin, and no history of their trades is kept.
        run_id: Makes trade ids of different runs different.
    """

    def __init__(self, products: Iterable[Product], *, house: Iterable[Owner] = (), run_id: str = "0") -> None:
        self.products = {product.product_id: product for product in products}
        self.ledger = Ledger()
        self.books = {product_id: Book() for product_id in self.products}
        self.orders: dict[str, RestingOrder] = {}
        self.trades: dict[int, deque[Trade]] = {product_id: deque(maxlen=_TRADES_KEPT) for product_id in self.products}
        self.marks = {product_id: self._fair(product) for product_id, product in self.products.items()}
        self.ended: Counter[OrderStatus] = Counter()
        self._house = frozenset(house)
        self._own_orders: dict[Owner, dict[str, RestingOrder]] = defaultdict(dict)
        self._own_trades: dict[Owner, deque[Trade]] = defaultdict(lambda: deque(maxlen=_OWN_TRADES_KEPT))
        self._accepted: dict[Owner, deque[int]] = defaultdict(lambda: deque(maxlen=_OWN_TRADES_KEPT))
        self._nonces: set[tuple[Owner, int]] = set()
        self._nonce_ends: list[tuple[int, Owner, int]] = []
        self._run_id = run_id
        self._trade_count = 0

    def open_orders(self, owner: Owner) -> list[RestingOrder]:
        """Give a sub-account's open orders, oldest first."""
        return list(self._own_orders.get(owner, {}).values())

    def trades_of(self, owner: Owner) -> Iterable[Trade]:
        """Give a sub-account's trades, oldest first."""
        return self._own_trades.get(owner, ())

    def nonces_of(self, owner: Owner) -> Iterable[int]:
        """Give the nonces of the orders that a sub-account placed, in their order; a refused one is not among them."""
        return self._accepted.get(owner, ())

    def place(self, order: RestingOrder, now_us: int) -> Placed:
        """Take an order: match what it crosses, let the rest wait if it may.

        Raises:
            Refused: nothing was done, and its nonce may still be used.
        """
        product = self._check(order, now_us)
        self._note_nonce(order)
        trades = tuple(self._match(order, product, now_us))
        if not order.residual:
            status = OrderStatus.FILLED
        elif self._may_rest(order):
            status = OrderStatus.OPEN
            self.orders[order.order_id] = self._own_orders[order.owner][order.order_id] = order
            self.books[order.product_id].add(order)
        else:
            status = OrderStatus.CANCELLED
        self._mark(product)
        return Placed(replace(order), status, trades)

    def cancel(self, owner: Owner, order_id: str) -> RestingOrder:
        """Take an order out of the book.

        Raises:
            Refused: it is not there, or is somebody else's.
        """
        order = self.orders.get(order_id)
        if order is None or order.owner != owner:
            raise Refused(RefusalReason.UNKNOWN_ORDER)
        self._end(order, OrderStatus.CANCELLED)
        return order

    def cancel_all(self, owner: Owner, product_id: int) -> list[RestingOrder]:
        """Take all of a sub-account's orders in a product out of the book.

        Raises:
            Refused: there is no such product; to have no orders is none.
        """
        if product_id not in self.products:
            raise Refused(RefusalReason.UNKNOWN_PRODUCT)
        orders = [order for order in self.open_orders(owner) if order.product_id == product_id]
        for order in orders:
            self._end(order, OrderStatus.CANCELLED)
        return orders

    def expire(self, now_us: int) -> None:
        """End the orders whose time has come, and forget nonces that no valid order can repeat."""
        now_ms = now_us // 1_000
        for order in [order for order in self.orders.values() if order.expiry_ms <= now_ms]:
            self._end(order, OrderStatus.EXPIRED)
        while self._nonce_ends and self._nonce_ends[0][0] <= now_ms:
            _, owner, nonce = heappop(self._nonce_ends)
            self._nonces.discard((owner, nonce))

    def fund(self, product_id: int, rate: int) -> None:
        """Let longs owe shorts a part of the mark price, in 1e-18; negative the other way about."""
        self.ledger.fund(product_id, self.marks[product_id] * rate // ONE)

    def settle_late(self, order: RestingOrder, counterparty: Owner, now_us: int) -> Trade:
        """Trade what is left of an order that has ended already, at its price, against an account of the house."""
        other = replace(order, owner=counterparty, order_id=f"{order.order_id}-late", is_buy=not order.is_buy)
        trade = self._trade(order, other, order.residual, self.products[order.product_id], now_us)
        order.residual = 0
        return trade

    def margin_required(self, owner: Owner, extra: RestingOrder | None = None) -> int:
        """Give the initial margin of a sub-account's positions and open orders, with one more order where given.

        Of each product counts the larger of what would be held if all its buys, or all its sells, were filled.
        """
        buys: Counter[int] = Counter()
        sells: Counter[int] = Counter()
        for order in (*self.open_orders(owner), *([extra] if extra else [])):
            (buys if order.is_buy else sells)[order.product_id] += order.residual
        required = 0
        for product_id, product in self.products.items():
            held = self.ledger.position(owner, product_id).quantity
            most = max(abs(held + buys[product_id]), abs(held - sells[product_id]))
            required += -(-most * self.marks[product_id] * product.initial_margin // (ONE * ONE))
        return required

    def _check(self, order: RestingOrder, now_us: int) -> Product:
        product = self.products.get(order.product_id)
        if product is None:
            raise Refused(RefusalReason.UNKNOWN_PRODUCT)
        if order.price <= 0 or order.price % product.tick:
            raise Refused(RefusalReason.OFF_TICK)
        if not 0 < order.quantity <= product.max_quantity or order.quantity % product.lot:
            raise Refused(RefusalReason.OFF_LOT)
        if order.expiry_ms <= now_us // 1_000:
            raise Refused(RefusalReason.EXPIRED)
        if (order.owner, order.nonce) in self._nonces:
            raise Refused(RefusalReason.NONCE_USED)
        if order.order_type is OrderType.LIMIT_MAKER and self._crossed(order):
            raise Refused(RefusalReason.WOULD_MATCH)
        if order.is_reduce_only and not self._reducible(order):
            raise Refused(RefusalReason.NOT_REDUCING)
        if order.time_in_force is TimeInForce.FOK and self._takeable(order) < order.quantity:
            raise Refused(RefusalReason.WOULD_NOT_FILL)
        if order.owner not in self._house:
            self._check_account(order)
        return product

    def _check_account(self, order: RestingOrder) -> None:
        owner = order.owner
        if len(self._own_orders.get(owner, ())) >= _MAX_OPEN_ORDERS:
            raise Refused(RefusalReason.TOO_MANY_ORDERS)
        if order.is_reduce_only:
            return
        required = self.margin_required(owner, order)
        # What needs no more than is already bound is always taken: it cannot make things worse.
        if required > self.margin_required(owner) and required > self.ledger.equity(owner, self.marks):
            raise Refused(RefusalReason.NO_MARGIN)

    def _may_rest(self, order: RestingOrder) -> bool:
        """Tell whether what is left of an order waits; what can reduce no more would cross the book."""
        is_lasting = order.time_in_force is TimeInForce.GTC and order.order_type is not OrderType.MARKET
        return is_lasting and self._crossed(order) is None

    def _note_nonce(self, order: RestingOrder) -> None:
        if order.owner not in self._house:  # whose numbers are unique by themselves
            self._accepted[order.owner].append(order.nonce)
            self._nonces.add((order.owner, order.nonce))
            heappush(self._nonce_ends, (order.expiry_ms, order.owner, order.nonce))

    def _match(self, taker: RestingOrder, product: Product, now_us: int) -> Iterable[Trade]:
        while taker.residual and (maker := self._crossed(taker)):
            if maker.owner == taker.owner:
                self._end(maker, OrderStatus.CANCELLED)
                continue
            quantity = min(self._fillable(taker), self._fillable(maker))
            if not quantity:
                if self._fillable(taker):
                    self._end(maker, OrderStatus.CANCELLED)
                    continue
                return
            trade = self._trade(maker, taker, quantity, product, now_us)
            maker.residual -= quantity
            taker.residual -= quantity
            if not maker.residual:
                self._end(maker, OrderStatus.FILLED)
            yield trade

    def _trade(self, maker: RestingOrder, taker: RestingOrder, quantity: int, product: Product, now_us: int) -> Trade:
        buyer, seller = (taker, maker) if taker.is_buy else (maker, taker)
        self.ledger.trade(product.product_id, buyer.owner, seller.owner, price=maker.price, quantity=quantity)
        value = value_of(maker.price, quantity)
        maker_fee = divide_half_even(value * product.maker_rate, ONE)
        taker_fee = divide_half_even(value * product.taker_rate, ONE)
        self.ledger.charge(maker.owner, product.product_id, maker_fee)
        self.ledger.charge(taker.owner, product.product_id, taker_fee)
        self._trade_count += 1
        trade = Trade(
            uid=f"{self._run_id}-{self._trade_count:012x}",
            product_id=product.product_id,
            ts_us=now_us,
            price=maker.price,
            quantity=quantity,
            taker_is_buyer=taker.is_buy,
            maker=maker.owner,
            maker_order_id=maker.order_id,
            maker_fee=maker_fee,
            taker=taker.owner,
            taker_order_id=taker.order_id,
            taker_fee=taker_fee,
        )
        self.trades[product.product_id].append(trade)
        for owner in {maker.owner, taker.owner} - self._house:
            self._own_trades[owner].append(trade)
        return trade

    def _crossed(self, order: RestingOrder) -> RestingOrder | None:
        """Give the resting order that this one would trade with next."""
        best = self.books[order.product_id].best(is_buy=not order.is_buy)
        if best is None or (best.price > order.price if order.is_buy else best.price < order.price):
            return None
        return best

    def _takeable(self, order: RestingOrder) -> int:
        """Give how much of an order would trade at once."""
        found: Counter[Owner] = Counter()
        for maker in self.books[order.product_id].orders(is_buy=not order.is_buy):
            if maker.price > order.price if order.is_buy else maker.price < order.price:
                break
            if maker.owner != order.owner:
                # What an owner's orders before this one trade leaves less for it to reduce.
                most = self._reducible(maker) - found[maker.owner] if maker.is_reduce_only else maker.residual
                found[maker.owner] += max(0, min(maker.residual, most))
        return min(found.total(), self._fillable(order))

    def _fillable(self, order: RestingOrder) -> int:
        return min(order.residual, self._reducible(order)) if order.is_reduce_only else order.residual

    def _reducible(self, order: RestingOrder) -> int:
        held = self.ledger.position(order.owner, order.product_id).quantity
        return max(0, -held if order.is_buy else held)

    def _end(self, order: RestingOrder, status: OrderStatus) -> None:
        del self.orders[order.order_id]
        del self._own_orders[order.owner][order.order_id]
        self.books[order.product_id].remove(order)
        self.ended[status] += 1

    def _mark(self, product: Product) -> None:
        book = self.books[product.product_id]
        bid, ask = book.best(is_buy=True), book.best(is_buy=False)
        if bid is not None and ask is not None:
            self.marks[product.product_id] = (bid.price + ask.price) // 2

    @staticmethod
    def _fair(product: Product) -> int:
        ticks = round(product.model.start * ONE / product.tick)
        return ticks * product.tick
