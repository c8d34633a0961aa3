"""Ticks as the executor reads them: those of traded markets one by one, of all others only how time passes. Pure.

Most of `market.ticks` is of markets that no order of ours can meet. Of them the clock of the partition counts, and
nothing else, so they stay numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from schemas.clock import Held
from schemas.columns import KINDS, TickColumns
from schemas.enums import TickKind
from schemas.records import Market

__all__ = ["Read", "Stretch", "read_ticks"]

_BEAT = KINDS.index(TickKind.HEARTBEAT)


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Ticks of other markets, one behind another, as they lie in what was read.

    Attributes:
        offsets: Ascending.
    """

    offsets: NDArray[np.int64]
    rows: NDArray[np.void]
    columns: TickColumns

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def ts_recv(self) -> NDArray[np.int64]:
        """When each was received."""
        times: NDArray[np.int64] = self.rows["ts_recv"]
        return times

    def first(self) -> Held:
        """Give the first one as a record."""
        ((offset, tick),) = _records(self.offsets[:1], self.rows[:1], self.columns)
        return offset, tick

    def behind(self, count: int) -> Self:
        """Give what is left behind the first ones."""
        return type(self)(self.offsets[count:], self.rows[count:], self.columns)


Read: TypeAlias = Held | Stretch
"""A tick at its offset, or many of other markets."""


def read_ticks(offsets: NDArray[np.int64], columns: TickColumns, traded: Collection[Market]) -> Iterator[Read]:
    """Give ticks in order; rows that are none are left out, and the beats of any venue are given one by one."""
    ok = np.flatnonzero(columns.ok)
    offsets, rows = offsets[ok], columns.rows[ok]
    wanted = np.flatnonzero(_is_wanted(rows, columns.strings, traded))
    begin = 0
    for at, held in zip(wanted.tolist(), _records(offsets[wanted], rows[wanted], columns), strict=True):
        if begin < at:
            yield Stretch(offsets[begin:at], rows[begin:at], columns)
        yield held
        begin = at + 1
    if begin < len(rows):
        yield Stretch(offsets[begin:], rows[begin:], columns)


def _is_wanted(rows: NDArray[np.void], strings: Sequence[str], traded: Collection[Market]) -> NDArray[np.bool_]:
    numbers = {text: number for number, text in enumerate(strings)}
    table = np.zeros((max(len(strings), 1),) * 2, np.bool_)
    for venue, symbol in traded:
        if venue in numbers and symbol in numbers:
            table[numbers[venue], numbers[symbol]] = True
    is_wanted: NDArray[np.bool_] = table[rows["venue"], rows["symbol"]] | (rows["kind"] == _BEAT)
    return is_wanted


def _records(offsets: NDArray[np.int64], rows: NDArray[np.void], columns: TickColumns) -> Iterator[Held]:
    if len(rows):
        chosen = replace(columns, ok=np.ones(len(rows), np.bool_), errors={}, rows=rows)
        for offset, tick in zip(offsets.tolist(), chosen.ticks(), strict=True):
            assert tick is not None
            yield offset, tick
