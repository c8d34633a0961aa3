"""Which venues' recordings can be replayed, and how one is opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from producers.binance.recording import BinanceRecording
from producers.binance.source import VENUE as BINANCE
from producers.replay.captures import Capture, open_capture
from producers.replay.feed import Recording
from schemas.errors import ConfigurationError
from schemas.instruments import Instruments

__all__ = ["VENUES", "open_recording"]


class RecordingFactory(Protocol):
    """Makes a venue's reading of a recording."""

    def __call__(
        self,
        capture: Capture,
        instruments: Instruments,
        *,
        symbol: str | None = None,
        lateness_us: int = 1_000_000,
        heartbeat_us: int = 1_000_000,
    ) -> Recording:
        """Find out what the recording holds."""


VENUES: Mapping[str, RecordingFactory] = {BINANCE: BinanceRecording}


def open_recording(
    path: Path,
    venue: str,
    instruments: Instruments,
    *,
    symbol: str | None = None,
    lateness_us: int = 1_000_000,
    heartbeat_us: int = 1_000_000,
) -> tuple[Capture, Recording]:
    """Open a recording of a venue.

    Raises:
        ConfigurationError: no recordings of the venue can be read.
        CaptureError: the file is not a recording of the venue.
    """
    factory = VENUES.get(venue)
    if factory is None:
        raise ConfigurationError(
            "--venue", f"recordings of {venue!r} cannot be read", f"Name one of: {', '.join(VENUES)}"
        )
    capture = open_capture(path)
    return capture, factory(capture, instruments, symbol=symbol, lateness_us=lateness_us, heartbeat_us=heartbeat_us)
