"""What a recording of Binance holds, and which snapshot in it belongs to which market.

A REST answer does not name its market, so in a recording of lines it belongs to the market that the user names, or to
the only one. Markets, and whether each has a `trade` stream, are found by reading the recording once beforehand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from producers.binance.protocol import BookTicker, DepthUpdate, Trade, parse_frame, parse_snapshot
from producers.binance.source import VENUE, BinanceSource
from producers.replay.captures import Capture, Line, LineKind
from schemas.errors import CaptureError, ProtocolError
from schemas.instruments import Instruments
from schemas.reasons import DeadLetterReason

__all__ = ["BinanceRecording"]

_STREAM = re.compile(rb'"stream"\s*:\s*"([^"@!]{1,64})@([^"@]{1,64})')
_USED = frozenset({"trade", "aggTrade", "bookTicker", "depth"})


@dataclass(slots=True)
class _Contents:
    streams: dict[str, set[str]] = field(default_factory=dict)

    def note(self, venue_symbol: str, stream: str) -> None:
        if stream in _USED:
            self.streams.setdefault(venue_symbol.upper(), set()).add(stream)


class BinanceRecording:
    """A recording of Binance's streams, ready to be fed to its source.

    Args:
        symbol: The market of answers that name none, as the venue writes it or canonical.

    Raises:
        CaptureError: it holds no market of Binance, or not the one named.
    """

    def __init__(
        self,
        capture: Capture,
        instruments: Instruments,
        *,
        symbol: str | None = None,
        lateness_us: int = 1_000_000,
        heartbeat_us: int = 1_000_000,
    ) -> None:
        streams = _scan(capture.lines()).streams
        canonical = dict(_known(streams, instruments))
        if not canonical:
            raise CaptureError(
                str(capture.path), "holds no market data of Binance", "Name its venue with --venue, or another file"
            )
        self._symbols = frozenset(canonical)
        self._unnamed = _market_of_unnamed(capture, canonical, symbol)
        self.source = BinanceSource(
            canonical,
            instruments,
            aggregated=[s for s in canonical if "aggTrade" in streams[s] and "trade" not in streams[s]],
            lateness_us=lateness_us,
            heartbeat_us=heartbeat_us,
        )

    def frame_tag(self, text: bytes) -> str | None:
        """Give `depth:SYMBOL` for a line that is a depth snapshot; None for a frame.

        Raises:
            ProtocolError: UNKNOWN_SYMBOL, where several markets could own the snapshot.
        """
        if b'"lastUpdateId"' not in text or b'"stream"' in text:
            return None
        owner = parse_snapshot(text).symbol or self._unnamed
        if owner is None:
            detail = "a depth snapshot names no market and the recording holds several: name it with --symbol"
            raise ProtocolError(DeadLetterReason.UNKNOWN_SYMBOL, detail)
        return f"depth:{owner}"

    def answer_tag(self, url: str) -> str | None:
        """Give `depth:SYMBOL` for the answer of a depth request of one of the markets."""
        parts = urlsplit(url)
        symbol = parse_qs(parts.query).get("symbol", [""])[0].upper()
        return f"depth:{symbol}" if parts.path.endswith("/depth") and symbol in self._symbols else None


def _scan(lines: Iterable[Line]) -> _Contents:
    contents = _Contents()
    for line in lines:
        if line.kind is LineKind.CONNECTED:
            _scan_url(line.url, contents)
        elif line.kind is LineKind.RECEIVED:
            if found := _STREAM.search(line.text, 0, 256):
                contents.note(found[1].decode(errors="replace"), found[2].decode(errors="replace"))
            else:
                _scan_frame(line.text, contents)
    return contents


def _scan_url(url: str, contents: _Contents) -> None:
    parts = urlsplit(url)
    for names in (*parse_qs(parts.query).get("streams", ()), parts.path.rpartition("/ws/")[2]):
        for name in names.split("/"):
            venue_symbol, _, stream = name.partition("@")
            contents.note(venue_symbol, stream.partition("@")[0])


def _scan_frame(text: bytes, contents: _Contents) -> None:
    try:
        message = parse_frame(text)
    except ProtocolError:
        return
    match message:
        case Trade():
            contents.note(message.symbol, "aggTrade" if message.is_aggregate else "trade")
        case BookTicker():
            contents.note(message.symbol, "bookTicker")
        case DepthUpdate():
            contents.note(message.symbol, "depth")


def _known(venue_symbols: Iterable[str], instruments: Instruments) -> Iterable[tuple[str, str]]:
    for venue_symbol in venue_symbols:
        try:
            yield venue_symbol, instruments.canonical(VENUE, venue_symbol)
        except ProtocolError:
            # Its frames are dead letters of their own, each with this reason.
            continue


def _market_of_unnamed(capture: Capture, canonical: dict[str, str], symbol: str | None) -> str | None:
    if symbol is None:
        return next(iter(canonical)) if len(canonical) == 1 else None
    for venue_symbol, name in canonical.items():
        if symbol.upper() in (venue_symbol, name):
            return venue_symbol
    raise CaptureError(str(capture.path), f"holds no market {symbol}", f"It holds {', '.join(canonical)}")
