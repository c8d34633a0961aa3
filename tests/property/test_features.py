"""Features are functions of the past alone, and of the steps, not of how they were cut into batches."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.kernel.features import FeatureBuilder, FeatureConfig
from processors.kernel.names import Names
from processors.kernel.snapshot import freeze, thaw
from processors.kernel.steps import GapStep, Step
from schemas.enums import BookState, Side
from schemas.records import Record
from tests.kernel_steps import MARKET, T0, Emitted, grid, trade, view


@st.composite
def step_lists(draw: st.DrawFn) -> list[Step]:
    """Grid points with moving books, holes, trades and gaps between them."""
    steps: list[Step] = []
    index = 0
    for offset in range(draw(st.integers(1, 60))):
        index += draw(st.sampled_from([1, 1, 1, 1, 2, 12]))
        kind = draw(st.sampled_from(["grid"] * 8 + ["buy", "sell", "gap"]))
        if kind == "grid":
            bid = draw(st.integers(3990, 4010))
            spread = draw(st.integers(-1, 9))
            state = draw(st.sampled_from([BookState.LIVE] * 5 + [BookState.GAPPED]))
            bids = [(f"0.{bid}", str(draw(st.integers(1, 999))))]
            asks = [(f"0.{bid + spread}", str(draw(st.integers(1, 999))))]
            steps.append(grid(index, view(bids, asks, state=state, offset=offset), offset=offset))
        elif kind == "gap":
            steps.append(GapStep(MARKET, offset, T0))
        else:
            side = Side.BUY if kind == "buy" else Side.SELL
            steps.append(trade(side, str(draw(st.integers(1, 99))), offset=offset))
    return steps


def features(stage: FeatureBuilder, steps: list[Step]) -> list[Record]:
    emitted = Emitted()
    stage.run(steps, emitted)
    return emitted.records


def stage() -> FeatureBuilder:
    return FeatureBuilder(FeatureConfig(), Names(), "market.ticks", 0)


@settings(max_examples=60, deadline=None)
@given(step_lists(), st.data())
def test_no_look_ahead(steps: list[Step], data: st.DataObject) -> None:
    """What is known at a point does not change with what comes after it."""
    end = data.draw(st.integers(0, len(steps)))

    whole, prefix = features(stage(), steps), features(stage(), steps[:end])

    assert whole[: len(prefix)] == prefix


@settings(max_examples=60, deadline=None)
@given(step_lists(), st.data())
def test_cut_and_restore_anywhere(steps: list[Step], data: st.DataObject) -> None:
    """A batch boundary, or a restart from a snapshot, changes no vector."""
    end = data.draw(st.integers(0, len(steps)))
    first, second = stage(), stage()

    before = features(first, steps[:end])
    second.restore(thaw(freeze(first.state())))
    after = features(second, steps[end:])

    assert before + after == features(stage(), steps)
