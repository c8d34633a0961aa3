"""Closing a position by orders that take: how much at which price, within what is displayed. Pure.

One slice after the other, each an immediate-or-cancel, reduce-only order of the displayed book: no further from the
mid than the price cap, no more than a part of what is displayed within it, no larger than one order may be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from schemas.clock import GRID_US
from schemas.enums import Side, TickKind
from schemas.errors import ConfigurationError
from schemas.instruments import Instrument
from schemas.reasons import FlattenReason
from schemas.records import Market, Tick
from sinks.executor.paper.book import DisplayedBook

__all__ = ["DisplayedBooks", "FlattenLimits", "Slice", "slice_of"]

_BPS: Final = 10_000
_PERCENT: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FlattenLimits:
    """How a position may be closed.

    Attributes:
        price_bps: Furthest price of an order from the mid of the displayed book.
        participation_pct: Part of the size displayed within that price that one order may take.
        order_notional: Value of one order at most, in 1e-17 quote.
        interval_us: Between two orders of a market.
        book_age_us: Nothing is taken from a book that was not heard of for longer.

    Raises:
        ConfigurationError: the interval is shorter than a grid step: two orders would have one name.
    """

    price_bps: int
    participation_pct: int
    order_notional: int
    interval_us: int
    book_age_us: int

    def __post_init__(self) -> None:
        """Refuse an interval in which orders cannot be named."""
        if self.interval_us < GRID_US:
            problem = f"was {self.interval_us // 1_000}"
            raise ConfigurationError("FLASHMM_FLATTEN_INTERVAL_MS", problem, f"Give {GRID_US // 1_000} or more")


@dataclass(frozen=True, slots=True)
class Slice:
    """One order that closes a part of a position; `mid` is that of the book it was made from."""

    side: Side
    price: int
    size: int
    mid: int


def slice_of(
    position: int, target: int, book: DisplayedBook, instrument: Instrument, limits: FlattenLimits
) -> Slice | FlattenReason | None:
    """Give the next order that brings a position to `target` or nearer to nothing; None where it is there.

    Args:
        position: Signed quantity.
        target: Greatest absolute quantity that may stay.
        book: As displayed, live; without orders of ours.
    """
    if abs(position) <= target:
        return None
    bid, ask = book.best_bid, book.best_ask
    if bid is None or ask is None or bid >= ask:
        return FlattenReason.BOOK_UNKNOWN
    side, price = _capped(position, bid + ask, instrument.tick, limits.price_bps)
    lot = instrument.lot
    # Up to the lot that brings it to the target, but never through nothing.
    wanted = min(-(-(abs(position) - target) // lot), abs(position) // lot) * lot
    if _is_too_small(wanted, price, instrument):
        return FlattenReason.BELOW_MINIMUM
    other = Side.BUY if side is Side.SELL else Side.SELL
    displayed = sum(size for _, size in book.reachable(other, price))
    allowed = min(displayed * limits.participation_pct // _PERCENT, limits.order_notional // price if price > 0 else 0)
    size = min(wanted, allowed) // lot * lot
    return (
        FlattenReason.NO_LIQUIDITY
        if _is_too_small(size, price, instrument)
        else Slice(side, price, size, (bid + ask) // 2)
    )


def _capped(position: int, twice_mid: int, tick: int, bps: int) -> tuple[Side, int]:
    """Give the side that closes, and the worst price for it: within the cap after rounding to the tick."""
    step = 2 * _BPS * tick
    if position > 0:
        return Side.SELL, -(-twice_mid * (_BPS - bps) // step) * tick
    return Side.BUY, twice_mid * (_BPS + bps) // step * tick


def _is_too_small(size: int, price: int, instrument: Instrument) -> bool:
    return size <= 0 or size < instrument.min_size or size * price < instrument.min_notional


class DisplayedBooks:
    """The displayed books of markets, and when each was last heard of: by a tick of its own or its venue's beat."""

    def __init__(self, markets: Iterable[Market]) -> None:
        self._books: Mapping[Market, DisplayedBook] = {market: DisplayedBook() for market in markets}
        self._heard: dict[Market, int] = {}
        self._beats: dict[str, int] = {}

    def take(self, tick: Tick) -> None:
        """Take the next record of `market.ticks`."""
        book = self._books.get(tick.market)
        if book is not None:
            book.apply(tick)
            self._heard[tick.market] = tick.ts_recv
        elif tick.kind is TickKind.HEARTBEAT:
            self._beats[tick.venue] = tick.ts_recv

    def get(self, market: Market, now_us: int, age_us: int) -> DisplayedBook | None:
        """Give the book of a market; None where it is not live, or was not heard of for longer than `age_us`."""
        book = self._books[market]
        heard_us = max(self._heard.get(market, 0), self._beats.get(market[0], 0))
        return book if book.is_live and now_us - heard_us <= age_us else None
