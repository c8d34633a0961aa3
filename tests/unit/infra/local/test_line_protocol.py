"""InfluxDB line protocol, read strictly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.line_protocol import FieldType, Point, parse_line, parse_lines
from schemas.errors import ProtocolError


def test_a_line_is_measurement_tags_fields_and_time() -> None:
    """Every part, with each type of field."""
    point = parse_line('bars,venue=binance,symbol=BTC/USDT f=1.5,i=-3i,u=4u,s="x",b=true,e=1e-3 1700000000')

    assert point.measurement == "bars"
    assert point.tags == (("symbol", "BTC/USDT"), ("venue", "binance"))
    assert dict(point.fields) == {
        "f": FieldType.FLOAT,
        "i": FieldType.INTEGER,
        "u": FieldType.UNSIGNED,
        "s": FieldType.STRING,
        "b": FieldType.BOOLEAN,
        "e": FieldType.FLOAT,
    }
    assert point.timestamp == 1700000000


def test_the_order_of_tags_does_not_make_another_series() -> None:
    """Tags are a set."""
    assert parse_line("m,a=1,b=2 f=1").tags == parse_line("m,b=2,a=1 f=1").tags


def test_escapes_are_part_of_names_and_text() -> None:
    """A backslash takes the meaning from comma, equals sign, blank and quote."""
    point = parse_line('my\\ m,a\\,b=c\\ d f\\=g="say \\"hi\\", a=b" 5')

    assert point.measurement == "my\\ m"
    assert point.tags == (("a\\,b", "c\\ d"),)
    assert point.fields == (("f\\=g", FieldType.STRING),)
    assert point.timestamp == 5


def test_lines_may_hold_line_feeds_inside_text() -> None:
    """Only a line feed outside quotes ends a line; blank lines and comments are skipped."""
    points = list(parse_lines('# it\'s "\n\na s="one\ntwo" 1\r\n  \nb f=1\n'))

    assert [point.measurement for point in points] == ["a", "b"]


@pytest.mark.parametrize(
    "line",
    [
        "m",
        "m ",
        "m f",
        "m f=",
        "m f=1,",
        "m f=1,=2",
        "m f=nan",
        "m f=inf",
        "m f=1e999",
        "m f=0x10",
        "m f=1_0",
        "m f=9223372036854775808i",
        "m f=18446744073709551616u",
        "m f=-1u",
        'm f="open',
        'm f="a"b',
        "m f=1 x",
        "m f=1 1 1",
        "m f=1 9223372036854775808",
        "m,t f=1",
        "m,t= f=1",
        "m,=v f=1",
        "m,t=a,t=b f=1",
        ",t=a f=1",
        " f=1",
        "m f=" + "9" * 5_000 + "i",
    ],
)
def test_anything_else_is_refused(line: str) -> None:
    """One reason, with the line in it."""
    with pytest.raises(ProtocolError, match="unable to parse"):
        list(parse_lines(line))


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    """Whatever comes is points or a refusal."""
    try:
        points = list(parse_lines(text))
    except ProtocolError:
        return
    assert all(isinstance(point, Point) and point.fields for point in points)
