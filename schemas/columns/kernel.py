"""What the compiled decoders of `schemas.columns.specialised` are put together from: one function per kind of field.

They read at addresses, a word at a time, and look at no end: a decoder makes sure beforehand that what it may read too
much is there to be read, and afterwards that its record ended where it should. A field that is not as almost all are
(a union's branch of two bytes, a decimal padded beyond its type) is not taken either; `schemas.codec` judges it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas.compiled import Array, compiled
from schemas.machine import address, load, shifted, store, swapped, trailing_zeros

__all__ = [
    "ENTRY_WORDS",
    "FAILED",
    "HIGH_LIMIT",
    "decimal64",
    "decimal128",
    "intern",
    "is_ascii",
    "is_known",
    "long_at",
    "varint",
]

FAILED = -1
HIGH_LIMIT = 10**38 >> 64
"""The high half of 10**38, the first number of more than 38 digits."""
ENTRY_WORDS = 4
"""Of an interned text: its first eight bytes, its last eight (0 where it has fewer), its length, where it is kept."""

_INT64_MAX = (1 << 63) - 1
_HIGH_BITS = -0x7F7F7F7F7F7F7F80
_LOW_BITS = 0x7F7F7F7F7F7F7F7F
_MOST_PROBES = 64
_MIX_FIRST, _MIX_LAST = -7046029254386353131, -4417276706812531889


@compiled()
def varint(data: Array, at: int, end: int) -> Any:
    """Give a zig-zag varint of an array and the position after it, which is negative where there is none."""
    value: Any = 0
    shift = 0
    while at < end:
        byte: Any = np.int64(data[at])
        at += 1
        if shift == 63 and byte > 1:
            return 0, FAILED
        value |= (byte & 127) << shift
        if byte < 128:
            return ((value >> 1) & _INT64_MAX) ^ -(value & 1), at
        shift += 7
    return 0, FAILED


@compiled()
def _packed(word: int) -> int:
    """Give the number whose groups of seven bits stand in the bytes of a word, the lowest first."""
    word = (word & 0x007F007F007F007F) | ((word & 0x7F007F007F007F00) >> 1)
    word = (word & 0x00003FFF00003FFF) | ((word & 0x3FFF00003FFF0000) >> 2)
    return (word & 0x000000000FFFFFFF) | ((word & 0x0FFFFFFF00000000) >> 4)


@compiled()
def long_at(at: int) -> Any:
    """Give a zig-zag varint and the address after it, which is negative where there is none."""
    word = load(at)
    if word & 0x80 == 0:
        return ((word & 127) >> 1) ^ -(word & 1), at + 1
    stops = ~word & _HIGH_BITS
    if stops:
        # All bits below the one that ends the last byte.
        value = _packed(word & (stops ^ (stops - 1)) & _LOW_BITS)
        return (value >> 1) ^ -(value & 1), at + 1 + (trailing_zeros(stops) >> 3)
    rest = load(at + 8)
    value = _packed(word & _LOW_BITS) | (rest & 127) << 56
    if rest & 0x80 == 0:
        return shifted(value, 1) ^ -(value & 1), at + 9
    if rest & 0xFE00:
        return 0, FAILED
    value |= (rest & 0x100) << 55
    return shifted(value, 1) ^ -(value & 1), at + 10


@compiled()
def decimal64(at: int) -> Any:
    """Give a decimal of at most 8 bytes and the address after it, which is negative where it is another."""
    size = load(at) & 255
    if size & 1 or size < 2 or size > 16:
        return 0, FAILED
    # The length is twice as much as it says: 8 times the bytes are 4 times this.
    return swapped(load(at + 1)) >> (64 - (size << 2)), at + 1 + (size >> 1)


@compiled()
def decimal128(at: int) -> Any:
    """Give both halves of a decimal of at most 38 digits and the address after it, negative where it is another."""
    size = load(at) & 255
    if size & 1 or size < 2 or size > 32:
        return 0, 0, FAILED
    after = at + 1 + (size >> 1)
    if size <= 16:
        low = swapped(load(at + 1)) >> (64 - (size << 2))
        return low >> 63, low, after
    high = swapped(load(at + 1)) >> (128 - (size << 2))
    if high >= HIGH_LIMIT or high < -HIGH_LIMIT:
        return 0, 0, FAILED
    return high, swapped(load(after - 8)), after


@compiled()
def is_known(header: int, headers: Array) -> bool:
    """Tell whether a header is one of several."""
    for k in range(len(headers)):  # noqa: SIM110  compiled
        if header == headers[k]:
            return True
    return False


@compiled()
def is_ascii(at: int, length: int) -> bool:
    """Tell whether a text is ASCII and so is UTF-8."""
    found = 0
    after = at + length
    while after - at >= 8:
        found |= load(at)
        at += 8
    if at < after:
        found |= load(at) & ((1 << ((after - at) << 3)) - 1)
    return found & _HIGH_BITS == 0


@compiled()
def _place(first: int, last: int, length: int, mask: int) -> int:
    digest = (first * _MIX_FIRST) ^ ((last + length) * _MIX_LAST)
    return (digest ^ shifted(digest, 32)) & mask


@compiled()
def _same(one: int, other: int, length: int) -> bool:
    """Compare texts of more than 16 bytes that begin and end alike."""
    for k in range(8, length - 8, 8):  # noqa: SIM110  compiled
        if load(one + k) != load(other + k):
            return False
    return True


@compiled()
def _grow(entries: Array, slots: Array, state: Array) -> None:
    """Double the hash table, from what the entries hold."""
    mask = 2 * state[1] + 1
    slots[: mask + 1] = -1
    for number in range(state[0]):
        slot = _place(entries[number, 0], entries[number, 1], entries[number, 2], mask)
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = number
    state[1] = mask


@compiled()
def _added(at: int, length: int, first: int, last: int, slot: int, texts: Any) -> Any:
    """Keep a new text, a zero byte after it; give its number, negative where there is no room."""
    entries, slots, kept, state = texts
    number, used = state[0], state[2]
    if number == len(entries) or length + 8 > len(kept) - used:
        return FAILED
    slots[slot] = number
    entries[number, 0], entries[number, 1], entries[number, 2], entries[number, 3] = first, last, length, used
    into = address(kept) + used
    for k in range(0, length, 8):
        store(into + k, load(at + k))
    store(into + length, 0)
    state[0], state[2] = number + 1, used + length + 1
    if 2 * number > state[1] and 2 * state[1] < len(slots):
        _grow(entries, slots, state)
    return number


@compiled()
def intern(at: int, length: int, guess: int, texts: Any) -> Any:
    """Give the number of a text among the distinct texts of the batch, negative where it cannot have one.

    Args:
        guess: The number that the field had in the row before; negative: none.
        texts: What is known, in four arrays: the entries, see `ENTRY_WORDS`; a hash table of their numbers, of which
            a power of two is in use, -1 where it is free; the texts, a zero byte after each; and how many texts there
            are, the mask of the table, the bytes of texts.
    """
    entries, slots, kept, state = texts
    first, last = load(at), 0
    if length >= 8:
        last = load(at + length - 8)
    else:
        first &= (1 << (length << 3)) - 1
    if guess >= 0:
        entry = entries[guess]
        if entry[0] == first and entry[1] == last and entry[2] == length:  # noqa: SIM102  one more branch
            if length <= 16 or _same(at, address(kept) + entry[3], length):
                return guess
    mask = state[1]
    slot = _place(first, last, length, mask)
    for _ in range(_MOST_PROBES):
        found = np.int64(slots[slot])
        if found < 0:
            return _added(at, length, first, last, slot, texts)
        entry = entries[found]
        if entry[0] == first and entry[1] == last and entry[2] == length:  # noqa: SIM102  one more branch
            if length <= 16 or _same(at, address(kept) + entry[3], length):
                return found
        slot = (slot + 1) & mask
    return FAILED
