"""How the flat records of a schema lie in columns: which number holds what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np

from schemas import enums
from schemas.codec import Json, load_schema
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
    "lay_out",
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
        numbers: Of an enum, the number in the column of each symbol of the schema.
    """

    name: str
    op: int
    null_bit: int
    column: int
    members: tuple[Any, ...] = ()
    numbers: tuple[int, ...] = ()

    @property
    def columns(self) -> int:
        """How many columns it takes."""
        return 2 if self.op in _SECOND_COLUMN else 1


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The fields of a schema and their columns; the last column is `nulls`.

    Attributes:
        dtype: The type of a row: a number per column.
    """

    name: str
    fields: tuple[Field, ...]
    columns: tuple[str, ...]
    null_bits: Mapping[str, int]
    dtype: np.dtype[np.void]


def layout_of(record: type[Record]) -> Layout:
    """Lay out a record whose fields are all flat, by its newest committed schema.

    Raises:
        KeyError: one of them is not.
    """
    return _committed(cast(str, topic_of(record).subject))


@cache
def _committed(subject: str) -> Layout:
    return lay_out(load_schema(subject))


def lay_out(schema: Json) -> Layout:
    """Lay out a record's schema.

    Raises:
        KeyError: a field of it is not flat.
    """
    fields: list[Field] = []
    columns: list[str] = []
    for position, field in enumerate(schema["fields"]):
        name, kind = field["name"], field["type"]
        null_bit = 0
        if isinstance(kind, list):
            null_bit = 1 << position
            kind = dict([kind])["null"]
        op = _op(name, kind)
        members: tuple[Any, ...] = ()
        numbers: tuple[int, ...] = ()
        if op == OP_ENUM:
            members = tuple(getattr(enums, kind["name"]))
            numbers = tuple(members.index(symbol) for symbol in kind["symbols"])
        fields.append(Field(name, op, null_bit, len(columns), members, numbers))
        columns.append(name)
        if op in _SECOND_COLUMN:
            columns.append(f"{name}_{_SECOND_COLUMN[op]}")
    columns.append("nulls")
    return Layout(
        schema["name"],
        tuple(fields),
        tuple(columns),
        {field.name: field.null_bit for field in fields if field.null_bit},
        np.dtype([(name, "<i8") for name in columns]),
    )


_SECOND_COLUMN = {OP_DECIMAL128: "low", OP_TEXT: "length"}
_PRIMITIVE_OPS = {"long": OP_LONG, "int": OP_INT, "boolean": OP_BOOLEAN}
_DECIMAL_OPS = {19: OP_DECIMAL64, 38: OP_DECIMAL128}
# What a venue repeats is interned; what it makes anew for each trade or transaction is not.
_MADE_ANEW = frozenset({"trade_id", "tx_hash"})


def _op(name: str, schema: Any) -> int:
    if schema == "string":
        return OP_TEXT if name in _MADE_ANEW else OP_INTERN
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind == "enum":
        return OP_ENUM
    if kind == "bytes":
        return _DECIMAL_OPS[schema["precision"]]
    return _PRIMITIVE_OPS[kind]
