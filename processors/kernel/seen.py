"""Trades seen before: their keys in a window per market, oldest forgotten first, all markets in one hash table.

Keys are compared byte by byte. One longer than 40 bytes is known by the first half of its SHA-256. There is a limit to
the keys of a partition, so that its memory and its snapshot have one: beyond it every market has an equal share. So
what is remembered is a function of the log alone.
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

__all__ = ["KEY_BYTES", "SEEN", "SeenTrades", "is_seen", "remember"]

KEY_BYTES = 40
_LONG_KEY_BYTES = 16
_NONE = -1
_FNV_OFFSET, _FNV_PRIME = -3750763034362895579, 1099511628211

_ENTRY = np.dtype([(name, "<i8") for name in ("market", "digest", "length", "next", "younger")])
_WINDOW = np.dtype([(name, "<i8") for name in ("count", "oldest", "youngest")])
_TABLE = np.dtype([(name, "<i8") for name in ("most", "total", "markets", "size", "free")])
"""Most keys of a market and of all; markets that have any, what each may have now; the first free entry."""
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
def _share(seen: Any) -> None:
    """Make room for the keys of one more market."""
    tables, _, windows, _, _ = seen
    table = tables[0]
    table.markets += 1
    table.size = max(1, min(table.most, table.total // table.markets))
    for market in range(len(windows)):
        while windows[market].count > table.size:
            _forget_oldest(seen, market)


@compiled()
def remember(seen: Any, market: int, text: Array, at: int, length: int) -> None:
    """Add a key that is not in the window; the table must have a free entry."""
    tables, entries, windows, chains, keys = seen
    window = windows[market]
    if not window.count:
        _share(seen)
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


@compiled(int64(SEEN, uint8[::1], uint8[::1], uint8[::1]))
def _dump(seen: Any, shared: Array, lengths: Array, text: Array) -> int:
    """Write out every window, oldest key first: its length, how much of the one before it begins with, and the rest."""
    _, entries, windows, _, keys = seen
    done = end = 0
    for market in range(len(windows)):
        at, before = windows[market].oldest, _NONE
        for _ in range(windows[market].count):
            length, same = entries[at].length, 0
            if before != _NONE:
                most = min(length, entries[before].length)
                while same < most and keys[at, same] == keys[before, same]:
                    same += 1
            shared[done], lengths[done] = same, length
            done += 1
            for k in range(same, length):
                text[end] = keys[at, k]
                end += 1
            at, before = entries[at].younger, at
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
            remember(seen, market, key, 0, length)
    return done == len(lengths) and end == len(text)  # type: ignore[no-any-return]


@compiled(boolean(SEEN, int64, _BYTES))
def _add(seen: Any, market: int, key: Array) -> bool:
    if is_seen(seen, market, key, 0, len(key)):
        return False
    remember(seen, market, key, 0, len(key))
    return True


class SeenTrades:
    """The latest trade keys of every market of a partition.

    Args:
        window: Most keys remembered of a market.
        total: Most keys remembered of all markets together; beyond it each has an equal share.
    """

    def __init__(self, window: int, total: int) -> None:
        self._table = np.zeros(1, _TABLE)
        self._table[0] = (window, total, 0, min(window, total), _NONE)
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
            raw = hashlib.sha256(raw).digest()[:_LONG_KEY_BYTES]
        return bool(_add(self.arrays(), market, np.frombuffer(raw, np.uint8)))

    def grow(self, market: int) -> None:
        """Make room for a market and a key."""
        self._fit_markets(market + 1)
        if not self.has_room:
            # Of one more than are ever remembered one is always free.
            most = max(int(self._table["total"][0]), int(self._table["markets"][0]) + 1) + 1
            self._fit(min(2 * len(self._entries) + 1_024, most))

    def _fit_markets(self, count: int) -> None:
        if count > len(self._windows):
            windows = np.zeros(2 * count + 14, _WINDOW)
            windows[: len(self._windows)] = self._windows
            self._windows = windows

    def _fit(self, after: int) -> None:
        before = len(self._entries)
        entries, keys = np.zeros(after, _ENTRY), np.zeros((after, KEY_BYTES), np.uint8)
        entries[:before], keys[:before] = self._entries, self._keys
        entries["next"][before:] = [*range(before + 1, after), int(self._table["free"][0])]
        chains = np.full(2 << after.bit_length(), _NONE, np.int64)
        for at, digest in enumerate(entries["digest"][:before].tolist()):
            chain = digest & (len(chains) - 1)
            entries["next"][at], chains[chain] = chains[chain], at
        self._entries, self._keys, self._chains = entries, keys, chains
        self._table["free"] = before

    def state(self) -> State:
        """Give the keys of every market, oldest first."""
        counts = np.ascontiguousarray(self._windows["count"])
        count = int(counts.sum())
        shared, lengths = np.empty(count, np.uint8), np.empty(count, np.uint8)
        text = np.empty(count * KEY_BYTES, np.uint8)
        end = _dump(self.arrays(), shared, lengths, text)
        used = int(np.flatnonzero(counts).max(initial=-1)) + 1
        return {
            "counts": Table.of(counts[:used]),
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
        self._fit_markets(len(counts))
        if len(self._entries) <= len(lengths):
            self._fit(len(lengths) + 1)
        if not _load(self.arrays(), np.empty(KEY_BYTES, np.uint8), counts, shared, lengths, text):
            raise StateError("the trade keys of a snapshot are damaged")
