"""A decoded batch on the fast lane: what compiled code needs of it, and the steps of what it took."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from processors.kernel.bookdesk import Books
from processors.kernel.config import NormaliseConfig
from processors.kernel.cursor import Cursor
from processors.kernel.lane import LANE
from processors.kernel.memory import Memory
from processors.kernel.names import Names
from processors.kernel.parts import Parts
from processors.kernel.rowlane import take_rows
from processors.kernel.steprows import GAP, STEP, StepRows
from processors.kernel.steps import GapStep, Step
from processors.kernel.tradetable import TradeTable
from schemas.clock import WATCHDOG
from schemas.columns import TickColumns
from schemas.columns.layout import layout_of
from schemas.numbers import INT64_MAX
from schemas.records import Tick, Trade

__all__ = ["FastLane", "new_lanes"]

_TICK_BITS, _TRADE_BITS = layout_of(Tick).null_bits, layout_of(Trade).null_bits
_BITS = np.array(
    [
        *(_TICK_BITS[name] for name in ("ts_event", "trade_id", "sequence", "watermark")),
        *(bit for name in _TRADE_BITS for bit in (_TICK_BITS[name], _TRADE_BITS[name])),
    ],
    np.int64,
)
_STEPS_PER_ROW = 3


def new_lanes(
    config: NormaliseConfig, names: Names, cursor: Cursor, *, is_stepwise: bool, is_told: bool
) -> NDArray[np.void]:
    """Make the one row of `LANE`: the limits, and nothing done yet."""
    threshold = config.spike_threshold
    values = {
        "max_ahead_us": config.max_ahead_us,
        "max_age_us": config.max_age_us,
        "skew_us": config.skew_us,
        "numerator": threshold.numerator,
        "denominator": threshold.denominator,
        "greatest_price": INT64_MAX // max(threshold.numerator, threshold.denominator),
        "max_parts": config.max_message_records,
        "depth": config.book_depth,
        "max_levels": config.max_levels,
        "stale_us": config.stale_us,
        "cause_topic": names.text(cursor.topic),
        "cause_partition": cursor.partition,
        "watchdog": names.text(WATCHDOG),
        "nothing": names.text(""),
        "is_stepwise": is_stepwise,
        "is_reject_plain": not is_told,
        "is_published": cursor.trades.is_published,
    }
    lanes = np.zeros(1, LANE)
    for name, value in values.items():
        lanes[name] = value
    return lanes


class FastLane:
    """One batch.

    Args:
        offsets: Of each row, in the log.
    """

    def __init__(
        self,
        memory: Memory,
        books: Books,
        parts: Parts,
        trades: TradeTable,
        columns: TickColumns,
        offsets: NDArray[np.int64],
    ) -> None:
        self._memory = memory
        self._books = books
        self._trades = trades
        self._columns = columns
        self._batch = parts.begin(columns, offsets)
        self._text = np.frombuffer(columns.text, np.uint8)
        self._step_rows = np.empty(_STEPS_PER_ROW * len(columns), STEP)
        self._steps = 0
        self._numbers = np.zeros(0, np.int64)
        self._known = -1
        self._streams = np.full((len(columns.strings), 3), -1, np.int64)

    def take(self, lanes: NDArray[np.void], begin: int) -> tuple[int, StepRows]:
        """Take rows from `begin` on; gives the first that is left, and the steps of those taken."""
        memory, names = self._memory, self._memory.names
        if self._known != len(names.texts):
            self._known = len(names.texts)
            self._numbers = names.find(self._columns.strings)
        self._trades.fit(len(self._columns) - begin)
        lanes["trades"], lanes["steps"] = self._trades.count, self._steps
        at = take_rows(
            lanes,
            self._batch,
            self._text,
            (self._numbers, memory.slots, self._streams),
            (names.market_texts, _BITS),
            (
                memory.streams.rows,
                memory.prints.rows,
                memory.tops.rows,
                memory.last_tops.rows,
                memory.books.rows,
            ),
            memory.seen.arrays(),
            self._books.arrays(),
            (self._step_rows, self._trades.rows),
            memory.ahead,
            begin,
            len(self._columns),
        )
        self._trades.count = int(lanes["trades"][0])
        before, self._steps = self._steps, int(lanes["steps"][0])
        return at, self._step_rows[before : self._steps]

    def steps_of(self, rows: StepRows) -> list[Step | StepRows]:
        """Give the steps with the holes among them as objects; no stage asks for more of the others than rows say."""
        found: list[Step | StepRows] = []
        begin = 0
        for at in np.flatnonzero(rows["kind"] == GAP).tolist():
            gap = rows[at]
            found.append(rows[begin:at])
            found.append(GapStep(self._memory.names.markets[gap["market"]], int(gap["offset"]), int(gap["ts_recv"])))
            begin = at + 1
        found.append(rows[begin:])
        return found
