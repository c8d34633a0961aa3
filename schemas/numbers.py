"""Exact numbers: decimals carried as integers in the units of the schemas.

A price is an integer of 1e-9, a size of 1e-8, a notional (price times size) of 1e-17 and an on-chain amount of 1e-18.
Prices and sizes fit int64; notionals and amounts are Python integers (128 bits in compiled code). What a venue states
is converted without rounding or refused; what is derived is rounded half-even.
"""

from __future__ import annotations

import re
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

# A longer text cannot fit 128 bits at any scale used here; refusing it early bounds the work.
_MAX_TEXT = 64
_PLAIN = re.compile(r"(-?)([0-9]+)(?:\.([0-9]*))?")


def to_units(value: str | int | Decimal, scale: int, *, bits: int = 64) -> int:
    """Convert a decimal text to integer units of 10**-scale, exactly.

    Raises:
        DoesNotFit: not a finite decimal number, more decimals than the scale, or more than `bits` bits.
    """
    if isinstance(value, int):
        units = value * _power(scale)
    elif isinstance(value, str):
        if len(value) > _MAX_TEXT:
            raise DoesNotFit(value, scale)
        plain = _PLAIN.fullmatch(value)
        units = _from_plain(plain, scale) if plain else _from_decimal(_parsed(value, scale), scale)
    else:
        units = _from_decimal(value, scale)
    if not -(1 << (bits - 1)) <= units < 1 << (bits - 1):
        raise DoesNotFit(str(value), scale)
    return units


def _from_plain(plain: re.Match[str], scale: int) -> int:
    sign, whole, fraction = plain.groups("")
    if len(fraction) > scale:
        if fraction[scale:].strip("0"):
            raise DoesNotFit(plain.string, scale)
        fraction = fraction[:scale]
    return int(f"{sign}{whole}{fraction:0<{scale}}")


def _parsed(text: str, scale: int) -> Decimal:
    # Decimal takes more than numbers are written with: 1_000, spaces, digits of other scripts.
    if not text.isascii() or "_" in text or text != text.strip():
        raise DoesNotFit(text, scale)
    try:
        return Decimal(text)
    except InvalidOperation:
        raise DoesNotFit(text, scale) from None


def _from_decimal(value: Decimal, scale: int) -> int:
    if not value.is_finite():
        raise DoesNotFit(str(value), scale)
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    magnitude = int("".join(map(str, digits)))
    if not magnitude:
        return 0
    shift = exponent + scale
    # The bound keeps 1e-999999999 from being worked out.
    if len(digits) > _MAX_TEXT or abs(shift) > _MAX_TEXT:
        raise DoesNotFit(str(value), scale)
    if shift >= 0:
        magnitude *= _power(shift)
    else:
        magnitude, rest = divmod(magnitude, _power(-shift))
        if rest:
            raise DoesNotFit(str(value), scale)
    return -magnitude if sign else magnitude


def _power(exponent: int) -> int:
    return int(10**exponent)


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
