"""Venue messages put together again from their ticks: all of a message is applied, or none of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto, unique
from typing import Any

from processors.kernel.held import Held, dump, load
from processors.kernel.memory import Memory
from processors.kernel.parts import Parts
from processors.kernel.rowlane import BY_ROWS
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
    """What a source says of one market: where it stands, and the message that has begun and not ended.

    Args:
        memory, at: Where the session, message and ordinal of its last tick are kept.
        parts: Has those of the open message while they are rows.
    """

    __slots__ = ("_at", "_lost", "_open", "_parts", "_rows")

    def __init__(self, memory: Memory, parts: Parts, at: int, session: int) -> None:
        self._rows = memory.streams
        self._parts = parts
        self._at = at
        self._move(session, -1, -1)
        self._open: list[Held] = []
        self._lost = -1  # a message of this session that is dropped already

    def _move(self, session: int, message: int, ordinal: int) -> None:
        row = self._rows.rows[self._at]
        row["session"], row["message"], row["ordinal"] = session, message, ordinal

    @property
    def open(self) -> list[Held]:
        """The parts of the message that has begun and not ended."""
        return self._parts.held(self._at) if self._is_by_rows else self._open

    @property
    def count(self) -> int:
        """How many they are."""
        return int(self._rows.rows["parts"][self._at]) if self._is_by_rows else len(self._open)

    @property
    def _is_by_rows(self) -> bool:
        return bool(self._rows.rows["is_open"][self._at] == BY_ROWS)

    def _set_open(self, held: list[Held]) -> None:
        self._open = held
        self._rows.rows["is_open"][self._at] = bool(held)

    def _where(self) -> tuple[int, int, int]:
        row = self._rows.rows[self._at]
        return int(row["session"]), int(row["message"]), int(row["ordinal"])

    def place(self, tick: Tick) -> Place:
        """Tell where a tick stands, and move there if it is after the last one."""
        session, message, ordinal = tick.session, tick.message, tick.ordinal
        row = self._rows.rows[self._at]
        known, last, last_ordinal = row["session"], row["message"], row["ordinal"]
        if session == known:
            if message < last or (message == last and ordinal <= last_ordinal):
                return Place.SEEN
            row["message"], row["ordinal"] = message, ordinal
            return Place.NEXT
        if session < known:
            return Place.OLD_SESSION
        self._move(session, message, ordinal)
        self._lost = -1
        return Place.NEW_SESSION

    def enter(self, tick: Tick) -> None:
        """Stand before a tick that is the first seen of a newer connection."""
        self._move(tick.session, tick.message, tick.ordinal - 1)
        self._lost = -1

    def interrupt(self) -> list[Held]:
        """Drop the message that is open, if one is."""
        dropped = self.open
        self._set_open([])
        return dropped

    def add(self, offset: int, tick: Tick, max_records: int) -> Assembly:
        """Add a part of a message of several ticks."""
        held = self.open
        if tick.first:
            self._set_open([(offset, tick)])
            return Assembly(dropped=held, is_news=True) if held else _WAITING
        if held and len(held) < max_records:
            last = held[-1][1]
            if last.message == tick.message and last.ordinal + 1 == tick.ordinal:
                held.append((offset, tick))
                self._set_open([] if tick.last else held)
                return Assembly(complete=held) if tick.last else _WAITING
        self._set_open([])
        is_news = bool(held) or self._lost != tick.message
        self._lost = tick.message
        return Assembly(dropped=[*held, (offset, tick)], is_news=is_news)

    def state(self) -> list[Any]:
        """Give what is remembered."""
        return [*self._where(), self._lost, dump(self.open)]

    def restore(self, state: list[Any]) -> None:
        """Take back what `state` gave."""
        self._move(*state[:3])
        self._lost = state[3]
        self._set_open(load(state[4]))
