"""Numbers for the texts, markets and sources of a partition: what compiled code knows instead of their names.

Numbers are given in the order of the log, so they too are functions of it; they go into the snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.kernel.steps import State
from schemas.records import Market

__all__ = ["Names"]


class Names:
    """The numbers of one partition.

    Attributes:
        texts: Every text by its number; only ever appended to.
        markets: Every market by its number.
        market_texts: By market number, the numbers of its venue and symbol.
    """

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.texts: list[str] = []
        self.markets: list[Market] = []
        self.market_texts: NDArray[np.int64] = np.zeros((16, 2), np.int64)
        self._by_text: dict[str, int] = {}
        self._by_market: dict[Market, int] = {}

    def text(self, text: str) -> int:
        """Give the number of a text: a venue, a symbol, a source or a topic."""
        number = self._by_text.get(text)
        if number is None:
            number = self._by_text[text] = len(self.texts)
            self.texts.append(text)
        return number

    def find(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Give the number of each text; -1 where it has none."""
        return np.fromiter(map(self._by_text.get, texts, repeat(-1)), np.int64, len(texts))

    def market(self, market: Market) -> int:
        """Give the number of a market."""
        number = self._by_market.get(market)
        if number is None:
            number = self._by_market[market] = len(self.markets)
            self.markets.append(market)
            if number == len(self.market_texts):
                self.market_texts = np.concatenate((self.market_texts, np.zeros_like(self.market_texts)))
            self.market_texts[number] = self.text(market[0]), self.text(market[1])
        return number

    def state(self) -> State:
        """Give the names as JSON-able values."""
        return {"texts": list(self.texts), "markets": [list(market) for market in self.markets]}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._clear()
        for text in state["texts"]:
            self.text(text)
        for venue, symbol in state["markets"]:
            self.market((venue, symbol))
