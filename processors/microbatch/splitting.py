"""Record batches of Kafka (format v2) to the places of their records' values, in compiled code.

See "Record Batch" in Kafka's protocol guide. Every length is checked against the end of what holds it. All batches of a
fetch are taken in one call, each while the check of its CRC has it in the processor's cache.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import boolean, int64, types, uint8
from numpy.typing import NDArray

from processors.microbatch.crc32c import IS_COMPILED, checksum
from schemas.columns.kernel import long_at, varint
from schemas.columns.spans import Spans
from schemas.compiled import Array, compiled
from schemas.machine import address, load, shifted, swapped

__all__ = ["Run", "split"]

_HEADER_BYTES = 61
_BEFORE_LENGTH, _CRC_AT, _CHECKED_FROM, _LAST_DELTA_AT, _MAX_TIME_AT, _COUNT_AT = 12, 17, 21, 23, 35, 57
_MAGIC = 2
_TIME_TYPE = 8
"""The one attribute that a batch may have here. Others say: compressed, part of a transaction, not data."""
_RECORD_BYTES = 7  # at least
_LOOSE_BYTES = 64
"""More than the numbers of a record and a word take: where so many follow it, they are read without looking at ends."""
_BYTES = types.Array(uint8, 1, "C", readonly=True)
_INT32_BITS = 0xFFFFFFFF
_NULL, _MALFORMED = -1, -2
_ROWS, _NEXT, _LAST = range(3)
_TIMES = struct.Struct(">q")


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """The records of consecutive batches.

    Attributes:
        offsets, values: One entry a record.
        next: Offset after the last batch.
        end: Where in the bytes it ends.
        timestamp, timestamp_type: Of the last batch.
    """

    offsets: NDArray[np.int64]
    values: Spans
    next: int
    end: int
    timestamp: int
    timestamp_type: int


@compiled()
def _int32(at: int) -> int:
    """Read a big-endian number of four bytes."""
    return swapped(load(at)) >> 32


@compiled()
def _count_of(data: Array, at: int) -> int:
    return swapped(load(address(data) + at + _COUNT_AT - 4)) << 32 >> 32


@compiled()
def _end_of(data: Array, at: int) -> int:
    """Give where a batch ends that is like most; else, or where it is not whole, MALFORMED."""
    place = address(data) + at
    if len(data) - at < _HEADER_BYTES:
        return _MALFORMED
    end = at + _BEFORE_LENGTH + _int32(place + _BEFORE_LENGTH - 4)
    if end < at + _HEADER_BYTES or end > len(data):
        return _MALFORMED
    attributes = shifted(swapped(load(place + _CHECKED_FROM)), 48)
    count = _count_of(data, at)
    if data[at + _CRC_AT - 1] != _MAGIC or attributes & ~_TIME_TYPE:
        return _MALFORMED
    if count < 0 or count > (end - at) // _RECORD_BYTES:
        return _MALFORMED
    return end


@compiled()
def _is_whole(data: Array, at: int, end: int) -> bool:
    """Tell whether the checksum of a batch is that of its bytes."""
    return checksum(data[at + _CHECKED_FROM : end]) == _int32(address(data) + at + _CRC_AT) & _INT32_BITS  # type: ignore[no-any-return]


@compiled()
def _loose(at: int, after: int) -> Any:
    """Find the value of a record that much follows; give its place and length, MALFORMED where there is none."""
    _, at = long_at(at + 1)
    if at < 0:
        return 0, 0, _MALFORMED
    delta, at = long_at(at)
    if at < 0 or delta < 0:
        return 0, 0, _MALFORMED
    key, at = long_at(at)
    if at < 0 or key > after - at:
        return 0, 0, _MALFORMED
    length, at = long_at(at + max(key, 0))
    if at < 0 or length > after - at:
        return 0, 0, _MALFORMED
    headers, end = long_at(at + max(length, 0))
    if headers != 0 or end != after:
        return 0, 0, _MALFORMED
    return delta, at, max(length, _NULL)


@compiled()
def _strict(data: Array, at: int, after: int) -> Any:
    """Do the same, looking at the end with every byte."""
    _, at = varint(data, at + 1, after)
    if at < 0:
        return 0, 0, _MALFORMED
    delta, at = varint(data, at, after)
    if at < 0 or delta < 0:
        return 0, 0, _MALFORMED
    key, at = varint(data, at, after)
    if at < 0 or key > after - at:
        return 0, 0, _MALFORMED
    length, at = varint(data, at + max(key, 0), after)
    if at < 0 or length > after - at:
        return 0, 0, _MALFORMED
    headers, end = varint(data, at + max(length, 0), after)
    if headers != 0 or end != after:
        return 0, 0, _MALFORMED
    return delta, at, max(length, _NULL)


@compiled(int64(_BYTES, int64))
def _count(data: Array, at: int) -> int:
    """Give how many records there are, at most, in the batches before the first that is not like most."""
    total = 0
    while True:
        end = _end_of(data, at)
        if end < 0:
            return total
        total += _count_of(data, at)
        at = end


def _take(
    data: Array, at: int, position: int, is_checked: bool, offsets: Array, starts: Array, ends: Array, state: Array
) -> int:
    """Take batch after batch as long as each is like most; give where the first that is not begins.

    A batch that is damaged, or has records with headers, is not like most.

    Args:
        position: Records of lower offsets are left out.
        is_checked: Whether a batch with another checksum is damaged.
        offsets, starts, ends: Take the offset of each record, and where its value is; -1 twice where there is none.
        state: Takes how many records there are, the offset after the last batch, and where that lies.
    """
    place = address(data)
    rows = 0
    while True:
        end = _end_of(data, at)
        if end < 0 or (is_checked and not _is_whole(data, at, end)):
            return at
        base = swapped(load(place + at))
        row, body = rows, at + _HEADER_BYTES
        for _ in range(_count_of(data, at)):
            if body + _LOOSE_BYTES <= len(data):
                size, body = long_at(place + body)
                if body < 0:
                    return at
                body -= place
            else:
                size, body = varint(data, body, end)
            if body < 0 or size < 1 or size > end - body:
                return at
            after = body + size
            if after + _LOOSE_BYTES <= len(data):
                delta, start, length = _loose(place + body, place + after)
                start -= place
            else:
                delta, start, length = _strict(data, body, after)
            if length == _MALFORMED:
                return at
            offsets[row] = base + delta
            starts[row] = start if length >= 0 else _NULL
            ends[row] = start + length if length >= 0 else _NULL
            row += base + delta >= position
            body = after
        rows = row
        state[_ROWS], state[_LAST] = rows, at
        state[_NEXT] = base + (swapped(load(place + _LAST_DELTA_AT + at)) >> 32) + 1
        at = end


_taken = (
    compiled(int64(_BYTES, int64, int64, boolean, int64[::1], int64[::1], int64[::1], int64[::1]))(_take)
    if IS_COMPILED
    else None
)


def split(data: bytes, begin: int, position: int, *, is_checked: bool) -> Run | None:
    """Split the batches from `begin` on that are like most: uncompressed, whole, of no transaction, without headers.

    Args:
        position: Records of lower offsets are left out.
        is_checked: Whether to check their CRCs too.

    Returns:
        None where the first is not like that, or nothing of it can be said in compiled code on this machine.
    """
    if _taken is None:
        return None
    raw = np.frombuffer(data, np.uint8)
    offsets, starts, ends = np.empty((3, _count(raw, begin)), np.int64)
    state = np.zeros(3, np.int64)
    end = _taken(raw, begin, position, is_checked, offsets, starts, ends, state)
    if end == begin:
        return None
    rows, upto, last = state.tolist()
    (timestamp,) = _TIMES.unpack_from(data, last + _MAX_TIME_AT)
    is_arrival = bool(data[last + _CHECKED_FROM + 1] & _TIME_TYPE)
    return Run(offsets[:rows], Spans(data, starts[:rows], ends[:rows]), upto, end, timestamp, int(is_arrival))
