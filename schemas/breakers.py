"""Circuit breakers: what closed, open and half-open mean, for whoever judges one. Pure.

    CLOSED --bad--> OPEN --`rest_us` without anything bad--> HALF_OPEN --`trial_us` without anything bad--> CLOSED
                     ^                                           |
                     `-------------------- bad -----------------'

Half-open is a trial: what the breaker forbids is allowed again, and the first bad judgement opens it at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.enums import BreakerKind, BreakerState

__all__ = ["Breaker", "Transition"]


@dataclass(frozen=True, slots=True)
class Transition:
    """A breaker's change of state."""

    kind: BreakerKind
    before: BreakerState
    after: BreakerState
    at_us: int


class Breaker:
    """One breaker, on whatever clock its judge uses.

    Args:
        rest_us: How long nothing bad must be seen before a trial.
        trial_us: How long a trial takes.
    """

    def __init__(self, kind: BreakerKind, *, rest_us: int, trial_us: int) -> None:
        self.kind = kind
        self.state = BreakerState.CLOSED
        self._rest_us = rest_us
        self._trial_us = trial_us
        self._since_us = 0

    def judge(self, is_bad: bool, now_us: int) -> Transition | None:
        """Take a judgement; give the transition that it makes, if any."""
        if is_bad:
            self._since_us = now_us
            return self._go(BreakerState.OPEN, now_us)
        waited_us = now_us - self._since_us
        if self.state is BreakerState.OPEN and waited_us >= self._rest_us:
            self._since_us = now_us
            return self._go(BreakerState.HALF_OPEN, now_us)
        if self.state is BreakerState.HALF_OPEN and waited_us >= self._trial_us:
            return self._go(BreakerState.CLOSED, now_us)
        return None

    @property
    def label(self) -> str:
        """Name and state, as decisions carry them."""
        return f"{self.kind}:{self.state}"

    def snapshot(self) -> list[str | int]:
        """Give what `restore` takes back."""
        return [self.state, self._since_us]

    def restore(self, state: str, since_us: int) -> None:
        """Take back what `snapshot` gave."""
        self.state, self._since_us = BreakerState(state), since_us

    def _go(self, after: BreakerState, now_us: int) -> Transition | None:
        before, self.state = self.state, after
        return Transition(self.kind, before, after, now_us) if before is not after else None
