"""JSON from the network, read with bounds."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from decimal import Decimal

import pytest

from schemas.errors import ProtocolError
from schemas.wire import long_of, parse_json, short_text


def test_json_numbers_keep_their_digits() -> None:
    """As decimals, never floats."""
    assert parse_json("[0.10000000000000000001]") == [Decimal("0.10000000000000000001")]


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", "[Infinity]", "[" * 50_000, b"\xff", "1" * 5_000, "1e99999999999999999999"], ids=repr
)
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    """Constants that JSON has not, nesting without end, numbers beyond any bound."""
    with pytest.raises(ProtocolError):
        parse_json(text)


@pytest.mark.parametrize("value", [None, True, -1, "-1", "", "1.0", 1.0, "9" * 19, 1 << 63, "٣"])
def test_what_is_no_long_is_refused(value: object) -> None:
    """A whole number that is not negative and fits 64 bits, as a number or a text."""
    with pytest.raises(ProtocolError):
        long_of(value, "height")
    assert long_of("7", "height") == long_of(7, "height") == 7


@pytest.mark.parametrize("value", [None, "", "x" * 129, "\ud800", "a\nb", 5])
def test_what_is_no_short_text_is_refused(value: object) -> None:
    """Nothing that could not be written again."""
    with pytest.raises(ProtocolError):
        short_text(value, "trade_id")


@pytest.fixture
def deep_recursion() -> Iterator[None]:
    """The interpreter's limit as some libraries set it: deeper than the stack."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("deep_recursion")
@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":', '[1,"]]",'])
def test_deep_nesting_is_refused_whatever_the_interpreter_allows(opening: str) -> None:
    """The parser is never let loose on it: the stack would be exhausted."""
    with pytest.raises(ProtocolError):
        parse_json(opening * 200_000)


@pytest.mark.usefixtures("deep_recursion")
def test_a_long_flat_text_with_brackets_in_its_strings_is_parsed() -> None:
    """Ten thousand levels of a book are no nesting, and brackets in texts are none at all."""
    levels = [["1.5", "[[[["], {"price": '"{{{\\'}] * 10_000
    assert parse_json(json.dumps(levels)) == levels
