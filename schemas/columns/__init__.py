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

from schemas.codec import SCHEMA_ID_HEADER, Codec, split_header
from schemas.columns import kernel, layout
from schemas.columns.layout import Field, layout_of
from schemas.columns.rows import Rows
from schemas.columns.spans import Spans
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
    venue: Column
    source: Column
    symbol: Column
    kind: Column
    side: Column
    price: Column
    size: Column
    base_amount: Column
    base_amount_low: Column
    quote_amount: Column
    quote_amount_low: Column
    ts_event: Column
    ts_recv: Column
    watermark: Column
    sequence: Column
    session: Column
    message: Column
    ordinal: Column
    first: Column
    last: Column
    trade_id: Column
    trade_id_length: Column
    tx_hash: Column
    tx_hash_length: Column
    block_height: Column
    tx_index: Column
    event_index: Column
    flags: Column
    nulls: Column

    def __len__(self) -> int:
        return len(self.ok)

    def is_null(self, name: str) -> NDArray[np.bool_]:
        """Tell in which rows a nullable field is null."""
        return cast(NDArray[np.bool_], self.nulls & layout_of(Tick).null_bits[name] != 0)

    def tick(self, row: int) -> Tick | None:
        """Give one row as a record; None where it is not `ok`."""
        if not self.ok[row]:
            return None
        (tick,) = Rows(Tick, self.rows[row : row + 1], self.strings, self.text).records()
        return cast(Tick, tick)

    def ticks(self) -> list[Tick | None]:
        """Give the rows as records; None where one is not `ok`."""
        fields = layout_of(Tick).fields
        names = [field.name for field in fields]
        rows = zip(*(self._values(field) for field in fields), strict=True)
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
    fields = layout_of(Tick)
    count = len(values)
    # Room for three texts a record, all of them different, in a table that stays half empty.
    spans = np.empty((3 * count, 2), np.int64)
    slots = np.full(8 << count.bit_length(), -1, np.int32)
    texts = np.zeros(1, np.int64)
    rows = np.zeros(count, fields.dtype)
    out = rows.view(np.int64).reshape(count, len(fields.columns))
    ok = np.empty(count, np.bool_)
    kernel.decode_batch(
        np.frombuffer(values.data, np.uint8),
        values.starts,
        values.ends,
        _forms(values, codec),
        np.array([key for key in codec.newest_ids() if isinstance(key, int)], np.int64),
        fields.program,
        fields.symbols,
        out,
        (spans, slots, np.full(len(fields.columns), -1, np.int64), texts),
        ok,
    )
    strings = _strings(values.data, spans[: texts[0]].tolist(), out, ok)
    rest = _Rest(out, strings, len(values.data))
    errors = {}
    for row in np.flatnonzero(~ok).tolist():
        out[row] = 0
        try:
            rest.put(row, cast(Tick, codec.decode(values.value(row), values.headers.get(row))))
        except CodecError as error:
            errors[row] = error
        else:
            ok[row] = True
    columns = {name: rows[name] for name in fields.columns}
    text = values.data + rest.text if rest.text else values.data
    return TickColumns(ok=ok, errors=errors, strings=strings, rows=rows, text=text, **columns)


def _forms(values: Spans, codec: Codec) -> NDArray[np.int8]:
    forms = np.full(len(values), kernel.FORM_FRAMED, np.int8)
    for row, found in values.headers.items():
        if any(name == SCHEMA_ID_HEADER for name, _ in found):
            forms[row] = kernel.FORM_OTHER
            try:
                key, _ = split_header(values.value(row), found)
            except CodecError:
                continue
            if isinstance(key, bytes) and key in codec.newest_ids():
                forms[row] = kernel.FORM_PLAIN
    return forms


def _strings(data: bytes, spans: list[list[int]], out: Column, ok: NDArray[np.bool_]) -> list[str]:
    """Decode the distinct texts; a row that holds one which is no UTF-8 is left to the codec."""
    strings = []
    for number, (start, length) in enumerate(spans):
        try:
            strings.append(data[start : start + length].decode())
        except UnicodeDecodeError:
            strings.append("")
            for field in layout_of(Tick).fields:
                if field.op == layout.OP_INTERN:
                    ok &= out[:, field.column] != number
    return strings


class _Rest:
    """Puts records that the codec decoded into the columns."""

    def __init__(self, out: Column, strings: list[str], text_at: int) -> None:
        self._out = out
        self._strings = strings
        self._numbers = {text: number for number, text in enumerate(strings)}
        self._text_at = text_at
        self.text = bytearray()

    def put(self, row: int, tick: Tick) -> None:
        for field in layout_of(Tick).fields:
            value = getattr(tick, field.name)
            if value is None:
                self._out[row, -1] |= field.null_bit
            else:
                self._put(row, field, value)

    def _put(self, row: int, field: Field, value: Any) -> None:
        at = field.column
        columns = self._out[row]
        match field.op:
            case layout.OP_ENUM:
                columns[at] = field.members.index(value)
            case layout.OP_INTERN:
                if value not in self._numbers:
                    self._numbers[value] = len(self._strings)
                    self._strings.append(value)
                columns[at] = self._numbers[value]
            case layout.OP_DECIMAL128:
                columns[at] = value >> 64
                columns.view(np.uint64)[at + 1] = value & _LOW
            case layout.OP_TEXT:
                raw = value.encode()
                columns[at] = self._text_at + len(self.text)
                columns[at + 1] = len(raw)
                self.text += raw
            case _:
                columns[at] = value
