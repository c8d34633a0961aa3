"""The displayed book as `market.ticks` tells it: what a paper order finds when it arrives. Pure."""

from __future__ import annotations

from schemas.enums import Side, TickKind
from schemas.records import Tick

__all__ = ["DisplayedBook", "Taken"]


class DisplayedBook:
    """Sizes by price of one market.

    Live from the end of a snapshot until a STATUS, or until a message is broken off: then it is not known what is
    missing, and the next snapshot makes it live again.
    """

    def __init__(self) -> None:
        self._sides: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        self._is_known = False
        self._is_open = False
        self._has_cleared = False

    @property
    def is_live(self) -> bool:
        """Whether it is whole: known, and not in the middle of a message."""
        return self._is_known and not self._is_open

    @property
    def is_torn(self) -> bool:
        """Whether it stands in the middle of a message."""
        return self._is_open

    @property
    def best_bid(self) -> int | None:
        """Highest price bid."""
        return max(self._sides[Side.BUY], default=None)

    @property
    def best_ask(self) -> int | None:
        """Lowest price asked."""
        return min(self._sides[Side.SELL], default=None)

    def size_at(self, side: Side, price: int) -> int:
        """Give the size displayed at a price."""
        return self._sides[side].get(price, 0)

    def reachable(self, side: Side, limit: int) -> list[tuple[int, int]]:
        """Give the (price, size) levels of a side that an order against it reaches at `limit`, best first."""
        levels = self._sides[side]
        if side is Side.BUY:
            return sorted((x for x in levels.items() if x[0] >= limit), reverse=True)
        return sorted(x for x in levels.items() if x[0] <= limit)

    def apply(self, tick: Tick) -> None:
        """Take a tick of this market."""
        if tick.first:
            if self._is_open:
                self._is_known = False
            self._is_open, self._has_cleared = True, False
        match tick.kind:
            case TickKind.CLEAR:
                self._sides = {Side.BUY: {}, Side.SELL: {}}
                self._has_cleared = True
            case TickKind.LEVEL if tick.side in self._sides:
                self._set_level(tick)
            case TickKind.STATUS:
                self._is_known = False
        if tick.last:
            self._is_known |= self._has_cleared
            self._is_open = self._has_cleared = False

    def _set_level(self, tick: Tick) -> None:
        levels = self._sides[tick.side]
        if tick.size > 0:
            levels[tick.price] = tick.size
        else:
            levels.pop(tick.price, None)


class Taken:
    """What orders of ours took from the displayed book, which goes on showing it: nothing is taken twice.

    It holds as long as the level stays; more that comes to a level can be taken, the part that was taken cannot.
    """

    def __init__(self) -> None:
        self._sizes: dict[tuple[Side, int], int] = {}

    def take(self, book: DisplayedBook, side: Side, limit: int, size: int) -> list[tuple[int, int]]:
        """Give the (price, size) parts that an order of `side` takes at `limit` or better, best first."""
        other = Side.BUY if side is Side.SELL else Side.SELL
        parts = []
        for price, displayed in book.reachable(other, limit):
            taken = self._sizes.get((other, price), 0)
            part = min(size, displayed - taken)
            if part > 0:
                self._sizes[other, price] = taken + part
                size -= part
                parts.append((price, part))
        return parts

    def follow(self, book: DisplayedBook) -> None:
        """Forget levels that have left a whole book."""
        if self._sizes and book.is_live:
            self._sizes = {at: taken for at, taken in self._sizes.items() if book.size_at(*at)}
