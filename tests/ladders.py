"""One side of a book by itself."""

from __future__ import annotations

from processors.kernel.ladder import Ladders, put_level
from schemas.records import BookLevel

__all__ = ["OneSide"]


class OneSide:
    """A side with room for a few levels more than `max_levels`."""

    def __init__(self, *, is_bid: bool, depth: int, max_levels: int) -> None:
        self.ladders = Ladders()
        self.ladders.fit_books(1)
        self.number = 0 if is_bid else 1
        self.ladders.fit(self.number, max_levels)
        self._depth = depth
        self._max_levels = max_levels

    def put(self, price: int, size: int) -> bool:
        """Set the size at a price."""
        ladders = self.ladders
        return bool(put_level(ladders.rows, ladders.levels, self.number, price, size, self._depth, self._max_levels))

    def levels(self, count: int | None = None) -> tuple[BookLevel, ...]:
        """Give the best levels."""
        return self.ladders.all_of(self.number)[:count]
