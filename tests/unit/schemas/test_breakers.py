"""Circuit breakers: closed, open, half-open."""

from __future__ import annotations

from schemas.breakers import Breaker, Transition
from schemas.enums import BreakerKind, BreakerState

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def breaker() -> Breaker:
    return Breaker(BreakerKind.LATENCY, rest_us=100, trial_us=50)


def test_it_opens_rests_tries_and_closes() -> None:
    """Each transition is told once, when it happens."""
    one = breaker()
    told = [one.judge(is_bad, at) for at, is_bad in ((0, False), (10, True), (20, False), (110, False), (160, False))]
    assert told == [
        None,
        Transition(BreakerKind.LATENCY, CLOSED, OPEN, 10),
        None,
        Transition(BreakerKind.LATENCY, OPEN, HALF_OPEN, 110),
        Transition(BreakerKind.LATENCY, HALF_OPEN, CLOSED, 160),
    ]


def test_whatever_is_bad_starts_the_rest_anew() -> None:
    """While it is open, and during a trial, which ends at once."""
    one = breaker()
    one.judge(True, 0)
    assert one.judge(True, 90) is None
    assert one.judge(False, 150) is None
    assert one.judge(False, 190) == Transition(BreakerKind.LATENCY, OPEN, HALF_OPEN, 190)
    assert one.judge(True, 200) == Transition(BreakerKind.LATENCY, HALF_OPEN, OPEN, 200)
    assert one.label == "LATENCY:OPEN"


def test_its_state_can_be_kept() -> None:
    """A restored breaker goes on where the other was."""
    one, other = breaker(), breaker()
    one.judge(True, 10)
    state, since_us = one.snapshot()
    other.restore(str(state), int(since_us))
    assert other.judge(False, 109) is None
    assert other.judge(False, 110) == one.judge(False, 110)
