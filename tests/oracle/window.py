"""Trades seen before, by a set and a queue per market."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

__all__ = ["TradeWindow"]


class TradeWindow:
    """The latest trade keys of one market, oldest forgotten first."""

    __slots__ = ("_known", "_order")

    def __init__(self, size: int, keys: Iterable[str] = ()) -> None:
        self._order = deque(keys, maxlen=size)
        self._known = set(self._order)

    def add(self, key: str) -> bool:
        """Remember a key; False where it is known already."""
        known = self._known
        if key in known:
            return False
        order = self._order
        if len(order) == order.maxlen:
            known.remove(order[0])
        order.append(key)
        known.add(key)
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._order)
