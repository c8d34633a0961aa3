"""Trades seen before: the latest keys of every market, oldest forgotten first.

The keys of a market lie end to end in a ring of words, the first byte of each key being its length; a position counts
all words written before. They are found by a hash table of the market's own. A bucket of it is one line of a
processor's cache: seven entries, each the position of a key and some bits of its digest. An entry is in use as long as
its key is in the ring, so nothing is ever removed: the next key that comes to the bucket takes one out of use. Where
all seven are in use the key goes to the next bucket, and the eighth word tells until when to look there.

Keys are compared byte by byte. One longer than 64 bytes is known by its SHA-256, which is 64 bytes as hexadecimal text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numba import boolean, from_dtype, int64, types, uint8
from numpy.typing import NDArray

from processors.kernel.machine import address, load, prefetch, shifted
from schemas.compiled import Array, compiled

__all__ = ["KEY_BYTES", "SEEN", "SeenTrades", "digest_of", "expect", "is_seen", "remember"]

KEY_BYTES = 64
_KEY_WORDS = (KEY_BYTES + 1 + 7) // 8
_ENTRIES = 7
_PASSED = 7
_LINE = 8
_TAG_BITS = 20
_NONE = -1
_TAG = (1 << _TAG_BITS) - 1
_FIRST, _FACTOR = -7046029254386353131, -4417276706812531889
_MIX, _MIX_AGAIN = 0xFF51AFD7ED558CCD - (1 << 64), 0xC4CEB9FE1A85EC53 - (1 << 64)

_WINDOW = np.dtype([(name, "<i8") for name in ("keys", "head", "tail", "head_at", "tail_at")])
"""How many keys there are; the positions of the next one and of the oldest, and where in the ring these are."""
_BYTES = types.Array(uint8, 1, "C", readonly=True)
SEEN = types.Tuple((int64[::1], types.Array(from_dtype(_WINDOW), 1, "C"), int64[:, :, ::1], int64[:, ::1]))
"""The most keys of a market; by market its window, its buckets and its ring."""


@compiled()
def _word(text: Array, at: int, end: int) -> int:
    """Give up to eight bytes of a text, zeros where they would be behind `end`."""
    if end - at >= 8:
        return load(address(text) + at)  # type: ignore[no-any-return]
    if at + 8 <= len(text):
        return load(address(text) + at) & ((1 << 8 * (end - at)) - 1)  # type: ignore[no-any-return]
    word: Any = 0
    for k in range(end - at):
        word |= np.int64(text[at + k]) << 8 * k
    return word  # type: ignore[no-any-return]


@compiled()
def _key_word(text: Array, at: int, length: int, number: int) -> int:
    """Give a word of a key as it is in the ring."""
    if number:
        return _word(text, at + 8 * number - 1, at + length)
    return _word(text, at, at + min(length, 7)) << 8 | length


@compiled()
def digest_of(text: Array, at: int, length: int) -> int:
    """Give the digest of a key."""
    digest: Any = _FIRST
    for number in range((length >> 3) + 1):
        digest = (digest ^ _key_word(text, at, length, number)) * _FACTOR
        digest ^= shifted(digest, 29)
    # MurmurHash3's last step, so that every bit of the text counts in every bit of the digest.
    digest = (digest ^ shifted(digest, 33)) * _MIX
    digest = (digest ^ shifted(digest, 33)) * _MIX_AGAIN
    return digest ^ shifted(digest, 33)  # type: ignore[no-any-return]


@compiled()
def expect(seen: Any, market: int, digest: int) -> None:
    """Begin to fetch what looking for a key and adding it will need."""
    _, windows, buckets, rings = seen
    home = digest & (buckets.shape[1] - 1)
    prefetch(address(buckets) + ((market * buckets.shape[1] + home) << 6))
    ring = address(rings) + ((market * rings.shape[1]) << 3)
    prefetch(ring + (windows[market].head_at << 3))
    prefetch(ring + (windows[market].tail_at << 3))


@compiled()
def _is_at(ring: Array, place: int, text: Array, at: int, length: int) -> bool:
    for number in range((length >> 3) + 1):
        if ring[place] != _key_word(text, at, length, number):
            return False
        place = place + 1 if place + 1 < len(ring) else 0
    return True


@compiled()
def is_seen(seen: Any, market: int, digest: int, text: Array, at: int, length: int) -> bool:
    """Tell whether a key, at most KEY_BYTES of a text, is in a market's window."""
    _, windows, buckets, rings = seen
    size, mask = rings.shape[1], buckets.shape[1] - 1
    window = windows[market]
    tag = shifted(digest, 64 - _TAG_BITS)
    bucket = digest & mask
    for _ in range(mask + 1):
        is_alike = False
        for k in range(_ENTRIES):
            is_alike |= buckets[market, bucket, k] & _TAG == tag
        if is_alike:
            for k in range(_ENTRIES):
                entry = buckets[market, bucket, k]
                position = (entry >> _TAG_BITS) - 1
                if entry & _TAG == tag and position >= window.tail:
                    place = window.head_at - (window.head - position)
                    if _is_at(rings[market], place + size if place < 0 else place, text, at, length):
                        return True
        if buckets[market, bucket, _PASSED] <= window.tail:
            break
        bucket = (bucket + 1) & mask
    return False


