"""A limit order book of price levels, in ticks and lots, that can never be crossed."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

from schemas.enums import Side

__all__ = ["BookSide", "Fill", "OrderBook"]


@dataclass(frozen=True, slots=True)
class Fill:
    """What a market order took from one level: price in ticks, size in lots."""

    price: int
    size: int


class BookSide:
    """The levels of one side; index 0 is the best."""

    __slots__ = ("_keys", "_sign", "_sizes")

    def __init__(self, side: Side) -> None:
        # Bids are kept under the negated price, so that on both sides the best level sorts first.
        self._sign = -1 if side is Side.BUY else 1
        self._keys: list[int] = []
        self._sizes: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def best(self) -> int | None:
        """The best price in ticks, or None where the side is empty."""
        return self._keys[0] * self._sign if self._keys else None

    def price_at(self, index: int) -> int:
        """Give the price of the level at a depth, 0 being the best."""
        return self._keys[index] * self._sign

    def size_at(self, price: int) -> int:
        """Give the size at a price, 0 where there is none."""
        return self._sizes.get(price, 0)

    def levels(self, depth: int) -> list[tuple[int, int]]:
        """Give (price, size) of the best levels, best first."""
        sign, sizes = self._sign, self._sizes
        return [(key * sign, sizes[key * sign]) for key in self._keys[:depth]]

    def add(self, price: int, size: int) -> None:
        """Add a size at a price."""
        if price in self._sizes:
            self._sizes[price] += size
        else:
            self._sizes[price] = size
            insort(self._keys, price * self._sign)

    def remove(self, price: int, size: int) -> None:
        """Take at most this size from a price; an empty level goes."""
        left = self._sizes[price] - size
        if left > 0:
            self._sizes[price] = left
        else:
            del self._sizes[price]
            del self._keys[bisect_left(self._keys, price * self._sign)]


class OrderBook:
    """Both sides of a market. A resting order that would cross is placed one tick away from the other side."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids = BookSide(Side.BUY)
        self.asks = BookSide(Side.SELL)

    def side(self, side: Side) -> BookSide:
        """Give the resting orders of a side: bids for BUY."""
        return self.bids if side is Side.BUY else self.asks

    def rest(self, side: Side, price: int, size: int) -> int:
        """Let a post-only order rest and give the price at which it does."""
        if side is Side.BUY:
            price = price if self.asks.best is None else min(price, self.asks.best - 1)
        else:
            price = price if self.bids.best is None else max(price, self.bids.best + 1)
        self.side(side).add(price, size)
        return price

    def take(self, side: Side, size: int, max_levels: int) -> list[Fill]:
        """Match a taker's order against at most so many levels of the other side; what is left of it is cancelled."""
        resting = self.asks if side is Side.BUY else self.bids
        fills: list[Fill] = []
        while size > 0 and len(fills) < max_levels and resting.best is not None:
            price = resting.best
            taken = min(size, resting.size_at(price))
            resting.remove(price, taken)
            fills.append(Fill(price, taken))
            size -= taken
        return fills
