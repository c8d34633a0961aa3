"""Whether what the venue holds agrees with what we know, market by market. Pure.

The venue is asked for open orders, then for positions, then for our trades, and tells all of it in one go. So a
position that it states is one that ours had since it was last compared: at the start of that time, or after one of the
fills told since. Where it is another one, or where nothing was told for too long, nothing new is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from schemas.enums import Severity
from schemas.records import Market
from sinks.executor.notice import Notice
from sinks.executor.port import VenueMoney, VenuePositions

__all__ = ["Reconciliation"]

_CONFIRMED: Final = 2
"""Comparisons in a row that fail before people are told: a venue may state a trade and its position apart."""


@dataclass(slots=True)
class _Held:
    quantity: int
    had: set[int]
    differs: int = 0


class Reconciliation:
    """What was compared, and what may not be traded.

    Args:
        stale_us: What was compared longer ago is not known any more.
    """

    def __init__(self, stale_us: int = 5_000_000) -> None:
        self._stale_us = stale_us
        self._held: dict[Market, _Held] = {}
        self._asked_us: int | None = None
        self._money: VenueMoney | None = None
        self._is_stale = True
        self._notices: list[Notice] = []

    @property
    def money(self) -> VenueMoney | None:
        """What the venue said last of the account's money."""
        return self._money

    def restore(self, positions: Mapping[Market, int]) -> None:
        """Take the positions that the log holds."""
        self._held |= {market: _Held(quantity, {quantity}) for market, quantity in positions.items()}

    def filled(self, market: Market, change: int) -> None:
        """Note a fill of ours, signed."""
        held = self._held[market]
        held.quantity += change
        held.had.add(held.quantity)

    def take_money(self, money: VenueMoney) -> None:
        """Take the account's money."""
        self._money = money

    def compare(self, stated: VenuePositions) -> Mapping[Market, bool]:
        """Compare positions; give by market whether the venue's is one that ours had."""
        self._asked_us = stated.asked_us
        return {
            market: self._agrees(market, held, stated.quantities.get(market, 0)) for market, held in self._held.items()
        }

    def blocked(self, now_us: int) -> frozenset[Market]:
        """Give the markets where nothing new may be sent."""
        if self._asked_us is None or self._money is None or now_us - self._asked_us > self._stale_us:
            return frozenset(self._held)
        return frozenset(market for market, held in self._held.items() if held.differs)

    def review(self, now_us: int) -> Iterable[Notice]:
        """Give what people should know since they were last told."""
        is_stale = self._asked_us is None or self._money is None or now_us - self._asked_us > self._stale_us
        if is_stale != self._is_stale:
            self._is_stale = is_stale
            self._notices.append(_SILENT if is_stale else _READ)
        notices, self._notices = self._notices, []
        return notices

    def _agrees(self, market: Market, held: _Held, quantity: int) -> bool:
        is_equal = quantity in held.had
        held.had = {held.quantity}
        if is_equal and held.differs >= _CONFIRMED:
            message = f"the venue's position and ours agree again: {held.quantity} (1e-8)"
            self._notices.append(Notice(Severity.INFO, "POSITION_AGREES", message, market))
        held.differs = 0 if is_equal else held.differs + 1
        if held.differs == _CONFIRMED:
            message = (
                f"the venue holds {quantity} (1e-8), our fills add up to {held.quantity}: nothing new is sent to this "
                "market until they are equal. Look for trades of this sub-account that are not ours"
            )
            self._notices.append(Notice(Severity.CRITICAL, "POSITION_DIFFERS", message, market))
        return is_equal


_SILENT = Notice(
    Severity.WARNING, "VENUE_NOT_READ", "orders, positions and money could not be read lately: nothing new is sent"
)
_READ = Notice(Severity.INFO, "VENUE_READ", "orders, positions and money at the venue are read")
