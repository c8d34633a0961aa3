"""A decoded batch on the fast lane: what compiled code needs of it, and the steps of what it took."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from processors.kernel.lane import take_plain
from processors.kernel.memory import Memory
from processors.kernel.steprows import STEP, TRADE, StepRows
from processors.kernel.steps import TradeStep
from processors.kernel.tradetable import TradeTable
from schemas.columns import KINDS, TickColumns
from schemas.columns.layout import layout_of
from schemas.enums import TickKind
from schemas.records import Tick, Trade

__all__ = ["FastLane"]

_TICK_BITS, _TRADE_BITS = layout_of(Tick).null_bits, layout_of(Trade).null_bits
_BITS = np.array(
    [
        *(_TICK_BITS[name] for name in ("ts_event", "trade_id", "sequence")),
        *(bit for name in _TRADE_BITS for bit in (_TICK_BITS[name], _TRADE_BITS[name])),
    ],
    np.int64,
)
_TRADE = KINDS.index(TickKind.TRADE)


class FastLane:
    """One batch.

    Args:
        offsets: Of each row, in the log.
    """

    def __init__(self, memory: Memory, trades: TradeTable, columns: TickColumns, offsets: NDArray[np.int64]) -> None:
        self._memory = memory
        self._trades = trades
        self._columns = columns
        self._offsets = offsets
        self._text = np.frombuffer(columns.text, np.uint8)
        self._step_rows = np.empty(2 * len(columns), STEP)
        self._steps = 0
        self._numbers = np.zeros(0, np.int64)
        self._known = -1
        self._streams = np.full((len(columns.strings), 3), -1, np.int64)

    def is_trade(self, row: int) -> bool:
        """Tell whether a row may be a plain trade."""
        return bool(self._columns.kind[row] == _TRADE)

    def ts_recv(self, row: int) -> int:
        """Give the receipt of a row."""
        return int(self._columns.ts_recv[row])

    def take(self, limits: NDArray[np.void], begin: int, end: int) -> tuple[int, StepRows]:
        """Take plain trades; gives the first row that is left, and the steps of those taken."""
        memory, names = self._memory, self._memory.names
        if self._known != len(names.texts):
            self._known = len(names.texts)
            self._numbers = names.find(self._columns.strings)
        self._trades.fit(end - begin)
        limits["trades"], limits["steps"] = self._trades.count, self._steps
        at = take_plain(
            limits,
            self._columns.rows,
            self._offsets,
            self._text,
            (self._numbers, memory.slots, self._streams),
            (names.market_texts, _BITS),
            (memory.streams.rows, memory.prints.rows, memory.heard.rows),
            memory.seen.arrays(),
            (self._step_rows, self._trades.rows),
            memory.ahead,
            begin,
            end,
        )
        self._trades.count = int(limits["trades"][0])
        before, self._steps = self._steps, int(limits["steps"][0])
        return at, self._step_rows[before : self._steps]

    def steps_of(self, rows: StepRows) -> list[TradeStep]:
        """Give the steps as objects."""
        found = []
        for kind, offset, flags in rows[["kind", "offset", "flags"]].tolist():
            assert kind == TRADE
            tick = self._columns.tick(int(np.searchsorted(self._offsets, offset)))
            assert tick is not None
            assert tick.trade_id is not None
            found.append(TradeStep(tick, offset, flags, tick.trade_id))
        return found
