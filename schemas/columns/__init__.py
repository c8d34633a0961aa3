"""Whole batches of `market.ticks` as NumPy columns, decoded by compiled code.

The fast path takes records of the newest committed schema. Whatever it does not take (another schema id, damage, a
sign-padded decimal, a text beyond ASCII where it is not interned) goes to the codec record by record, which gives the
same columns or the reason why not: one bad record costs its own row and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from schemas import enums
from schemas.codec import SCHEMA_ID_HEADER, Codec, split_header
from schemas.columns import kernel
from schemas.enums import Side, TickKind
from schemas.errors import CodecError
from schemas.records import Tick

__all__ = ["KINDS", "SIDES", "Headers", "TickColumns", "decode_ticks"]

Headers = Sequence[tuple[str, bytes]]
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
        text: UTF-8 bytes that the spans point into.
    """

    ok: NDArray[np.bool_]
    errors: Mapping[int, CodecError]
    strings: Sequence[str]
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
        return cast(NDArray[np.bool_], self.nulls & _layout().null_bits[name] != 0)

    def ticks(self) -> list[Tick | None]:
        """Give the rows as records; None where one is not `ok`."""
        fields = _layout().fields
        names = [field.name for field in fields]
        rows = zip(*(self._values(field) for field in fields), strict=True)
        if self.ok.all():
            return [Tick(**dict(zip(names, row, strict=True))) for row in rows]
        return [
            Tick(**dict(zip(names, row, strict=True))) if ok else None for ok, row in zip(self.ok, rows, strict=True)
        ]

    def _values(self, field: _Field) -> list[Any]:
        """Give a field of all rows; what stands in a row that is not `ok` means nothing."""
        values: list[Any] = getattr(self, field.name).tolist()
        match field.op:
            case kernel.OP_BOOLEAN:
                values = [value == 1 for value in values]
            case kernel.OP_ENUM:
                values = [field.members[value] for value in values]
            case kernel.OP_INTERN:
                values = [self.strings[value] for value in values] if self.strings else [""] * len(values)
            case kernel.OP_DECIMAL128:
                lows = getattr(self, f"{field.name}_low").tolist()
                values = [high << 64 | low & _LOW for high, low in zip(values, lows, strict=True)]
            case kernel.OP_TEXT:
                lengths = getattr(self, f"{field.name}_length").tolist()
                text = self.text
                values = [text[at : at + size].decode() for at, size in zip(values, lengths, strict=True)]
        if field.null_bit:
            nulls = (self.nulls & field.null_bit != 0).tolist()
            values = [None if is_null else value for is_null, value in zip(nulls, values, strict=True)]
        return values


def decode_ticks(
    values: Sequence[bytes | None], codec: Codec, headers: Sequence[Headers | None] | None = None
) -> TickColumns:
    """Decode a batch of Kafka values of `market.ticks`.

    Args:
        values: The values; None, a tombstone, is an error of its row.
        codec: Codec of ticks; what it does not know is an error of its row.
        headers: The records' headers, one entry a value, where any has some.
    """
    layout = _layout()
    filled = [value or b"" for value in values]
    data = b"".join(filled)
    # Room for three texts a record, all of them different, in a table that stays half empty.
    spans = np.empty((3 * len(values), 2), np.int64)
    slots = np.full(8 << len(values).bit_length(), -1, np.int32)
    count = np.zeros(1, np.int64)
    out = np.zeros((len(layout.columns), len(values)), np.int64)
    ok = np.empty(len(values), np.bool_)
    kernel.decode_batch(
        np.frombuffer(data, np.uint8),
        np.cumsum(np.fromiter(map(len, filled), np.int64, len(values))),
        _forms(values, codec, headers),
        np.array([key for key in codec.newest_ids() if isinstance(key, int)], np.int64),
        layout.program,
        layout.symbols,
        out,
        (spans, slots, np.full(len(layout.columns), -1, np.int64), count),
        ok,
    )
    strings = _strings(data, spans[: count[0]].tolist(), out, ok)
    rest = _Rest(out, strings, len(data))
    errors = {}
    for row in np.flatnonzero(~ok).tolist():
        out[:, row] = 0
        try:
            rest.put(row, cast(Tick, codec.decode(values[row], headers[row] if headers else None)))
        except CodecError as error:
            errors[row] = error
        else:
            ok[row] = True
    columns = dict(zip(layout.columns, out, strict=True))
    return TickColumns(ok=ok, errors=errors, strings=strings, text=data + rest.text, **columns)


