"""The partition's clock, the only time that the stages know, with its form in a snapshot."""

from __future__ import annotations

from processors.kernel.held import dump, load
from processors.kernel.steps import State
from schemas import clock

__all__ = ["PartitionClock"]


class PartitionClock(clock.PartitionClock):
    """See `schemas.clock`."""

    def state(self) -> State:
        """Give what is remembered."""
        return {"now_us": self.now_us, "candidate": dump(self.candidate)}

    def restore(self, state: State) -> None:
        """Take back what `state` gave."""
        self.now_us = state["now_us"]
        self.candidate = load(state["candidate"])
