"""Trades seen before: their keys in a window per market, oldest forgotten first, all markets in one hash table.

Keys are compared byte by byte. One longer than 64 bytes is known by its SHA-256, which is 64 bytes as hexadecimal text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numba import boolean, from_dtype, int64, types, uint8
from numpy.typing import NDArray

from schemas.compiled import Array, compiled

__all__ = ["KEY_BYTES", "SEEN", "SeenTrades", "is_seen", "remember"]

KEY_BYTES = 64
_NONE = -1
_FNV_OFFSET, _FNV_PRIME = -3750763034362895579, 1099511628211

_ENTRY = np.dtype([(name, "<i8") for name in ("market", "digest", "length", "next", "younger")])
_WINDOW = np.dtype([(name, "<i8") for name in ("count", "oldest", "youngest")])
_TABLE = np.dtype([(name, "<i8") for name in ("size", "free", "is_full")])
_BYTES = types.Array(uint8, 1, "C", readonly=True)
SEEN = types.Tuple(
    (
        types.Array(from_dtype(_TABLE), 1, "C"),
        types.Array(from_dtype(_ENTRY), 1, "C"),
        types.Array(from_dtype(_WINDOW), 1, "C"),
        int64[::1],
        uint8[:, ::1],
    )
)
"""The table, its entries, the window of each market, the first entry of each chain, the entries' bytes."""


@compiled()
def _digest(market: int, text: Array, at: int, length: int) -> Array:
    digest = np.int64(_FNV_OFFSET) ^ market
    for k in range(at, at + length):
        digest = (digest ^ np.int64(text[k])) * _FNV_PRIME
    return digest ^ (digest >> 29)


@compiled()
def is_seen(seen: Any, market: int, text: Array, at: int, length: int) -> bool:
    """Tell whether a key, at most KEY_BYTES of a text, is in a market's window."""
    _, entries, _, chains, keys = seen
    digest = _digest(market, text, at, length)
    found = chains[digest & (len(chains) - 1)]
    while found != _NONE:
        entry = entries[found]
        if entry.digest == digest and entry.market == market and entry.length == length:
            same = True
            for k in range(length):
                same = same and keys[found, k] == text[at + k]
            if same:
                return True
        found = entry.next
    return False


@compiled()
def _forget_oldest(seen: Any, market: int) -> None:
    tables, entries, windows, chains, _ = seen
    window = windows[market]
    old = window.oldest
    entry = entries[old]
    chain = entry.digest & (len(chains) - 1)
    if chains[chain] == old:
        chains[chain] = entry.next
    else:
        before = chains[chain]
        while entries[before].next != old:
            before = entries[before].next
        entries[before].next = entry.next
    window.oldest = entry.younger
    window.count -= 1
    entry.next = tables[0].free
    tables[0].free = old


@compiled()
def remember(seen: Any, market: int, text: Array, at: int, length: int) -> None:
    """Add a key that is not in the window; the table must have a free entry."""
    tables, entries, windows, chains, keys = seen
    window = windows[market]
    if window.count == tables[0].size:
        _forget_oldest(seen, market)
    new = tables[0].free
    tables[0].free = entries[new].next
    entry = entries[new]
    digest = _digest(market, text, at, length)
    chain = digest & (len(chains) - 1)
    entry.market, entry.digest, entry.length = market, digest, length
    entry.next, entry.younger = chains[chain], _NONE
    chains[chain] = new
    for k in range(length):
        keys[new, k] = text[at + k]
    if window.count:
        entries[window.youngest].younger = new
    else:
        window.oldest = new
    window.youngest = new
    window.count += 1


@compiled(boolean(SEEN, int64, _BYTES))
def _add(seen: Any, market: int, key: Array) -> bool:
    if is_seen(seen, market, key, 0, len(key)):
        return False
    remember(seen, market, key, 0, len(key))
    return True


class SeenTrades:
    """The latest trade keys of every market of a partition.

    Args:
        size: Keys remembered per market.
    """

    def __init__(self, size: int) -> None:
        self._table = np.zeros(1, _TABLE)
        self._table["size"], self._table["free"] = size, _NONE
        self._entries = np.zeros(0, _ENTRY)
        self._windows = np.zeros(0, _WINDOW)
        self._chains = np.full(1, _NONE, np.int64)
        self._keys = np.zeros((0, KEY_BYTES), np.uint8)

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Give what compiled code works on, as `SEEN`."""
        return (self._table, self._entries, self._windows, self._chains, self._keys)

    @property
    def has_room(self) -> bool:
        """Tell whether another key can be remembered without growing."""
        return bool(self._table["free"][0] != _NONE)

    def add(self, market: int, key: str) -> bool:
        """Remember a key; False where it is known already."""
        self.grow(market)
        raw = key.encode()
        if len(raw) > KEY_BYTES:
            raw = hashlib.sha256(raw).hexdigest().encode()
        return bool(_add(self.arrays(), market, np.frombuffer(raw, np.uint8)))

    def grow(self, market: int) -> None:
        """Make room for a market and a key."""
        if market >= len(self._windows):
            windows = np.zeros(2 * market + 16, _WINDOW)
            windows[: len(self._windows)] = self._windows
            self._windows = windows
        if self.has_room:
            return
        before = len(self._entries)
        after = 2 * before + 1_024
        entries, keys = np.zeros(after, _ENTRY), np.zeros((after, KEY_BYTES), np.uint8)
        entries[:before], keys[:before] = self._entries, self._keys
        entries["next"][before:] = [*range(before + 1, after), _NONE]
        chains = np.full(2 << after.bit_length(), _NONE, np.int64)
        for at, digest in enumerate(entries["digest"][:before].tolist()):
            chain = digest & (len(chains) - 1)
            entries["next"][at], chains[chain] = chains[chain], at
        self._entries, self._keys, self._chains = entries, keys, chains
        self._table["free"] = before

    def keys(self, market: int) -> list[str]:
        """Give the keys of a market, oldest first."""
        if market >= len(self._windows):
            return []
        window = self._windows[market]
        found, at = [], int(window["oldest"])
        for _ in range(int(window["count"])):
            found.append(self._keys[at, : self._entries["length"][at]].tobytes().decode())
            at = int(self._entries["younger"][at])
        return found

    def restore(self, market: int, keys: Iterable[str]) -> None:
        """Take back what `keys` gave, into an empty window."""
        for key in keys:
            self.add(market, key)
