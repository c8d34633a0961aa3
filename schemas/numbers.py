"""Exact numbers: decimals carried as integers in the units of the schemas.

A price is an integer of 1e-9, a size of 1e-8, a notional (price times size) of 1e-17 and an on-chain amount of 1e-18.
Prices and sizes fit int64; notionals and amounts are Python integers (128 bits in compiled code). What a venue states
is converted without rounding or refused; what is derived is rounded half-even.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from schemas.errors import DoesNotFit

__all__ = [
    "AMOUNT_SCALE",
    "INT64_MAX",
    "NOTIONAL_SCALE",
    "PRICE_SCALE",
    "SIZE_SCALE",
    "divide_half_even",
    "format_units",
    "from_units",
    "to_units",
]

PRICE_SCALE = 9
SIZE_SCALE = 8
NOTIONAL_SCALE = PRICE_SCALE + SIZE_SCALE
AMOUNT_SCALE = 18
INT64_MAX = (1 << 63) - 1

# A longer text cannot fit 64 bits at any scale used here; refusing it early bounds the work.
_MAX_TEXT = 64


def to_units(value: str | int | Decimal, scale: int, *, bits: int = 64) -> int:
    """Convert a decimal text to integer units of 10**-scale, exactly.

    Raises:
        DoesNotFit: not a finite decimal number, more decimals than the scale, or more than `bits` bits.
    """
    if isinstance(value, str):
        if len(value) > _MAX_TEXT:
            raise DoesNotFit(value, scale)
        try:
            value = Decimal(value)
        except InvalidOperation:
            raise DoesNotFit(value, scale) from None
    if isinstance(value, int):
        units = value * 10**scale
    else:
        if not value.is_finite():
            raise DoesNotFit(str(value), scale)
        sign, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        if exponent + scale > 40 or len(digits) > 60:
            raise DoesNotFit(str(value), scale)
        magnitude = int("".join(map(str, digits)))
        shift = exponent + scale
        if shift >= 0:
            magnitude *= 10**shift
        else:
            magnitude, rest = divmod(magnitude, 10**-shift)
            if rest:
                raise DoesNotFit(str(value), scale)
        units = -magnitude if sign else magnitude
    if not -(1 << (bits - 1)) <= units < 1 << (bits - 1):
        raise DoesNotFit(str(value), scale)
    return units


def from_units(units: int, scale: int) -> Decimal:
    """Give the Decimal that `units` of 10**-scale stand for, exactly."""
    # A tuple, not scaleb(): scaleb rounds to the context's 28 digits.
    return Decimal((units < 0, tuple(map(int, str(abs(units)))), -scale))


def format_units(units: int, scale: int) -> str:
    """Write units of 10**-scale as a plain decimal, without an exponent or trailing zeros."""
    sign = "-" if units < 0 else ""
    whole, fraction = divmod(abs(units), 10**scale)
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{str(fraction).rjust(scale, '0').rstrip('0')}"


def divide_half_even(numerator: int, denominator: int) -> int:
    """Divide integers, rounding to the nearest, ties to even (IEEE 754 roundTiesToEven).

    Raises:
        ZeroDivisionError: the denominator is zero.
    """
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient
