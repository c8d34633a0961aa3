"""What the compiled encoders of `schemas.columns.specialised` are put together from: one function per kind of field.

They write at addresses, a word at a time, so up to eight bytes more than they say: an encoder keeps room for that.
"""

from __future__ import annotations

import numpy as np

from schemas.compiled import Array, compiled
from schemas.machine import leading_zeros, load, shifted, store, swapped

__all__ = ["VARINT_BYTES", "put_decimal64", "put_decimal128", "put_long", "put_text", "put_varint"]

VARINT_BYTES = 10
_HIGH_BITS = -0x7F7F7F7F7F7F7F80
_SEVEN, _LAST = np.uint64(7), np.uint64(127)


@compiled()
def put_long(out: Array, at: int, value: int) -> int:
    """Write a zig-zag varint into an array; give the position after it."""
    rest = np.uint64(value << 1) ^ np.uint64(value >> 63)
    while rest > _LAST:
        out[at] = (rest & _LAST) | np.uint64(128)
        at += 1
        rest >>= _SEVEN
    out[at] = rest
    return at + 1


@compiled()
def _spread(number: int) -> int:
    """Give a number of 56 bits with its groups of seven in bytes, the lowest first."""
    word = (number & 0x000000000FFFFFFF) | ((number & 0x00FFFFFFF0000000) << 4)
    word = (word & 0x00003FFF00003FFF) | ((word & 0x0FFFC0000FFFC000) << 2)
    return (word & 0x007F007F007F007F) | ((word & 0x3F803F803F803F80) << 1)


@compiled()
def put_varint(at: int, value: int) -> int:
    """Write a zig-zag varint; give the address after it."""
    rest = (value << 1) ^ (value >> 63)
    if rest & -128 == 0:
        store(at, rest)
        return at + 1
    word = _spread(rest)
    high = shifted(rest, 56)
    if high == 0:
        last = 56 - (leading_zeros(word) & 56)
        store(at, word | (_HIGH_BITS & ((1 << last) - 1)))
        return at + 1 + (last >> 3)
    store(at, word | _HIGH_BITS)
    if high < 128:
        store(at + 8, high)
        return at + 9
    store(at + 8, high | 0x100)
    return at + 10


@compiled()
def _bytes_of(value: int) -> int:
    """Give how many bytes a number takes in two's complement."""
    return ((63 - leading_zeros(((value ^ (value >> 63)) << 1) | 1)) >> 3) + 1


@compiled()
def put_decimal64(at: int, value: int) -> int:
    """Write the shortest two's complement, its length before it; give the address after it."""
    size = _bytes_of(value)
    store(at, size << 1)
    store(at + 1, swapped(value << (64 - (size << 3))))
    return at + 1 + size


@compiled()
def put_decimal128(at: int, high: int, low: int) -> int:
    """Write the shortest two's complement of two halves, its length before it; give the address after it."""
    if high == low >> 63:
        return put_decimal64(at, low)
    size = _bytes_of(high)
    store(at, (size + 8) << 1)
    store(at + 1, swapped(high << (64 - (size << 3))))
    store(at + 1 + size, swapped(low))
    return at + 9 + size


@compiled()
def put_text(at: int, source: int, length: int) -> int:
    """Write a text, its length before it; give the address after it. Up to eight bytes after its end are read."""
    at = put_varint(at, length)
    for k in range(0, length, 8):
        store(at + k, load(source + k))
    return at + length
