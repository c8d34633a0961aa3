"""Whether records of one Avro schema can be read with another: Apache Avro's own judgement, and logical types.

Apache Avro's checker follows the specification's "Schema resolution", which looks at the types underneath. A decimal
whose scale changed would pass it and be read a thousand times too large, so logical types are compared here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from avro.schema import Schema, parse

__all__ = ["read_problems"]

Json = Any
_Logical = tuple[str | None, int, int]


def read_problems(reader: Json, writer: Json) -> list[str]:
    """List why records written with one schema cannot all be read with another; empty where they can.

    Args:
        reader: Schema of who reads, as JSON.
        writer: Schema of who wrote, as JSON.
    """
    parsed = []
    for role, schema in (("reader", reader), ("writer", writer)):
        try:
            parsed.append(_parse(schema))
        except _NOT_AVRO as error:
            return [f"the {role}'s schema is not Avro: {error}"]
    result = ReaderWriterCompatibilityChecker().get_compatibility(*parsed)
    problems = []
    if result.compatibility is not SchemaCompatibilityType.compatible:
        where = ", ".join(sorted(result.locations))
        problems.append(f"at {where}: {', '.join(sorted(result.messages)) or 'incompatible'}")
    return problems + _logical_problems(reader, writer)


# What Apache Avro's parser raises; the last for a schema nested a thousand deep.
_NOT_AVRO = (AvroException, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)


def _parse(schema: Json) -> Schema:
    return parse(json.dumps(schema))


def _logical_problems(reader: Json, writer: Json) -> list[str]:
    written = dict(_scalars(writer, "", {}))
    problems = []
    for path, read in _scalars(reader, "", {}):
        (logical, precision, scale), was = read, written.get(path, read)
        if logical != was[0] or scale != was[2]:
            problems.append(f"{path}: {_shown(was)} cannot be read as {_shown(read)}")
        elif precision < was[1]:
            problems.append(f"{path}: {was[1]} digits do not fit {precision}")
    return problems


def _shown(logical: _Logical) -> str:
    name, _, scale = logical
    return f"decimal of scale {scale}" if name == "decimal" else name or "a plain value"


def _scalars(
    schema: Json, path: str, named: dict[str, Json], inside: frozenset[str] = frozenset()
) -> Iterator[tuple[str, _Logical]]:
    """Give the logical type of every bytes, int, long and string below a schema, by the path of its field."""
    if isinstance(schema, list):
        for branch in schema:
            yield from _scalars(branch, path, named, inside)
    elif isinstance(schema, str):
        if schema in _BARE:
            yield path, (None, 0, 0)
        elif schema in named and schema not in inside:
            yield from _scalars(named[schema], path, named, inside)
    elif schema["type"] == "record":
        named[schema["name"]] = schema
        for field in schema["fields"]:
            yield from _scalars(field["type"], f"{path}/{field['name']}", named, inside | {schema["name"]})
    elif schema["type"] == "array":
        yield from _scalars(schema["items"], f"{path}/items", named, inside)
    elif schema["type"] == "map":
        yield from _scalars(schema["values"], f"{path}/values", named, inside)
    elif schema["type"] in _BARE:
        yield path, (schema.get("logicalType"), schema.get("precision", 0), schema.get("scale", 0))


_BARE = frozenset({"bytes", "int", "long", "string"})
