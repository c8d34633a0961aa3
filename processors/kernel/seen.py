"""Trades seen before: the latest keys of every market, oldest forgotten first.

A market's keys lie in a ring, and are found by a hash table of its own. A bucket of it is one line of a processor's
cache: seven entries, each the number of a key in the order they came and some bits of its digest. An entry is in use as
long as its key is in the ring, so nothing is ever removed: the next key that comes to the bucket takes one out of use.
Where all seven are in use the key goes to the next bucket, and the eighth word tells until when to look there.

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
_WORDS = KEY_BYTES // 8
_ENTRIES = 7
_PASSED = 7
_LINE = 8
_TAG_BITS = 20
_TAG = (1 << _TAG_BITS) - 1
_FIRST, _FACTOR = -7046029254386353131, -4417276706812531889

_WINDOW = np.dtype([("count", "<i8"), ("head", "<i8")])
"""The keys that came so far, and where in the ring the next one goes."""
_BYTES = types.Array(uint8, 1, "C", readonly=True)
SEEN = types.Tuple((types.Array(from_dtype(_WINDOW), 1, "C"), int64[:, :, ::1], int64[:, :, ::1], uint8[:, ::1]))
"""By market: its window, its buckets, its ring of keys, and their lengths."""


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
def digest_of(text: Array, at: int, length: int) -> int:
    """Give the digest of a key."""
    digest, end = _FIRST ^ length, at + length
    while at < end:
        digest = (digest ^ _word(text, at, end)) * _FACTOR
        digest ^= shifted(digest, 29)
        at += 8
    return digest


@compiled()
def expect(seen: Any, market: int, digest: int) -> None:
    """Begin to fetch what looking for a key will need."""
    windows, buckets, rings, _ = seen
    home = digest & (buckets.shape[1] - 1)
    prefetch(address(buckets) + ((market * buckets.shape[1] + home) << 6))
    prefetch(address(rings) + ((market * rings.shape[1] + windows[market].head) << 6))


@compiled()
def is_seen(seen: Any, market: int, digest: int, text: Array, at: int, length: int) -> bool:
    """Tell whether a key, at most KEY_BYTES of a text, is in a market's window."""
    windows, buckets, rings, lengths = seen
    size, mask = rings.shape[1], buckets.shape[1] - 1
    window = windows[market]
    gone = max(window.count - size, 0)
    tag = shifted(digest, 64 - _TAG_BITS)
    bucket = digest & mask
    for _ in range(mask + 1):
        for k in range(_ENTRIES):
            entry = buckets[market, bucket, k]
            if entry & _TAG != tag or entry >> _TAG_BITS <= gone:
                continue
            # The key that came last is the one before the head.
            place = window.head - 1 - (window.count - (entry >> _TAG_BITS))
            if place < 0:
                place += size
            if lengths[market, place] != length:
                continue
            same = True
            for w in range((length + 7) >> 3):
                same = same and rings[market, place, w] == _word(text, at + 8 * w, at + length)
            if same:
                return True
        if buckets[market, bucket, _PASSED] <= gone:
            break
        bucket = (bucket + 1) & mask
    return False


@compiled()
def remember(seen: Any, market: int, digest: int, text: Array, at: int, length: int) -> None:
    """Add a key that is not in the window."""
    windows, buckets, rings, lengths = seen
    size, mask = rings.shape[1], buckets.shape[1] - 1
    window = windows[market]
    window.count += 1
    gone = window.count - size
    bucket = digest & mask
    while True:
        k = 0
        while k < _ENTRIES and buckets[market, bucket, k] >> _TAG_BITS > max(gone, 0):
            k += 1
        if k < _ENTRIES:
            buckets[market, bucket, k] = window.count << _TAG_BITS | shifted(digest, 64 - _TAG_BITS)
            break
        buckets[market, bucket, _PASSED] = window.count
        bucket = (bucket + 1) & mask
    place = window.head
    lengths[market, place] = length
    for w in range((length + 7) >> 3):
        rings[market, place, w] = _word(text, at + 8 * w, at + length)
    window.head = place + 1 if place + 1 < size else 0


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
        self._size = size
        # Four entries in seven are in use at most, so there is always one that is not.
        self._buckets_each = 1 << ((size - 1) // 4).bit_length()
        self._make(0)

    def _make(self, markets: int) -> None:
        self._windows = np.zeros(markets, _WINDOW)
        self._buckets = _lines(markets, self._buckets_each)
        self._rings = _lines(markets, self._size)
        self._lengths = np.zeros((markets, self._size), np.uint8)

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Give what compiled code works on, as `SEEN`."""
        return (self._windows, self._buckets, self._rings, self._lengths)

    def add(self, market: int, key: str) -> bool:
        """Remember a key; False where it is known already."""
        self.grow(market)
        raw = key.encode()
        if len(raw) > KEY_BYTES:
            raw = hashlib.sha256(raw).hexdigest().encode()
        return bool(_add(self.arrays(), market, np.frombuffer(raw, np.uint8)))

    def grow(self, market: int) -> None:
        """Make room for a market."""
        if market < len(self._windows):
            return
        before = self.arrays()
        known = len(self._windows)
        self._make(max(market + 1, 2 * known))
        for old, new in zip(before, self.arrays(), strict=True):
            new[:known] = old

    def keys(self, market: int) -> list[str]:
        """Give the keys of a market, oldest first."""
        if market >= len(self._windows):
            return []
        count, head = self._windows[market].item()
        held = min(count, self._size)
        places = (head - held + np.arange(held)) % self._size
        lengths = self._lengths[market, places].tolist()
        rows = self._rings[market, places].view(np.uint8)
        return [row[:length].tobytes().decode() for row, length in zip(rows, lengths, strict=True)]

    def restore(self, market: int, keys: Iterable[str]) -> None:
        """Take back what `keys` gave, into an empty window."""
        for key in keys:
            self.add(market, key)


def _lines(markets: int, each: int) -> NDArray[np.int64]:
    """Make rows of eight words, each a line of the cache; their memory is taken as it is written to."""
    words = markets * each * _LINE
    raw = np.zeros(words + _LINE, np.int64)
    skipped = -raw.ctypes.data // 8 % _LINE
    return raw[skipped : skipped + words].reshape(markets, each, _LINE)
