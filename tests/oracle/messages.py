"""Venue messages put together again from their ticks: all of a message is applied, or none of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto, unique
from typing import Any

from processors.kernel.held import Held, dump
from schemas.records import Tick

__all__ = ["Assembly", "Place", "Stream"]


@unique
class Place(Enum):
    """Where a tick stands in its stream."""

    NEXT = auto()
    """After the last one."""
    NEW_SESSION = auto()
    """The first seen of a newer connection."""
    SEEN = auto()
    """Not after the last one of its session."""
    OLD_SESSION = auto()
    """Of a connection that a newer one has replaced."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """What a part of a message led to.

    Attributes:
        complete: The whole message, now that its last part is here.
        dropped: Parts whose message cannot be completed any more.
        is_news: Whether the message of the dropped parts was not known to be lost before.
    """

    complete: list[Held] | None = None
    dropped: list[Held] | None = None
    is_news: bool = False


_WAITING = Assembly()


class Stream:
    """What a source says of one market: where it stands, and the message that has begun and not ended."""

    __slots__ = ("_lost", "message", "open", "ordinal", "session")

    def __init__(self, session: int) -> None:
        self.session = session
        self.message = -1
        self.ordinal = -1
        self.open: list[Held] = []
        self._lost = -1  # a message of this session that is dropped already

    def place(self, tick: Tick) -> Place:
        """Tell where a tick stands, and move there if it is after the last one."""
        session, message, ordinal = tick.session, tick.message, tick.ordinal
        if session == self.session:
            if message < self.message or (message == self.message and ordinal <= self.ordinal):
                return Place.SEEN
            self.message = message
            self.ordinal = ordinal
            return Place.NEXT
        if session < self.session:
            return Place.OLD_SESSION
        self.session = session
        self.message = message
        self.ordinal = ordinal
        self._lost = -1
        return Place.NEW_SESSION

    def interrupt(self) -> list[Held]:
        """Drop the message that is open, if one is."""
        dropped, self.open = self.open, []
        return dropped

    def add(self, offset: int, tick: Tick, max_records: int) -> Assembly:
        """Add a part of a message of several ticks."""
        held = self.open
        if tick.first:
            self.open = [(offset, tick)]
            return Assembly(dropped=held, is_news=True) if held else _WAITING
        if held and len(held) < max_records:
            last = held[-1][1]
            if last.message == tick.message and last.ordinal + 1 == tick.ordinal:
                held.append((offset, tick))
                if not tick.last:
                    return _WAITING
                self.open = []
                return Assembly(complete=held)
        self.open = []
        is_news = bool(held) or self._lost != tick.message
        self._lost = tick.message
        return Assembly(dropped=[*held, (offset, tick)], is_news=is_news)

    def state(self) -> list[Any]:
        """Give what is remembered."""
        return [self.session, self.message, self.ordinal, self._lost, dump(self.open)]
