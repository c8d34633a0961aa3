"""Record batches of Kafka (format v2) to the places of their records' values, in compiled code.

See "Record Batch" in Kafka's protocol guide. Every length is checked against the end of what holds it.
"""

from __future__ import annotations

import numpy as np
from numba import int64, types, uint8
from numpy.typing import NDArray

from schemas.columns.kernel import varint
from schemas.columns.spans import Spans
from schemas.compiled import Array, compiled

__all__ = ["split"]

_HEADER_BYTES = 61
_BYTES = types.Array(uint8, 1, "C", readonly=True)
_MALFORMED = -1
_OFFSET, _START, _END = range(3)


@compiled(int64(_BYTES, int64, int64, int64, int64, int64, int64[:, ::1]))
def _split(data: Array, at: int, end: int, count: int, base: int, position: int, out: Array) -> int:
    """Find the records of a batch from a position on; give how many, negative where one has headers or is damaged.

    Args:
        at, end: Where the records lie.
        count: How many there are.
        base: Offset that theirs are counted from.
        position: Those below it are left out.
        out: Takes offset, start and end of the value (-1: none).
    """
    found = 0
    for _ in range(count):
        size, at = varint(data, at, end)
        if at < 0 or size < 1 or size > end - at:
            return _MALFORMED
        after = at + size
        _, at = varint(data, at + 1, after)
        if at < 0:
            return _MALFORMED
        delta, at = varint(data, at, after)
        if at < 0 or delta < 0:
            return _MALFORMED
        key, at = varint(data, at, after)
        if at < 0 or key > after - at:
            return _MALFORMED
        length, at = varint(data, at + max(key, 0), after)
        if at < 0 or length > after - at:
            return _MALFORMED
        start = at if length >= 0 else -1
        at += max(length, 0)
        headers, at = varint(data, at, after)
        if headers != 0 or at != after:
            return _MALFORMED
        if base + delta >= position:
            out[found, _OFFSET] = base + delta
            out[found, _START] = start
            out[found, _END] = start + length if start >= 0 else -1
            found += 1
        at = after
    return found


def split(data: bytes, begin: int, end: int, position: int) -> tuple[NDArray[np.int64], Spans] | None:
    """Split an uncompressed batch that lies in `data`; None where a record has headers or is damaged.

    Returns:
        The offsets of its records from `position` on, and where their values are.
    """
    if end - begin < _HEADER_BYTES:
        return None
    base = int.from_bytes(data[begin : begin + 8], "big", signed=True)
    count = int.from_bytes(data[begin + 57 : begin + _HEADER_BYTES], "big", signed=True)
    # A record takes seven bytes at least.
    if not 0 <= count <= (end - begin) // 7:
        return None
    out = np.empty((count, 3), np.int64)
    found = _split(np.frombuffer(data, np.uint8), begin + _HEADER_BYTES, end, count, base, position, out)
    if found < 0:
        return None
    columns = np.ascontiguousarray(out[:found].T)
    return columns[_OFFSET], Spans(data, columns[_START], columns[_END])
