"""What is new in pages of a market's newest trades, and whether some are missing between two pages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.venues.citrex.market_data import TradePrint
from schemas.venues.citrex.requests import LOOKBACK_LIMIT

__all__ = ["NewTrades", "Tape"]

_REMEMBERED = 4 * LOOKBACK_LIMIT


@dataclass(frozen=True, slots=True)
class NewTrades:
    """What a page brought.

    Attributes:
        trades: Not seen before, oldest first.
        is_first: The first page of a session: its trades were before we looked.
        is_gapped: Trades are missing before these, and cannot be had.
        wants_more: The page does not reach back to what is known: nothing was taken; ask for a longer one.
    """

    trades: tuple[TradePrint, ...] = ()
    is_first: bool = False
    is_gapped: bool = False
    wants_more: bool = False


class Tape:
    """Remembers a market's latest trades by their ids."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._started = False

    def page(self, trades: Sequence[TradePrint], *, rows: int, asked: int) -> NewTrades:
        """Take a page, newest first.

        Args:
            rows: How many rows it had, those that could not be read included.
            asked: How many were asked for; fewer rows are all that there is.
        """
        known = [place for place, trade in enumerate(trades) if trade.uid in self._seen]
        # What is behind the oldest that is known was before the session, or was told long ago.
        new = [trade for trade in reversed(trades[: known[-1]] if known else trades) if trade.uid not in self._seen]
        is_first = not self._started
        # A page that ends before its bound goes back to the beginning; a known trade joins it to the page before.
        joins = is_first or rows < asked or bool(known)
        if not joins and asked < LOOKBACK_LIMIT:
            return NewTrades(wants_more=True)
        self._started = True
        fresh = [trade for trade in new if self._note(trade.uid)]
        return NewTrades(tuple(fresh), is_first=is_first, is_gapped=not joins)

    def _note(self, uid: str) -> bool:
        """Remember an id; False where the page itself has it twice."""
        if uid in self._seen:
            return False
        self._seen[uid] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return True