@compiled()
def remember(seen: Any, market: int, digest: int, text: Array, at: int, length: int) -> None:
    """Add a key that is not in the window."""
    most, windows, buckets, rings = seen
    size, mask = rings.shape[1], buckets.shape[1] - 1
    window = windows[market]
    if window.keys == most[0]:
        words = ((rings[market, window.tail_at] & 0xFF) >> 3) + 1
        window.tail += words
        window.tail_at += words
        if window.tail_at >= size:
            window.tail_at -= size
    else:
        window.keys += 1
    bucket = digest & mask
    while True:
        free = _NONE
        for k in range(_ENTRIES):
            free = k if buckets[market, bucket, k] >> _TAG_BITS <= window.tail else free
        if free != _NONE:
            break
        buckets[market, bucket, _PASSED] = window.head + 1
        bucket = (bucket + 1) & mask
    buckets[market, bucket, free] = (window.head + 1) << _TAG_BITS | shifted(digest, 64 - _TAG_BITS)
    place = window.head_at
    for number in range((length >> 3) + 1):
        rings[market, place] = _key_word(text, at, length, number)
        place = place + 1 if place + 1 < size else 0
    window.head_at = place
    window.head += (length >> 3) + 1


@compiled(boolean(SEEN, int64, _BYTES))
def _add(seen: Any, market: int, key: Array) -> bool:
    digest = digest_of(key, 0, len(key))
    if is_seen(seen, market, digest, key, 0, len(key)):
        return False
    remember(seen, market, digest, key, 0, len(key))
    return True


class SeenTrades:
    """The latest trade keys of every market of a partition.

    Args:
        size: Keys remembered per market.
    """

    def __init__(self, size: int) -> None:
        self._most = np.array([size], np.int64)
        # Four entries in seven are in use at most, so there is always one that is not.
        self._buckets_each = 1 << ((size - 1) // 4).bit_length()
        # An odd number of lines, so that the same places of all markets do not compete for one place in a cache.
        self._ring_words = (-(-size * _KEY_WORDS // _LINE) | 1) * _LINE
        self._make(0)

    def _make(self, markets: int) -> None:
        self._windows = np.zeros(markets, _WINDOW)
        self._buckets = _lines(markets * self._buckets_each).reshape(markets, self._buckets_each, _LINE)
        self._rings = np.zeros((markets, self._ring_words), np.int64)

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Give what compiled code works on, as `SEEN`."""
        return (self._most, self._windows, self._buckets, self._rings)

    def add(self, market: int, key: str) -> bool:
        """Remember a key; False where it is known already."""
        self.grow(market)
        raw = key.encode()
        if len(raw) > KEY_BYTES:
            raw = hashlib.sha256(raw).hexdigest().encode()
        return bool(_add(self.arrays(), market, np.frombuffer(raw, np.uint8)))

    def grow(self, market: int) -> None:
        """Make room for a market."""
        known = len(self._windows)
        if market < known:
            return
        before = (self._windows, self._buckets, self._rings)
        self._make(max(market + 1, 2 * known))
        for old, new in zip(before, (self._windows, self._buckets, self._rings), strict=True):
            new[:known] = old

    def keys(self, market: int) -> list[str]:
        """Give the keys of a market, oldest first."""
        if market >= len(self._windows):
            return []
        count, head, tail, _, at = self._windows[market].item()
        words = np.concatenate((self._rings[market, at:], self._rings[market, :at]))[: head - tail]
        raw = words.tobytes()
        found, at = [], 0
        for _ in range(count):
            length = raw[at]
            found.append(raw[at + 1 : at + 1 + length].decode())
            at += (length // 8 + 1) * 8
        return found

    def restore(self, market: int, keys: Iterable[str]) -> None:
        """Take back what `keys` gave, into an empty window."""
        for key in keys:
            self.add(market, key)


def _lines(count: int) -> NDArray[np.int64]:
    """Make words that begin where a line of the cache does."""
    raw = np.zeros((count + 1) * _LINE, np.int64)
    skipped = -raw.ctypes.data // 8 % _LINE
    return raw[skipped : skipped + count * _LINE]
