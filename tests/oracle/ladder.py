"""One side of an order book: exact sizes by price, best first."""

from __future__ import annotations

from bisect import bisect_left
from itertools import islice

from schemas.records import BookLevel

__all__ = ["Ladder"]


class Ladder:
    """Sizes by price, in the order of price.

    Args:
        is_bid: The best price is the highest, else the lowest.
        depth: How many of the best levels are shown.
        max_levels: Beyond this the worst level is forgotten, so a hostile or endless feed cannot grow without bound.
    """

    __slots__ = ("_depth", "_keys", "_max_levels", "_sign", "_sizes")

    def __init__(self, *, is_bid: bool, depth: int, max_levels: int) -> None:
        # The best key is the last: most changes are near the best, and a list moves only what follows.
        self._keys: list[int] = []
        self._sizes: dict[int, int] = {}
        self._sign = 1 if is_bid else -1
        self._depth = depth
        self._max_levels = max_levels

    def __len__(self) -> int:
        return len(self._keys)

    def clear(self) -> None:
        """Forget every level."""
        self._keys.clear()
        self._sizes.clear()

    def put(self, price: int, size: int) -> bool:
        """Set the size at a price, 0 deletes; tell whether one of the shown levels changed."""
        key = price * self._sign
        keys, sizes = self._keys, self._sizes
        before = sizes.get(key, 0)
        if before == size:
            return False
        at = bisect_left(keys, key)
        is_shown = len(keys) - at <= self._depth if before else len(keys) - at < self._depth
        if not size:
            del sizes[key], keys[at]
            return is_shown
        sizes[key] = size
        if not before:
            keys.insert(at, key)
            if len(keys) > self._max_levels:
                del sizes[keys.pop(0)]
        return is_shown

    def best(self) -> tuple[int | None, int | None]:
        """Give the best price and its size, None and None of an empty side."""
        if not self._keys:
            return None, None
        key = self._keys[-1]
        return key * self._sign, self._sizes[key]

    def levels(self, count: int | None = None) -> tuple[BookLevel, ...]:
        """Give the best levels, all of them without a count."""
        return tuple(
            BookLevel(price=key * self._sign, size=self._sizes[key]) for key in islice(reversed(self._keys), count)
        )

    def state(self) -> list[int]:
        """Give prices and sizes by turns, worst first."""
        return [value for key in self._keys for value in (key * self._sign, self._sizes[key])]
