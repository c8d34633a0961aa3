"""Joining a snapshot of a book to the stream of its changes, without a hole.

A snapshot is fetched on another connection than the changes come on, so it is of some moment before, between or after
them. The changes are numbered; each covers the ids after `after_id` up to `last_id`. The rules (Binance, "How to
manage a local order book correctly"):

- changes are buffered until a snapshot is here; those that end at or before its id are dropped;
- the first one applied must begin at or before the snapshot's id and end after it;
- from then on each must begin exactly where the one before ended.

What breaks a rule is a gap: that book alone starts anew. Sizes are absolute, so a change that the book already holds
is left out without harm.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

from schemas.enums import Side

__all__ = ["Diff", "Level", "Snapshot", "Splice", "Spliced"]

Level: TypeAlias = tuple[Side, int, int]
"""Side, price and absolute size, in schema units; size 0 deletes the level."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole book as it stood at update id `last_id`."""

    last_id: int
    levels: tuple[Level, ...]
    ts_event: int | None
    ts_recv: int


@dataclass(frozen=True, slots=True)
class Diff:
    """A change of the book: the updates after `after_id` up to and including `last_id`."""

    after_id: int
    last_id: int
    levels: tuple[Level, ...]
    ts_event: int | None
    ts_recv: int


@dataclass(slots=True)
class Spliced:
    """What a step of the splice means for the book.

    Attributes:
        gapped: A book that was live lost its thread; said before `apply`.
        apply: What to write now, in order. A snapshot replaces the book.
    """

    gapped: bool = False
    apply: list[Snapshot | Diff] = field(default_factory=list)


class Splice:
    """One market's splice.

    Args:
        max_diffs, max_levels: Bounds of the buffer of changes that wait for a snapshot; the oldest are let go, which
            costs nothing but that the snapshot must be newer.
    """

    def __init__(self, *, max_diffs: int = 2_000, max_levels: int = 200_000) -> None:
        self._max_diffs = max_diffs
        self._max_levels = max_levels
        self._buffer: deque[Diff] = deque()
        self._buffered_levels = 0
        self._held: Snapshot | None = None
        self._live_id: int | None = None
        self._joined = False

    @property
    def is_live(self) -> bool:
        """Whether a snapshot was applied and every change since."""
        return self._live_id is not None

    @property
    def needs_snapshot(self) -> bool:
        """Whether changes wait for a snapshot that is not here."""
        return self._live_id is None and self._held is None and bool(self._buffer)

    def reset(self) -> None:
        """Forget everything: a new connection numbers nothing that the old one missed."""
        self._clear_buffer()
        self._held = None
        self._live_id = None

    def lose(self) -> Spliced:
        """Note that a change could not be read: the book is gapped until a newer snapshot."""
        was_live = self.is_live
        self._clear_buffer()
        self._live_id = None
        return Spliced(gapped=was_live)

    def diff(self, diff: Diff) -> Spliced:
        """Take the next change."""
        if self._live_id is None:
            self._wait(diff)
            return self._try_held()
        if diff.last_id <= self._live_id:
            return Spliced()
        # The first change after a snapshot may begin before it; each later one begins where the last ended.
        if diff.after_id == self._live_id or (not self._joined and diff.after_id < self._live_id):
            self._live_id, self._joined = diff.last_id, True
            if self._held is not None and self._held.last_id <= diff.last_id:
                self._held = None
            return Spliced(apply=[diff])
        self._live_id = None
        self._wait(diff)
        return Spliced(gapped=True, apply=self._try_held().apply)

    def snapshot(self, snapshot: Snapshot) -> Spliced:
        """Take a snapshot, asked for or not. One that is newer than a live book is kept, to mend a gap to come."""
        live_id = -1 if self._live_id is None else self._live_id
        held_id = -1 if self._held is None else self._held.last_id
        if snapshot.last_id > max(live_id, held_id):
            self._held = snapshot
        return self._try_held() if self._live_id is None else Spliced()

    def _wait(self, diff: Diff) -> None:
        if self._buffer:
            last_id = self._buffer[-1].last_id
            if diff.last_id <= last_id:
                return
            if diff.after_id != last_id:
                # Nothing before a hole can be spliced to what follows it.
                self._clear_buffer()
        self._buffer.append(diff)
        self._buffered_levels += len(diff.levels)
        while len(self._buffer) > self._max_diffs or self._buffered_levels > self._max_levels:
            self._drop_oldest()

    def _try_held(self) -> Spliced:
        snapshot = self._held
        if snapshot is None:
            return Spliced()
        covered = False
        while self._buffer and self._buffer[0].last_id <= snapshot.last_id:
            self._drop_oldest()
            covered = True
        if self._buffer and self._buffer[0].after_id > snapshot.last_id:
            # Older than what is left of the stream: of no use, now or later.
            self._held = None
            return Spliced()
        if not self._buffer and not covered:
            # Nothing shows yet that the stream was already on when the snapshot was taken.
            return Spliced()
        applied: list[Snapshot | Diff] = [snapshot, *self._buffer]
        self._joined = bool(self._buffer)
        self._live_id = applied[-1].last_id
        self._held = None
        self._clear_buffer()
        return Spliced(apply=applied)

    def _drop_oldest(self) -> None:
        self._buffered_levels -= len(self._buffer.popleft().levels)

    def _clear_buffer(self) -> None:
        self._buffer.clear()
        self._buffered_levels = 0
