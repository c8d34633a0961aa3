"""The venue's integers against the schemas' units: exact, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DoesNotFit, ProtocolError
from schemas.numbers import INT64_MAX
from schemas.venues.citrex.units import (
    price_from_wire,
    price_to_wire,
    size_from_wire,
    size_to_wire,
    wire_integer,
)

UNITS = st.integers(-INT64_MAX - 1, INT64_MAX)


@given(UNITS)
def test_every_price_and_size_of_ours_is_one_of_the_venues(units: int) -> None:
    """There and back without a loss."""
    assert price_from_wire(price_to_wire(units)) == size_from_wire(size_to_wire(units)) == units


def test_one_is_one() -> None:
    """1e18 of the venue is 1e9 of a price and 1e8 of a size."""
    assert (price_from_wire(10**18), size_from_wire(10**18)) == (10**9, 10**8)


@pytest.mark.parametrize("wire", [1, 10**9 - 1, 3_399_999_999_999_999_999_772, (INT64_MAX + 1) * 10**9])
def test_a_price_with_finer_digits_or_too_many_is_refused(wire: int) -> None:
    """Nothing that the venue states is rounded."""
    with pytest.raises(DoesNotFit):
        price_from_wire(wire)


@pytest.mark.parametrize("wire", [1, 10**10 - 1, (INT64_MAX + 1) * 10**10, -1])
def test_a_size_with_finer_digits_or_too_many_is_refused(wire: int) -> None:
    """Nothing that the venue states is rounded."""
    with pytest.raises(DoesNotFit):
        size_from_wire(wire)


@pytest.mark.parametrize("value", [None, True, 1.0, "", "1.0", "1e18", "0x1", " 1", "+1", "٣", "9" * 40, 1 << 128, [1]])
def test_what_is_no_integer_is_refused(value: object) -> None:
    """Only digits, as a text or a number, of at most 128 bits."""
    with pytest.raises(ProtocolError, match="price is not an integer"):
        wire_integer(value, "price", signed=True)


def test_a_negative_one_is_refused_where_it_means_nothing() -> None:
    """A price is not negative; a profit may be."""
    assert wire_integer("-5", "pnl", signed=True) == wire_integer(-5, "pnl", signed=True) == -5
    with pytest.raises(ProtocolError):
        wire_integer("-5", "price")
