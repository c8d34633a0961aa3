"""The displayed book as `market.ticks` tells it: what a paper order finds when it arrives. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.enums import Side, TickKind
from schemas.records import Tick

__all__ = ["DisplayedBook"]


class DisplayedBook:
    """Sizes by price of one market.

    Live from the end of a snapshot until a STATUS, or until a message is broken off: then it is not known what is
    missing, and the next snapshot makes it live again.
    """

    def __init__(self) -> None:
        self._sides: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        # What we took of the sizes that are displayed: the venue goes on displaying it, for we never traded there.
        self._taken: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
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

    def available_at(self, side: Side, price: int) -> int:
        """Give the size displayed at a price less what was consumed of it."""
        return self.size_at(side, price) - self._taken[side].get(price, 0)

    def consume(self, side: Side, price: int, size: int) -> None:
        """Take displayed size: it is not there again until the level has shrunk below it, and grown anew."""
        self._taken[side][price] = self._taken[side].get(price, 0) + size

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
            if self._has_cleared:
                self._is_known = True
                for side, taken in self._taken.items():
                    for price in list(taken):
                        self._cap_taken(side, price)
            self._is_open = self._has_cleared = False

    def state(self) -> dict[str, Any]:
        """Give what is remembered, as JSON-able values."""
        return {
            "sides": {side: list(levels.items()) for side, levels in self._sides.items()},
            "taken": {side: list(taken.items()) for side, taken in self._taken.items()},
            "is_known": self._is_known,
            "is_open": self._is_open,
            "has_cleared": self._has_cleared,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        for side in self._sides:
            self._sides[side] = {int(price): int(size) for price, size in state["sides"][side]}
            self._taken[side] = {int(price): int(size) for price, size in state["taken"][side]}
        self._is_known, self._is_open = bool(state["is_known"]), bool(state["is_open"])
        self._has_cleared = bool(state["has_cleared"])

    def _set_level(self, tick: Tick) -> None:
        levels = self._sides[tick.side]
        if tick.size > 0:
            levels[tick.price] = tick.size
        else:
            levels.pop(tick.price, None)
        if not self._has_cleared:  # within a snapshot the level may still be told
            self._cap_taken(tick.side, tick.price)

    def _cap_taken(self, side: Side, price: int) -> None:
        left = min(self._taken[side].pop(price, 0), self.size_at(side, price))
        if left:
            self._taken[side][price] = left
