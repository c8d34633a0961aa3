"""Records as plain JSON: the Avro field names, decimals as exact texts, times as integer microseconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

from schemas.codec import load_schema
from schemas.numbers import format_units
from schemas.records import Record
from schemas.topics import topic_of

__all__ = ["plain", "to_json"]

Plain = dict[str, Any]


def plain(record: Record) -> Plain:
    """Give a record as JSON-able values, in the order of its schema."""
    return {name: convert(getattr(record, name)) for name, convert in _converters(_subject(type(record)))}


def to_json(document: Mapping[str, Any]) -> str:
    """Write a document as compact JSON; the same document always gives the same text."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def _subject(record: type[Record]) -> str:
    return cast(str, topic_of(record).subject)


@cache
def _converters(subject: str) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    named: dict[str, Any] = {}
    return tuple((field["name"], _converter(field["type"], named)) for field in load_schema(subject)["fields"])


def _converter(schema: Any, named: dict[str, Any]) -> Callable[[Any], Any]:
    if isinstance(schema, str):
        return _converter(named[schema], named) if schema in named else _same
    if isinstance(schema, list):
        inner = _converter(schema[1], named)
        return _same if inner is _same else lambda value: None if value is None else inner(value)
    if schema.get("logicalType") == "decimal":
        scale = schema["scale"]
        return lambda units: format_units(units, scale)
    match schema["type"]:
        case "record":
            named[schema["name"]] = schema
            parts = [(field["name"], _converter(field["type"], named)) for field in schema["fields"]]
            return lambda value: {name: convert(getattr(value, name)) for name, convert in parts}
        case "array":
            item = _converter(schema["items"], named)
            return lambda values: [item(value) for value in values]
        case "map":
            return dict
        case "enum":
            return str
    return _same


def _same(value: Any) -> Any:
    return value
