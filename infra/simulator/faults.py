"""Misbehaviour that the simulated node can be told to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique

from schemas.errors import ProtocolError
from schemas.reasons import DeadLetterReason

__all__ = ["Dialect", "Fault", "FaultKind"]

_MOST = 100_000


@unique
class Dialect(StrEnum):
    """What a socket speaks."""

    CHAIN = "chain"
    """The Tendermint RPC of a Sei node."""
    CLOB = "clob"
    """The order-book feed."""


@unique
class FaultKind(StrEnum):
    """What goes wrong. Each kind but GAP acts on the subscriptions of the moment that the fault selects."""

    DROP = "drop"
    """The sockets are cut without a closing handshake."""
    STALL = "stall"
    """Nothing is sent; frames pile up until the fault ends or the queue overflows, which evicts the subscription."""
    SILENT = "silent"
    """Nothing is published: the socket and the subscription look healthy and no frame ever comes."""
    GAP = "gap"
    """What comes next is lost to everybody: of the books, `count` updates of each market whose symbol contains `query`,
    their sequence numbers used up; of the chain, the Tx frames of `count` heights, which `block_results` still has."""
    MALFORMED = "malformed"
    """The next `count` frames are cut in the middle."""
    EVICT = "evict"
    """The subscriptions end as a slow consumer's do, while the socket stays open."""
    HEAL = "heal"
    """Ends what is still going on."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An order to misbehave.

    Attributes:
        kind: What goes wrong.
        dialect: Only there; everywhere where None.
        query: Only subscriptions whose query contains this text (GAP: books of symbols that contain it).
        count: How many frames or heights (GAP, MALFORMED).
        seconds: How long (STALL, SILENT); until HEAL where None.
    """

    kind: FaultKind
    dialect: Dialect | None = None
    query: str = ""
    count: int = 1
    seconds: float | None = None

    @classmethod
    def from_json(cls, document: object) -> Fault:
        """Read a fault from the control endpoint's JSON object.

        Raises:
            ProtocolError: MALFORMED, with what is wrong.
        """
        if not isinstance(document, Mapping):
            raise _bad("not an object")
        unknown = sorted(set(document) - {"kind", "dialect", "query", "count", "seconds"})
        if unknown:
            raise _bad(f"unknown key {unknown[0]!r}")
        try:
            kind = FaultKind(str(document.get("kind")))
            dialect = Dialect(document["dialect"]) if document.get("dialect") is not None else None
        except ValueError as error:
            raise _bad(f"{error}; kinds are {', '.join(FaultKind)}, dialects {', '.join(Dialect)}") from None
        query, count, seconds = document.get("query", ""), document.get("count", 1), document.get("seconds")
        if not isinstance(query, str):
            raise _bad("query is not a text")
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _MOST:
            raise _bad(f"count is not a whole number from 1 to {_MOST}")
        if seconds is not None and (
            not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds <= _MOST
        ):
            raise _bad(f"seconds is not a number above 0 and at most {_MOST}")
        return cls(kind, dialect, query, count, None if seconds is None else float(seconds))


def _bad(detail: str) -> ProtocolError:
    return ProtocolError(DeadLetterReason.MALFORMED, f"fault: {detail}")
