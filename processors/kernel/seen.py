"""Trades seen before: the latest keys of every market, oldest forgotten first.

The keys of a market lie end to end in a ring of words, the first byte of each key being its length; a position counts
all words written before. They are found by a hash table of the market's own. A bucket of it is one line of a
processor's cache: seven entries, each the position of a key and some bits of its digest. An entry is in use as long as
its key is in the ring, so nothing is ever removed: the next key that comes to the bucket takes one out of use. Where
all seven are in use the key goes to the next bucket, and the eighth word tells until when to look there.

Keys are compared byte by byte. One longer than 40 bytes is known by the first half of its SHA-256. The keys of a
partition have a limit too, so that its snapshot has one: beyond it every market has an equal share. So what is
remembered is a function of the log alone; and rings and tables are as small as the shares are, so that those of a
thousand markets stay in the cache.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numba import boolean, from_dtype, int64, types, uint8, void
from numpy.typing import NDArray

from processors.kernel.snapshot import Table
from processors.kernel.steps import State
from schemas.compiled import Array, compiled
from schemas.errors import StateError
from schemas.machine import address, load, prefetch, shifted

__all__ = ["KEY_BYTES", "SEEN", "SeenTrades", "digest_of", "expect", "is_seen", "remember"]

KEY_BYTES = 40
_LONG_KEY_BYTES = 16
_KEY_WORDS = KEY_BYTES // 8 + 1
_ENTRIES = 7
_PASSED = 7
_LINE = 8
_NONE = -1
_TAG_BITS = 20
_TAG = (1 << _TAG_BITS) - 1
_FIRST, _FACTOR = -7046029254386353131, -4417276706812531889
_MIX, _MIX_AGAIN = 0xFF51AFD7ED558CCD - (1 << 64), 0xC4CEB9FE1A85EC53 - (1 << 64)

_WINDOW = np.dtype([(name, "<i8") for name in ("keys", "head", "tail", "head_at", "tail_at")])
"""How many keys there are; the positions of the next one and of the oldest, and where in the ring these are."""
_SHARES = np.dtype([(name, "<i8") for name in ("total", "markets", "size", "most")])
"""Most keys of all markets; how many have any; how many each may have now; how many each may have at most."""
_BYTES = types.Array(uint8, 1, "C", readonly=True)
SEEN = types.Tuple(
    (
        types.Array(from_dtype(_WINDOW), 1, "C"),
        int64[:, :, ::1],
        int64[:, ::1],
        types.Array(from_dtype(_SHARES), 1, "C"),
    )
)
"""By market: its window, its buckets (and a line between those of two markets) and its ring; the markets' shares."""


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
    windows, buckets, rings, _ = seen
    home = digest & (buckets.shape[1] - 2)
    prefetch(address(buckets) + ((market * buckets.shape[1] + home) << 6))
    prefetch(address(rings) + ((market * rings.shape[1] + windows[market].head_at) << 3))


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
    windows, buckets, rings, _ = seen
    mask = buckets.shape[1] - 2
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
                    place += rings.shape[1] if place < 0 else 0
                    if _is_at(rings[market], place, text, at, length):
                        return True
        if buckets[market, bucket, _PASSED] <= window.tail:
            break
        bucket = (bucket + 1) & mask
    return False


@compiled()
def _forget_oldest(seen: Any, market: int) -> None:
    windows, _, rings, _ = seen
    window = windows[market]
    words = ((rings[market, window.tail_at] & 0xFF) >> 3) + 1
    window.keys -= 1
    window.tail += words
    window.tail_at += words
    if window.tail_at >= rings.shape[1]:
        window.tail_at -= rings.shape[1]


@compiled()
def _put(seen: Any, market: int, digest: int, text: Array, at: int, length: int) -> None:
    windows, buckets, rings, _ = seen
    mask, size = buckets.shape[1] - 2, rings.shape[1]
    window = windows[market]
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
    window.keys += 1


