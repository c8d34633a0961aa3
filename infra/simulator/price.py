"""The latent fair price that all markets of one asset share: what informed traders know and nobody else sees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

__all__ = ["FairPrice", "PriceModel"]

_BASIS_POINT = 1e-4


@dataclass(frozen=True, slots=True)
class PriceModel:
    """Parameters of a fair price.

    Attributes:
        start: Where it starts and what it reverts to, in quote currency.
        volatility_bp: Diffusion, basis points per square root of a second.
        drift_bp: Standard deviation of the drift, basis points per second.
        drift_memory_s: Time constant with which the drift reverts to zero.
        reversion_s: Time constant with which the price reverts to `start`.
        jumps_per_s: Rate of jumps.
        jump_bp: Standard deviation of a jump, basis points.
    """

    start: float
    volatility_bp: float
    drift_bp: float = 0.6
    drift_memory_s: float = 4.0
    reversion_s: float = 900.0
    jumps_per_s: float = 1 / 240
    jump_bp: float = 12.0


class FairPrice:
    """A log price with two Ornstein-Uhlenbeck parts and rare jumps, advanced in equal steps.

    The drift is the predictable part: it lasts for seconds, leans the order flow, and so shows in the book's imbalance
    and in the sign of trades before it shows in the price.
    """

    def __init__(self, model: PriceModel, rng: Random, step_s: float) -> None:
        self._rng = rng
        self._start = model.start
        self._deviation = 0.0
        self._drift = 0.0
        self._step_s = step_s
        self._keep = math.exp(-step_s / model.reversion_s)
        self._keep_drift = math.exp(-step_s / model.drift_memory_s)
        self._drift_noise = model.drift_bp * _BASIS_POINT * math.sqrt(1 - self._keep_drift**2)
        self._noise = model.volatility_bp * _BASIS_POINT * math.sqrt(step_s)
        self._jump_probability = model.jumps_per_s * step_s
        self._jump = model.jump_bp * _BASIS_POINT
        self.lean_scale = model.drift_bp * _BASIS_POINT
        self.value = model.start

    @property
    def drift(self) -> float:
        """The present drift, relative change per second."""
        return self._drift

    def step(self) -> None:
        """Advance by one step of time."""
        gauss = self._rng.gauss
        self._drift = self._drift * self._keep_drift + gauss(0.0, self._drift_noise)
        moved = self._drift * self._step_s + gauss(0.0, self._noise)
        if self._rng.random() < self._jump_probability:
            moved += gauss(0.0, self._jump)
        self._deviation = self._deviation * self._keep + moved
        self.value = self._start * math.exp(self._deviation)
