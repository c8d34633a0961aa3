"""A market's breakers: what opens each; how they close again is `schemas.breakers`."""

from __future__ import annotations

import pytest

from processors.kernel.drift import Reference
from processors.kernel.marketbreakers import BreakerLimits, MarketBreakers
from processors.kernel.samples import MidSamples
from processors.kernel.snapshot import freeze, thaw
from schemas.enums import BookState, BreakerState
from tests.kernel_steps import GRID, T0

REFERENCE = Reference(edges=((0.0,),), shares=((0.5, 0.5),))


def samples(*mids: int) -> MidSamples:
    found = MidSamples(30_000_000, 2_000_000)
    for at, mid in enumerate(mids):
        found.add(T0 + at * GRID, 2 * mid, at)
    return found


@pytest.mark.parametrize("state", [state for state in BookState if state is not BookState.LIVE])
def test_any_book_but_a_live_one_disconnects(state: BookState) -> None:
    """SYNCING, STALE and GAPPED alike."""
    breakers = MarketBreakers(BreakerLimits(), None)

    assert breakers.judge_book(BookState.LIVE, T0) is None
    transition = breakers.judge_book(state, T0 + GRID)

    assert transition is not None
    assert (transition.after, transition.at_us) == (BreakerState.OPEN, T0 + GRID)
    assert breakers.is_disconnected
    assert breakers.labels == ("DISCONNECT:OPEN",)


@pytest.mark.parametrize(
    ("mids", "is_extreme"),
    [
        ((10_000, 10_200), False),
        ((10_000, 10_201), True),
        ((10_201, 10_000), True),
        ((10_000, 10_201, 10_100), False),
        ((10_000, *[10_100] * 26, 10_201), False),
    ],
    ids=["at-the-limit", "up", "down", "came-back", "long-ago"],
)
def test_a_move_is_from_any_mid_of_the_window_to_the_newest(mids: tuple[int, ...], is_extreme: bool) -> None:
    """200 bps within five seconds."""
    breakers = MarketBreakers(BreakerLimits(), None)

    breakers.judge_market(samples(*mids), None, T0)

    assert breakers.is_extreme is is_extreme


@pytest.mark.parametrize(("sigma", "is_extreme"), [(None, False), (50.0, False), (50.1, True)])
def test_volatility_is_extreme_above_its_limit(sigma: float | None, is_extreme: bool) -> None:
    """50 bps per root second, of a mid of 10,000."""
    breakers = MarketBreakers(BreakerLimits(), None)

    breakers.judge_market(samples(10_000), sigma, T0)

    assert breakers.is_extreme is is_extreme


@pytest.mark.parametrize(("took_us", "is_drifting"), [(None, False), (5_000, False), (5_001, True)])
def test_a_slow_prediction_drifts(took_us: int | None, is_drifting: bool) -> None:
    """One that took five milliseconds is not slow."""
    breakers = MarketBreakers(BreakerLimits(), REFERENCE)

    breakers.judge_model((1.0,), took_us, T0)

    assert breakers.is_drifting is is_drifting


def test_other_features_drift_until_they_are_what_they_were() -> None:
    """Judged by whole windows; then the model is tried again."""
    breakers = MarketBreakers(BreakerLimits(drift_window=4, drift_psi=0.5, drift_rest_us=0), REFERENCE)
    found = []
    for at, value in enumerate((1.0, 1.0, 1.0, 1.0, 1.0, -1.0, 1.0, -1.0)):
        breakers.judge_model((value,), 10, T0 + at * GRID)
        found.append(breakers.is_drifting)

    assert found == [False] * 3 + [True] * 4 + [False]
    assert breakers.labels == ("DRIFT:HALF_OPEN",)


def test_without_a_model_nothing_drifts() -> None:
    """Whatever is measured."""
    breakers = MarketBreakers(BreakerLimits(), None)

    assert breakers.judge_model((1.0,), 10**9, T0) is None


def test_a_restart_changes_no_breaker() -> None:
    """All three are in the snapshot, and when they opened."""
    breakers, again = (MarketBreakers(BreakerLimits(), REFERENCE) for _ in range(2))
    breakers.judge_book(BookState.STALE, T0)
    breakers.judge_market(samples(10_000, 20_000), None, T0)
    breakers.judge_model((1.0,), 9_000, T0)
    again.restore(thaw(freeze({"saved": breakers.state()}))["saved"])

    assert again.labels == breakers.labels == ("DISCONNECT:OPEN", "DRIFT:OPEN", "EXTREME_MARKET:OPEN")
    for now_us in (T0 + 1_999_999, T0 + 2_000_000):
        assert again.judge_book(BookState.LIVE, now_us) == breakers.judge_book(BookState.LIVE, now_us)
