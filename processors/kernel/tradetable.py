"""The accepted trades of a batch as rows of `market.trades`, written by compiled code and by the normaliser."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from processors.kernel.names import Names
from schemas.columns import SIDES
from schemas.columns.layout import layout_of
from schemas.columns.rows import Rows, row_dtype
from schemas.records import Tick, Trade

__all__ = ["TradeTable"]

_LOW = (1 << 64) - 1
_NULLABLE = tuple(layout_of(Trade).null_bits.items())


class TradeTable:
    """Rows of trades and the text that their spans point into: that of the batch, then what is added.

    Args:
        is_published: Whether trades are wanted; if not, the table stays empty.
    """

    def __init__(self, names: Names, topic: str, partition: int, *, is_published: bool) -> None:
        self.is_published = is_published
        self._names = names
        self._cause = names.text(topic), partition
        self.rows: NDArray[np.void] = np.zeros(0, row_dtype(Trade))
        self.count = 0
        self._text = b""
        self._more = bytearray()

    def begin(self, text: bytes) -> None:
        """Start a batch whose own texts are these."""
        self._text = text
        self._more = bytearray()
        self.count = 0

    def fit(self, more: int) -> None:
        """Make room for so many trades."""
        if self.is_published and self.count + more > len(self.rows):
            rows = np.empty(max(self.count + more, 2 * self.count), self.rows.dtype)
            rows[: self.count] = self.rows[: self.count]
            self.rows = rows

    def take(self) -> Rows:
        """Give the trades of the batch."""
        text = self._text + self._more if self._more else self._text
        rows = self.rows[: self.count]
        if 2 * self.count < len(self.rows):
            rows = rows.copy()
        else:
            # The table goes with them, rather than being copied.
            self.rows = self.rows[:0]
        return Rows(Trade, rows, self._names.texts, text)

    def put(self, tick: Tick, trade_id: str, flags: int, offset: int, cause_offset: int, ts_trigger: int) -> None:
        """Add a trade made of a tick, at `offset`, by the record at `cause_offset`."""
        if not self.is_published:
            return
        self.fit(1)
        names = self._names
        market = names.market(tick.market)
        venue, symbol = names.market_texts[market].tolist()
        base, quote = tick.base_amount or 0, tick.quote_amount or 0
        self.rows[self.count] = (
            venue,
            names.text(tick.source),
            symbol,
            *self._span(trade_id),
            SIDES.index(tick.side),
            tick.price,
            tick.size,
            base >> 64,
            _signed(base),
            quote >> 64,
            _signed(quote),
            tick.ts_event or 0,
            tick.ts_recv,
            tick.sequence or 0,
            *self._span(tick.tx_hash or ""),
            tick.block_height or 0,
            tick.tx_index or 0,
            tick.event_index or 0,
            flags,
            *self._cause,
            offset,
            cause_offset,
            sum(bit for name, bit in _NULLABLE if getattr(tick, name) is None),
            market,
            ts_trigger,
        )
        self.count += 1

    def _span(self, text: str) -> tuple[int, int]:
        raw = text.encode()
        at = len(self._text) + len(self._more)
        self._more += raw
        return at, len(raw)


def _signed(value: int) -> int:
    low = value & _LOW
    return low - (1 << 64) if low >> 63 else low
