"""The simulated venue as a whole: the exchange, its crowd, its funding, its money for newcomers, its faults."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from infra.simulator.citrex.book import RestingOrder
from infra.simulator.citrex.crowd import HOUSE, STEP_US, TAKERS, Crowd
from infra.simulator.citrex.exchange import Exchange, Placed
from infra.simulator.citrex.faults import FaultKind, Faults
from infra.simulator.citrex.ledger import Owner
from infra.simulator.citrex.limits import RateLimit
from infra.simulator.citrex.products import ONE, PRODUCTS, Product
from schemas.venues.citrex.messages import SIMULATED, Network, OrderType, TimeInForce

__all__ = ["Venue", "VenueConfig"]

_HOUR_US = 3_600_000_000
_MOST_FUNDING = ONE // 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueConfig:
    """How the venue behaves.

    Attributes:
        rate: Multiplies what the crowd does; at 0 it makes the books once and rests.
        network: Whose signing domain is checked.
        faucet: What a new account gets, in 1e-18 USDC.
        orders_per_s, queries_per_s: Rate limits: of what an account signs to trade, and of what it or a client asks.
        funding_us: Interval of the funding.
    """

    seed: int = 1
    rate: float = 1.0
    network: Network = SIMULATED
    faucet: int = 10_000 * ONE
    orders_per_s: int = 50
    queries_per_s: int = 100
    funding_us: int = _HOUR_US


class Venue:
    """All that the venue is, between requests."""

    def __init__(self, config: VenueConfig, start_us: int) -> None:
        start_us = start_us // STEP_US * STEP_US
        self.config = config
        self.exchange = Exchange(PRODUCTS, house=HOUSE, run_id=f"{start_us:014x}")
        self.crowd = Crowd(self.exchange, config.seed, config.rate, start_us)
        self.faults = Faults()
        self.counters: Counter[str] = Counter()
        self.orders = RateLimit(config.orders_per_s)
        self.queries = RateLimit(config.queries_per_s)
        self.next_funding_us = (start_us // config.funding_us + 1) * config.funding_us
        self._late: list[tuple[int, RestingOrder]] = []

    def advance(self, now_us: int) -> None:
        """Let the time until now pass: the crowd trades, orders expire, funding is owed, late fills happen."""
        self.crowd.advance(now_us)
        self.exchange.expire(now_us)
        while self.next_funding_us <= now_us:
            for product in PRODUCTS:
                self.exchange.fund(product.product_id, self.funding_rate(product))
            self.next_funding_us += self.config.funding_us
        for due_us, order in [late for late in self._late if late[0] <= now_us]:
            self._late.remove((due_us, order))
            self.exchange.settle_late(order, TAKERS, now_us)

    def enrol(self, owner: Owner) -> None:
        """Give an account that is seen for the first time its money."""
        if owner not in self.exchange.ledger.holdings:
            self.exchange.ledger.deposit(owner, self.config.faucet)

    def cancelled(self, order: RestingOrder, now_us: int) -> None:
        """Note that a client cancelled an order: if a fault wants it, it is filled later all the same."""
        fault = self.faults.take_late()
        if fault is not None:
            self.counters[f"fault_{FaultKind.FILL_LATE}"] += 1
            self._late.append((now_us + fault.delay_ms * 1_000, order))

    def fill(self, order_id: str, now_us: int) -> None:
        """Let the crowd take all that is left of an open order, out of its turn in the book."""
        order = self.exchange.orders.get(order_id)
        if order is not None:
            self.exchange.cancel(order.owner, order_id)
            self.exchange.settle_late(order, TAKERS, now_us)

    def take(self, product: Product, quantity: int, now_us: int, *, is_buy: bool) -> Placed:
        """Let the crowd take a quantity from a book, at any price.

        Raises:
            Refused: the quantity is off the lot.
        """
        book = self.exchange.books[product.product_id]
        prices = [order.price for order in book.orders(is_buy=not is_buy)]
        self.counters["taken"] += 1
        number = self.counters["taken"]
        order = RestingOrder(
            order_id=f"0x{'7a':0>32}{number:032x}",
            owner=TAKERS,
            product_id=product.product_id,
            is_buy=is_buy,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            price=prices[-1] if prices else product.tick,
            quantity=quantity,
            residual=quantity,
            nonce=number,
            expiry_ms=now_us // 1_000 + 1_000,
            created_us=now_us,
            account=TAKERS[0],
            signature="",
        )
        return self.exchange.place(order, now_us)

    def funding_rate(self, product: Product) -> int:
        """Give the part of a position's value that longs owe shorts at the next funding: a 24th of the premium."""
        oracle = self.crowd.oracle(product.product_id)
        premium = (self.exchange.marks[product.product_id] - oracle) * ONE // oracle
        return max(-_MOST_FUNDING, min(_MOST_FUNDING, premium // 24))

    @staticmethod
    def product(symbol: str | None) -> Product | None:
        """Give the product of a symbol."""
        return next((product for product in PRODUCTS if product.symbol == symbol), None)
