"""The limits of the normalise stage."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from processors.kernel.spike import SpikeLimits
from schemas.clock import MAX_AHEAD_US, MAX_MESSAGE_RECORDS

__all__ = ["NormaliseConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NormaliseConfig:
    """The limits of the stage; times in microseconds.

    Attributes:
        max_age_us: A TRADE or TOP older than this when received is rejected, unless it was filled in (REPLAYED).
        max_ahead_us: A record further ahead of the partition's clock is a candidate for its next value.
        skew_us: An event time further after its receipt than this is flagged CLOCK_SKEW.
        spike_threshold, spike_confirm_prints, spike_confirm_us: See `processors.kernel.spike`.
        dedup_window: Trade keys remembered per market.
        dedup_keys: Trade keys remembered per partition; where its markets have more, each has an equal share.
        stale_us: A book whose source is silent for longer is STALE.
        max_message_records: Longer venue messages are dropped; a snapshot of 5,000 levels a side fits.
        book_depth: Levels a side that are published.
        max_levels: Levels a side that are kept; beyond, the worst is forgotten.
    """

    max_age_us: int = 60_000_000
    max_ahead_us: int = MAX_AHEAD_US
    skew_us: int = 500_000
    spike_threshold: Fraction = Fraction(1, 10)
    spike_confirm_prints: int = 3
    spike_confirm_us: int = 5_000_000
    dedup_window: int = 1_024
    dedup_keys: int = 32_768
    stale_us: int = 10_000_000
    max_message_records: int = MAX_MESSAGE_RECORDS
    book_depth: int = 20
    max_levels: int = 20_000

    @property
    def spike(self) -> SpikeLimits:
        """When a price is a spike, and when it is confirmed."""
        return SpikeLimits(self.spike_threshold, self.spike_confirm_prints, self.spike_confirm_us)
