"""Reading what venues send: bounded JSON, times, short texts. Whatever is wrong is a ProtocolError."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NoReturn

from producers.core import BadFrame
from schemas.errors import ContractError, ProtocolError
from schemas.reasons import DeadLetterReason

__all__ = ["bad_frame", "long_of", "parse_json", "rfc3339_us", "short_text"]

_INT64_MAX = (1 << 63) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,18}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_INTEGER = re.compile(r"[0-9]{1,19}", re.ASCII)
_TEXT_LIMIT = 128


def bad_frame(error: ContractError, frame: str | bytes, where: str = "") -> BadFrame:
    """Make the dead letter of a frame, or of the part of one that `where` names."""
    detail = error.detail if isinstance(error, ProtocolError) else str(error)
    payload = frame if isinstance(frame, bytes) else frame.encode(errors="backslashreplace")
    return BadFrame(error.reason, f"{where}: {detail}" if where else detail, payload)


def parse_json(text: str | bytes) -> Any:
    """Parse JSON, numbers with a point as Decimal, so that no digit is lost.

    Raises:
        ProtocolError: MALFORMED, for what is not JSON (NaN and Infinity are not), or nests too deep.
    """
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise ProtocolError(DeadLetterReason.MALFORMED, f"not JSON: {str(error)[:_TEXT_LIMIT]}") from None


def rfc3339_us(text: object) -> int:
    """Convert an RFC 3339 time to microseconds since the epoch, dropping finer digits.

    Raises:
        ProtocolError: MALFORMED, for anything else, a time without an offset included.
    """
    match = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ProtocolError(DeadLetterReason.MALFORMED, f"not an RFC 3339 time: {str(text)[:_TEXT_LIMIT]!r}")
    *fields, fraction, sign, hours, minutes = match.groups()
    try:
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
        year, month, day, hour, minute, second = map(int, fields)
        time = datetime(year, month, day, hour, minute, second, tzinfo=timezone(offset))
    except ValueError as error:
        raise ProtocolError(DeadLetterReason.MALFORMED, f"not a time: {str(text)[:_TEXT_LIMIT]!r}: {error}") from None
    return (time - _EPOCH) // timedelta(microseconds=1) + int((fraction or "0")[:6].ljust(6, "0"))


def long_of(value: object, what: str) -> int:
    """Read a non-negative integer that is written as a number or as a text.

    Raises:
        ProtocolError: MALFORMED, for anything else, or one that does not fit 64 bits.
    """
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _INT64_MAX:
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{what} is not a whole number: {str(value)[:_TEXT_LIMIT]!r}")
    return value


def short_text(value: object, what: str) -> str:
    """Read an identifier: printable, not empty, of at most 128 characters.

    Raises:
        ProtocolError: MALFORMED, for anything else.
    """
    if not isinstance(value, str) or not 0 < len(value) <= _TEXT_LIMIT or not value.isprintable():
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{what} is not a short text: {str(value)[:_TEXT_LIMIT]!r}")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
