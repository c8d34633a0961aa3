"""How the flat records of a schema lie in columns: which number holds what, and the program that compiled code runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from schemas import enums
from schemas.codec import load_schema
from schemas.records import Record
from schemas.topics import topic_of

__all__ = [
    "OP_BOOLEAN",
    "OP_DECIMAL64",
    "OP_DECIMAL128",
    "OP_ENUM",
    "OP_INT",
    "OP_INTERN",
    "OP_LONG",
    "OP_TEXT",
    "Field",
    "Layout",
    "layout_of",
]

OP_LONG, OP_INT, OP_BOOLEAN, OP_ENUM, OP_DECIMAL64, OP_DECIMAL128, OP_INTERN, OP_TEXT = range(8)


@dataclass(frozen=True, slots=True)
class Field:
    """How a field lies in the columns.

    Attributes:
        op: What it is, an `OP_…`.
        null_bit: Its bit in the column `nulls`; 0 where it is never null.
        column: Its column; an amount of 128 bits and a text have a second one after it.
        members: Of an enum, by the number in the column.
    """

    name: str
    op: int
    null_bit: int
    column: int
    members: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The fields of a record's newest committed schema and their columns; the last column is `nulls`.

    Attributes:
        program: Per field: what it is, its null bit, its column, and of an enum where its symbols begin and how many
            it has.
        symbols: Our number of each symbol of the schema, for all enums.
        indices: The schema's index of each member of ours, laid out as `symbols`.
        dtype: The type of a row: a number per column.
    """

    fields: tuple[Field, ...]
    columns: tuple[str, ...]
    null_bits: Mapping[str, int]
    program: NDArray[np.int64]
    symbols: NDArray[np.int64]
    indices: NDArray[np.int64]
    dtype: np.dtype[np.void]


def layout_of(record: type[Record]) -> Layout:
    """Lay out a record whose fields are all flat.

    Raises:
        KeyError: one of them is not.
    """
    return _layout(cast(str, topic_of(record).subject))


@cache
def _layout(subject: str) -> Layout:
    fields: list[Field] = []
    columns: list[str] = []
    program: list[list[int]] = []
    symbols: list[int] = []
    indices: list[int] = []
    null_bits: dict[str, int] = {}
    for position, field in enumerate(load_schema(subject)["fields"]):
        name, schema = field["name"], field["type"]
        if isinstance(schema, list):
            null_bits[name] = 1 << position
            schema = schema[1]
        op = _op(name, schema)
        members: tuple[Any, ...] = ()
        first = len(symbols)
        if op == OP_ENUM:
            members = tuple(getattr(enums, schema["name"]))
            symbols.extend(members.index(symbol) for symbol in schema["symbols"])
            indices.extend(schema["symbols"].index(member) for member in members)
        program.append([op, null_bits.get(name, 0), len(columns), first, len(symbols) - first])
        fields.append(Field(name, op, null_bits.get(name, 0), len(columns), members))
        columns.append(name)
        if op in _SECOND_COLUMN:
            columns.append(f"{name}_{_SECOND_COLUMN[op]}")
    columns.append("nulls")
    return Layout(
        tuple(fields),
        tuple(columns),
        null_bits,
        np.array(program, np.int64),
        np.array(symbols, np.int64),
        np.array(indices, np.int64),
        np.dtype([(name, "<i8") for name in columns]),
    )


_SECOND_COLUMN = {OP_DECIMAL128: "low", OP_TEXT: "length"}
_PRIMITIVE_OPS = {"long": OP_LONG, "int": OP_INT, "boolean": OP_BOOLEAN}
# What a venue repeats is interned; what it makes anew for each trade or transaction is not.
_MADE_ANEW = frozenset({"trade_id", "tx_hash"})


def _op(name: str, schema: Any) -> int:
    if schema == "string":
        return OP_TEXT if name in _MADE_ANEW else OP_INTERN
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind == "enum":
        return OP_ENUM
    if kind == "bytes":
        return OP_DECIMAL128 if schema["precision"] > 19 else OP_DECIMAL64
    return _PRIMITIVE_OPS[kind]
