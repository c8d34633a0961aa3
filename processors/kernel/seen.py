"""Trades seen before: the latest keys of every market, oldest forgotten first.

A market's keys lie in a ring, and are found by a hash table of its own. A bucket of it is one line of a processor's
cache: seven entries, each the number of a key in the order they came and some bits of its digest. An entry is in use as
long as its key is in the ring, so nothing is ever removed: the next key that comes to the bucket takes one out of use.
Where all seven are in use the key goes to the next bucket, and the eighth word tells until when to look there.

Keys are compared byte by byte. One longer than 40 bytes is known by the first half of its SHA-256. The keys of a
partition have a limit too, so that its snapshot has one: beyond it every market has an equal share. So what is
remembered is a function of the log alone.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numba import boolean, from_dtype, int64, types, uint8
from numpy.typing import NDArray

from processors.kernel.snapshot import Table
from processors.kernel.steps import State
from schemas.compiled import Array, compiled
from schemas.errors import StateError
from schemas.machine import address, load, prefetch, shifted

__all__ = ["KEY_BYTES", "SEEN", "SeenTrades", "digest_of", "expect", "is_seen", "remember"]

KEY_BYTES = 40
_LONG_KEY_BYTES = 16
_ENTRIES = 7
_PASSED = 7
_LINE = 8
_TAG_BITS = 20
_TAG = (1 << _TAG_BITS) - 1
_FIRST, _FACTOR = -7046029254386353131, -4417276706812531889

_WINDOW = np.dtype([("count", "<i8"), ("head", "<i8")])
"""The keys that came so far, and where in the ring the next one goes."""
_BYTES = types.Array(uint8, 1, "C", readonly=True)
_SHARES = np.dtype([(name, "<i8") for name in ("total", "markets", "size")])
"""Most keys of all markets; how many have any; how many each may have now."""
SEEN = types.Tuple(
    (
        types.Array(from_dtype(_WINDOW), 1, "C"),
        int64[:, :, ::1],
        int64[:, :, ::1],
        uint8[:, ::1],
        types.Array(from_dtype(_SHARES), 1, "C"),
    )
)
"""By market: its window, its buckets, its ring of keys, and their lengths; and the markets' shares."""


@compiled()
def _word(text: Array, at: int, end: int) -> int:
    """Give up to eight bytes of a text, zeros where they would be behind `end`."""
    if end - at >= 8:
        return load(address(text) + at)
    if at + 8 <= len(text):
        return load(address(text) + at) & ((1 << 8 * (end - at)) - 1)
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
    windows, buckets, rings, _, _ = seen
    home = digest & (buckets.shape[1] - 1)
    prefetch(address(buckets) + ((market * buckets.shape[1] + home) << 6))
    prefetch(address(rings) + ((market * rings.shape[1] + windows[market].head) << 6))


