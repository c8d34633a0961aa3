"""The compiled encoder: rows of numbers to Avro bodies, byte for byte what `schemas.binary` writes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int64, types, uint8

from schemas.columns.layout import (
    OP_BOOLEAN,
    OP_DECIMAL64,
    OP_DECIMAL128,
    OP_ENUM,
    OP_INT,
    OP_INTERN,
    OP_TEXT,
)
from schemas.compiled import Array, compiled

__all__ = ["VARINT_BYTES", "encode_batch", "put_long"]

VARINT_BYTES = 10
_INT32_MAX = (1 << 31) - 1
# The high half of 10**38, the first number of more than 38 digits.
_HIGH_LIMIT = 10**38 >> 64
_FAILED = -1
_SEVEN, _LAST = np.uint64(7), np.uint64(127)
_BYTES = types.Array(uint8, 1, "C", readonly=True)


@compiled()
def put_long(out: Array, at: int, value: int) -> int:
    """Write a zig-zag varint; give the position after it."""
    rest = np.uint64(value << 1) ^ np.uint64(value >> 63)
    while rest > _LAST:
        out[at] = (rest & _LAST) | np.uint64(128)
        at += 1
        rest >>= _SEVEN
    out[at] = rest
    return at + 1


@compiled()
def _put_decimal(out: Array, at: int, high: int, low: int) -> int:
    """Write the shortest two's complement of 128 bits, its length before it."""
    sign = high >> 63
    size = 16
    while size > 1:
        # The first byte says no more than the sign, and the next begins with it.
        first = _byte(high, low, size - 1)
        if first != sign & 255 or (_byte(high, low, size - 2) >> 7) != sign & 1:
            break
        size -= 1
    out[at] = size << 1
    at += 1
    for k in range(size - 1, -1, -1):
        out[at] = _byte(high, low, k)
        at += 1
    return at


@compiled()
def _byte(high: int, low: int, k: int) -> int:
    return (high >> (8 * (k - 8))) & 255 if k > 7 else (low >> (8 * k)) & 255


@compiled()
def _put_text(out: Array, at: int, source: Array, start: int, length: int) -> int:
    if start < 0 or length < 0 or start + length > len(source):
        return _FAILED
    at = put_long(out, at, length)
    for k in range(length):
        out[at + k] = source[start + k]
    return at + length


@compiled()
def _put(op: int, field: Array, row: Array, out: Array, at: int, texts: Any) -> int:
    """Write a field; give the position after it, negative where the schema cannot hold it as it stands."""
    strings, spans, text, indices = texts
    column = field[2]
    value = row[column]
    if op == OP_DECIMAL64:
        return _put_decimal(out, at, value >> 63, value)
    if op == OP_DECIMAL128:
        if value >= _HIGH_LIMIT or value < -_HIGH_LIMIT:
            return _FAILED
        return _put_decimal(out, at, value, row[column + 1])
    if op == OP_INTERN:
        if value < 0 or value >= len(spans):
            return _FAILED
        return _put_text(out, at, strings, spans[value, 0], spans[value, 1])
    if op == OP_TEXT:
        return _put_text(out, at, text, value, row[column + 1])
    if op == OP_BOOLEAN:
        out[at] = value != 0
        return at + 1
    if op == OP_ENUM:
        if value < 0 or value >= field[4]:
            return _FAILED
        value = indices[field[3] + value]
    if op == OP_INT and (value > _INT32_MAX or value < -_INT32_MAX - 1):
        return _FAILED
    return put_long(out, at, value)


@compiled(
    int64(
        int64[:, ::1],
        int64,
        int64[:, ::1],
        _BYTES,
        types.Tuple((_BYTES, int64[:, ::1], _BYTES, int64[::1])),
        int64[::1],
        uint8[::1],
        int64[::1],
    )
)
def encode_batch(
    rows: Array, begin: int, program: Array, header: Array, texts: Any, bounds: Array, out: Array, ends: Array
) -> int:
    """Encode rows from `begin` on, laid end to end; give the first that was not, for the codec to judge.

    Args:
        rows: Rows by columns; the nulls are a column too.
        program: See `schemas.columns.layout.Layout`.
        header: What each value begins with.
        texts: The interned texts' bytes, the start and length of each, the bytes that spans point into, and the
            schema's index of each enum member.
        bounds: The column of the nulls; bytes that the fields of a row take at most, without texts; the columns of
            the lengths of its texts.
        out: Takes the values.
        ends: Where each ends; the entry before `begin` says where to go on.
    """
    end = ends[begin - 1] if begin else 0
    for i in range(begin, len(rows)):
        row = rows[i]
        at = end
        most = bounds[1]
        for k in range(2, len(bounds)):
            most += row[bounds[k]]
        if most < bounds[1] or at + most > len(out):
            return i
        for k in range(len(header)):
            out[at + k] = header[k]
        at += len(header)
        for f in range(len(program)):
            null_bit = program[f, 1]
            if null_bit:
                is_null = row[bounds[0]] & null_bit
                out[at] = 0 if is_null else 2
                at += 1
                if is_null:
                    continue
            at = _put(program[f, 0], program[f], row, out, at, texts)
            if at < 0:
                return i
        ends[i] = end = at
    return len(rows)
