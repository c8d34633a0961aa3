"""Where a partition of `market.ticks` has been: its clock, and what the clock was at the ticks of the last moments."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

import numpy as np

from sinks.executor.lapse import Lapse

__all__ = ["Trail"]

_STEPS_KEPT = 8_192


class Trail:
    """The clock of a partition along its offsets.

    Attributes:
        clock_us: The greatest `ts_recv` so far; 0 before the first record.
        offset: Of the last record.
    """

    def __init__(self) -> None:
        self.clock_us = 0
        self.offset = -1
        self._offsets: deque[int] = deque(maxlen=_STEPS_KEPT)
        self._clocks: deque[int] = deque(maxlen=_STEPS_KEPT)

    def advance(self, offset: int, ts_recv: int) -> bool:
        """Go on to a record; False where it was passed before."""
        if offset <= self.offset:
            return False
        self.offset = offset
        if ts_recv > self.clock_us:
            self.clock_us = ts_recv
            self._offsets.append(offset)
            self._clocks.append(ts_recv)
        return True

    def pass_over(self, lapse: Lapse) -> None:
        """Go on over ticks that have passed, all behind the last record."""
        rises = np.flatnonzero(np.diff(lapse.clocks, prepend=self.clock_us) > 0)
        self._offsets.extend(lapse.offsets[rises].tolist())
        self._clocks.extend(lapse.clocks[rises].tolist())
        self.offset, self.clock_us = int(lapse.offsets[-1]), int(lapse.clocks[-1])

    def at(self, offset: int) -> int | None:
        """Give the clock at a record; None before what is remembered, and where it was not read yet."""
        if offset > self.offset or not self._offsets or offset < self._offsets[0]:
            return None
        return self._clocks[bisect_right(self._offsets, offset) - 1]
