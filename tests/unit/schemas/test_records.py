"""The record classes and the committed schemas say the same."""

from __future__ import annotations

from dataclasses import MISSING, fields
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from schemas import enums, records
from schemas.codec import load_schema
from schemas.topics import TOPICS, Topic

TOPICS_OF_RECORDS = [topic for topic in TOPICS.values() if topic.record is not None]
CARRIED = {"string": str, "boolean": bool, "double": float, "long": int, "int": int}


def python_type(schema: Any, named: dict[str, Any]) -> Any:
    """The type that carries an Avro type."""
    if isinstance(schema, list):
        return python_type(schema[1], named) | None
    if isinstance(schema, str):
        return named[schema] if schema in named else bytes if schema == "bytes" else CARRIED[schema]
    if "logicalType" in schema:
        return int
    match schema["type"]:
        case "array":
            return tuple[python_type(schema["items"], named), ...]
        case "enum":
            found: type[StrEnum] = getattr(enums, schema["name"])
            assert list(found) == schema["symbols"]
            return found
        case "record":
            named[schema["name"]] = agreed(getattr(records, schema["name"]), schema, named)
            return named[schema["name"]]
    return python_type(schema["type"], named)


def agreed(record: type, schema: Any, named: dict[str, Any]) -> type:
    hints = get_type_hints(record)
    assert record.__name__ == schema["name"]
    assert [field.name for field in fields(record)] == [field["name"] for field in schema["fields"]]
    for ours, theirs in zip(fields(record), schema["fields"], strict=True):
        if isinstance(theirs["type"], dict) and theirs["type"]["type"] == "map":
            assert get_args(hints[ours.name]) == (str, CARRIED[theirs["type"]["values"]])
            continue
        assert hints[ours.name] == python_type(theirs["type"], named), ours.name
        default = theirs.get("default", MISSING)
        default = tuple(default) if isinstance(default, list) else default
        assert ours.default is default or ours.default == default, ours.name
    return record


@pytest.mark.parametrize("topic", TOPICS_OF_RECORDS, ids=lambda topic: topic.name)
def test_class_and_schema_agree(topic: Topic) -> None:
    """Names, order, types, enum symbols and defaults are the same on both sides."""
    assert topic.record is not None
    schema = load_schema(str(topic.subject))
    agreed(topic.record, schema, {})
    assert schema["namespace"] == f"flashmm.{topic.name}".replace("-", "_")


@pytest.mark.parametrize("topic", TOPICS_OF_RECORDS, ids=lambda topic: topic.name)
def test_what_may_be_null_is_null_by_default(topic: Topic) -> None:
    """A nullable field can be left out."""
    assert topic.record is not None
    hints = get_type_hints(topic.record)
    for field in fields(topic.record):
        if get_origin(hints[field.name]) is UnionType and NoneType in get_args(hints[field.name]):
            assert field.default is None
