"""The clock of a partition of `market.ticks`: what the worker and the executor must agree on to the microsecond.

It is the running maximum of `ts_recv`. A record further ahead than plausible does not move it by itself: it is kept as
a candidate until the next record of another message says a similar time, or another. So one wrong clock cannot make a
partition's books stale and its bars final, and a log that was silent for an hour goes on at its second message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from schemas.enums import TickKind
from schemas.records import Tick

__all__ = [
    "BOOK_GRID_US",
    "GRID_US",
    "MAX_AHEAD_US",
    "MAX_MESSAGE_RECORDS",
    "WATCHDOG",
    "Held",
    "PartitionClock",
    "Verdict",
    "is_watchdog",
]

GRID_US: Final = 200_000
"""Features and decisions: 5 Hz."""

BOOK_GRID_US: Final = 100_000
"""Conflated books: 10 Hz. Divides GRID_US, so every grid point is also one of these."""

MAX_AHEAD_US: Final = 5_000_000
"""A record further ahead of the clock is a candidate for its next value."""

MAX_MESSAGE_RECORDS: Final = 20_000
"""Longer venue messages are dropped; a snapshot of 5,000 levels a side fits."""

WATCHDOG: Final = "watchdog"
"""Source of the heartbeats that a worker writes into a silent partition."""

Held: TypeAlias = tuple[int, Tick]
"""A tick and its offset."""


def is_watchdog(tick: Tick) -> bool:
    """Tell whether a tick only lets time pass: no venue said it."""
    return tick.source == WATCHDOG and not tick.venue and tick.kind is TickKind.HEARTBEAT


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do about the clock when a record arrives.

    Attributes:
        forgotten: Candidates whose time nothing confirmed.
        confirmed: Candidates to apply now, before the record.
        is_held: The record itself is now (part of) the candidate; do not apply it yet.
    """

    forgotten: list[Held] = field(default_factory=list)
    confirmed: list[Held] = field(default_factory=list)
    is_held: bool = False


class PartitionClock:
    """The clock of one partition, and the candidate that would move it too far.

    Args:
        max_ahead_us: A record further ahead of the clock than this is a candidate.
        max_held: Most records of a candidate message.
    """

    def __init__(self, max_ahead_us: int = MAX_AHEAD_US, max_held: int = MAX_MESSAGE_RECORDS) -> None:
        self.now_us: int | None = None
        self.candidate: list[Held] = []
        self._max_ahead_us = max_ahead_us
        self._max_held = max_held

    def is_plain(self, ts_recv: int) -> bool:
        """Tell whether a record may be applied without further thought: nothing is held, and it is not ahead."""
        return not self.candidate and (self.now_us is None or ts_recv <= self.now_us + self._max_ahead_us)

    def passing(self, ts_recv: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give where the clock would stand at each record of a run, as far as they are plain one behind another."""
        if self.candidate or not len(ts_recv):
            return ts_recv[:0]
        now = ts_recv[0] if self.now_us is None else self.now_us
        clocks = np.maximum.accumulate(np.concatenate(([now], ts_recv)))
        ahead = np.flatnonzero(ts_recv - clocks[:-1] > self._max_ahead_us)
        return clocks[1 : 1 + int(ahead[0])] if len(ahead) else clocks[1:]

    def judge(self, offset: int, tick: Tick) -> Verdict:
        """Compare a record with the candidate, and with the clock."""
        candidate = self.candidate
        if is_watchdog(tick):
            # It always advances the clock, but it is our own time, so a distant one disproves nothing.
            if not (candidate and self._agrees(candidate, tick)):
                return Verdict()
            self.candidate = []
            return Verdict(confirmed=candidate)
        if candidate:
            if _is_same_message(candidate[-1][1], tick) and len(candidate) < self._max_held:
                candidate.append((offset, tick))
                return Verdict(is_held=True)
            self.candidate = []
            if self._agrees(candidate, tick):
                return Verdict(confirmed=candidate)
        if self.is_plain(tick.ts_recv):
            return Verdict(forgotten=candidate)
        self.candidate = [(offset, tick)]
        return Verdict(forgotten=candidate, is_held=True)

    def _agrees(self, candidate: list[Held], tick: Tick) -> bool:
        return abs(tick.ts_recv - candidate[-1][1].ts_recv) <= self._max_ahead_us

    def advance(self, ts_recv: int) -> tuple[int, ...]:
        """Move the clock to a record and give the grid points to evaluate before it, in order.

        Of a jump over many only the last point of each of the two grids is given: nothing changed in between.
        """
        now = self.now_us
        if now is None:
            self.now_us = ts_recv
            return ()
        if ts_recv <= now:
            return ()
        self.now_us = ts_recv
        last = ts_recv - ts_recv % BOOK_GRID_US
        if last <= now:
            return ()
        grid = ts_recv - ts_recv % GRID_US
        return (grid, last) if now < grid < last else (last,)


def _is_same_message(one: Tick, other: Tick) -> bool:
    return (
        one.message == other.message
        and one.session == other.session
        and one.symbol == other.symbol
        and one.source == other.source
        and one.venue == other.venue
    )
