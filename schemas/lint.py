"""What every schema must have besides being Avro: documentation, and a shape that the codec reads strictly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

__all__ = ["lint"]

Json = Any

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PLAIN = frozenset({"boolean", "bytes", "double", "int", "long", "string"})
_LOGICAL = {"decimal": "bytes", "timestamp-micros": "long"}
_OF_LOGICAL = ("logicalType", "precision", "scale")


def lint(schema: Json) -> list[str]:
    """List what is wrong with a schema, each with the path of its field; empty where nothing is."""
    if not isinstance(schema, dict) or schema.get("type") != "record":
        return ["the schema of a topic is a record"]
    problems = [] if schema.get("namespace") else [f"{schema.get('name')}: no namespace"]
    return problems + list(_record(schema, str(schema.get("name")), set()))


def _record(schema: Json, path: str, named: set[str]) -> Iterator[str]:
    if not schema.get("doc"):
        yield f"{path}: a record without doc"
    for field in schema.get("fields", ()):
        yield from _field(field, f"{path}.{field.get('name')}", named)
    named.add(schema.get("name"))


def _field(field: Json, path: str, named: set[str]) -> Iterator[str]:
    if not _NAME.fullmatch(str(field.get("name"))):
        yield f"{path}: a field's name is in lower case with underscores"
    if not field.get("doc"):
        yield f"{path}: a field without doc"
    for key in _OF_LOGICAL:
        if key in field:
            yield f"{path}: {key} beside the type is ignored by Avro; write it inside the type object"
    kind = field.get("type")
    if isinstance(kind, list):
        if len(kind) != 2 or kind[0] != "null" or isinstance(kind[1], list):
            yield f'{path}: the only union is ["null", type]'
            return
        if field.get("default", "") is not None:
            yield f"{path}: a nullable field without the default null"
        kind = kind[1]
    yield from _type(kind, path, named)


def _type(schema: Json, path: str, named: set[str]) -> Iterator[str]:
    kind = schema.get("type") if isinstance(schema, dict) else schema
    if isinstance(schema, dict) and "logicalType" in schema:
        yield from _logical(schema, path)
    elif kind == "record":
        yield from _record(schema, path, named)
    elif kind == "enum":
        yield from _enum(schema, path)
        named.add(schema.get("name"))
    elif kind in ("array", "map") and isinstance(schema, dict):
        yield from _type(schema.get("items" if kind == "array" else "values"), f"{path}[]", named)
    elif not isinstance(kind, str) or kind not in _PLAIN | named:
        yield f"{path}: {kind!r} is none of the types that the codec reads"


def _logical(schema: Json, path: str) -> Iterator[str]:
    logical = schema["logicalType"]
    if _LOGICAL.get(logical) != schema.get("type"):
        allowed = ", ".join(f"{name} over {kind}" for name, kind in _LOGICAL.items())
        yield f"{path}: {logical} over {schema.get('type')!r} is none of: {allowed}"
    elif logical == "decimal":
        precision, scale = schema.get("precision"), schema.get("scale")
        if precision not in (19, 38) or not isinstance(scale, int) or not 0 <= scale <= precision:
            yield f"{path}: a decimal has a precision of 19 (64 bits) or 38 (128 bits) and a scale"


def _enum(schema: Json, path: str) -> Iterator[str]:
    if not schema.get("doc"):
        yield f"{path}: an enum without doc"
    if schema.get("default") not in schema.get("symbols", ()):
        yield f"{path}: an enum without a default among its symbols cannot grow"
