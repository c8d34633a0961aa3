"""What the normaliser remembers of its streams, trades and sources, as arrays that compiled code works on too."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.kernel.books import BEAT, HEARD
from processors.kernel.lane import PRINTS, STREAM, find_stream
from processors.kernel.names import Names
from processors.kernel.seen import SeenTrades
from processors.kernel.tops import LAST_TOP, TOPS

__all__ = ["Growing", "Memory"]

_NONE = -1
_AHEAD = 64


class Growing:
    """Rows of one type that become more; whoever keeps a row keeps its number."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.rows: NDArray[Any] = np.zeros(0, dtype)

    def fit(self, count: int) -> None:
        """Have so many rows at least; new ones are all zero."""
        if count > len(self.rows):
            rows = np.zeros(2 * count + 14, self.rows.dtype)
            rows[: len(self.rows)] = self.rows
            self.rows = rows


class Memory:
    """The arrays of one partition's normaliser.

    Attributes:
        streams: By their own numbers; their keys are the numbers of source, venue and symbol.
        prints, tops, last_tops, books: By market; of `last_tops` two a market, of `books` the number of its book and 1.
        heard, beats: By the number of the source's name.
        seen: The keys of trades.
        ahead: Room for what is found out about the next rows.
    """

    def __init__(self, names: Names, window: int, total: int) -> None:
        self.names = names
        self.streams = Growing(STREAM)
        self.prints = Growing(PRINTS)
        self.tops = Growing(TOPS)
        self.last_tops = Growing(LAST_TOP)
        self.books = Growing(np.dtype(np.int64))
        self.heard = Growing(HEARD)
        self.beats = Growing(BEAT)
        self.seen = SeenTrades(window, total)
        self.ahead: NDArray[np.int64] = np.zeros((_AHEAD, 2), np.int64)
        self.slots: NDArray[np.int64] = np.full((64, 2), _NONE, np.int64)
        self.keys: list[tuple[int, int, int]] = []

    def fit_market(self, market: int) -> None:
        """Have what belongs to a market."""
        self.prints.fit(market + 1)
        self.tops.fit(market + 1)
        self.last_tops.fit(2 * market + 2)
        self.books.fit(market + 1)
        self.seen.grow(market)

    def fit_source(self, source: int) -> None:
        """Have what belongs to a source."""
        self.heard.fit(source + 1)
        self.beats.fit(source + 1)

    def new_stream(self, source: str, venue: str, symbol: str) -> int:
        """Make a stream and what belongs to its market; gives its number."""
        number = len(self.keys)
        market = self.names.market((venue, symbol))
        key = (self.names.text(source), self.names.text(venue), self.names.text(symbol))
        self.streams.fit(number + 1)
        self.streams.rows["market"][number], self.streams.rows["source"][number] = market, key[0]
        self.fit_market(market)
        self.fit_source(key[0])
        self.keys.append(key)
        if 2 * len(self.keys) > len(self.slots):
            self.slots = np.full((2 * len(self.slots), 2), _NONE, np.int64)
            for other, known in enumerate(self.keys):
                self._put(known, other)
        else:
            self._put(key, number)
        return number

    def _put(self, key: tuple[int, int, int], number: int) -> None:
        source, venue, symbol = key
        self.slots[find_stream(self.slots, *key)] = source << 42 | venue << 21 | symbol, number
