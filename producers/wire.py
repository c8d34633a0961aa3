"""What the sources read and report alike: times, and the dead letter of a bad frame."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from producers.core import BadFrame
from schemas.errors import ContractError, ProtocolError
from schemas.reasons import DeadLetterReason
from schemas.wire import TEXT_LIMIT

__all__ = ["bad_frame", "rfc3339_us"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,18}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)


def bad_frame(error: ContractError, frame: str | bytes, where: str = "") -> BadFrame:
    """Make the dead letter of a frame, or of the part of one that `where` names."""
    detail = error.detail if isinstance(error, ProtocolError) else str(error)
    payload = frame if isinstance(frame, bytes) else frame.encode(errors="backslashreplace")
    return BadFrame(error.reason, f"{where}: {detail}" if where else detail, payload)


def rfc3339_us(text: object) -> int:
    """Convert an RFC 3339 time to microseconds since the epoch, dropping finer digits.

    Raises:
        ProtocolError: MALFORMED, for anything else, a time without an offset included.
    """
    match = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ProtocolError(DeadLetterReason.MALFORMED, f"not an RFC 3339 time: {str(text)[:TEXT_LIMIT]!r}")
    *fields, fraction, sign, hours, minutes = match.groups()
    try:
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
        year, month, day, hour, minute, second = map(int, fields)
        time = datetime(year, month, day, hour, minute, second, tzinfo=timezone(offset))
    except ValueError as error:
        raise ProtocolError(DeadLetterReason.MALFORMED, f"not a time: {str(text)[:TEXT_LIMIT]!r}: {error}") from None
    return (time - _EPOCH) // timedelta(microseconds=1) + int((fraction or "0")[:6].ljust(6, "0"))