def _forms(values: Sequence[bytes | None], codec: Codec, headers: Sequence[Headers | None] | None) -> NDArray[np.int8]:
    forms = np.full(len(values), kernel.FORM_FRAMED, np.int8)
    for row, found in enumerate(headers or ()):
        if found and any(name == SCHEMA_ID_HEADER for name, _ in found):
            forms[row] = kernel.FORM_OTHER
            try:
                key, _ = split_header(values[row], found)
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
            for field in _layout().fields:
                if field.op == kernel.OP_INTERN:
                    ok &= out[field.column] != number
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
        for field in _layout().fields:
            value = getattr(tick, field.name)
            if value is None:
                self._out[-1, row] |= field.null_bit
            else:
                self._put(row, field, value)

    def _put(self, row: int, field: _Field, value: Any) -> None:
        column = self._out[field.column]
        match field.op:
            case kernel.OP_ENUM:
                column[row] = field.members.index(value)
            case kernel.OP_INTERN:
                if value not in self._numbers:
                    self._numbers[value] = len(self._strings)
                    self._strings.append(value)
                column[row] = self._numbers[value]
            case kernel.OP_DECIMAL128:
                column[row] = value >> 64
                self._out[field.column + 1].view(np.uint64)[row] = value & _LOW
            case kernel.OP_TEXT:
                raw = value.encode()
                column[row] = self._text_at + len(self.text)
                self._out[field.column + 1, row] = len(raw)
                self.text += raw
            case _:
                column[row] = value


@dataclass(frozen=True, slots=True)
class _Field:
    """How a field lies in the columns."""

    name: str
    op: int
    null_bit: int
    column: int
    members: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class _Layout:
    """The fields, their columns, and the kernel's program for the newest committed schema."""

    fields: tuple[_Field, ...]
    columns: tuple[str, ...]
    null_bits: Mapping[str, int]
    program: NDArray[np.int64]
    symbols: NDArray[np.int64]


@cache
def _layout() -> _Layout:
    fields: list[_Field] = []
    columns: list[str] = []
    program: list[list[int]] = []
    symbols: list[int] = []
    null_bits: dict[str, int] = {}
    for position, field in enumerate(Codec(Tick, 0).schema["fields"]):
        name, schema = field["name"], field["type"]
        if isinstance(schema, list):
            null_bits[name] = 1 << position
            schema = schema[1]
        op = _op(schema, is_nullable=name in null_bits)
        members: tuple[Any, ...] = ()
        first = len(symbols)
        if op == kernel.OP_ENUM:
            members = tuple(getattr(enums, schema["name"]))
            symbols.extend(members.index(symbol) for symbol in schema["symbols"])
        program.append([op, null_bits.get(name, 0), len(columns), first, len(symbols) - first])
        fields.append(_Field(name, op, null_bits.get(name, 0), len(columns), members))
        columns.append(name)
        if op in _SECOND_COLUMN:
            columns.append(f"{name}_{_SECOND_COLUMN[op]}")
    columns.append("nulls")
    return _Layout(tuple(fields), tuple(columns), null_bits, np.array(program, np.int64), np.array(symbols, np.int64))


_SECOND_COLUMN = {kernel.OP_DECIMAL128: "low", kernel.OP_TEXT: "length"}
_PRIMITIVE_OPS = {"long": kernel.OP_LONG, "int": kernel.OP_INT, "boolean": kernel.OP_BOOLEAN}


def _op(schema: Any, *, is_nullable: bool) -> int:
    if schema == "string":
        # What a venue repeats is interned; what it makes anew for each trade or transaction is not.
        return kernel.OP_TEXT if is_nullable else kernel.OP_INTERN
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind == "enum":
        return kernel.OP_ENUM
    if kind == "bytes":
        return kernel.OP_DECIMAL128 if schema["precision"] > 19 else kernel.OP_DECIMAL64
    return _PRIMITIVE_OPS[kind]
