"""Exact conversion of what a venue writes, and the rounding of what is derived."""

from __future__ import annotations

from decimal import Decimal

import pytest

from schemas.errors import DoesNotFit
from schemas.numbers import INT64_MAX, divide_half_even, format_units, from_units, to_units


@pytest.mark.parametrize(
    ("value", "scale", "units"),
    [
        ("61234.12", 9, 61_234_120_000_000),
        ("0.000000001", 9, 1),
        ("-0.5", 8, -50_000_000),
        ("007", 0, 7),
        ("1.", 2, 100),
        ("1.500", 1, 15),
        ("-0", 9, 0),
        ("1e-9", 9, 1),
        ("1E+3", 2, 100_000),
        ("+2", 1, 20),
        (".5", 1, 5),
        ("0e-999999999999", 9, 0),
        ("9223372036.854775807", 9, INT64_MAX),
        ("-9223372036.854775808", 9, -INT64_MAX - 1),
        (Decimal("1.5"), 2, 150),
        (12, 3, 12_000),
    ],
)
def test_numbers_are_converted_exactly(value: str | int | Decimal, scale: int, units: int) -> None:
    """Every way in which venues write a number gives its units."""
    assert to_units(value, scale) == units


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        ".",
        "abc",
        "1.0000000001",
        "1e-10",
        "nan",
        "inf",
        "9223372036.854775808",
        "1_000",
        " 1",
        "1 ",
        "٣",
        "0x10",
    ],
)
def test_what_does_not_fit_is_refused(text: str) -> None:
    """More digits than the scale, more than 64 bits, and what is no number, are never rounded or guessed."""
    with pytest.raises(DoesNotFit):
        to_units(text, 9)


@pytest.mark.parametrize("text", ["1e-999999999999", "1e999999999999", "9" * 100_000, "0." + "0" * 100_000 + "1"])
def test_absurd_numbers_cost_nothing(text: str) -> None:
    """An exponent or a length meant to exhaust the machine is refused without working it out."""
    with pytest.raises(DoesNotFit):
        to_units(text, 9)
    if len(text) < 100:
        with pytest.raises(DoesNotFit):
            to_units(Decimal(text), 9)


def test_128_bits_are_allowed_where_said() -> None:
    """On-chain amounts have 18 decimals and more than 64 bits."""
    assert to_units("12345678901234567890.123456789012345678", 18, bits=128) == 12345678901234567890123456789012345678


@pytest.mark.parametrize("units", [0, 1, -1, 10**9, 123_456_789_012, -INT64_MAX - 1])
def test_units_are_shown_exactly(units: int) -> None:
    """Both ways of showing units give the number that they came from."""
    assert to_units(from_units(units, 9), 9) == units
    assert to_units(format_units(units, 9), 9) == units


@pytest.mark.parametrize(
    ("units", "text"), [(1_500_000_000, "1.5"), (-1, "-0.000000001"), (0, "0"), (2_000_000_000, "2")]
)
def test_units_are_shown_without_padding(units: int, text: str) -> None:
    """No exponent, no trailing zeros."""
    assert format_units(units, 9) == text


@pytest.mark.parametrize(
    ("numerator", "denominator", "quotient"),
    [(5, 2, 2), (7, 2, 4), (-5, 2, -2), (-7, 2, -4), (7, 3, 2), (8, 3, 3), (5, -2, -2), (0, 7, 0)],
)
def test_division_rounds_half_to_even(numerator: int, denominator: int, quotient: int) -> None:
    """Ties go to the even neighbour, whatever the signs."""
    assert divide_half_even(numerator, denominator) == quotient
