"""The venue's crowd: makers and takers of its own, from a seeded stream, through the same engine as everybody.

Time is cut into steps of 10 ms. Each product has a fair price that nobody sees; makers know it with a lag and rest
orders around it, takers hit what is mispriced, or trade at random.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

from infra.simulator.citrex.book import RestingOrder
from infra.simulator.citrex.exchange import Exchange, Refused
from infra.simulator.citrex.ledger import Owner
from infra.simulator.citrex.products import ONE, Product
from infra.simulator.price import FairPrice
from schemas.venues.citrex.messages import OrderType, TimeInForce

__all__ = ["HOUSE", "MAKERS", "STEP_US", "TAKERS", "Crowd"]

STEP_US = 10_000
MAKERS: Owner = (f"0x{'51':0>38}ae", 0)
TAKERS: Owner = (f"0x{'51':0>38}af", 0)
HOUSE = (MAKERS, TAKERS)

_LEVELS = 12
_ORDERS_PER_S = 8.0
_TAKES_PER_S = 1.5
_CANCELS_PER_S = 7.0
_HALF_SPREAD_BP = 3.0
_NEAR_BP = 6.0
_LAG = 0.02
_MOST_ORDERS = 80
_LIFE_MS = 86_400_000


class Crowd:
    """Trades in all products of an exchange.

    Args:
        rate: Multiplies the arrivals; at 0 the books are made once, and nothing moves but by others' orders.
    """

    def __init__(self, exchange: Exchange, seed: int, rate: float, start_us: int) -> None:
        self.now_us = start_us
        self._exchange = exchange
        self._members = [_Member(exchange, product, seed, rate) for product in exchange.products.values()]
        for member in self._members:
            member.fill(start_us)

    def oracle(self, product_id: int) -> int:
        """Give a product's fair price, the index that funding is worked out against."""
        return next(m.fair_price for m in self._members if m.product.product_id == product_id)

    def advance(self, until_us: int) -> None:
        """Trade through every whole step that ends by `until_us`."""
        while self.now_us + STEP_US <= until_us:
            self.now_us += STEP_US
            self._exchange.expire(self.now_us)
            for member in self._members:
                member.step(self.now_us)


class _Member:
    def __init__(self, exchange: Exchange, product: Product, seed: int, rate: float) -> None:
        self.product = product
        self._exchange = exchange
        self._rng = Random(f"{seed}|citrex|{product.symbol}")
        self._fair = FairPrice(product.model, Random(f"{seed}|citrex-fair|{product.symbol}"), STEP_US / 1e6)
        self._estimate = self._fair.value
        self._rate = rate
        self._number = 0
        self._mine: list[str] = []
        self._log_median = math.log(product.median_quantity * ONE / product.lot)

    @property
    def fair_price(self) -> int:
        return self._in_ticks(self._fair.value) * self.product.tick

    def fill(self, now_us: int) -> None:
        """Rest orders until both sides have enough levels."""
        book = self._exchange.books[self.product.product_id]
        for is_buy in (True, False):
            # An order may land on a level that is there already, so the tries are bounded, not the result.
            for _ in range(4 * _LEVELS):
                if len(book.levels(is_buy=is_buy, depth=_LEVELS)) == _LEVELS:
                    break
                self._rest(is_buy, now_us)

    def step(self, now_us: int) -> None:
        """Let a step's arrivals happen."""
        if not self._rate:
            return
        self._fair.step()
        self._estimate += (self._fair.value - self._estimate) * _LAG
        rates = (_ORDERS_PER_S, _TAKES_PER_S, _CANCELS_PER_S)
        for pick in self._arrivals(sum(rates) * self._rate):
            if pick < rates[0]:
                self._rest(self._rng.random() < 0.5, now_us)
            elif pick < rates[0] + rates[1]:
                self._take(now_us)
            else:
                self._cancel()
        self._pull(now_us)

    def _arrivals(self, per_s: float) -> Iterator[float]:
        at_s = self._rng.expovariate(per_s)
        while at_s < STEP_US / 1e6:
            yield self._rng.random() * per_s / self._rate
            at_s += self._rng.expovariate(per_s)

    def _rest(self, is_buy: bool, now_us: int) -> None:
        distance = (_HALF_SPREAD_BP + self._rng.expovariate(1 / _NEAR_BP)) * (-1e-4 if is_buy else 1e-4)
        price = self._in_ticks(self._estimate * (1 + distance)) * self.product.tick
        self._place(MAKERS, is_buy, price, self._lots(), OrderType.LIMIT_MAKER, TimeInForce.GTC, now_us)

    def _take(self, now_us: int) -> None:
        book = self._exchange.books[self.product.product_id]
        bid, ask = book.best(is_buy=True), book.best(is_buy=False)
        if ask is not None and ask.price < self.fair_price:
            is_buy = True
        elif bid is not None and bid.price > self.fair_price:
            is_buy = False
        else:
            is_buy = self._rng.random() < 0.5
        best = ask if is_buy else bid
        if best is not None:
            slip = 1 + (3e-4 if is_buy else -3e-4)
            price = self._in_ticks(best.price / ONE * slip) * self.product.tick
            self._place(TAKERS, is_buy, price, self._lots(), OrderType.MARKET, TimeInForce.IOC, now_us)

    def _cancel(self) -> None:
        self._mine = [order_id for order_id in self._mine if order_id in self._exchange.orders]
        if len(self._mine) > 2 * _LEVELS:
            self._exchange.cancel(MAKERS, self._mine.pop(int(self._rng.random() * len(self._mine))))

    def _pull(self, now_us: int) -> None:
        """Cancel what makers now know to be mispriced, and what is too much."""
        estimate = self._in_ticks(self._estimate) * self.product.tick
        book = self._exchange.books[self.product.product_id]
        for is_buy in (True, False):
            while (best := book.best(is_buy=is_buy)) and best.owner == MAKERS:
                if (best.price <= estimate) if is_buy else (best.price >= estimate):
                    break
                self._exchange.cancel(MAKERS, best.order_id)
        while len(self._mine) > _MOST_ORDERS:
            oldest = self._mine.pop(0)
            if oldest in self._exchange.orders:
                self._exchange.cancel(MAKERS, oldest)
        self.fill(now_us)

    def _place(
        self, owner: Owner, is_buy: bool, price: int, quantity: int, kind: OrderType, force: TimeInForce, now_us: int
    ) -> None:
        self._number += 1
        order = RestingOrder(
            order_id=f"0x{self.product.product_id:032x}{self._number:032x}",
            owner=owner,
            product_id=self.product.product_id,
            is_buy=is_buy,
            order_type=kind,
            time_in_force=force,
            price=price,
            quantity=quantity,
            residual=quantity,
            nonce=self.product.product_id << 40 | self._number,
            expiry_ms=now_us // 1_000 + _LIFE_MS,
            created_us=now_us,
            account=owner[0],
            signature="",
        )
        try:
            placed = self._exchange.place(order, now_us)
        except Refused:
            return  # a post-only order in the way of somebody's: the crowd tries another
        if placed.order.residual and owner == MAKERS:
            self._mine.append(order.order_id)

    def _in_ticks(self, price: float) -> int:
        return max(1, round(price * ONE / self.product.tick))

    def _lots(self) -> int:
        return max(1, round(self._rng.lognormvariate(self._log_median, 0.8))) * self.product.lot
