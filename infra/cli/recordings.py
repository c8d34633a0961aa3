"""What the commands that read a recording share: their options, and opening it as the settings say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.runtime.settings import Settings
from producers.replay.captures import Capture
from producers.replay.feed import Recording
from producers.replay.venues import VENUES, open_recording
from schemas.instruments import DEFAULT_PATH, Instruments

__all__ = ["CaptureFile", "SymbolName", "VenueName", "recording_of"]


def _known_venue(venue: str) -> str:
    if venue not in VENUES:
        raise typer.BadParameter(f"recordings of {venue!r} cannot be read; name one of: {', '.join(VENUES)}")
    return venue


CaptureFile = Annotated[Path, typer.Argument(help="A recording: `<local_ns> <json>` lines, or cryptofeed's .ws file.")]
VenueName = Annotated[
    str, typer.Option("--venue", callback=_known_venue, help=f"Venue that was recorded: {', '.join(VENUES)}.")
]
SymbolName = Annotated[
    str | None, typer.Option("--symbol", help="Market of lines that name none; the only one by default.")
]


def recording_of(settings: Settings, path: Path, venue: str, symbol: str | None) -> tuple[Capture, Recording]:
    """Open a recording as the settings say.

    Raises:
        CaptureError: the file is not a recording of the venue.
        ConfigurationError: the instruments cannot be read.
    """
    return open_recording(
        path,
        venue,
        Instruments.load(settings.instruments or DEFAULT_PATH),
        symbol=symbol,
        lateness_us=settings.lateness_ms * 1_000,
        heartbeat_us=settings.heartbeat_interval_ms * 1_000,
    )
