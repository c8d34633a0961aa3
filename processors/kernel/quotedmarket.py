"""What the quoter remembers of one market."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from processors.kernel.drift import Reference
from processors.kernel.marketbreakers import MarketBreakers
from processors.kernel.quotingconfig import QuotingConfig
from processors.kernel.risk import OrderRate
from processors.kernel.samples import MidSamples, trusted_mid2
from processors.kernel.steps import BookView
from schemas.breakers import Transition

__all__ = ["QuotedMarket"]


class QuotedMarket:
    """One market.

    Attributes:
        mids: Where the mid was, at grid points.
        rate: Counts new orders.
        breakers: What can stop it.
        decided_us: Grid point of the last decision; None before the first.
        was_live: Whether the book was LIVE there.
        is_pulled: Whether that decision was taken back since.
    """

    def __init__(self, config: QuotingConfig, reference: Reference | None) -> None:
        self.mids = MidSamples(config.volatility_window_us, config.max_hole_us)
        self.rate = OrderRate(config.max_orders_per_s)
        self.breakers = MarketBreakers(config.breakers, reference)
        self.decided_us: int | None = None
        self.was_live = False
        self.is_pulled = False
        self._least_span_us = config.volatility_min_us

    @property
    def sigma(self) -> float | None:
        """Volatility of the mid: units of prices per root second; None where there is too little history."""
        span_us = self.mids.span_us
        return math.sqrt(self.mids.squared_changes() / 4 / (span_us / 1e6)) if span_us >= self._least_span_us else None

    def look(self, view: BookView | None, ts_grid: int) -> list[Transition]:
        """Take the book at a grid point; gives what its breakers do."""
        if view is None:
            return []
        found = [self.breakers.judge_book(view.state, ts_grid)]
        mid2 = trusted_mid2(view)
        if mid2 is not None:
            self.mids.add(ts_grid, mid2, view.offset)
            found.append(self.breakers.judge_market(self.mids, self.sigma, ts_grid))
        return [transition for transition in found if transition is not None]

    def decided(self, ts_grid: int, *, was_live: bool) -> None:
        """Note that a decision was made."""
        self.decided_us, self.was_live, self.is_pulled = ts_grid, was_live, False

    def state(self) -> list[Any]:
        """Give what is remembered."""
        last = [self.decided_us, self.was_live, self.is_pulled]
        return [self.mids.state(), self.rate.state(), self.breakers.state(), last]

    def restore(self, state: Sequence[Any]) -> None:
        """Take back what `state` gave."""
        mids, rate, breakers, (self.decided_us, self.was_live, self.is_pulled) = state
        self.mids.restore(mids)
        self.rate.restore(rate)
        self.breakers.restore(breakers)
