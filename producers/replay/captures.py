"""Recordings of a venue's frames, read line by line: two formats, found out from the file.

1. `<local_ns> <json>`: one frame or one REST answer a line.
2. cryptofeed's raw collection: `wss://… <-> ts` connects, `wss://… <- ts: json` was sent, `ts: json` was received, and
   `https://… -> ts: json` was answered. Answers are in files of their own beside it: `BINANCE.ws.1.0` has
   `BINANCE.http.0.0`. Times are seconds with a fraction.

Either may be compressed. A recording is what it is: lines that are neither are handed on as damaged, to be counted.
"""

from __future__ import annotations

import gzip
import heapq
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum, auto
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from schemas.errors import CaptureError

__all__ = ["Capture", "Line", "LineKind", "open_capture"]

_MAX_LINE_BYTES = 16 * 1024 * 1024
_PROBED_LINES = 200

_NANOS = re.compile(rb"(\d{19}) (.+)", re.DOTALL)
# The same recorder's older files are in microseconds.
_MICROS = re.compile(rb"(\d{16}) (.+)", re.DOTALL)
_RECEIVED = re.compile(rb"(\d{9,11}(?:\.\d{1,12})?): (.+)", re.DOTALL)
_CONNECTED = re.compile(rb"(wss?://\S+) <-> (\d{9,11}(?:\.\d{1,12})?)")
_SENT = re.compile(rb"(wss?://\S+) <- (\d{9,11}(?:\.\d{1,12})?): (.*)", re.DOTALL)
_ANSWERED = re.compile(rb"(https?://\S+) -> (\d{9,11}(?:\.\d{1,12})?): (.*)", re.DOTALL)
_HEADER = b"configuration: "
_WS_NAME = re.compile(r"(.+)\.ws\.[^/]*$")

_FIX = "Give a recording of `<local_ns> <json>` lines (plain or .gz) or cryptofeed's raw .ws file"


class LineKind(Enum):
    """What a line of a recording is."""

    CONNECTED = auto()
    """A new connection; `url` says to where."""
    SENT = auto()
    """A frame of the recorder's own."""
    RECEIVED = auto()
    """A frame of the venue's; in format 1 it can also be a REST answer, which only the venue's protocol can tell."""
    ANSWERED = auto()
    """The body of a REST answer; `url` says to what."""
    DAMAGED = auto()
    """Not a line of the format; `text` is what it is, `url` what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a recording, with the recorder's time in microseconds; a DAMAGED one has that of the line before."""

    kind: LineKind
    ts_us: int
    text: bytes
    url: str = ""


@dataclass(frozen=True, slots=True)
class Capture:
    """A recording on disk; it can be read any number of times."""

    path: Path
    answers: tuple[Path, ...]
    is_cryptofeed: bool

    def lines(self) -> Iterator[Line]:
        """Read the lines, in the order of the recorder's time where several files are merged.

        Raises:
            CaptureError: the file cannot be read any more.
        """
        if not self.is_cryptofeed:
            return _parsed(self.path, _parse_stamped)
        files = [_parsed(path, _parse_cryptofeed) for path in (self.path, *self.answers)]
        return heapq.merge(*files, key=lambda line: line.ts_us) if self.answers else files[0]

    def first_us(self) -> int:
        """Give the recorder's time at the first line, microseconds.

        Raises:
            CaptureError: the file cannot be read any more.
        """
        return next(line.ts_us for line in self.lines() if line.kind is not LineKind.DAMAGED)


