"""One request to Citrex and what came of it: which answers say something definite, and which do not. Pure.

| what came | what it says |
|---|---|
| an order, or `success`, as the protocol has it | done |
| a refusal (`error`, or `success` false) with 2xx or 4xx | not done |
| a refusal that speaks of the nonce | nothing: an order of that name is there, perhaps this one |
| no connection was made | not done: nothing was sent |
| anything else: no answer in time, a reset, 3xx, 408, 425, 429, 5xx, what cannot be read | nothing |

Nobody knows what stands before the venue, so a 429 says nothing either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import TypeAlias, TypeVar

from schemas.errors import ContractError
from schemas.venues.citrex.account import OrderState, parse_cancel_answer, parse_order_answer
from schemas.venues.citrex.reading import Refusal
from schemas.venues.citrex.requests import Request

__all__ = ["Answer", "Call", "Lost", "Reply", "TokenBucket", "is_rate_limit", "read", "read_cancel", "read_order"]

_T = TypeVar("_T")
_US = 1_000_000
_OK = range(200, 300)
_INDEFINITE = frozenset({408, 425, 429})
_TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class Call:
    """A request to make; its answer is given with its number."""

    number: int
    request: Request


@dataclass(frozen=True, slots=True)
class Reply:
    """What the venue answered."""

    status: int
    body: bytes


@unique
class Lost(StrEnum):
    """Why there is no answer."""

    NOT_SENT = "no connection"
    """Nothing left this machine."""
    NO_ANSWER = "no answer"


Answer: TypeAlias = Reply | Lost


def read_order(answer: Answer) -> OrderState | Refusal | None:
    """Read the answer to a new order; None says nothing."""
    found = _definite(answer, parse_order_answer)
    return None if isinstance(found, Refusal) and "nonce" in found.detail.lower() else found


def read_cancel(answer: Answer) -> bool | Refusal | None:
    """Read the answer to a cancel: True, that it was done; None says nothing."""
    return _definite(answer, lambda body: parse_cancel_answer(body) or True)


def read(answer: Answer, parse: Callable[[bytes], _T]) -> _T | None:
    """Read the answer to a question; None where there is none that can be read."""
    if isinstance(answer, Lost) or answer.status not in _OK:
        return None
    try:
        return parse(answer.body)
    except ContractError:
        return None


def is_rate_limit(answer: Answer) -> bool:
    """Tell whether the venue wants to be asked less."""
    return isinstance(answer, Reply) and answer.status == _TOO_MANY


def _definite(answer: Answer, parse: Callable[[bytes], _T | Refusal]) -> _T | Refusal | None:
    if answer is Lost.NOT_SENT:
        return Refusal(answer)
    if isinstance(answer, Lost) or answer.status in _INDEFINITE:
        return None
    is_ok = answer.status in _OK
    if not is_ok and not 400 <= answer.status < 500:
        return None
    try:
        found = parse(answer.body)
    except ContractError:
        return None
    # Something that was done does not come with the status of a refusal.
    return found if is_ok or isinstance(found, Refusal) else None


class TokenBucket:
    """A budget of `per_s` requests a second, and as many at once."""

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._tokens = per_s * _US
        self._filled_us = 0

    def take(self, now_us: int, reserve: int = 0) -> bool:
        """Count one request, if that leaves `reserve` more; tell whether it does."""
        self._tokens = min(self._per_s * _US, self._tokens + max(0, now_us - self._filled_us) * self._per_s)
        self._filled_us = max(self._filled_us, now_us)
        if self._tokens < (reserve + 1) * _US:
            return False
        self._tokens -= _US
        return True
