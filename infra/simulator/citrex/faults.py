"""Misbehaviour that the simulated venue can be told to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any

from schemas.errors import ProtocolError
from schemas.reasons import DeadLetterReason

__all__ = ["Fault", "FaultKind", "Faults", "Operation"]

_MOST = 100_000
_LONGEST_MS = 600_000


@unique
class Operation(StrEnum):
    """What a request asks for."""

    PLACE = "place"
    CANCEL = "cancel"
    CANCEL_ALL = "cancel_all"
    REPLACE = "replace"
    QUERY = "query"
    """Of an account: orders, positions, balances, margin, its trades."""
    MARKET_DATA = "market_data"


_TRADING = frozenset({Operation.PLACE, Operation.CANCEL, Operation.CANCEL_ALL, Operation.REPLACE})


@unique
class FaultKind(StrEnum):
    """What goes wrong with a request."""

    LOSE_REQUEST = "lose_request"
    """Nothing is done, and the connection is cut."""
    LOSE_REPLY = "lose_reply"
    """It is done, and the connection is cut."""
    FILL_LOSE_REPLY = "fill_lose_reply"
    """It is done, the new order is filled whole by the crowd, and the connection is cut."""
    DELAY_REQUEST = "delay_request"
    """It is done only after `delay_ms`, whether or not anybody still waits."""
    DELAY_REPLY = "delay_reply"
    """It is done at once and answered after `delay_ms`."""
    ERROR = "error"
    """Nothing is done; the answer is 503."""
    ERROR_AFTER = "error_after"
    """It is done; the answer is 502."""
    MALFORMED = "malformed"
    """It is done; the answer is cut in half."""
    DUPLICATE = "duplicate"
    """It is done twice, as a proxy that repeats does; the second answer is given."""
    REFUSE = "refuse"
    """Nothing is done; the answer is a refusal."""
    RATE_LIMIT = "rate_limit"
    """Nothing is done; the answer is 429."""
    FILL_LATE = "fill_late"
    """A cancelled order, the cancellation being answered with success, is filled all the same `delay_ms` later."""


@dataclass(slots=True)
class Fault:
    """An order to misbehave.

    Attributes:
        operation: Only there; at all that trades where None.
        count: How many requests; FILL_LATE counts cancelled orders.
        delay_ms: How long, where the kind takes time.
    """

    kind: FaultKind
    operation: Operation | None = None
    count: int = 1
    delay_ms: int = 1_000

    @classmethod
    def from_json(cls, document: object) -> Fault:
        """Read a fault from the control endpoint's JSON object.

        Raises:
            ProtocolError: MALFORMED, with what is wrong.
        """
        if not isinstance(document, Mapping):
            raise _bad("not an object")
        unknown = sorted(set(document) - {"kind", "operation", "count", "delay_ms"})
        if unknown:
            raise _bad(f"unknown key {unknown[0]!r}")
        try:
            kind = FaultKind(str(document.get("kind")))
            operation = None if document.get("operation") is None else Operation(document["operation"])
        except ValueError as error:
            raise _bad(f"{error}; kinds are {', '.join(FaultKind)}, operations {', '.join(Operation)}") from None
        count: Any = document.get("count", 1)
        delay_ms: Any = document.get("delay_ms", 1_000)
        if type(count) is not int or not 0 < count <= _MOST:
            raise _bad(f"count must be from 1 to {_MOST}")
        if type(delay_ms) is not int or not 0 <= delay_ms <= _LONGEST_MS:
            raise _bad(f"delay_ms must be from 0 to {_LONGEST_MS}")
        return cls(kind, operation, count, delay_ms)


class Faults:
    """The faults that are still to come, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Note a fault."""
        self._waiting.append(fault)

    def heal(self) -> None:
        """Forget all of them."""
        self._waiting.clear()

    def take(self, operation: Operation) -> Fault | None:
        """Give the fault that a request gets, if one waits for it. FILL_LATE is not a request's: see `take_late`."""
        for fault in self._waiting:
            if fault.kind is not FaultKind.FILL_LATE and self._meets(fault, operation):
                return self._use(fault)
        return None

    def take_late(self) -> Fault | None:
        """Give the FILL_LATE that an order that is cancelled now gets."""
        for fault in self._waiting:
            if fault.kind is FaultKind.FILL_LATE:
                return self._use(fault)
        return None

    def _use(self, fault: Fault) -> Fault:
        fault.count -= 1
        if not fault.count:
            self._waiting.remove(fault)
        return fault

    @staticmethod
    def _meets(fault: Fault, operation: Operation) -> bool:
        return operation in _TRADING if fault.operation is None else fault.operation is operation


def _bad(detail: str) -> ProtocolError:
    return ProtocolError(DeadLetterReason.MALFORMED, f"fault: {detail}")
