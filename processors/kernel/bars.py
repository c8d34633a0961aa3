"""The bars stage: M1, M5, M15, H1, H4 and D1 by the contract of `docs/bars.md`.

The rules are compiled (`barkernel`); here are their configuration, the memory that they work on, and its snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from processors.kernel.barkernel import emit_open, run_steps
from processors.kernel.barslots import BOOK, BOUND, CONFIG, FRAMES, NONE, SLOT, SOURCE, STATE, follow, link_all
from processors.kernel.barworld import MOST_EMPTY
from processors.kernel.names import Names
from processors.kernel.snapshot import Table
from processors.kernel.steps import State
from schemas.columns.layout import layout_of
from schemas.columns.rows import Rows, row_dtype
from schemas.records import Bar

__all__ = ["BarBuilder", "BarConfig", "EmptyPolicy"]

_RESERVED = 2
_MORE = MOST_EMPTY + FRAMES + 1
"""Slots that one step may take of a market, at most."""
_BOUNDS = 2
_KEPT = ("clock_us", "offset", "has_grid", "grid_us", "too_late", "unfit")
_LINKS = ("head", "tail", "cursor", "skips", "first_bound", "last_bound")


@unique
class EmptyPolicy(StrEnum):
    """What becomes of an interval without trades."""

    NONE = "none"
    """No bar."""
    CARRY_CLOSE = "carry_close"
    """A bar of the last close, without volume, from a market's first bar on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BarConfig:
    """The limits of the stage; times in microseconds.

    Attributes:
        silence_us: A source silent for longer makes its ended bars final, flagged GAPPED.
        correction_us: Partition-clock time after a bar is final in which a late trade corrects it.
        lateness_us: How far a source's watermark stays behind what it has seen; tells since when it observes.
        max_ahead_us: An event time further after its receipt is not believed; the receipt stands in.
    """

    silence_us: int = 30_000_000
    correction_us: int = 600_000_000
    lateness_us: int = 1_000_000
    max_ahead_us: int = 86_400_000_000
    emit_empty: EmptyPolicy = EmptyPolicy.NONE


