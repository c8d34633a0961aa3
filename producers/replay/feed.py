"""A recording fed to a source, as the live shell would have: the same calls, on the recorder's clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from producers.core import BadFrame, Effects, Source
from producers.replay.captures import Capture, Line, LineKind
from schemas.errors import ProtocolError
from schemas.reasons import DeadLetterReason
from schemas.records import Tick

__all__ = ["Moment", "Recording", "replay", "shift"]

_TICK_US = 250_000
_LAST_BEAT_US = 1_000_000


class Recording(Protocol):
    """A venue's reading of a recording."""

    @property
    def source(self) -> Source:
        """The source that serves the markets of the recording."""

    def frame_tag(self, text: bytes) -> str | None:
        """Give the tag of the Fetch that a received line answers; None where it is a frame.

        Raises:
            ProtocolError: the line is an answer, and to what cannot be told.
        """

    def answer_tag(self, url: str) -> str | None:
        """Give the tag of the Fetch that an answer of a URL belongs to; None where the source needs it not."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What the source wanted done at a time of the recorder's clock, microseconds."""

    now_us: int
    effects: Effects


def replay(capture: Capture, recording: Recording, *, silence_us: int = 30_000_000) -> Iterator[Moment]:
    """Feed a recording to its source and give what comes of it, in order.

    The session is opened at the first line, and anew at each connection of the recorder's. Between lines the source is
    told the time as live, until the recording was silent for `silence_us`: nothing shows then that the recorder was
    still there. At the end the session is left open: the recording ended, not the feed. Only the heartbeat that follows
    every frame within a second is still waited for, so that it tells the watermark of the last ones.

    Raises:
        CaptureError: the recording cannot be read any more.
    """
    source = recording.source
    last_us: int | None = None
    next_tick_us = 0
    is_fresh = False
    for line in capture.lines():
        now_us = line.ts_us
        if line.kind is LineKind.DAMAGED:
            bad = BadFrame(DeadLetterReason.MALFORMED, line.url, line.text)
            yield Moment(now_us, Effects(bad=[bad]))
            continue
        if last_us is None:
            yield Moment(now_us, source.open(now_us))
            is_fresh = True
        else:
            while next_tick_us <= min(now_us, last_us + silence_us):
                yield Moment(next_tick_us, source.tick(next_tick_us))
                next_tick_us += _TICK_US
        if not now_us < next_tick_us <= now_us + _TICK_US:
            next_tick_us = now_us + _TICK_US
        last_us = now_us
        if line.kind is LineKind.CONNECTED:
            if not is_fresh:
                yield Moment(now_us, source.close(now_us))
                yield Moment(now_us, source.open(now_us))
                is_fresh = True
            continue
        is_fresh = is_fresh and line.kind is not LineKind.RECEIVED
        yield Moment(now_us, _take(line, recording))
    while last_us is not None and next_tick_us <= last_us + _LAST_BEAT_US:
        yield Moment(next_tick_us, source.tick(next_tick_us))
        next_tick_us += _TICK_US


def shift(tick: Tick, by_us: int) -> Tick:
    """Move a tick's times by a constant; what identifies it stays."""
    return replace(
        tick,
        ts_recv=tick.ts_recv + by_us,
        ts_event=None if tick.ts_event is None else tick.ts_event + by_us,
        watermark=None if tick.watermark is None else tick.watermark + by_us,
    )


def _take(line: Line, recording: Recording) -> Effects:
    source = recording.source
    match line.kind:
        case LineKind.RECEIVED:
            try:
                tag = recording.frame_tag(line.text)
            except ProtocolError as error:
                return Effects(bad=[BadFrame(error.reason, str(error), line.text)])
            if tag is None:
                return source.receive(line.text, line.ts_us)
            return source.fetched(tag, line.text, line.ts_us)
        case LineKind.ANSWERED:
            tag = recording.answer_tag(line.url)
            return Effects() if tag is None else source.fetched(tag, line.text, line.ts_us)
        case _:
            return Effects()
