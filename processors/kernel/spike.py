"""Prices far from the last one, held back until the market confirms them.

A print further than the threshold from the last accepted price is held. Prints at the new level confirm it: by their
number, or by the first one after some time; then all are accepted, in order. A print at the old level, or at a third
one, disproves it. So a wrong print never passes, and a true jump never locks a feed out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from processors.kernel.held import Held, dump, load
from processors.kernel.memory import Growing

__all__ = ["Prices", "Print", "SpikeGuard", "SpikeLimits", "TopGuard", "TradeGuard"]

Prices: TypeAlias = tuple[int | None, int | None]
"""A trade's price and None; or the best bid and ask of a top, None where it is not said or the side is empty."""


@dataclass(frozen=True, slots=True)
class SpikeLimits:
    """When a price is a spike, and when it is confirmed.

    Attributes:
        threshold: Relative to the last price; further than this is a spike.
        confirm_prints: Prints at the new level that confirm it, the first included.
        confirm_us: Partition-clock time after which the next print at the new level confirms it.
    """

    threshold: Fraction
    confirm_prints: int
    confirm_us: int


@dataclass(frozen=True, slots=True)
class Print:
    """What is accepted or rejected together: a trade, or the sides of a top of one message."""

    ts_clock: int
    prices: Prices
    ticks: list[Held]


class SpikeGuard(ABC):
    """The guard of one (market, kind).

    Args:
        rows, at: Where the last prices are kept, and whether prints are held.
    """

    def __init__(self, limits: SpikeLimits, rows: Growing, at: int) -> None:
        self._rows = rows
        self._at = at
        self._held: list[Print] = []
        self._limits = limits
        self._numerator, self._denominator = limits.threshold.as_integer_ratio()

    @property
    @abstractmethod
    def reference(self) -> Prices:
        """The last accepted prices."""

    @reference.setter
    @abstractmethod
    def reference(self, prices: Prices) -> None: ...

    @property
    def held(self) -> list[Print]:
        """What is not yet confirmed."""
        return self._held

    @held.setter
    def held(self, held: list[Print]) -> None:
        self._held = held
        self._rows.rows["is_holding"][self._at] = bool(held)

    def passes(self, prices: Prices) -> bool:
        """Accept the prices at once where nothing is held and they are near the last ones."""
        if self.held or not self._is_near(prices, self.reference):
            return False
        self._accept(prices)
        return True

    def judge(self, new: Print) -> tuple[list[Print], list[Print]]:
        """Judge a print that did not pass; give those now disproved and those now confirmed, in order.

        A print at the old level that disproves others is not among the confirmed: the caller accepts it, no spike,
        if it `passes` now. One that is in neither list is held.
        """
        held = self.held
        if self._is_near(new.prices, self.reference):
            self.held = []
            return held, []
        disproved: list[Print] = []
        if held and not self._is_near(new.prices, held[-1].prices):
            disproved, held = held, []
        self.held = [*held, new]
        limits = self._limits
        if len(self.held) < limits.confirm_prints and (not held or new.ts_clock - held[0].ts_clock < limits.confirm_us):
            return disproved, []
        confirmed, self.held = self.held, []
        for one in confirmed:
            self._accept(one.prices)
        return disproved, confirmed

    def _accept(self, prices: Prices) -> None:
        first, second = prices
        if first is None or second is None:
            first = self.reference[0] if first is None else first
            second = self.reference[1] if second is None else second
        self.reference = (first, second)

    def _is_near(self, prices: Prices, level: Prices) -> bool:
        numerator, denominator = self._numerator, self._denominator
        for price, base in zip(prices, level, strict=True):
            if price is not None and base is not None and abs(price - base) * denominator > numerator * base:
                return False
        return True

    def state(self) -> list[Any]:
        """Give what is remembered."""
        return [list(self.reference), [[one.ts_clock, list(one.prices), dump(one.ticks)] for one in self.held]]

    def restore(self, state: list[Any]) -> None:
        """Take back what `state` gave."""
        reference, held = state
        self.reference = (reference[0], reference[1])
        self.held = [Print(ts, (prices[0], prices[1]), load(ticks)) for ts, prices, ticks in held]


class TradeGuard(SpikeGuard):
    """The guard of a market's trades."""

    @property
    def reference(self) -> Prices:
        """The last accepted price, and None."""
        row = self._rows.rows[self._at]
        return (int(row["price"]) if row["has_price"] else None, None)

    @reference.setter
    def reference(self, prices: Prices) -> None:
        row = self._rows.rows[self._at]
        row["has_price"], row["price"] = prices[0] is not None, prices[0] or 0


class TopGuard(SpikeGuard):
    """The guard of a market's tops."""

    @property
    def reference(self) -> Prices:
        """The last accepted bid and ask."""
        row = self._rows.rows[self._at]
        return (
            int(row["bid"]) if row["has_bid"] else None,
            int(row["ask"]) if row["has_ask"] else None,
        )

    @reference.setter
    def reference(self, prices: Prices) -> None:
        bid, ask = prices
        row = self._rows.rows[self._at]
        row["has_bid"], row["bid"], row["has_ask"], row["ask"] = bid is not None, bid or 0, ask is not None, ask or 0
