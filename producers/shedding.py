"""What a producer leaves out when Kafka takes less than the venue sends: tops that a newer one replaces.

A TOP says the best level of a side as it is; the next one says all that it did. So while the producer is behind, the
last TOP message of a market is held back, and left out when the next one comes. It is written, in its place, before
anything else that its source says of the market, after a second at the latest, and when the shedding ends. So the last
top is never lost, numbers only skip, as they may, and no message is cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from schemas.enums import TickKind
from schemas.records import Tick

__all__ = ["MAX_HOLD_US", "ShedLimits", "Shedder"]

MAX_HOLD_US = 1_000_000

_Stream: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShedLimits:
    """When a producer sheds, and what it must not.

    Attributes:
        queue_percent: Fill of its queue from which it does; it ends at half of it.
        age_us: Age of its oldest unacknowledged record from which it does; it ends at half of it.
        quoted_venues: Venues whose markets are quoted: nothing of theirs is left out.
    """

    queue_percent: int
    age_us: int
    quoted_venues: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Held:
    message: Sequence[Tick]
    since_us: int


class Shedder:
    """Decides which ticks are written.

    Args:
        limits: None: every one.
    """

    def __init__(self, limits: ShedLimits | None) -> None:
        self._limits = limits
        self._held: dict[_Stream, _Held] = {}  # longest held first
        self.is_shedding = False
        self.shed = 0

    def judge(self, queue_percent: int, age_us: int) -> bool:
        """Take how far behind the producer is; tells whether shedding begins or ends by it."""
        limits = self._limits
        if limits is None:
            return False
        share = 2 if self.is_shedding else 1
        was, self.is_shedding = (
            self.is_shedding,
            (share * queue_percent >= limits.queue_percent or share * age_us >= limits.age_us),
        )
        return was != self.is_shedding

    def take(self, ticks: Sequence[Tick], now_us: int) -> Sequence[Tick]:
        """Take whole messages, in order; gives what is to be written now, in order."""
        if not self.is_shedding and not self._held:
            return ticks
        written: list[Tick] = []
        for message in _messages(ticks):
            if self.is_shedding and self._may_shed(message):
                self._hold(message, now_us, written)
            else:
                for stream in {_stream(tick): None for tick in message}:
                    self._release(stream, written)
                written += message
        for stream, held in list(self._held.items()):
            if self.is_shedding and now_us - held.since_us < MAX_HOLD_US:
                break
            self._release(stream, written)
        return written

    def rest(self) -> Sequence[Tick]:
        """Give what is held back, at the end."""
        written: list[Tick] = []
        for stream in list(self._held):
            self._release(stream, written)
        return written

    def _may_shed(self, message: Sequence[Tick]) -> bool:
        limits, first = self._limits, message[0]
        return (
            limits is not None
            and first.kind is TickKind.TOP
            and first.venue not in limits.quoted_venues
            and all(tick.kind is TickKind.TOP and _stream(tick) == _stream(first) for tick in message)
            and first.first
            and message[-1].last
        )

    def _hold(self, message: Sequence[Tick], now_us: int, written: list[Tick]) -> None:
        stream = _stream(message[0])
        held = self._held.get(stream)
        if held is None:
            self._held[stream] = _Held(message, now_us)
        elif {tick.side for tick in held.message} <= {tick.side for tick in message}:
            self.shed += len(held.message)
            self._held[stream] = _Held(message, held.since_us)
        else:
            # It says something of a side that the new one does not.
            self._release(stream, written)
            self._held[stream] = _Held(message, now_us)

    def _release(self, stream: _Stream, written: list[Tick]) -> None:
        held = self._held.pop(stream, None)
        if held is not None:
            written += held.message


def _stream(tick: Tick) -> _Stream:
    return tick.source, tick.venue, tick.symbol


def _messages(ticks: Sequence[Tick]) -> Iterator[Sequence[Tick]]:
    start = 0
    for index, tick in enumerate(ticks, 1):
        if tick.last:
            yield ticks[start:index]
            start = index
    if start < len(ticks):
        yield ticks[start:]
