"""InfluxDB's line protocol: escaping, types, and what identifies a point."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.line_protocol import Field, Point


def fields(value: Field | None) -> str | None:
    return Point("m", {}, {"f": value}, 1).line()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5i"),
        (-(1 << 63), "-9223372036854775808i"),
        (True, "true"),
        (0.1, "0.1"),
        (1e-9, "1e-09"),
        ('a "b" \\', '"a \\"b\\" \\\\"'),
        ("two\nlines", '"two lines"'),
    ],
)
def test_fields_are_typed(value: Field, text: str) -> None:
    """Integers end in i, texts are quoted and escaped, a line stays one line."""
    assert fields(value) == f"m f={text} 1"


@pytest.mark.parametrize("value", [None, math.nan, math.inf, 1 << 63])
def test_what_influxdb_cannot_hold_is_left_out(value: Field | None) -> None:
    """A point without fields is no line."""
    assert fields(value) is None


def test_keys_and_tags_are_escaped_and_sorted() -> None:
    """Commas, equals signs and blanks; empty tags are left out."""
    point = Point("a b,c", {"z": "x=1, y", "a": "\\", "k": "tail\\", "e": ""}, {"f g": 1}, 2)

    assert point.line() == "a\\ b\\,c,k=tail,z=x\\=1\\,\\ y f\\ g=1i 2"


@given(st.text(), st.text(min_size=1), st.text())
def test_any_text_is_one_line(tag: str, key: str, text: str) -> None:
    """Nothing in a value ends the line early."""
    line = Point("m", {"t": tag}, {f"k{key}": text}, 3).line()

    assert line is not None
    assert "\n" not in line
    assert "\r" not in line
    assert line.endswith(" 3")
