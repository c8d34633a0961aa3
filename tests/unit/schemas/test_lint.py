"""What the lint finds in a schema."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.codec import committed_subjects, committed_versions, load_schema
from schemas.lint import lint

DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 19, "scale": 9}
ENUM = {"type": "enum", "name": "Colour", "doc": "A colour.", "symbols": ["RED"], "default": "RED"}
INNER = {"type": "record", "name": "Inner", "doc": "Inside.", "fields": [{"name": "x", "doc": "X.", "type": "long"}]}


def schema(**field: Any) -> dict[str, Any]:
    whole = {"name": "value", "doc": "A value.", "type": "long", **field}
    fields = [{name: content for name, content in whole.items() if content is not ...}]
    return {"type": "record", "name": "Thing", "namespace": "n", "doc": "A thing.", "fields": fields}


@pytest.mark.parametrize(
    ("subject", "version"), [(subject, n) for subject in committed_subjects() for n in committed_versions(subject)]
)
def test_committed_schemas_are_clean(subject: str, version: int) -> None:
    """Every committed schema passes."""
    assert lint(load_schema(subject, version)) == []


@pytest.mark.parametrize(
    "kind",
    [
        "long",
        DECIMAL,
        ENUM,
        {"type": "array", "items": "string"},
        {"type": "map", "values": "double"},
        {"type": "array", "items": INNER},
        {"type": "long", "logicalType": "timestamp-micros"},
    ],
)
def test_good_types_pass(kind: Any) -> None:
    """The types that the codec reads pass, also where null is allowed."""
    assert lint(schema(type=kind)) == []
    assert lint(schema(type=["null", kind], default=None)) == []


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ({"type": "array", "items": "long"}, "is a record"),
        ("string", "is a record"),
        ({**schema(), "doc": ""}, "a record without doc"),
        ({**schema(), "namespace": ""}, "no namespace"),
        (schema(doc=...), "a field without doc"),
        (schema(name="Value"), "lower case"),
        (schema(type="bytes", logicalType="decimal", precision=19, scale=9), "beside the type"),
        (schema(type=["null", "long"]), "without the default null"),
        (schema(type=["long", "null"], default=0), "the only union"),
        (schema(type=["null", "long", "string"], default=None), "the only union"),
        (schema(type=["null", ["null", "long"]], default=None), "the only union"),
        (schema(type={**DECIMAL, "type": "string"}), "decimal over 'string'"),
        (schema(type={**DECIMAL, "precision": 20}), "a decimal has a precision"),
        (schema(type={**DECIMAL, "scale": 20}), "a decimal has a precision"),
        (schema(type={"type": "bytes", "logicalType": "decimal"}), "a decimal has a precision"),
        (schema(type={"type": "long", "logicalType": "timestamp-millis"}), "timestamp-millis"),
        (schema(type={**ENUM, "default": "BLUE"}), "cannot grow"),
        (schema(type={key: value for key, value in ENUM.items() if key != "default"}), "cannot grow"),
        (schema(type={**ENUM, "doc": ""}), "an enum without doc"),
        (schema(type={"type": "fixed", "name": "F", "size": 8}), "none of the types"),
        (schema(type="float"), "none of the types"),
        (schema(type={"type": "array", "items": "Unknown"}), "none of the types"),
        (schema(type={"type": "array", "items": {**INNER, "doc": ""}}), "a record without doc"),
    ],
)
def test_bad_schemas_are_found(bad: Any, problem: str) -> None:
    """Each planted fault is named."""
    assert any(problem in found for found in lint(bad))
