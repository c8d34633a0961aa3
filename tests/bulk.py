"""Records of the schemas that have compiled decoders and encoders: any of them, as rows and as Avro bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from typing import Any

import fastavro
import numpy as np
from hypothesis import strategies as st

from infra.bench.codec import without_logical_types
from schemas.codec import Codec
from schemas.columns import layout
from schemas.columns.layout import Field, layout_of
from schemas.columns.rows import Rows, row_dtype
from schemas.records import Bar, Quote, Record, Tick, Trade

__all__ = ["CODECS", "any_record", "datum_of", "fastavro_schema", "read_by_fastavro", "rows_of"]

CODECS = {Tick: Codec(Tick, 7), Trade: Codec(Trade, 1 << 31), Quote: Codec(Quote, 300), Bar: Codec(Bar, 1)}
"""Of all records that we have in bulk."""

_LOW = (1 << 64) - 1
_EDGES = sorted({sign * ((1 << bits) + more) for bits in range(63) for more in (-1, 0) for sign in (-1, 1)})
_LONG = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-300, 300) | st.sampled_from([*_EDGES, -(1 << 63)])
_WIDE_EDGES = [sign * ((1 << bits) + more) for bits in range(62, 126, 2) for more in (-1, 0) for sign in (-1, 1)]
_AMOUNT = st.integers(1 - 10**38, 10**38 - 1) | _LONG | st.sampled_from([*_WIDE_EDGES, 10**38 - 1, 1 - 10**38])
_TEXT = (
    st.sampled_from(["binance", "SEI/USDC", "BTC/USDT", ""])
    | st.text(max_size=12)
    | st.text("ab\0", min_size=6, max_size=70)
)
_VALUES = {
    layout.OP_LONG: _LONG,
    layout.OP_INT: st.integers(-(1 << 31), (1 << 31) - 1),
    layout.OP_BOOLEAN: st.booleans(),
    layout.OP_DECIMAL64: _LONG,
    layout.OP_DECIMAL128: _AMOUNT,
    layout.OP_INTERN: _TEXT,
    layout.OP_TEXT: _TEXT,
}


def any_record(kind: type[Record]) -> st.SearchStrategy[Record]:
    """Give any record of a kind."""
    return st.builds(kind, **{field.name: _any_value(field) for field in layout_of(kind).fields})


def _any_value(field: Field) -> st.SearchStrategy[Any]:
    values = st.sampled_from(field.members) if field.members else _VALUES[field.op]
    return st.none() | values if field.null_bit else values


def rows_of(kind: type[Record], records: Sequence[Record]) -> Rows:
    """Lay records out as a kernel would."""
    values = np.zeros(len(records), row_dtype(kind))
    strings: list[str] = []
    text = bytearray()
    for row, record in zip(values, records, strict=True):
        for field in layout_of(kind).fields:
            value = getattr(record, field.name)
            name = field.name
            if value is None:
                row["nulls"] |= field.null_bit
            elif field.op == layout.OP_ENUM:
                row[name] = field.members.index(value)
            elif field.op == layout.OP_INTERN:
                strings.append(value)
                row[name] = len(strings) - 1
            elif field.op == layout.OP_TEXT:
                raw = value.encode()
                row[name], row[f"{name}_length"] = len(text), len(raw)
                text += raw
            elif field.op == layout.OP_DECIMAL128:
                row[name], row[f"{name}_low"] = value >> 64, np.uint64(value & _LOW).astype(np.int64)
            else:
                row[name] = value
    return Rows(kind, values, strings, bytes(text))


def datum_of(record: Record) -> dict[str, Any]:
    """Give a record as other implementations of Avro take it, without logical types."""
    found: dict[str, Any] = {}
    for field in layout_of(type(record)).fields:
        value = getattr(record, field.name)
        if value is not None and field.op in (layout.OP_DECIMAL64, layout.OP_DECIMAL128):
            size = (value if value >= 0 else ~value).bit_length() // 8 + 1
            value = value.to_bytes(size, "big", signed=True)
        found[field.name] = str(value) if field.op == layout.OP_ENUM else value
    return found


@cache
def fastavro_schema(kind: type[Record]) -> Any:
    """Give the newest schema of a record as fastavro has it."""
    return fastavro.parse_schema(without_logical_types(CODECS[kind].schema))


def read_by_fastavro(kind: type[Record], body: bytes) -> tuple[dict[str, Any], int]:
    """Read a body with fastavro: what is in it, and how many bytes are left over."""
    stream = io.BytesIO(body)
    found = fastavro.schemaless_reader(stream, fastavro_schema(kind))
    assert isinstance(found, dict)
    return found, len(body) - stream.tell()
