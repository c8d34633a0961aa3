"""Whole Kafka record batches (format v2) built by compiled code, and the builder that aiokafka takes them from.

See "Record Batch" in Kafka's protocol guide. Batches are not compressed.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiokafka.errors import MessageSizeTooLargeError
from numba import int64, types, uint8
from numpy.typing import NDArray

from processors.microbatch.crc32c import crc32c
from schemas.columns.encoder import VARINT_BYTES, put_varint
from schemas.compiled import Array, compiled
from schemas.machine import address, leading_zeros, load, store

__all__ = ["Block", "PrebuiltBatch", "copied", "prebuilt"]

_HEADER = struct.Struct(">qiibIhiqqqhii")
_HEADER_BYTES = _HEADER.size
_CRC = struct.Struct(">I")
_CRC_AT, _CHECKED_FROM = 17, 21
_MAGIC = 2
# Attributes, four varints that are not lengths of content, two lengths.
_RECORD_BYTES = 1 + 6 * VARINT_BYTES
_NO_KEY = -1
_WORD = 8
_BYTES = types.Array(uint8, 1, "C", readonly=True)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Encoded records of one partition, laid end to end.

    Attributes:
        data, ends: Their values, and where each ends.
        keys, key_of: The distinct keys, and the number of each record's; -1 where it has none.
        ts_trigger: ts_recv of the tick that triggered each: the start of its latency.
        name: Groups their latency in the metrics; empty: not measured.
    """

    data: Any
    ends: NDArray[np.int64]
    keys: Sequence[bytes]
    key_of: NDArray[np.int64]
    ts_trigger: NDArray[np.int64]
    name: str = ""

    @property
    def count(self) -> int:
        """Number of records."""
        return len(self.ends)

    @property
    def size(self) -> int:
        """Bytes of their values."""
        return len(self.data)


@compiled()
def _long_size(value: int) -> int:
    """Give how many bytes a zig-zag varint takes."""
    return (63 - leading_zeros((value << 1) ^ (value >> 63) | 1)) // 7 + 1


@compiled()
def _copy(to: int, source: int, size: int, out: Array, at: int, data: Array, start: int) -> None:
    """Copy bytes, as addresses and as places in arrays."""
    if size < _WORD:
        for k in range(size):
            out[at + k] = data[start + k]
    else:
        for k in range(0, size - _WORD, _WORD):
            store(to + k, load(source + k))
        store(to + size - _WORD, load(source + size - _WORD))


@compiled(int64(_BYTES, int64[::1], _BYTES, int64[:, ::1], int64[::1], int64, uint8[::1], int64[::1]))
def _write_records(
    data: Array,
    ends: Array,
    keys: Array,
    key_spans: Array,
    key_of: Array,
    begin: int,
    out: Array,
    written: Array,
) -> int:
    """Write records from `begin` on as long as there is room; give the first that was not written.

    Args:
        out: Takes the batch, of which the header's bytes are left alone.
        written: Takes the size of the batch.
    """
    into, values, names = address(out), address(data), address(keys)
    at = _HEADER_BYTES
    start = ends[begin - 1] if begin else 0
    i = begin
    while i < len(ends):
        size = ends[i] - start
        key = key_of[i]
        named = key_spans[key, 0] if key >= 0 else 0
        key_size = key_spans[key, 1] if key >= 0 else _NO_KEY
        # Which is more than it takes: words are written where bytes are meant.
        if at + _RECORD_BYTES + size + max(key_size, 0) > len(out):
            break
        body = 3 + _long_size(i - begin) + _long_size(key_size) + _long_size(size)
        to = put_varint(into + at, body + size + max(key_size, 0))
        # No attributes, and no time after the batch's.
        store(to, 0)
        to = put_varint(to + 2, i - begin)
        to = put_varint(to, key_size)
        if key_size > 0:
            _copy(to, names + named, key_size, out, to - into, keys, named)
            to += key_size
        to = put_varint(to, size)
        _copy(to, values + start, size, out, to - into, data, start)
        to += size
        # No headers.
        store(to, 0)
        at = to + 1 - into
        start = ends[i]
        i += 1
    written[0] = at
    return i


class PrebuiltBatch:
    """A closed batch in place of aiokafka's `BatchBuilder`, whose interface it has.

    Args:
        buffer: Room for the header, then the records.
        now_ms: Kafka's timestamp of every record.
    """

    def __init__(self, buffer: memoryview, count: int, now_ms: int) -> None:
        self._buffer = buffer
        self._count = count
        self._now_ms = now_ms
        self._producer = -1, -1, -1

    def append(self, **_: Any) -> None:
        """Take no more records."""

    def close(self) -> None:
        """Do nothing: it is closed."""

    def closed(self) -> bool:
        """Tell that it is closed."""
        return True

    def record_count(self) -> int:
        """Give the number of records."""
        return self._count

    def size(self) -> int:
        """Give the size in bytes."""
        return len(self._buffer)

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = producer_id, producer_epoch, base_sequence

    def _build(self) -> memoryview:
        size = len(self._buffer)
        last = self._count - 1
        _HEADER.pack_into(
            self._buffer,
            0,
            0,
            size - 12,
            -1,
            _MAGIC,
            0,
            0,
            last,
            self._now_ms,
            self._now_ms,
            *self._producer,
            self._count,
        )
        _CRC.pack_into(self._buffer, _CRC_AT, crc32c(self._buffer[_CHECKED_FROM:]))
        return self._buffer


def copied(builder: Any, block: Block, begin: int, end: int, now_ms: int) -> Any:
    """Put records of a block into a builder of aiokafka's own, and close it: slower than `prebuilt`, the same batch."""
    start = int(block.ends[begin - 1]) if begin else 0
    for row in range(begin, end):
        upto = int(block.ends[row])
        key = int(block.key_of[row])
        value = bytes(block.data[start:upto])
        if builder.append(timestamp=now_ms, key=block.keys[key] if key >= 0 else None, value=value) is None:
            raise MessageSizeTooLargeError(f"records {begin} to {end} of a block do not fit a batch")
        start = upto
    builder.close()
    return builder


def prebuilt(block: Block, begin: int, max_bytes: int, now_ms: int) -> tuple[PrebuiltBatch, int]:
    """Build the next batch of a block; gives it and the first record that is not in it.

    A record that alone exceeds `max_bytes` gets a batch of its own, which the broker may refuse.
    """
    start = int(block.ends[begin - 1]) if begin else 0
    first = int(block.ends[begin]) - start
    keys = np.frombuffer(b"".join(block.keys), np.uint8)
    sizes = np.fromiter(map(len, block.keys), np.int64, len(block.keys))
    spans = np.ascontiguousarray(np.stack((np.cumsum(sizes) - sizes, sizes), axis=1))
    room = _RECORD_BYTES + int(sizes.max(initial=0))
    rest = int(block.ends[-1]) - start + room * (block.count - begin)
    out = np.empty(_HEADER_BYTES + max(min(rest, max_bytes), first + room), np.uint8)
    written = np.zeros(1, np.int64)
    upto = _write_records(
        np.frombuffer(block.data, np.uint8), block.ends, keys, spans, block.key_of, begin, out, written
    )
    return PrebuiltBatch(out.data[: int(written[0])], upto - begin, now_ms), upto
