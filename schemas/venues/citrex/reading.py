"""What all answers of the venue have in common: JSON objects, lists of bounded length, refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from schemas.errors import ContractError, ProtocolError
from schemas.reasons import DeadLetterReason
from schemas.wire import TEXT_LIMIT, parse_json

__all__ = [
    "Fields",
    "Refusal",
    "Rows",
    "all_rows",
    "answer_of",
    "enum_of",
    "flag_of",
    "millis_of",
    "read_rows",
    "refusal_of",
]

Fields: TypeAlias = Mapping[str, Any]

_T = TypeVar("_T")
_MAX_MILLIS = 253_402_300_799_999
"""The last millisecond of the year 9999."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The venue read a request and would not do it. A time-out or an answer that cannot be read is not one."""

    detail: str


@dataclass(frozen=True, slots=True)
class Rows(Generic[_T]):
    """A list, of which some rows could not be read.

    Attributes:
        bad: Place and error of each.
    """

    good: tuple[_T, ...]
    bad: tuple[tuple[int, ContractError], ...]


def refusal_of(document: object) -> Refusal | None:
    """Give the refusal that an answer is, or None."""
    if isinstance(document, dict):
        error = document.get("error")
        if error:
            return Refusal(str(error)[:TEXT_LIMIT])
        if document.get("success") is False:
            return Refusal("without a reason")
    return None


def answer_of(body: bytes) -> Any:
    """Read the answer to a question.

    Raises:
        ProtocolError: MALFORMED, for what is not JSON; REFUSED, for a refusal.
    """
    document = parse_json(body)
    refusal = refusal_of(document)
    if refusal is not None:
        raise ProtocolError(DeadLetterReason.REFUSED, f"the venue refused: {refusal.detail}")
    return document


def read_rows(rows: object, what: str, limit: int, read: Callable[[Fields], _T]) -> Rows[_T]:
    """Read each row of a list by itself.

    Raises:
        ProtocolError: MALFORMED, where it is no list; TOO_LARGE, where it is longer than `limit`.
    """
    if not isinstance(rows, list):
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{what} are not a list but {type(rows).__name__}")
    if len(rows) > limit:
        raise ProtocolError(DeadLetterReason.TOO_LARGE, f"{len(rows)} {what}, more than {limit}")
    good: list[_T] = []
    bad: list[tuple[int, ContractError]] = []
    for place, row in enumerate(rows):
        try:
            if not isinstance(row, dict):
                raise ProtocolError(DeadLetterReason.MALFORMED, f"not an object but {type(row).__name__}")
            good.append(read(row))
        except ContractError as error:
            bad.append((place, error))
    return Rows(tuple(good), tuple(bad))


def all_rows(rows: Rows[_T], what: str) -> tuple[_T, ...]:
    """Give the rows of a list that is of no use unless it is complete.

    Raises:
        ProtocolError: one of them could not be read.
    """
    if rows.bad:
        place, error = rows.bad[0]
        raise ProtocolError(error.reason, f"{what} {place}: {error}")
    return rows.good


def flag_of(fields: Fields, name: str) -> bool:
    """Read a truth value.

    Raises:
        ProtocolError: MALFORMED, for anything else.
    """
    value = fields.get(name)
    if not isinstance(value, bool):
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{name} is neither true nor false: {str(value)[:64]!r}")
    return value


def millis_of(fields: Fields, name: str) -> int:
    """Read a time in milliseconds and give microseconds, UTC.

    Raises:
        ProtocolError: MALFORMED, for anything else.
    """
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_MILLIS:
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{name} is not a time in milliseconds: {str(value)[:64]!r}")
    return value * 1_000


def enum_of(kind: Callable[[Any], _T], fields: Fields, name: str) -> _T:
    """Read a member of a closed set.

    Raises:
        ProtocolError: MALFORMED, for anything else.
    """
    value = fields.get(name)
    try:
        # True and 1.0 equal 1, but are not how a member is written.
        found = kind(value) if isinstance(value, str) or type(value) is int else None
    except ValueError:
        found = None
    if found is None:
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{name} is unknown: {str(value)[:64]!r}")
    return found
