"""Prices far from the last one, held back until the market confirms them.

A print further than the threshold from the last accepted price is held. Prints at the new level confirm it: by their
number, or by the first one after some time; then all are accepted, in order. A print at the old level, or at a third
one, disproves it. So a wrong print never passes, and a true jump never locks a feed out.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from processors.kernel.held import Held, dump

__all__ = ["Prices", "Print", "SpikeGuard", "SpikeLimits"]

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


class SpikeGuard:
    """The guard of one (market, kind)."""

    __slots__ = ("_denominator", "_limits", "_numerator", "held", "reference")

    def __init__(self, limits: SpikeLimits) -> None:
        self.reference: Prices = (None, None)
        self.held: list[Print] = []
        self._limits = limits
        self._numerator, self._denominator = limits.threshold.as_integer_ratio()

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
