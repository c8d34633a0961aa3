r"""The quoting formula of Avellaneda and Stoikov, "High-frequency trading in a limit order book" (2008).

    reservation = fair - q * gamma * sigma**2 * T
    half_spread = gamma * sigma**2 * T / 2 + ln(1 + gamma / kappa) / gamma

Units: prices in basis points of the mid, so that one setting serves markets of every price; q is the position over
its limit, -1..1; sigma in bps per square root of a second; T in seconds, constant (a market that does not close);
gamma and kappa per bps. It is the paper's form, with sigma squared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Parameters", "Pricing", "price"]

_BPS = 10_000


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the formula is set to.

    Attributes:
        gamma: Risk aversion, per bps and unit of normalised inventory.
        kappa: Decay of the fill rate with the distance from the mid, per bps.
        horizon_s: T.
        max_signal_bps: The signal counts up to this.
        max_offset_bps: Half spread, and inventory skew, count up to this each.
    """

    gamma: float
    kappa: float
    horizon_s: float
    max_signal_bps: float
    max_offset_bps: float


@dataclass(frozen=True, slots=True)
class Pricing:
    """The prices, in units of prices, and the names of the limits that changed them.

    Attributes:
        half_spread: Before its limit.
        bid, ask: Reservation less and plus the half spread, after the limits, not yet on a tick.
    """

    fair: int
    reservation: int
    half_spread: int
    bid: int
    ask: int
    clamps: tuple[str, ...]


def price(mid: int, sigma: float, inventory: float, signal_bps: float, parameters: Parameters) -> Pricing:
    """Price both sides around `mid`.

    Args:
        mid: In units of prices, positive.
        sigma: Volatility of the mid, in units of prices per square root of a second.
        inventory: q.
        signal_bps: Expected change of the mid.
    """
    clamps = []
    signal = _clamp(signal_bps, parameters.max_signal_bps)
    if signal != signal_bps:
        clamps.append("max_signal_bps")
    sigma_bps = sigma / mid * _BPS
    risk = parameters.gamma * sigma_bps**2 * parameters.horizon_s
    skew_bps = _clamp(inventory * risk, parameters.max_offset_bps)
    if skew_bps != inventory * risk:
        clamps.append("max_skew_bps")
    half_bps = risk / 2 + math.log1p(parameters.gamma / parameters.kappa) / parameters.gamma
    offset_bps = _clamp(half_bps, parameters.max_offset_bps)
    if offset_bps != half_bps:
        clamps.append("max_half_spread_bps")

    fair = mid + round(mid * signal / _BPS)
    reservation = fair - round(mid * skew_bps / _BPS)
    # At least one unit each way, so that the sides never meet.
    offset = max(1, math.ceil(mid * offset_bps / _BPS))
    return Pricing(
        fair=fair,
        reservation=reservation,
        half_spread=max(1, math.ceil(mid * half_bps / _BPS)),
        bid=reservation - offset,
        ask=reservation + offset,
        clamps=tuple(clamps),
    )


def _clamp(value: float, limit: float) -> float:
    return max(-limit, min(limit, value))