@compiled()
def _share(seen: Any) -> None:
    """Give one more market its share: all others forget what they have beyond theirs."""
    windows, _, _, shares = seen
    share = shares[0]
    share.markets += 1
    share.size = max(1, min(share.most, share.total // share.markets))
    for market in range(len(windows)):
        while windows[market].keys > share.size:
            _forget_oldest(seen, market)


@compiled()
def remember(seen: Any, market: int, digest: int, text: Array, at: int, length: int) -> None:
    """Add a key that is not in the window."""
    windows, _, _, shares = seen
    window = windows[market]
    if not window.keys:
        _share(seen)
    elif window.keys == shares[0].size:
        _forget_oldest(seen, market)
    _put(seen, market, digest, text, at, length)


@compiled()
def _copy_key(ring: Array, place: int, key: Array) -> int:
    """Copy the bytes of a key out of a ring; give how many they are."""
    length = ring[place] & 0xFF
    for k in range(1, length + 1):
        at = place + (k >> 3)
        key[k - 1] = shifted(ring[at if at < len(ring) else at - len(ring)], 8 * (k & 7)) & 0xFF
    return length  # type: ignore[no-any-return]


@compiled(void(SEEN, SEEN, uint8[::1]))
def _move(seen: Any, emptied: Any, key: Array) -> None:
    """Add the keys of one table to an empty one, of other sizes."""
    windows, _, rings, _ = emptied
    for market in range(len(windows)):
        while windows[market].keys:
            length = _copy_key(rings[market], windows[market].tail_at, key)
            _put(seen, market, digest_of(key, 0, length), key, 0, length)
            _forget_oldest(emptied, market)


@compiled(int64(SEEN, int64[::1], uint8[::1], uint8[::1], uint8[::1], uint8[:, ::1]))
def _dump(seen: Any, counts: Array, shared: Array, lengths: Array, text: Array, keys: Array) -> int:
    """Write out every window, oldest key first: its length, how much of the one before it begins with, and the rest."""
    windows, _, rings, _ = seen
    done = end = 0
    for market in range(len(counts)):
        place, before = windows[market].tail_at, 0
        for number in range(counts[market]):
            key, last = keys[number & 1], keys[1 - (number & 1)]
            length, same = _copy_key(rings[market], place, key), 0
            while same < min(length, before) and key[same] == last[same]:
                same += 1
            shared[done], lengths[done] = same, length
            done += 1
            for k in range(same, length):
                text[end] = key[k]
                end += 1
            before = length
            place += (length >> 3) + 1
            place -= rings.shape[1] if place >= rings.shape[1] else 0
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
        self._shares = np.zeros(1, _SHARES)
        self._shares[0] = total, 0, min(size, total), size
        self._make(0)

    def _make(self, markets: int) -> None:
        self._buckets_each = self._buckets_needed()
        self._windows = np.zeros(markets, _WINDOW)
        # An odd number of lines each, so that the markets do not compete for the same place in a cache.
        bucket_lines = self._buckets_each + 1
        self._buckets = _lines(markets * bucket_lines).reshape(markets, bucket_lines, _LINE)
        ring_lines = -(-4 * self._buckets_each * _KEY_WORDS // _LINE) | 1
        self._rings = _lines(markets * ring_lines).reshape(markets, ring_lines * _LINE)

    def _buckets_needed(self) -> int:
        """Give a power of two; four entries in seven are in use at most, so there is always one that is not."""
        return 1 << ((int(self._shares["size"][0]) - 1) // 4).bit_length()

    def _fit(self, markets: int) -> None:
        emptied = self._arrays()
        self._make(markets)
        _move(self._arrays(), emptied, np.empty(KEY_BYTES, np.uint8))

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return (self._windows, self._buckets, self._rings, self._shares)

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Give what compiled code works on, as `SEEN`; none of what was given before may be used any more."""
        if self._buckets_needed() < self._buckets_each:
            self._fit(len(self._windows))
        return self._arrays()

    def add(self, market: int, key: str) -> bool:
        """Remember a key; False where it is known already."""
        self.grow(market)
        raw = key.encode()
        if len(raw) > KEY_BYTES:
            raw = hashlib.sha256(raw).digest()[:_LONG_KEY_BYTES]
        return bool(_add(self.arrays(), market, np.frombuffer(raw, np.uint8)))

    def grow(self, market: int) -> None:
        """Make room for a market."""
        if market >= len(self._windows):
            self._fit(max(market + 1, 2 * len(self._windows)))

    def state(self) -> State:
        """Give the keys of every market, oldest first."""
        counts = self._windows["keys"]
        counts = counts[: int(np.flatnonzero(counts).max(initial=-1)) + 1].copy()
        count = int(counts.sum())
        shared, lengths = np.empty(count, np.uint8), np.empty(count, np.uint8)
        text = np.empty(count * KEY_BYTES, np.uint8)
        end = _dump(self._arrays(), counts, shared, lengths, text, np.empty((2, KEY_BYTES), np.uint8))
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


def _lines(count: int) -> NDArray[np.int64]:
    """Make lines of words that begin where those of the cache do; their memory is taken as it is written to."""
    raw = np.zeros((count + 1) * _LINE, np.int64)
    skipped = -raw.ctypes.data // 8 % _LINE
    return raw[skipped : skipped + count * _LINE]
