"""Conflated books made in bulk: rows of numbers and of levels, written by compiled code as `market.books` has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import from_dtype, int64, types, uint8
from numpy.typing import NDArray

from schemas.codec import HEADER_SIZE, Codec
from schemas.columns.encoder import VARINT_BYTES, put_decimal64, put_text, put_varint
from schemas.columns.rows import Rows, Values
from schemas.columns.texts import encoded
from schemas.compiled import Array, compiled
from schemas.enums import BookState
from schemas.machine import address, store
from schemas.records import Book, BookLevel

__all__ = ["BOOK_ROW", "BookRows", "levels_of"]

BOOK_ROW = np.dtype(
    [
        (name, "<i8")
        for name in (
            *("venue", "symbol", "state", "at", "bids", "asks", "ts_grid", "ts_event", "no_event", "ts_recv"),
            *("sequence", "no_sequence", "flags", "cause_topic", "cause_partition", "cause_first_offset"),
            *("cause_offset", "market", "ts_trigger"),
        )
    ]
)
"""A book: texts by their numbers; its levels are rows of price and size from `at` on, bids before asks, best first."""

_STATES = tuple(BookState)
_FIELDS = 16
_TEXTS = 3
_LEVEL_BYTES = 2 * 9
_WORD = 8
_BYTES = types.Array(uint8, 1, "C", readonly=True)


@compiled()
def _put_nullable(at: int, value: int, is_null: int) -> int:
    if is_null:
        return put_varint(at, 0)
    return put_varint(put_varint(at, 1), value)


@compiled()
def _put_levels(at: int, levels: Array, begin: int, count: int) -> int:
    if count:
        at = put_varint(at, count)
        for k in range(begin, begin + count):
            at = put_decimal64(put_decimal64(at, levels[k, 0]), levels[k, 1])
    return put_varint(at, 0)


@compiled(
    types.void(
        types.Array(from_dtype(BOOK_ROW), 1, "C"),
        types.Array(int64, 2, "C"),
        int64,
        _BYTES,
        types.Array(int64, 2, "C"),
        uint8[::1],
        int64[::1],
    )
)
def _encode(rows: Array, levels: Array, header: int, raw: Array, spans: Array, out: Array, ends: Array) -> None:
    """Write books one after another, and where each ends; there is room for all of them, and a word more."""
    begin, texts = address(out), address(raw)
    at = begin
    for i in range(len(rows)):
        row = rows[i]
        store(at, header)
        at += HEADER_SIZE
        at = put_text(at, texts + spans[row.venue, 0], spans[row.venue, 1])
        at = put_text(at, texts + spans[row.symbol, 0], spans[row.symbol, 1])
        at = put_varint(at, row.state)
        at = _put_levels(at, levels, row.at, row.bids)
        at = _put_levels(at, levels, row.at + row.bids, row.asks)
        at = put_varint(at, row.ts_grid)
        at = _put_nullable(at, row.ts_event, row.no_event)
        at = put_varint(at, row.ts_recv)
        at = _put_nullable(at, row.sequence, row.no_sequence)
        at = put_varint(at, row.flags)
        at = put_text(at, texts + spans[row.cause_topic, 0], spans[row.cause_topic, 1])
        at = put_varint(at, row.cause_partition)
        at = put_varint(at, row.cause_first_offset)
        at = put_varint(at, row.cause_offset)
        ends[i] = at - begin


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BookRows(Rows):
    """Books in order.

    Attributes:
        levels: Rows of price and size, which the books point into.
    """

    levels: NDArray[np.int64]

    def records(self) -> Iterator[Book]:
        """Give the records themselves."""
        strings = self.strings
        for values in self.values.tolist():
            row = dict(zip(BOOK_ROW.names or (), values, strict=True))
            middle = row["at"] + row["bids"]
            yield Book(
                venue=strings[row["venue"]],
                symbol=strings[row["symbol"]],
                state=_STATES[row["state"]],
                bids=levels_of(self.levels[row["at"] : middle]),
                asks=levels_of(self.levels[middle : middle + row["asks"]]),
                ts_grid=row["ts_grid"],
                ts_event=None if row["no_event"] else row["ts_event"],
                ts_recv=row["ts_recv"],
                sequence=None if row["no_sequence"] else row["sequence"],
                flags=row["flags"],
                cause_topic=strings[row["cause_topic"]],
                cause_partition=row["cause_partition"],
                cause_first_offset=row["cause_first_offset"],
                cause_offset=row["cause_offset"],
            )

    def encode(self, codec: Codec) -> Values:
        """Encode all records, with their Confluent headers."""
        raw, spans = encoded(self.strings)
        longest = int(spans[:, 1].max(initial=0))
        each = HEADER_SIZE + VARINT_BYTES * _FIELDS + _TEXTS * (longest + _WORD)
        out = np.empty(each * len(self) + _LEVEL_BYTES * len(self.levels) + 2 * _WORD, np.uint8)
        ends = np.empty(len(self), np.int64)
        header = int.from_bytes(codec.header, "little")
        _encode(self.values, self.levels, header, raw, np.ascontiguousarray(spans), out, ends)
        return Values(out.data[: int(ends[-1]) if len(ends) else 0], ends)


def levels_of(pairs: NDArray[np.int64]) -> tuple[BookLevel, ...]:
    """Give rows of price and size as levels."""
    return tuple(BookLevel(price=price, size=size) for price, size in pairs.tolist()) if len(pairs) else ()
