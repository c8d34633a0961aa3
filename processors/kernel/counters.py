"""What became of every record of `market.ticks`: received = accepted + rejected + held, at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from processors.kernel.held import Held
from processors.kernel.steps import State
from schemas.reasons import RejectReason
from schemas.records import Tick

__all__ = ["OnReject", "TickCounters"]

OnReject: TypeAlias = Callable[[int, Tick | None, RejectReason], None]
"""on_reject(offset, tick, reason): told of every record that is not accepted."""


class TickCounters:
    """Counts of records, and the one place where a record is rejected."""

    __slots__ = ("_on_reject", "accepted", "received", "rejected")

    def __init__(self, on_reject: OnReject | None) -> None:
        self.received = 0
        self.accepted = 0
        self.rejected: dict[RejectReason, int] = {}
        self._on_reject = on_reject

    def reject(self, offset: int, tick: Tick | None, reason: RejectReason) -> None:
        """Count a record that is not accepted."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        if self._on_reject is not None:
            self._on_reject(offset, tick, reason)

    def reject_all(self, held: Iterable[Held], reason: RejectReason) -> None:
        """Count several records that are not accepted for the same reason."""
        for offset, tick in held:
            self.reject(offset, tick, reason)

    def state(self) -> State:
        """Give the counts."""
        return {
            "received": self.received,
            "accepted": self.accepted,
            "rejected": {str(reason): count for reason, count in sorted(self.rejected.items())},
        }

    def restore(self, state: State) -> None:
        """Take back what `state` gave."""
        self.received = state["received"]
        self.accepted = state["accepted"]
        self.rejected = {RejectReason(reason): count for reason, count in state["rejected"].items()}
