"""Reading JSON from the network with bounds. Whatever is wrong is a ProtocolError."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, NoReturn

from schemas.errors import ProtocolError
from schemas.reasons import DeadLetterReason

__all__ = ["TEXT_LIMIT", "long_of", "parse_json", "short_text"]

TEXT_LIMIT = 128
"""Longest identifier, and the most that an error quotes of what it is about."""

_INT64_MAX = (1 << 63) - 1
_INTEGER = re.compile(r"[0-9]{1,19}", re.ASCII)


def parse_json(text: str | bytes) -> Any:
    """Parse JSON, numbers with a point as Decimal, so that no digit is lost.

    Raises:
        ProtocolError: MALFORMED, for what is not JSON (NaN and Infinity are not), or nests too deep.
    """
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise ProtocolError(DeadLetterReason.MALFORMED, f"not JSON: {str(error)[:TEXT_LIMIT]}") from None


def long_of(value: object, what: str) -> int:
    """Read a non-negative integer that is written as a number or as a text.

    Raises:
        ProtocolError: MALFORMED, for anything else, or one that does not fit 64 bits.
    """
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _INT64_MAX:
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{what} is not a whole number: {str(value)[:TEXT_LIMIT]!r}")
    return value


def short_text(value: object, what: str) -> str:
    """Read an identifier: printable, not empty, of at most 128 characters.

    Raises:
        ProtocolError: MALFORMED, for anything else.
    """
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LIMIT or not value.isprintable():
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{what} is not a short text: {str(value)[:TEXT_LIMIT]!r}")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
