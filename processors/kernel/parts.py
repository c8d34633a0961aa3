"""Parts of messages that have begun and not ended, as rows: of the batch at hand, and kept from those before."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from processors.kernel.held import Held
from processors.kernel.memory import Memory
from processors.kernel.rowlane import BY_ROWS
from schemas.columns import TickColumns
from schemas.columns.layout import layout_of
from schemas.columns.rows import Rows
from schemas.records import Tick

__all__ = ["Parts"]

_TEXTS = ("trade_id", "tx_hash")


class Parts:
    """The parts that compiled code puts together.

    A part is known by its row in the batch, or below 0 by where it is kept: -1 is the first. What is kept of a message
    lies in order.

    Args:
        most: Parts of the longest message.
    """

    def __init__(self, memory: Memory, most: int) -> None:
        self._memory = memory
        self._rows: NDArray[np.void] = np.zeros(0, layout_of(Tick).dtype)
        self._offsets: NDArray[np.int64] = np.zeros(0, np.int64)
        self._text = b""
        self._columns: TickColumns | None = None
        self._batch_offsets = self._offsets
        self._before = self._offsets
        self._room = np.zeros(most + 1, np.int64)

    def begin(self, columns: TickColumns, offsets: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        """Start a batch; gives it for compiled code."""
        self._columns, self._batch_offsets = columns, offsets
        self._before = np.zeros(len(columns), np.int64)
        return (columns.rows, self._rows, columns.ok, offsets, self._before, self._room)

    def held(self, stream: int) -> list[Held]:
        """Give the parts of a stream's open message as records."""
        rows, offsets, text = self._parts(stream)
        ticks = Rows(Tick, rows, self._memory.names.texts, text).records()
        return list(zip(offsets.tolist(), cast(list[Tick], list(ticks)), strict=True))

    def keep(self) -> None:
        """End a batch: keep the parts of messages that are still open."""
        streams = self._memory.streams.rows
        found = np.flatnonzero(streams["is_open"] == BY_ROWS)
        if len(self._rows) != streams["parts"][found].sum() or (streams["last_part"][found] >= 0).any():
            every = [self._parts(stream) for stream in found.tolist()]
            starts = np.cumsum([0, *(len(text) for _, _, text in every)])
            for (rows, _, _), start in zip(every, starts.tolist(), strict=False):
                for name in _TEXTS:
                    rows[name] += start
            self._rows = np.concatenate([self._rows[:0], *(rows for rows, _, _ in every)])
            self._offsets = np.concatenate([self._offsets[:0], *(offsets for _, offsets, _ in every)])
            self._text = b"".join(text for _, _, text in every)
            streams["last_part"][found] = -np.cumsum(streams["parts"][found])
        self._columns = None

    def _parts(self, stream: int) -> tuple[NDArray[np.void], NDArray[np.int64], bytes]:
        """Copy the parts of a stream: their rows with the partition's numbers of texts, and spans of a text."""
        row = self._memory.streams.rows[stream]
        chain: list[int] = []
        part = int(row["last_part"])
        while part >= 0 and len(chain) < row["parts"]:
            chain.append(part)
            part = int(self._before[part])
        chain.reverse()
        count = int(row["parts"]) - len(chain)
        end = -part if count else 0
        rows, offsets = self._rows[end - count : end].copy(), self._offsets[end - count : end]
        text = _cut(rows, self._text, 0)
        if chain:
            assert self._columns is not None
            late = self._columns.rows[chain]
            text += _cut(late, self._columns.text, len(text))
            rows, offsets = np.concatenate((rows, late)), np.concatenate((offsets, self._batch_offsets[chain]))
        rows["source"], rows["venue"], rows["symbol"] = self._memory.keys[stream]
        return rows, offsets, text


def _cut(rows: NDArray[np.void], text: bytes, start: int) -> bytes:
    """Copy what the spans of rows point to, and let them point there, `start` being where it begins."""
    found = bytearray()
    for name in _TEXTS:
        lengths = rows[f"{name}_length"]
        for at in np.flatnonzero(lengths).tolist():
            begin, length = int(rows[name][at]), int(lengths[at])
            rows[name][at] = start + len(found)
            found += text[begin : begin + length]
    return bytes(found)
