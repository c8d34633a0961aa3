"""The sides of order books: exact sizes by price, best first, of all markets in one pool of memory.

A side is a run of the pool, sorted by a key that rises towards the best price. The best is last: most changes are near
it, and a change moves only what follows.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, from_dtype, int64, types
from numpy.typing import NDArray

from processors.kernel.snapshot import Table
from processors.kernel.steps import State
from schemas.compiled import Array, compiled
from schemas.records import BookLevel

__all__ = ["LADDER", "LADDERS", "LEVELS", "Ladders", "copy_best", "put", "put_level"]

LADDER = np.dtype([(name, "<i8") for name in ("sign", "at", "room", "count")])
"""A side: 1 of bids and -1 of asks, where its run begins, how many levels fit, and how many it has."""
LADDERS = types.Array(from_dtype(LADDER), 1, "C")
LEVELS = types.Tuple((int64[::1], int64[::1]))
"""The pool: keys, which are price times sign, and sizes."""

_LEAST_ROOM = 32


@compiled()
def put(ladder: Array, levels: tuple[Array, Array], price: int, size: int, shown: int, most: int) -> bool:
    """Set the size at a price, 0 deletes; tell whether one of the best `shown` levels changed.

    Beyond `most` the worst level is forgotten, so a hostile or endless feed cannot grow without bound. There must be
    room for one level more, unless there are `most`.
    """
    keys, sizes = levels
    key = price * ladder.sign
    begin, end = ladder.at, ladder.at + ladder.count
    at, beyond = begin, end
    while at < beyond:
        middle = (at + beyond) >> 1
        if keys[middle] < key:
            at = middle + 1
        else:
            beyond = middle
    if at < end and keys[at] == key:
        if sizes[at] == size:
            return False
        if size:
            sizes[at] = size
        else:
            for k in range(at, end - 1):
                keys[k] = keys[k + 1]
                sizes[k] = sizes[k + 1]
            ladder.count -= 1
        return bool(end - at <= shown)
    if not size:
        return False
    if ladder.count < most:
        for k in range(end, at, -1):
            keys[k] = keys[k - 1]
            sizes[k] = sizes[k - 1]
        keys[at], sizes[at] = key, size
        ladder.count += 1
    elif at > begin:
        for k in range(begin, at - 1):
            keys[k] = keys[k + 1]
            sizes[k] = sizes[k + 1]
        keys[at - 1], sizes[at - 1] = key, size
    return bool(end - at < shown)


@compiled()
def copy_best(ladder: Array, levels: tuple[Array, Array], count: int, out: Array, begin: int) -> int:
    """Write the best levels as rows of price and size, best first; give how many."""
    keys, sizes = levels
    last = ladder.at + ladder.count - 1
    found = min(count, ladder.count)
    for k in range(found):
        out[begin + k, 0] = keys[last - k] * ladder.sign
        out[begin + k, 1] = sizes[last - k]
    return found  # type: ignore[no-any-return]


@compiled(boolean(LADDERS, LEVELS, int64, int64, int64, int64, int64))
def put_level(
    ladders: Array, levels: tuple[Array, Array], number: int, price: int, size: int, shown: int, most: int
) -> bool:
    """Set the size at a price of a side; see `put`."""
    return put(ladders[number], levels, price, size, shown, most)


class Ladders:
    """The sides of every book of a partition: of book n the bids are 2n and the asks 2n + 1."""

    def __init__(self) -> None:
        self.rows: NDArray[np.void] = np.zeros(0, LADDER)
        self.levels: tuple[NDArray[np.int64], NDArray[np.int64]] = (np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._end = 0
        self._free: dict[int, list[int]] = {}

    def fit_books(self, count: int) -> None:
        """Have the sides of so many books."""
        before = len(self.rows)
        if 2 * count > before:
            rows = np.zeros(4 * count + 16, LADDER)
            rows[:before] = self.rows
            rows["sign"][0::2], rows["sign"][1::2] = 1, -1
            self.rows = rows

    def fit(self, number: int, count: int) -> None:
        """Have room for so many levels of a side."""
        row = self.rows[number]
        room = int(row["room"])
        if count <= room:
            return
        more = max(_LEAST_ROOM, 1 << (count - 1).bit_length())
        at, before, used = self._take(more), int(row["at"]), int(row["count"])
        for pool in self.levels:
            pool[at : at + used] = pool[before : before + used]
        if room:
            self._free.setdefault(room, []).append(before)
        row["at"], row["room"] = at, more

    def _take(self, room: int) -> int:
        """Give the begin of a free run."""
        if self._free.get(room):
            return self._free[room].pop()
        at, self._end = self._end, self._end + room
        if self._end > len(self.levels[0]):
            keys, sizes = (np.zeros(2 * self._end, np.int64) for _ in self.levels)
            for new, old in zip((keys, sizes), self.levels, strict=True):
                new[: len(old)] = old
            self.levels = (keys, sizes)
        return at

    def pairs(self, number: int) -> list[tuple[int, int]]:
        """Give price and size of every level of a side, worst first."""
        row = self.rows[number]
        at, end = int(row["at"]), int(row["at"] + row["count"])
        keys, sizes = self.levels
        return list(zip((keys[at:end] * row["sign"]).tolist(), sizes[at:end].tolist(), strict=True))

    def all_of(self, number: int) -> tuple[BookLevel, ...]:
        """Give every level of a side, best first."""
        return tuple(BookLevel(price=price, size=size) for price, size in reversed(self.pairs(number)))

    def state(self, sides: int) -> State:
        """Give the levels of so many sides, worst first."""
        rows = self.rows[:sides]
        counts = np.ascontiguousarray(rows["count"])
        ends = counts.cumsum()
        at = np.arange(ends[-1] if sides else 0) + np.repeat(rows["at"] - ends + counts, counts)
        keys, sizes = self.levels
        return {
            "counts": Table.of(counts),
            "keys": Table.of(np.diff(keys[at], prepend=0)),  # which are short
            "sizes": Table.of(sizes[at]),
        }

    def restore(self, state: State) -> None:
        """Take back what `state` gave, into sides that are empty."""
        counts, sizes = (state[name].rows(np.int64) for name in ("counts", "sizes"))
        keys = state["keys"].rows(np.int64).cumsum()
        self.fit_books((len(counts) + 1) // 2)
        begin = 0
        for number, count in enumerate(counts.tolist()):
            self.fit(number, count)
            row = self.rows[number]
            at = int(row["at"])
            for pool, saved in zip(self.levels, (keys, sizes), strict=True):
                pool[at : at + count] = saved[begin : begin + count]
            row["count"] = count
            begin += count
