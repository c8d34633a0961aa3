"""The breakers of one quoted market, judged at each grid point on the partition's clock.

DISCONNECT pauses while its book is not LIVE and for a while after. DRIFT lets prices do without the model: its features
are not those of its training any more, or it was slow. EXTREME_MARKET stops quoting while the mid moves as it never
should.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from processors.kernel.drift import DriftMeter, Reference
from processors.kernel.samples import MidSamples
from schemas.breakers import Breaker, Transition
from schemas.enums import BookState, BreakerKind, BreakerState

__all__ = ["BreakerLimits", "MarketBreakers"]

_BPS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """When a market's breakers open, and how they close again; times in microseconds.

    Attributes:
        disconnect_rest_us: How long a book must be LIVE again before it is tried.
        drift_psi: A greater PSI of the model's features is drift; see `processors.kernel.drift`.
        drift_window: Feature vectors that a PSI is taken of.
        inference_us: A prediction that took longer is not used.
        drift_rest_us: How long neither must be seen before the model is tried again.
        extreme_move_bps: A mid further from any other of the window is an extreme market.
        extreme_window_us: The window; not longer than that of the volatility.
        extreme_volatility_bps: And so is a volatility above this, per root second.
        extreme_rest_us: How long neither must be seen before quoting is tried again.
        trial_us: How long each is tried before it is over.
    """

    disconnect_rest_us: int = 2_000_000
    drift_psi: float = 2.0
    drift_window: int = 1_500
    inference_us: int = 5_000
    drift_rest_us: int = 10_000_000
    extreme_move_bps: int = 200
    extreme_window_us: int = 5_000_000
    extreme_volatility_bps: float = 50.0
    extreme_rest_us: int = 30_000_000
    trial_us: int = 10_000_000


class MarketBreakers:
    """The three of one market.

    Args:
        reference: What the model was trained on; None where there is no model.
    """

    def __init__(self, limits: BreakerLimits, reference: Reference | None) -> None:
        def breaker(kind: BreakerKind, rest_us: int) -> Breaker:
            return Breaker(kind, rest_us=rest_us, trial_us=limits.trial_us)

        self._limits = limits
        self._disconnect = breaker(BreakerKind.DISCONNECT, limits.disconnect_rest_us)
        self._drift = breaker(BreakerKind.DRIFT, limits.drift_rest_us)
        self._extreme = breaker(BreakerKind.EXTREME_MARKET, limits.extreme_rest_us)
        self._all = (self._disconnect, self._drift, self._extreme)
        self._meter = DriftMeter(reference, limits.drift_window) if reference else None

    @property
    def is_disconnected(self) -> bool:
        """Whether quoting pauses for the feed."""
        return self._disconnect.state is BreakerState.OPEN

    @property
    def is_drifting(self) -> bool:
        """Whether prices do without the model."""
        return self._drift.state is BreakerState.OPEN

    @property
    def is_extreme(self) -> bool:
        """Whether quoting has stopped for the market."""
        return self._extreme.state is BreakerState.OPEN

    @property
    def labels(self) -> tuple[str, ...]:
        """Name and state of those that are not closed."""
        return tuple(breaker.label for breaker in self._all if breaker.state is not BreakerState.CLOSED)

    def judge_book(self, state: BookState, now_us: int) -> Transition | None:
        """Look at the state of the book."""
        return self._disconnect.judge(state is not BookState.LIVE, now_us)

    def judge_market(self, mids: MidSamples, sigma: float | None, now_us: int) -> Transition | None:
        """Look at how the mid has moved.

        Args:
            sigma: In units of prices per root second.
        """
        limits = self._limits
        lowest, newest, highest = mids.range_within(limits.extreme_window_us)
        has_moved = max(highest - newest, newest - lowest) * _BPS > limits.extreme_move_bps * lowest
        is_wild = sigma is not None and 2 * sigma * _BPS > limits.extreme_volatility_bps * newest
        return self._extreme.judge(has_moved or is_wild, now_us)

    def judge_model(self, values: Sequence[float] | None, inference_us: int | None, now_us: int) -> Transition | None:
        """Look at the model's features, and at how long its prediction took; None where there is none."""
        if self._meter is None:
            return None
        if values is not None:
            self._meter.add(values)
        psi = self._meter.psi
        is_slow = inference_us is not None and inference_us > self._limits.inference_us
        return self._drift.judge(is_slow or (psi is not None and psi > self._limits.drift_psi), now_us)

    def state(self) -> list[Any]:
        """Give what is remembered."""
        return [[breaker.snapshot() for breaker in self._all], self._meter.state() if self._meter else None]

    def restore(self, state: list[Any]) -> None:
        """Take back what `state` gave."""
        breakers, meter = state
        for breaker, saved in zip(self._all, breakers, strict=True):
            breaker.restore(*saved)
        if self._meter is not None and meter is not None:
            self._meter.restore(meter)