class BarBuilder:
    """The bars stage of one partition: the memory that compiled code works on, and its growth.

    Args:
        names: The partition's numbers, which the steps are told in too.
    """

    def __init__(self, config: BarConfig, topic: str, partition: int, names: Names) -> None:
        null_bits = layout_of(Bar).null_bits
        self._names = names
        self._config = np.zeros(1, CONFIG)
        self._config[0] = (
            config.silence_us,
            config.correction_us,
            config.lateness_us,
            config.max_ahead_us,
            config.emit_empty is EmptyPolicy.CARRY_CLOSE,
            names.text(topic),
            partition,
            null_bits["first_sequence"],
            null_bits["last_sequence"],
        )
        self._clear()

    def _clear(self) -> None:
        self._state = np.zeros(1, STATE)
        for name in ("free_slot", "free_bound", "resume"):
            self._state[name] = NONE
        self._sources = np.zeros(0, SOURCE)
        self._books = np.zeros(0, BOOK)
        self._slots = np.zeros(_RESERVED, SLOT)
        self._bounds = np.zeros(0, BOUND)
        self._book_of = np.zeros(0, np.int64)
        self._out = np.zeros(4 * _MORE, row_dtype(Bar))
        self._grow_slots()
        self._grow_bounds()

    @property
    def too_late(self) -> int:
        """Trades whose bar could not be corrected any more."""
        return int(self._state["too_late"][0])

    @property
    def unfit(self) -> int:
        """Bars not emitted because their volume is more than the contract holds."""
        return int(self._state["unfit"][0])

    def run(self, steps: NDArray[np.void]) -> Rows:
        """Take rows of `STEP` in order; gives partial, final and corrected bars."""
        self._fit_names()
        done = 0
        made: list[NDArray[np.void]] = []
        while (done := run_steps(self._world(), steps, done)) < len(steps):
            made.append(self._take())
            self._make_room(int(self._book_of[steps[done]["market"]]))
        made.append(self._take())
        return self._rows(made)

    def open_bars(self, ts_emit: int) -> list[Bar]:
        """Give every open bar as it stands, PARTIAL and incomplete, for the end of a log."""
        self._fit_names()
        made: list[NDArray[np.void]] = []
        for market in sorted(self._names.markets):
            book = int(self._book_of[self._names.market(market)])
            if book != NONE:
                while emit_open(self._world(), book, ts_emit) == NONE:
                    self._make_room(book)
                made.append(self._take())
        return cast(list[Bar], list(self._rows(made).records()))

    def _rows(self, made: list[NDArray[np.void]]) -> Rows:
        values = made[0] if len(made) == 1 else np.concatenate([np.zeros(0, row_dtype(Bar)), *made])
        return Rows(Bar, values, self._names.texts)

    def _take(self) -> NDArray[np.void]:
        count = int(self._state["emitted"][0])
        self._state["emitted"] = 0
        return self._out[:count].copy()

    def _world(self) -> tuple[NDArray[Any], ...]:
        return (
            self._config,
            self._state,
            self._sources,
            self._books,
            self._slots,
            self._bounds,
            self._out,
            self._book_of,
            self._names.market_texts,
        )

    # Room

    def _fit_names(self) -> None:
        if len(self._sources) < len(self._names.texts):
            self._sources = _longer(self._sources, 2 * len(self._names.texts))
        before, markets = len(self._books), len(self._names.markets)
        if before < markets:
            self._books = _longer(self._books, 2 * markets)
            self._book_of = _longer(self._book_of, 2 * markets)
            self._book_of[before:] = NONE
            for name in _LINKS:
                self._books[name][before:] = NONE

    def _make_room(self, book: int) -> None:
        """Double what the step that stopped may have found too small."""
        state = self._state[0]
        if state["free_slots"] < _MORE:
            self._grow_slots()
        if state["free_bounds"] < _BOUNDS:
            self._grow_bounds()
        live = int(self._books[max(book, int(state["resume"]))]["slots"])
        if len(self._out) < 2 * (live + _MORE):
            self._out = np.zeros(4 * (live + _MORE), row_dtype(Bar))

    def _grow_slots(self) -> None:
        before = len(self._slots)
        self._slots = _longer(self._slots, max(2 * before, before + _MORE))
        self._slots["next"][before:] = _chain(before, len(self._slots), int(self._state["free_slot"][0]))
        self._state["free_slot"] = before
        self._state["free_slots"] += len(self._slots) - before

    def _grow_bounds(self) -> None:
        before = len(self._bounds)
        self._bounds = _longer(self._bounds, 2 * before + 64)
        self._bounds["next"][before:] = _chain(before, len(self._bounds), int(self._state["free_bound"][0]))
        self._state["free_bound"] = before
        self._state["free_bounds"] += len(self._bounds) - before

    # Snapshots: the same whatever the pools look like, so that they too are functions of the log

    def state(self) -> State:
        """Give all that a restart needs."""
        count = int(self._state["books"][0])
        books = self._books[:count].copy()
        slots, slot_counts = _listed(books["head"].ravel(), self._slots)
        bounds, _ = _listed(books["first_bound"], self._bounds)
        for name in _LINKS:
            books[name] = NONE
        slots["next"] = slots["previous"] = NONE
        slots["skips"] = NONE
        bounds["next"] = NONE
        return {
            **{name: int(self._state[name][0]) for name in _KEPT},
            "sources": Table.of(_longer(self._sources, len(self._names.texts))),
            "books": Table.of(books),
            "slots": Table.of(slots),
            "slot_counts": Table.of(slot_counts),
            "bounds": Table.of(bounds),
        }

    def restore(self, state: State) -> None:
        """Take back what `state` gave; the names are restored before."""
        self._clear()
        for name in _KEPT:
            self._state[name] = state[name]
        self._fit_names()
        sources, books = state["sources"].rows(SOURCE), state["books"].rows(BOOK)
        slots, bounds = state["slots"].rows(SLOT), state["bounds"].rows(BOUND)
        self._sources[: len(sources)] = sources
        self._books[: len(books)] = books
        self._book_of[books["market"]] = range(len(books))
        self._state["books"] = len(books)
        self._slots = np.concatenate((np.zeros(_RESERVED, SLOT), slots))
        self._bounds = bounds
        self._state["free_slots"] = self._state["free_bounds"] = 0
        self._state["free_slot"] = self._state["free_bound"] = NONE
        at = _RESERVED
        for number, length in enumerate(state["slot_counts"].rows(np.int64).tolist()):
            if length:
                book, frame = divmod(number, FRAMES)
                self._slots["next"][at : at + length] = _chain(at, at + length, NONE)
                self._slots["previous"][at + 1 : at + length] = range(at, at + length - 1)
                self._books["head"][book, frame] = at
                self._books["tail"][book, frame] = self._books["cursor"][book, frame] = at + length - 1
                at += length
        link_all(self._books[: len(books)], self._slots)
        at = 0
        for book, length in enumerate(books["bounds"].tolist()):
            if length:
                self._bounds["next"][at : at + length] = _chain(at, at + length, NONE)
                self._books["first_bound"][book], self._books["last_bound"][book] = at, at + length - 1
                at += length
        self._grow_slots()
        self._grow_bounds()


def _longer(rows: NDArray[Any], length: int) -> NDArray[Any]:
    longer = np.zeros(length, rows.dtype)
    longer[: len(rows)] = rows[:length]
    return longer


def _chain(begin: int, end: int, last: int) -> list[int]:
    return [*range(begin + 1, end), last]


def _listed(heads: NDArray[np.int64], pool: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Give the rows of many lists of a pool, list after list, and how many each has."""
    heads, links = np.ascontiguousarray(heads), np.ascontiguousarray(pool["next"])
    order, counts = np.empty(len(pool), np.int64), np.empty(len(heads), np.int64)
    return pool[order[: follow(heads, links, order, counts)]], counts