@compiled()
def is_seen(seen: Any, market: int, digest: int, text: Array, at: int, length: int) -> bool:
    """Tell whether a key, at most KEY_BYTES of a text, is in a market's window."""
    windows, buckets, rings, lengths, shares = seen
    size, mask = rings.shape[1], buckets.shape[1] - 1
    window = windows[market]
    gone = max(window.count - shares[0].size, 0)
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
    windows, buckets, rings, lengths, shares = seen
    size, mask = rings.shape[1], buckets.shape[1] - 1
    window = windows[market]
    if not window.count:
        shares[0].markets += 1
        shares[0].size = max(1, min(size, shares[0].total // shares[0].markets))
    window.count += 1
    gone = window.count - shares[0].size
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


@compiled()
def _byte(rings: Array, market: int, place: int, k: int) -> int:
    return np.uint8(shifted(rings[market, place, k >> 3], 8 * (k & 7)) & 255)  # type: ignore[return-value]


@compiled(int64(SEEN, int64[::1], uint8[::1], uint8[::1], uint8[::1]))
def _dump(seen: Any, counts: Array, shared: Array, lengths: Array, text: Array) -> int:
    """Write out every window, oldest key first: its length, how much of the one before it begins with, and the rest."""
    windows, _, rings, ring_lengths, _ = seen
    size = rings.shape[1]
    done = end = 0
    for market in range(len(counts)):
        place, before = (windows[market].head - counts[market]) % size, -1
        for _ in range(counts[market]):
            length, same = ring_lengths[market, place], 0
            if before >= 0:
                most = min(length, ring_lengths[market, before])
                while same < most and _byte(rings, market, place, same) == _byte(rings, market, before, same):
                    same += 1
            shared[done], lengths[done] = same, length
            done += 1
            for k in range(same, length):
                text[end] = _byte(rings, market, place, k)
                end += 1
            place, before = (place + 1) % size, place
    return end


@compiled(boolean(SEEN, uint8[::1], int64[::1], uint8[::1], uint8[::1], uint8[::1]))
def _load(seen: Any, key: Array, counts: Array, shared: Array, lengths: Array, text: Array) -> bool:
    """Take back what `_dump` wrote; False where it cannot have been written so."""
    done = end = 0
    for market in range(len(counts)):
        for _ in range(counts[market]):
            if done == len(lengths):
                return False
            length, same = lengths[done], shared[done]
            done += 1
            if same > length or length > KEY_BYTES or end + length - same > len(text):
                return False
            for k in range(same, length):
                key[k] = text[end]
                end += 1
            remember(seen, market, digest_of(key, 0, length), key, 0, length)
    return done == len(lengths) and end == len(text)


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
        size: Most keys remembered of a market.
        total: Most keys remembered of all markets together.
    """

    def __init__(self, size: int, total: int) -> None:
        self._size = size
        self._shares = np.zeros(1, _SHARES)
        self._shares[0] = total, 0, min(size, total)
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
        return (*self._by_market(), self._shares)

    def _by_market(self) -> tuple[NDArray[Any], ...]:
        return self._windows, self._buckets, self._rings, self._lengths

    def add(self, market: int, key: str) -> bool:
        """Remember a key; False where it is known already."""
        self.grow(market)
        raw = key.encode()
        if len(raw) > KEY_BYTES:
            raw = hashlib.sha256(raw).digest()[:_LONG_KEY_BYTES]
        return bool(_add(self.arrays(), market, np.frombuffer(raw, np.uint8)))

    def grow(self, market: int) -> None:
        """Make room for a market."""
        if market < len(self._windows):
            return
        before = self._by_market()
        known = len(self._windows)
        self._make(max(market + 1, 2 * known))
        for old, new in zip(before, self._by_market(), strict=True):
            new[:known] = old

    def state(self) -> State:
        """Give the keys of every market, oldest first."""
        counts = np.minimum(self._windows["count"], self._shares["size"][0])
        counts = counts[: int(np.flatnonzero(counts).max(initial=-1)) + 1]
        count = int(counts.sum())
        shared, lengths = np.empty(count, np.uint8), np.empty(count, np.uint8)
        text = np.empty(count * KEY_BYTES, np.uint8)
        end = _dump(self.arrays(), counts, shared, lengths, text)
        return {
            "counts": Table.of(counts),
            "shared": Table.of(shared),
            "lengths": Table.of(lengths),
            "text": Table.of(text[:end]),
        }

    def restore(self, state: State) -> None:
        """Take back what `state` gave, into empty windows.

        Raises:
            StateError: it is not what `state` gives.
        """
        counts = state["counts"].rows(np.int64)
        shared, lengths, text = (state[name].rows(np.uint8) for name in ("shared", "lengths", "text"))
        self.grow(len(counts))
        if not _load(self.arrays(), np.empty(KEY_BYTES, np.uint8), counts, shared, lengths, text):
            raise StateError("the trade keys of a snapshot are damaged")


def _lines(markets: int, each: int) -> NDArray[np.int64]:
    """Make rows of eight words, each a line of the cache; their memory is taken as it is written to."""
    words = markets * each * _LINE
    raw = np.zeros(words + _LINE, np.int64)
    skipped = -raw.ctypes.data // 8 % _LINE
    return raw[skipped : skipped + words].reshape(markets, each, _LINE)
