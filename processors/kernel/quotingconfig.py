"""What quotes depend on."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field

from processors.kernel.avellaneda_stoikov import Parameters
from processors.kernel.marketbreakers import BreakerLimits
from processors.kernel.risk import MarketLimits
from schemas.enums import Mode
from schemas.errors import ConfigurationError
from schemas.numbers import NOTIONAL_SCALE

__all__ = ["QuotingConfig"]

_POSITIVE = {
    "max_position_quote": "FLASHMM_MAX_POSITION_QUOTE",
    "quote_size_quote": "FLASHMM_QUOTE_SIZE_QUOTE",
    "gamma": "FLASHMM_RISK_AVERSION",
    "max_orders_per_s": "FLASHMM_MAX_ORDERS_PER_S",
    "kappa": "kappa",
    "horizon_s": "horizon_s",
    "volatility_min_us": "volatility_min_us",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotingConfig:
    """What quotes depend on; all of it is in the config hash of each decision.

    Attributes:
        venues: Venues whose books are quoted.
        frequency_hz: Decisions a second and market; divides 5.
        max_position_quote: Position limit per market, in units of notionals; its quantity follows the mid.
        quote_size_quote: Value of one order, in units of notionals.
        gamma, kappa, horizon_s, max_signal_bps, max_offset_bps: See `avellaneda_stoikov.Parameters`.
        volatility_window_us: What volatility is estimated from.
        volatility_min_us: Less history than this is too little for an estimate.
        max_hole_us: Without a usable book for longer than this, the history starts anew.
        max_orders_per_s: New orders a second and market.
        shows_own: Whether the books of the quoted venues show our orders, which then are taken out of them.
        own_grace_us: How far the times of such a book and of what is told of an order may be apart.
        jump_bps: A mid of the group that moves further between two grid points pulls the quotes; at most 10,000.
        limits: Of the market rules.
        breakers: When the market's breakers open and close.

    Raises:
        ConfigurationError: the frequency does not divide 5, or a limit is not positive.
    """

    mode: Mode = Mode.PAPER
    account: str = "demo"
    venues: frozenset[str] = frozenset({"sim-sei-clob"})
    frequency_hz: int = 5
    max_position_quote: int = 2_000 * 10**NOTIONAL_SCALE
    quote_size_quote: int = 100 * 10**NOTIONAL_SCALE
    gamma: float = 0.1
    kappa: float = 0.5
    horizon_s: float = 10.0
    max_signal_bps: float = 20.0
    max_offset_bps: float = 500.0
    volatility_window_us: int = 30_000_000
    volatility_min_us: int = 5_000_000
    max_hole_us: int = 2_000_000
    max_orders_per_s: int = 10
    shows_own: bool = False
    own_grace_us: int = 1_500_000
    jump_bps: int = 20
    limits: MarketLimits = field(default_factory=MarketLimits)
    breakers: BreakerLimits = field(default_factory=BreakerLimits)

    def __post_init__(self) -> None:
        """Refuse what cannot be quoted with."""
        if self.frequency_hz not in (1, 5):
            raise ConfigurationError(
                "FLASHMM_QUOTE_FREQUENCY_HZ",
                f"must divide the grid's 5 Hz, was {self.frequency_hz}",
                "Set it to 1 or 5",
            )
        for name, setting in _POSITIVE.items():
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigurationError(setting, f"must be positive and finite, was {value}", "Correct it")

    @property
    def parameters(self) -> Parameters:
        """What the formula is set to."""
        return Parameters(self.gamma, self.kappa, self.horizon_s, self.max_signal_bps, self.max_offset_bps)

    @property
    def config_hash(self) -> str:
        """SHA-256 of all settings, in hexadecimal."""
        settings = asdict(self) | {"venues": sorted(self.venues)}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
