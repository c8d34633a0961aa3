"""Whole batches of `market.ticks` as NumPy columns, decoded by compiled code.

The fast path takes records of the newest committed schema. Whatever it does not take (another schema id, damage, a
sign-padded decimal, a text beyond ASCII where it is not interned) goes to the codec record by record, which gives the
same columns or the reason why not: one bad record costs its own row and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from schemas.codec import Codec
from schemas.columns import layout
from schemas.columns.layout import Field, layout_of
from schemas.columns.reading import read_rows
from schemas.columns.rows import Rows
from schemas.columns.spans import Spans
from schemas.columns.specialised import decoder_of
from schemas.enums import Side, TickKind
from schemas.errors import CodecError
from schemas.records import Tick

__all__ = ["KINDS", "SIDES", "Spans", "TickColumns", "decode_ticks"]

Column = NDArray[np.int64]

KINDS: Final = tuple(TickKind)
"""The kinds by their number in the column `kind`."""
SIDES: Final = tuple(Side)
"""The sides by their number in the column `side`."""

_LOW = (1 << 64) - 1
_LAYOUT = layout_of(Tick)
# Compiled before a worker joins its group.
decoder_of(_LAYOUT)


class _Column:
    """A field of all rows, found when it is asked for."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, columns: TickColumns, owner: type) -> Column:
        return cast(Column, columns.rows[self._name])


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TickColumns:
    """The ticks of a batch, one array of int64 per field, one row per value in the order given.

    A row where `ok` is false is all zero and has its reason in `errors`. A field that is null is 0 and has its bit set
    in `nulls`. Amounts of 128 bits are two columns, the low one holding the bits of an unsigned number; trade ids and
    hashes are spans of `text`.

    Attributes:
        strings: The distinct texts of the batch, by the numbers in `venue`, `source` and `symbol`.
        rows: The same numbers row by row, as `schemas.columns.layout.Layout.dtype` has them.
        text: UTF-8 bytes that the spans point into.
    """

    ok: NDArray[np.bool_]
    errors: Mapping[int, CodecError]
    strings: Sequence[str]
    rows: NDArray[np.void]
    text: bytes

    venue = _Column()
    source = _Column()
    symbol = _Column()
    kind = _Column()
    side = _Column()
    price = _Column()
    size = _Column()
    base_amount = _Column()
    base_amount_low = _Column()
    quote_amount = _Column()
    quote_amount_low = _Column()
    ts_event = _Column()
    ts_recv = _Column()
    watermark = _Column()
    sequence = _Column()
    session = _Column()
    message = _Column()
    ordinal = _Column()
    first = _Column()
    last = _Column()
    trade_id = _Column()
    trade_id_length = _Column()
    tx_hash = _Column()
    tx_hash_length = _Column()
    block_height = _Column()
    tx_index = _Column()
    event_index = _Column()
    flags = _Column()
    nulls = _Column()

    def __len__(self) -> int:
        return len(self.ok)

    def is_null(self, name: str) -> NDArray[np.bool_]:
        """Tell in which rows a nullable field is null."""
        return cast(NDArray[np.bool_], self.nulls & _LAYOUT.null_bits[name] != 0)

    def tick(self, row: int) -> Tick | None:
        """Give one row as a record; None where it is not `ok`."""
        if not self.ok[row]:
            return None
        (tick,) = Rows(Tick, self.rows[row : row + 1], self.strings, self.text).records()
        return cast(Tick, tick)

    def ticks(self) -> list[Tick | None]:
        """Give the rows as records; None where one is not `ok`."""
        names = [field.name for field in _LAYOUT.fields]
        rows = zip(*(self._values(field) for field in _LAYOUT.fields), strict=True)
        if self.ok.all():
            return [Tick(**dict(zip(names, row, strict=True))) for row in rows]
        return [
            Tick(**dict(zip(names, row, strict=True))) if ok else None for ok, row in zip(self.ok, rows, strict=True)
        ]

    def _values(self, field: Field) -> list[Any]:
        """Give a field of all rows; what stands in a row that is not `ok` means nothing."""
        values: list[Any] = getattr(self, field.name).tolist()
        match field.op:
            case layout.OP_BOOLEAN:
                values = [value == 1 for value in values]
            case layout.OP_ENUM:
                values = [field.members[value] for value in values]
            case layout.OP_INTERN:
                values = [self.strings[value] for value in values] if self.strings else [""] * len(values)
            case layout.OP_DECIMAL128:
                lows = getattr(self, f"{field.name}_low").tolist()
                values = [high << 64 | low & _LOW for high, low in zip(values, lows, strict=True)]
            case layout.OP_TEXT:
                lengths = getattr(self, f"{field.name}_length").tolist()
                text = self.text
                values = [text[at : at + size].decode() for at, size in zip(values, lengths, strict=True)]
        if field.null_bit:
            nulls = (self.nulls & field.null_bit != 0).tolist()
            values = [None if is_null else value for is_null, value in zip(nulls, values, strict=True)]
        return values


def decode_ticks(values: Spans, codec: Codec) -> TickColumns:
    """Decode a batch of Kafka values of `market.ticks`.

    Args:
        values: The values; a tombstone is an error of its row.
        codec: Codec of ticks; what it does not know is an error of its row.
    """
    rows, ok, strings = read_rows(_LAYOUT, values, codec)
    rest = _Rest(rows, strings, len(values.data))
    errors = {}
    for row in [] if ok.all() else np.flatnonzero(~ok).tolist():
        rows[row] = 0
        try:
            rest.put(row, cast(Tick, codec.decode(values.value(row), values.headers.get(row))))
        except CodecError as error:
            errors[row] = error
        else:
            ok[row] = True
    text = values.data + rest.text if rest.text else values.data
    return TickColumns(ok=ok, errors=errors, strings=strings, rows=rows, text=text)


class _Rest:
    """Puts records that the codec decoded into the columns."""

    def __init__(self, rows: NDArray[np.void], strings: list[str], text_at: int) -> None:
        self._rows = rows
        self._strings = strings
        self._numbers: dict[str, int] = {}
        self._text_at = text_at
        self.text = bytearray()

    def put(self, row: int, tick: Tick) -> None:
        into = self._rows[row]
        for field in _LAYOUT.fields:
            value = getattr(tick, field.name)
            if value is None:
                into["nulls"] |= field.null_bit
            else:
                self._put(into, field, value)

    def _put(self, into: np.void, field: Field, value: Any) -> None:
        name = field.name
        match field.op:
            case layout.OP_ENUM:
                into[name] = field.members.index(value)
            case layout.OP_INTERN:
                into[name] = self._number(value)
            case layout.OP_DECIMAL128:
                into[name] = value >> 64
                into[f"{name}_low"] = np.uint64(value & _LOW).view(np.int64)
            case layout.OP_TEXT:
                raw = value.encode()
                into[name], into[f"{name}_length"] = self._text_at + len(self.text), len(raw)
                self.text += raw
            case _:
                into[name] = value

    def _number(self, text: str) -> int:
        if not self._numbers:
            self._numbers.update({text: number for number, text in enumerate(self._strings)})
        if text not in self._numbers:
            self._numbers[text] = len(self._strings)
            self._strings.append(text)
        return self._numbers[text]
