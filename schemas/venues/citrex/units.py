"""The venue's numbers: integers of 1e-18, written as decimal texts, against the schemas' units.

Every price and size of ours is a number of the venue's; the other way about only what has no finer digits.
"""

from __future__ import annotations

import re

from schemas.errors import DoesNotFit, ProtocolError
from schemas.numbers import INT64_MAX, PRICE_SCALE, SIZE_SCALE
from schemas.reasons import DeadLetterReason

__all__ = [
    "WIRE_ONE",
    "WIRE_SCALE",
    "price_from_wire",
    "price_to_wire",
    "size_from_wire",
    "size_to_wire",
    "wire_integer",
]

WIRE_SCALE = 18
WIRE_ONE = 10**WIRE_SCALE
"""What the venue writes for 1."""

_PRICE_STEP = int(10 ** (WIRE_SCALE - PRICE_SCALE))
_SIZE_STEP = int(10 ** (WIRE_SCALE - SIZE_SCALE))
_INTEGER = re.compile(r"-?[0-9]{1,39}", re.ASCII)
_UINT128_MAX = (1 << 128) - 1


def wire_integer(value: object, what: str, *, signed: bool = False) -> int:
    """Read an integer that the venue writes as a text or a number.

    Raises:
        ProtocolError: MALFORMED, for anything else, a negative one that is not `signed`, or more than 128 bits.
    """
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _UINT128_MAX or (value < 0 and not signed):
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{what} is not an integer of 1e-18: {str(value)[:64]!r}")
    return value


def price_from_wire(wire: int) -> int:
    """Convert a price of the venue's to units of 1e-9.

    Raises:
        DoesNotFit: it has finer digits, or does not fit 64 bits.
    """
    return _from_wire(wire, _PRICE_STEP, PRICE_SCALE)


def size_from_wire(wire: int) -> int:
    """Convert a quantity of the venue's to units of 1e-8.

    Raises:
        DoesNotFit: it has finer digits, or does not fit 64 bits.
    """
    return _from_wire(wire, _SIZE_STEP, SIZE_SCALE)


def price_to_wire(units: int) -> int:
    """Convert a price of 1e-9 to the venue's integer."""
    return units * _PRICE_STEP


def size_to_wire(units: int) -> int:
    """Convert a size of 1e-8 to the venue's integer."""
    return units * _SIZE_STEP


def _from_wire(wire: int, step: int, scale: int) -> int:
    units, rest = divmod(wire, step)
    if rest or not -INT64_MAX - 1 <= units <= INT64_MAX:
        raise DoesNotFit(f"{wire}e-{WIRE_SCALE}", scale)
    return units
