"""Kafka values where they lie in the bytes that were fetched: a batch without an object per record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Headers", "Spans"]

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Values in order.

    Attributes:
        data: Bytes that hold them.
        starts, ends: Of each; of a tombstone both are -1.
        headers: Those of the records that have some, by row.
    """

    data: bytes
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    headers: Mapping[int, Headers] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.starts)

    def value(self, row: int) -> bytes | None:
        """Give a value; None for a tombstone."""
        start = int(self.starts[row])
        return None if start < 0 else self.data[start : int(self.ends[row])]

    def part(self, begin: int, end: int) -> Self:
        """Give the rows from `begin` to `end`."""
        headers = {row - begin: found for row, found in self.headers.items() if begin <= row < end}
        return type(self)(self.data, self.starts[begin:end], self.ends[begin:end], headers)

    @classmethod
    def of(cls, values: Sequence[bytes | None], headers: Sequence[Headers | None] | None = None) -> Self:
        """Lay values end to end; `headers` has an entry a value, where any has some."""
        sizes = np.fromiter((len(value or b"") for value in values), np.int64, len(values))
        ends = sizes.cumsum()
        starts = ends - sizes
        for row, value in enumerate(values):
            if value is None:
                starts[row] = ends[row] = -1
        found = {row: one for row, one in enumerate(headers or ()) if one}
        return cls(b"".join(value or b"" for value in values), starts, ends, found)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Give several batches as one."""
        if len(parts) < 2:
            return parts[0] if parts else cls.of([])
        starts: list[NDArray[np.int64]] = []
        ends: list[NDArray[np.int64]] = []
        headers: dict[int, Headers] = {}
        data: list[bytes] = []
        rows = size = 0
        for part in parts:
            if not data or data[-1] is not part.data:
                size = sum(map(len, data))
                data.append(part.data)
            is_null = part.starts < 0
            starts.append(np.where(is_null, -1, part.starts + size))
            ends.append(np.where(is_null, -1, part.ends + size))
            headers |= {rows + row: found for row, found in part.headers.items()}
            rows += len(part)
        return cls(data[0] if len(data) == 1 else b"".join(data), np.concatenate(starts), np.concatenate(ends), headers)
