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
_DEPTH, _SAFE_BRACKETS = 100, 2_000
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_INTEGER = re.compile(r"[0-9]{1,19}", re.ASCII)


def parse_json(text: str | bytes) -> Any:
    """Parse JSON, numbers with a point as Decimal, so that no digit is lost.

    Raises:
        ProtocolError: MALFORMED, for what is not JSON (NaN and Infinity are not), or nests too deep.
    """
    if _nests_deep(text):
        raise ProtocolError(DeadLetterReason.MALFORMED, f"not JSON that anybody sends: nests deeper than {_DEPTH}")
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise ProtocolError(DeadLetterReason.MALFORMED, f"not JSON: {str(error)[:TEXT_LIMIT]}") from None


def _nests_deep(text: str | bytes) -> bool:
    """Tell whether a text nests too deep, where it has enough brackets for the parser to exhaust the stack.

    The interpreter's own limit is not relied on: it is for the whole process, and libraries raise it.
    """
    raw = text.encode(errors="replace") if isinstance(text, str) else text
    if raw.count(b"[") + raw.count(b"{") <= _SAFE_BRACKETS:
        return False
    rest = _STRING.sub(b"", raw).translate(None, delete=_NO_BRACKETS)
    for _ in range(_DEPTH):
        # Each pass takes the innermost pairs away, so as many are needed as the text nests deep.
        before, rest = len(rest), rest.replace(b"[]", b"").replace(b"{}", b"")
        if len(rest) == before:
            break
    return len(rest) > _DEPTH


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
