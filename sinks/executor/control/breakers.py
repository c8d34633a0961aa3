"""The executor's breakers: what they judge by. Pure.

LATENCY widens quotes while orders are late; it heals by itself and is forgotten with the process. INVENTORY flattens a
market whose position is past its limit; what it judges by is in the log, so a new executor judges the same.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from schemas.breakers import Breaker, Transition
from schemas.enums import BreakerKind, BreakerState

__all__ = ["BreakerLimits", "InventoryBreaker", "LatencyBreaker"]

_PERCENT = 100
_MOST_OBSERVED = 4_096
_FEWEST_OBSERVED = 20
_JUDGED_EVERY_US = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """When the executor's breakers open.

    Attributes:
        latency_us: 99 % of orders must leave sooner after the tick that they are for.
        latency_window_us: How far back orders are looked at.
        position_notional: What a position may be worth, in 1e-17 quote.
        inventory_pct: Part of it from which a position is past its limit, in percent.
        rest_us: How long nothing bad must be seen before a trial.
        trial_us: How long a trial takes.
    """

    latency_us: int
    latency_window_us: int
    position_notional: int
    inventory_pct: int
    rest_us: int
    trial_us: int


class LatencyBreaker:
    """Open while one order of a hundred is late; fewer than twenty orders say nothing."""

    def __init__(self, limits: BreakerLimits) -> None:
        self.breaker = Breaker(BreakerKind.LATENCY, rest_us=limits.rest_us, trial_us=limits.trial_us)
        self._limits = limits
        self._observed: deque[tuple[int, int]] = deque(maxlen=_MOST_OBSERVED)
        self._judged_us = 0

    @property
    def is_open(self) -> bool:
        """Whether quotes are to be wide."""
        return self.breaker.state is BreakerState.OPEN

    def observe(self, latency_us: int, now_us: int) -> None:
        """Take the time from a tick to the order made for it."""
        self._observed.append((now_us, latency_us))

    def judge(self, now_us: int) -> Transition | None:
        """Judge what was observed within the window; at most four times a second."""
        if 0 <= now_us - self._judged_us < _JUDGED_EVERY_US:
            return None
        self._judged_us = now_us
        observed = self._observed
        while observed and now_us - observed[0][0] > self._limits.latency_window_us:
            observed.popleft()
        return self.breaker.judge(self._is_late(), now_us)

    def _is_late(self) -> bool:
        count = len(self._observed)
        late = sum(latency_us > self._limits.latency_us for _, latency_us in self._observed)
        return count >= _FEWEST_OBSERVED and late * _PERCENT > count


class InventoryBreaker:
    """Open from when a position is past its limit by the factor until it has been within the limit for the rest."""

    def __init__(self, limits: BreakerLimits) -> None:
        self.breaker = Breaker(BreakerKind.INVENTORY, rest_us=limits.rest_us, trial_us=limits.trial_us)
        self._limits = limits
        self._opened_us = 0
        self._is_over = False

    @property
    def is_open(self) -> bool:
        """Whether the market may only reduce."""
        return self.breaker.state is BreakerState.OPEN

    @property
    def is_flattening(self) -> bool:
        """Whether the position is to be closed down to the limit."""
        return self.is_open and self._is_over

    def over_us(self, now_us: int) -> int:
        """Give for how long the position has been past its limit since the breaker opened."""
        return now_us - self._opened_us if self.is_flattening else 0

    def target(self, mark: int) -> int:
        """Give the absolute quantity that the limit allows."""
        return self._limits.position_notional // mark

    def judge(self, position: int, mark: int, now_us: int) -> Transition | None:
        """Judge a position at a mark."""
        notional, limit = abs(position) * mark, self._limits.position_notional
        self._is_over = notional > limit
        is_bad = self._is_over if self.is_open else notional * _PERCENT > limit * self._limits.inventory_pct
        transition = self.breaker.judge(is_bad, now_us)
        if transition is not None and transition.after is BreakerState.OPEN:
            self._opened_us = now_us
        return transition
