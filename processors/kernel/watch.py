"""What cannot wait for the next grid point: a book that stops being LIVE, a mid that jumps.

The quotes of a batch say both, each with the record that made it: they are written whenever a market's state or its
best prices change. A hole in a market's data is told by a step of its own. So alarms too are functions of the log,
however it was cut, and looking for them costs a few operations on columns a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.kernel.books import STATES
from processors.kernel.names import Names
from processors.kernel.snapshot import Table
from processors.kernel.steprows import StepRows
from processors.kernel.steps import AlarmStep, GapStep, GridStep, State, Step
from schemas.columns.rows import Rows
from schemas.enums import BookState
from schemas.numbers import INT64_MAX
from schemas.reasons import DenyReason

__all__ = ["Watch"]

_LIVE = STATES.index(BookState.LIVE)
_BPS = 10_000


@dataclass(frozen=True, slots=True)
class _Told:
    """The quotes of a batch as columns; the mid is 0 where a side is empty or the book is not LIVE."""

    rows: NDArray[np.void]
    markets: NDArray[np.int64]
    mids: NDArray[np.int64]
    is_gone: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: NDArray[np.void]) -> _Told:
        is_live, bids, asks = rows["state"] == _LIVE, rows["bid_price"], rows["ask_price"]
        is_whole = is_live & (rows["bid_size"] > 0) & (rows["ask_size"] > 0)
        return cls(
            rows, np.ascontiguousarray(rows["market"]), np.where(is_whole, bids + (asks - bids) // 2, 0), ~is_live
        )


class Watch:
    """The alarms of one partition.

    Args:
        names: The partition's numbers, which quotes are told in.
        jump_bps: A mid further from where it was at the last grid point has jumped; at most 10,000.
    """

    def __init__(self, names: Names, jump_bps: int) -> None:
        self._names = names
        self._jump_bps = jump_bps
        self._mids: NDArray[np.int64] = np.zeros(0, np.int64)
        self._bases: NDArray[np.int64] = np.zeros(0, np.int64)
        self._rooms: NDArray[np.int64] = np.zeros(0, np.int64)

    def run(self, steps: Sequence[Step | StepRows], quotes: Rows) -> list[Step | StepRows | AlarmStep]:
        """Give the steps of a batch and, before each grid point and at the end, the alarms since the one before.

        Of each market the first of each kind is told.
        """
        self._fit()
        told, at = _Told.of(quotes.values), 0
        found: list[Step | StepRows | AlarmStep] = []
        gaps: list[AlarmStep] = []
        for step in steps:
            if isinstance(step, GridStep):
                found += self._alarms(told, at, step.quotes, gaps)
                at, gaps = step.quotes, []
                self._measure_from_here()
            elif isinstance(step, GapStep):
                gaps.append(AlarmStep(step.market, step.offset, step.ts_recv, DenyReason.BOOK_NOT_LIVE))
            found.append(step)
        return found + self._alarms(told, at, len(quotes), gaps)

    def _alarms(self, told: _Told, begin: int, end: int, gaps: list[AlarmStep]) -> list[AlarmStep]:
        """Look at the quotes between two grid points; gives the alarms in the order of the log."""
        if begin == end:
            return gaps
        part = slice(begin, end)
        markets, mids = told.markets[part], told.mids[part]
        has_jumped = (np.abs(mids - self._bases[markets]) > self._rooms[markets]) & (mids > 0)
        self._mids[markets] = mids  # of several, the last stays
        rows = told.rows[part]
        found = self._first(rows, told.is_gone[part], DenyReason.BOOK_NOT_LIVE)
        found += self._first(rows, has_jumped, DenyReason.MARKET_JUMP)
        return sorted(found + gaps, key=lambda alarm: alarm.offset)

    def _first(self, rows: NDArray[np.void], where: NDArray[np.bool_], reason: DenyReason) -> list[AlarmStep]:
        if not where.any():
            return []
        hits = rows[where]
        markets, at = np.unique(hits["market"], return_index=True)
        return [
            AlarmStep(self._names.markets[market], int(hits["cause_offset"][i]), int(hits["ts_trigger"][i]), reason)
            for market, i in zip(markets.tolist(), at.tolist(), strict=True)
        ]

    def _measure_from_here(self) -> None:
        """Note where the mids are at a grid point, and how far each may move; one that there is not does not jump."""
        bases = self._bases = self._mids.copy()
        rooms = bases // _BPS * self._jump_bps + bases % _BPS * self._jump_bps // _BPS
        self._rooms = np.where(bases > 0, rooms, INT64_MAX)

    def _fit(self) -> None:
        missing = len(self._names.markets) - len(self._mids)
        if missing > 0:
            more = np.zeros(missing, np.int64)
            self._mids, self._bases = np.append(self._mids, more), np.append(self._bases, more)
            self._rooms = np.append(self._rooms, more + INT64_MAX)

    def state(self) -> State:
        """Give what is remembered: of each market the mid now, and at the last grid point."""
        return {"mids": Table.of(self._mids), "bases": Table.of(self._bases)}

    def restore(self, state: State) -> None:
        """Take back what `state` gave; the names are restored before."""
        self._mids = state["bases"].rows(np.int64)
        self._measure_from_here()
        self._mids = state["mids"].rows(np.int64)
