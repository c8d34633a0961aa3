"""Open, high, low, close and sums of a set of trades, exact and independent of the order in which they are added."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

from schemas.enums import Side
from schemas.records import Tick

__all__ = ["Ohlc"]


@dataclass(slots=True)
class Ohlc:
    """The trades of an interval, summed up; prices in 1e-9, sizes in 1e-8, quote_volume in 1e-17.

    Attributes:
        first_at, last_at: (event time, offset) of the trades that made open and close. The offset decides between
            trades of one microsecond, so the arrival does.
        flags: Those of all trades together.
    """

    first_at: tuple[int, int]
    last_at: tuple[int, int]
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    buy_volume: int = 0
    sell_volume: int = 0
    quote_volume: int = 0
    count: int = 0
    first_sequence: int | None = None
    last_sequence: int | None = None
    first_offset: int = 0
    flags: int = 0

    @classmethod
    def of(cls, at_us: int, offset: int, tick: Tick, flags: int) -> Ohlc:
        """Start from one trade."""
        at, price = (at_us, offset), tick.price
        ohlc = cls(at, at, price, price, price, price, first_offset=offset)
        ohlc.add(at_us, offset, tick, flags)
        return ohlc

    def add(self, at_us: int, offset: int, tick: Tick, flags: int) -> None:
        """Add a trade at its event time."""
        price, size = tick.price, tick.size
        at = (at_us, offset)
        if at < self.first_at:
            self.first_at = at
            self.open = price
        if at >= self.last_at:
            self.last_at = at
            self.close = price
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.volume += size
        if tick.side is Side.BUY:
            self.buy_volume += size
        else:
            self.sell_volume += size
        self.quote_volume += price * size
        self.count += 1
        sequence = tick.sequence
        if sequence is not None:
            if self.first_sequence is None or sequence < self.first_sequence:
                self.first_sequence = sequence
            if self.last_sequence is None or sequence > self.last_sequence:
                self.last_sequence = sequence
        if offset < self.first_offset:
            self.first_offset = offset
        self.flags |= flags

    def merge(self, other: Ohlc) -> None:
        """Add the trades of another set."""
        if other.first_at < self.first_at:
            self.first_at = other.first_at
            self.open = other.open
        if other.last_at > self.last_at:
            self.last_at = other.last_at
            self.close = other.close
        self.high = max(self.high, other.high)
        self.low = min(self.low, other.low)
        self.volume += other.volume
        self.buy_volume += other.buy_volume
        self.sell_volume += other.sell_volume
        self.quote_volume += other.quote_volume
        self.count += other.count
        if other.first_sequence is not None and other.last_sequence is not None:
            first, last = self.first_sequence, self.last_sequence
            self.first_sequence = other.first_sequence if first is None else min(first, other.first_sequence)
            self.last_sequence = other.last_sequence if last is None else max(last, other.last_sequence)
        self.first_offset = min(self.first_offset, other.first_offset)
        self.flags |= other.flags

    def copy(self) -> Ohlc:
        """Give one that can grow by itself."""
        return copy(self)
