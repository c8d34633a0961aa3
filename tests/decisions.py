"""Quote decisions as tests make them: what a test does not speak of is filled in."""

from __future__ import annotations

from typing import Any

from schemas.records import QuoteDecision

__all__ = ["decision_of"]


def decision_of(**fields: Any) -> QuoteDecision:
    """Make a decision whose formula is left out."""
    values: dict[str, Any] = {
        "reasons": (),
        "sigma": 0.0,
        "gamma": 0.0,
        "kappa": 0.0,
        "horizon_s": 0.0,
        "signal_bps": 0.0,
        "clamps": (),
        "config_hash": "",
        "cause_topic": "market.ticks",
    }
    return QuoteDecision(**(values | fields))
