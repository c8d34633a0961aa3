"""Trades seen before: by the venue's own id, or by a hash of all that the venue said."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable

from schemas.records import Tick

__all__ = ["TradeWindow", "trade_key"]


def trade_key(tick: Tick) -> str:
    """Give what identifies a trade within its market.

    The SHA-256 leaves out what differs when the same trade is read again: our clock, the session and the message.
    """
    if tick.trade_id is not None:
        return tick.trade_id
    said = (
        tick.venue,
        tick.symbol,
        tick.side,
        tick.price,
        tick.size,
        tick.base_amount,
        tick.quote_amount,
        tick.ts_event,
        tick.sequence,
        tick.tx_hash,
        tick.block_height,
        tick.tx_index,
        tick.event_index,
    )
    return hashlib.sha256("\x1f".join(map(str, said)).encode()).hexdigest()


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

    def keys(self) -> list[str]:
        """Give the keys, oldest first."""
        return list(self._order)
