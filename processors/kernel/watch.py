"""What cannot wait for the next grid point: a book that stops being LIVE, a mid that jumps.

The quotes of a batch say both, each with the record that made it: they are written whenever a market's state or its
best prices change. A hole in a market's data is told by a step of its own. So alarms too are functions of the log,
however it was cut, and looking for them costs a few operations on columns a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from processors.kernel.books import STATES
from processors.kernel.names import Names
from processors.kernel.snapshot import Table
from processors.kernel.steps import AlarmStep, GapStep, GridStep, State, Step
from schemas.columns.rows import Rows
from schemas.enums import BookState
from schemas.reasons import DenyReason

__all__ = ["Watch"]

_LIVE = STATES.index(BookState.LIVE)
_BPS = 10_000


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

    def run(self, steps: Sequence[Step], quotes: Rows) -> list[Step | AlarmStep]:
        """Give the steps of a batch and, before each grid point and at the end, the alarms since the one before.

        Of each market the first of each kind is told.
        """
        self._fit()
        rows, at = quotes.values, 0
        found: list[Step | AlarmStep] = []
        gaps: list[AlarmStep] = []
        for step in steps:
            if isinstance(step, GridStep):
                found += self._alarms(rows[at : step.quotes], gaps)
                at, gaps = step.quotes, []
                self._bases = self._mids.copy()
            elif isinstance(step, GapStep):
                gaps.append(AlarmStep(step.market, step.offset, step.ts_recv, DenyReason.BOOK_NOT_LIVE))
            found.append(step)
        return found + self._alarms(rows[at:], gaps)

    def _alarms(self, rows: NDArray[np.void], gaps: list[AlarmStep]) -> list[AlarmStep]:
        """Look at the quotes between two grid points; gives the alarms in the order of the log."""
        found = gaps
        if len(rows):
            markets = rows["market"]
            is_live = rows["state"] == _LIVE
            # An empty side has no mid, and neither has a book that is not LIVE.
            is_whole = is_live & (rows["bid_size"] > 0) & (rows["ask_size"] > 0)
            mids = np.where(is_whole, rows["bid_price"] + (rows["ask_price"] - rows["bid_price"]) // 2, 0)
            bases = self._bases[markets]
            room = bases // _BPS * self._jump_bps + bases % _BPS * self._jump_bps // _BPS
            has_jumped = is_whole & (bases > 0) & (np.abs(mids - bases) > room)
            told = [*self._first(rows, ~is_live, DenyReason.BOOK_NOT_LIVE)]
            told += self._first(rows, has_jumped, DenyReason.MARKET_JUMP)
            self._mids[markets] = mids  # of several, the last stays
            found = told + gaps
        return sorted(found, key=lambda alarm: alarm.offset)

    def _first(self, rows: NDArray[np.void], where: NDArray[np.bool_], reason: DenyReason) -> list[AlarmStep]:
        hits = rows[where]
        if not len(hits):
            return []
        markets, at = np.unique(hits["market"], return_index=True)
        return [
            AlarmStep(self._names.markets[market], int(hits["cause_offset"][i]), int(hits["ts_trigger"][i]), reason)
            for market, i in zip(markets.tolist(), at.tolist(), strict=True)
        ]

    def _fit(self) -> None:
        missing = len(self._names.markets) - len(self._mids)
        if missing > 0:
            more = np.zeros(missing, np.int64)
            self._mids, self._bases = np.append(self._mids, more), np.append(self._bases, more)

    def state(self) -> State:
        """Give what is remembered: of each market the mid now, and at the last grid point."""
        return {"mids": Table.of(self._mids), "bases": Table.of(self._bases)}

    def restore(self, state: State) -> None:
        """Take back what `state` gave; the names are restored before."""
        self._mids, self._bases = (state[name].rows(np.int64) for name in ("mids", "bases"))
