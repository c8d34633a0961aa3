"""The compiled decoder: a program made of a schema's fields, run over a batch of Avro bodies.

One row of the program is one field in wire order: what it is, whether it may be null, and where its value goes. A
record that the program cannot take as it stands is only told apart here; `schemas.codec` judges it. Every varint,
length, union index and enum index is checked against the end of its record.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import boolean, int8, int32, int64, types, uint8, void

from schemas.columns.layout import (
    OP_BOOLEAN,
    OP_DECIMAL64,
    OP_ENUM,
    OP_INT,
    OP_INTERN,
    OP_TEXT,
)
from schemas.compiled import Array, compiled

__all__ = ["FORM_FRAMED", "FORM_OTHER", "FORM_PLAIN", "decode_batch", "varint"]

# How a value begins: with magic byte and schema id; with the body at once; or in a way that the codec must judge.
FORM_FRAMED, FORM_PLAIN, FORM_OTHER = range(3)

_HEADER = 5
_INT32_MAX = (1 << 31) - 1
_INT64_MAX = (1 << 63) - 1
# The high half of 10**38, the first number of more than 38 digits.
_HIGH_LIMIT = 10**38 >> 64
_MOST_PROBES = 64
_FNV_OFFSET, _FNV_PRIME = -3750763034362895579, 1099511628211

_FAILED = -1

_BYTES = types.Array(uint8, 1, "C", readonly=True)


@compiled()
def varint(data: Array, at: int, end: int) -> Any:
    """Give a zig-zag varint and the position after it, which is negative where there is none."""
    value: Any = 0
    shift = 0
    while at < end:
        byte: Any = np.int64(data[at])
        at += 1
        if shift == 63 and byte > 1:
            return 0, _FAILED
        value |= (byte & 127) << shift
        if byte < 128:
            return ((value >> 1) & _INT64_MAX) ^ -(value & 1), at
        shift += 7
    return 0, _FAILED


@compiled()
def _big_endian(data: Array, at: int, end: int, start: int) -> Any:
    value = np.int64(start)
    for k in range(at, end):
        value = (value << 8) | np.int64(data[k])
    return value


@compiled()
def _same(data: Array, one: int, other: int, length: int) -> bool:
    for k in range(length):  # noqa: SIM110  compiled
        if data[one + k] != data[other + k]:
            return False
    return True


@compiled()
def _intern(data: Array, at: int, length: int, column: int, texts: Any) -> Any:
    """Give the number of a text among the distinct texts of the batch, negative after too many probes."""
    spans, slots, guesses, count = texts
    guess = guesses[column]
    if guess >= 0 and spans[guess, 1] == length and _same(data, spans[guess, 0], at, length):
        return guess
    digest = np.int64(_FNV_OFFSET)
    for k in range(at, at + length):
        digest = (digest ^ np.int64(data[k])) * _FNV_PRIME
    mask = len(slots) - 1
    slot = (digest ^ (digest >> 29)) & mask
    for _ in range(_MOST_PROBES):
        found = np.int64(slots[slot])
        if found < 0:
            found = count[0]
            count[0] += 1
            slots[slot] = found
            spans[found, 0], spans[found, 1] = at, length
            return found
        if spans[found, 1] == length and _same(data, spans[found, 0], at, length):
            return found
        slot = (slot + 1) & mask
    return _FAILED


@compiled()
def _sized(op: int, data: Array, at: int, end: int, column: int, row: int, out: Array, texts: Any) -> Any:
    """Take a field that begins with its length; give the position after it, negative where it is not as it should."""
    length, at = varint(data, at, end)
    if at < 0 or length < 0 or length > end - at:
        return _FAILED
    after = at + length
    if op == OP_INTERN:
        found = _intern(data, at, length, column, texts)
        if found < 0:
            return _FAILED
        texts[2][column] = found
        out[row, column] = found
        return after
    if op == OP_TEXT:
        for k in range(at, after):
            if data[k] > 127:
                return _FAILED
        out[row, column] = at
        out[row, column + 1] = length
        return after
    if length == 0 or length > (8 if op == OP_DECIMAL64 else 16):
        return _FAILED
    sign = -1 if data[at] > 127 else 0
    if op == OP_DECIMAL64:
        out[row, column] = _big_endian(data, at, after, sign)
        return after
    split = max(at, after - 8)
    high = _big_endian(data, at, split, sign)
    if high >= _HIGH_LIMIT or high < -_HIGH_LIMIT:
        return _FAILED
    out[row, column] = high
    out[row, column + 1] = _big_endian(data, split, after, sign)
    return after


@compiled()
def _take(data: Array, at: int, end: int, row: int, program: Array, symbols: Array, out: Array, texts: Any) -> bool:
    """Take one body; tell whether it was one, from its first byte to its last."""
    nulls = 0
    for field in range(len(program)):
        op, null_bit, column = program[field, 0], program[field, 1], program[field, 2]
        if null_bit:
            branch, at = varint(data, at, end)
            if at < 0 or branch < 0 or branch > 1:
                return False
            if branch == 0:
                nulls |= null_bit
                continue
        if op >= OP_DECIMAL64:
            at = _sized(op, data, at, end, column, row, out, texts)
            if at < 0:
                return False
            continue
        value, at = varint(data, at, end)
        if at < 0:
            return False
        if op == OP_INT and (value > _INT32_MAX or value < -_INT32_MAX - 1):
            return False
        if op == OP_BOOLEAN:
            # Read as a varint, 0 and 1 are 0 and -1, and nothing else is.
            if value > 0 or value < -1:
                return False
            value = -value
        if op == OP_ENUM:
            first, many = program[field, 3], program[field, 4]
            if value < 0 or value >= many:
                return False
            value = symbols[first + value]
        out[row, column] = value
    out[row, out.shape[1] - 1] = nulls
    return at == end


@compiled(
    void(
        _BYTES,
        int64[::1],
        int64[::1],
        int8[::1],
        int64[::1],
        int64[:, ::1],
        int64[::1],
        int64[:, ::1],
        types.Tuple((int64[:, ::1], int32[::1], int64[::1], int64[::1])),
        boolean[::1],
    )
)
def decode_batch(
    data: Array,
    starts: Array,
    ends: Array,
    forms: Array,
    ids: Array,
    program: Array,
    symbols: Array,
    out: Array,
    texts: tuple[Array, Array, Array, Array],
    taken: Array,
) -> None:
    """Decode a batch of values.

    Args:
        data: The bytes that hold all values.
        starts, ends: Where each value starts and ends; -1 of none.
        forms: How each begins.
        ids: Schema ids of which the program is made.
        program: Per field: what it is, its bit among the nulls (0: never null), its column, and of an enum where its
            symbols begin and how many it has.
        symbols: Our number of each symbol, for all enums.
        out: Rows by columns; the last column takes the nulls. Zero before, and left so where nothing is said.
        texts: Where the distinct interned texts go: start and length of each; a hash table of them, a power of two
            long, -1 before; per column the last one, -1 before; and how many there are, 0 before.
        taken: Takes whether each record was decoded.
    """
    for row in range(len(ends)):
        at, end = starts[row], ends[row]
        taken[row] = False
        if at < 0 or end < at or end > len(data):
            continue
        if forms[row] == FORM_OTHER:
            continue
        if forms[row] == FORM_FRAMED:
            if end - at < _HEADER or data[at] != 0:
                continue
            schema_id = _big_endian(data, at + 1, at + _HEADER, 0)
            known = False
            for k in range(len(ids)):
                known = known or ids[k] == schema_id
            if not known:
                continue
            at += _HEADER
        taken[row] = _take(data, at, end, row, program, symbols, out, texts)