def open_capture(path: Path) -> Capture:
    """Find out a recording's format.

    Raises:
        CaptureError: there is no such file, it is empty, or it is neither of the formats.
    """
    if not path.is_file():
        raise CaptureError(str(path), "is not a file", _FIX)
    probe = [line for line in islice(_raw_lines(path), _PROBED_LINES) if line.text or line.kind is LineKind.DAMAGED]
    if not probe:
        raise CaptureError(str(path), "is empty", _FIX)
    for line in probe:
        if line.kind is LineKind.DAMAGED:
            continue
        if _parse_stamped(line.text).kind is not LineKind.DAMAGED:
            return Capture(path, (), is_cryptofeed=False)
        kind = _parse_cryptofeed(line.text).kind
        if kind is LineKind.ANSWERED and ".ws." not in path.name:
            raise CaptureError(str(path), "holds REST answers only", "Name the .ws file beside it")
        if kind is not LineKind.DAMAGED:
            return Capture(path, _answers_beside(path), is_cryptofeed=True)
    raise CaptureError(str(path), "is not a recording of either format", _FIX)


def _answers_beside(path: Path) -> tuple[Path, ...]:
    named = _WS_NAME.match(path.name)
    if named is None:
        return ()
    prefix = f"{named[1]}.http."
    return tuple(sorted(p for p in path.parent.iterdir() if p.name.startswith(prefix) and p.is_file()))


def _parsed(path: Path, parse: Callable[[bytes], Line]) -> Iterator[Line]:
    ts_us = 0
    for raw in _raw_lines(path):
        if raw.kind is LineKind.RECEIVED and (not raw.text or raw.text.startswith(_HEADER)):
            continue
        line = raw if raw.kind is LineKind.DAMAGED else parse(raw.text)
        if line.kind is LineKind.DAMAGED:
            line = replace(line, ts_us=ts_us)
        ts_us = line.ts_us
        yield line


def _raw_lines(path: Path) -> Iterator[Line]:
    """Give the stripped lines; DAMAGED where a line is too long or the file ends in the middle of its compression."""
    try:
        with path.open("rb") as plain:
            magic = plain.read(2)
            plain.seek(0)
            stream = cast("BinaryIO", gzip.GzipFile(fileobj=plain)) if magic == b"\x1f\x8b" else plain
            while text := stream.readline(_MAX_LINE_BYTES):
                if len(text) == _MAX_LINE_BYTES and not text.endswith(b"\n"):
                    _skip_line(stream)
                    yield Line(LineKind.DAMAGED, 0, text[:1024], f"longer than {_MAX_LINE_BYTES} bytes")
                else:
                    yield Line(LineKind.RECEIVED, 0, text.strip())
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Line(LineKind.DAMAGED, 0, b"", f"the compressed file is damaged from here on: {error}")
    except OSError as error:
        raise CaptureError(
            str(path), f"cannot be read: {error.strerror}", "Check the file and its permissions"
        ) from error


def _skip_line(stream: BinaryIO) -> None:
    while (rest := stream.readline(_MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass


def _parse_stamped(text: bytes) -> Line:
    if found := _NANOS.fullmatch(text):
        return Line(LineKind.RECEIVED, int(found[1]) // 1_000, found[2])
    if found := _MICROS.fullmatch(text):
        return Line(LineKind.RECEIVED, int(found[1]), found[2])
    return Line(LineKind.DAMAGED, 0, text, "not `<local_ns> <json>`")


def _parse_cryptofeed(text: bytes) -> Line:
    if found := _RECEIVED.fullmatch(text):
        return Line(LineKind.RECEIVED, _micros(found[1]), found[2])
    if found := _CONNECTED.fullmatch(text):
        return Line(LineKind.CONNECTED, _micros(found[2]), b"", found[1].decode(errors="replace"))
    if found := _ANSWERED.fullmatch(text):
        return Line(LineKind.ANSWERED, _micros(found[2]), found[3], found[1].decode(errors="replace"))
    if found := _SENT.fullmatch(text):
        return Line(LineKind.SENT, _micros(found[2]), found[3], found[1].decode(errors="replace"))
    return Line(LineKind.DAMAGED, 0, text, "not a line of cryptofeed's raw collection")


def _micros(seconds: bytes) -> int:
    return int(Decimal(seconds.decode()) * 1_000_000)
