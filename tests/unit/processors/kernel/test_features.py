"""Features: what each number is, when a vector is warm, and what resets history."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from processors.kernel.features import FEATURE_NAMES, FeatureBuilder, FeatureConfig
from processors.kernel.names import Names
from processors.kernel.snapshot import freeze, thaw
from processors.kernel.steprows import step_rows
from processors.kernel.steps import GapStep, Step, WatermarkStep
from schemas.enums import BookState, Flag, Side
from schemas.records import FeatureVector
from tests.kernel_steps import GRID, MARKET, T0, Emitted, grid, quiet, trade, view


def builder() -> FeatureBuilder:
    return FeatureBuilder(FeatureConfig(), Names(), "market.ticks", 0)


def run(steps: list[Step], stage: FeatureBuilder | None = None) -> list[FeatureVector]:
    emitted = Emitted()
    (stage or builder()).run(steps, emitted)
    return [record for record in emitted.records if isinstance(record, FeatureVector)]


def value(vector: FeatureVector, name: str) -> float:
    return dict(zip(vector.names, vector.values, strict=True))[name]


def test_book_features_of_a_known_book() -> None:
    """Spread, imbalances and microprice are those that one computes by hand."""
    bids = [("0.3998", "300"), ("0.3997", "100"), ("0.3996", "100"), ("0.3995", "100"), ("0.3994", "100"), ("0.3", "9")]
    asks = [("0.4002", "100"), ("0.4003", "100")]

    (vector,) = run([grid(0, view(bids, asks))])

    assert value(vector, "spread_bps") == pytest.approx(10.0)
    assert value(vector, "imbalance_1") == pytest.approx(0.5)
    assert value(vector, "imbalance_5") == pytest.approx(500 / 900)
    # Microprice: (0.3998 * 100 + 0.4002 * 300) / 400 = 0.4001, mid 0.4.
    assert value(vector, "microprice_bps") == pytest.approx(2.5)


def test_returns_look_back_one_and_five_seconds() -> None:
    """A return compares the mid with the sample one and five seconds before."""
    steps = quiet(26)
    up = view([("0.4002", "10")], [("0.4006", "10")])
    steps[-6] = grid(20, up)
    steps[-1] = grid(25, view([("0.4006", "10")], [("0.4010", "10")]))

    last = run(list(steps))[-1]

    assert value(last, "return_1s_bps") == pytest.approx(10_000 * (0.4008 / 0.4004 - 1))
    assert value(last, "return_5s_bps") == pytest.approx(20.0)


def test_volatility_is_the_realised_one_per_root_second() -> None:
    """A mid that jumps 10 bps up and down at every point of 5 Hz has 10 * sqrt(5) bps per root second."""
    low, high = ([("0.3998", "1")], [("0.4002", "1")]), ([("0.4002", "1")], [("0.4006", "1")])

    last = run([grid(index, view(*(high if index % 2 else low))) for index in range(41)])[-1]

    assert value(last, "volatility_30s_bps") == pytest.approx(10 * math.sqrt(5), rel=1e-9)


def test_trades_as_rows_count_as_trades_do() -> None:
    """To the unit, also where their sizes add up to more than 64 bits; other steps among the rows count for nothing."""
    most = "92233720368.54775807"
    trades = [trade(Side.BUY, most), trade(Side.BUY, most), trade(Side.SELL, "0.00000003"), trade(Side.BUY, "7")]
    trades.append(trade(Side.SELL, most, market=("other", "SEI/USDC")))
    steps: list[Step] = [*trades, WatermarkStep("s", None, 9, T0)]
    names = Names()
    one, other = builder(), FeatureBuilder(FeatureConfig(), names, "market.ticks", 0)

    one.run(steps, Emitted())
    rows = step_rows(steps, names)
    other.run([rows[:2], rows[:0], rows[2:]], Emitted())

    assert one.state() == other.state()
    assert one.state()["trades"] != []


def test_flow_counts_signed_sizes_of_five_seconds() -> None:
    """Trades count into the point that follows them, and leave the window after five seconds."""
    steps: list[Step] = [*quiet(30)]
    steps.insert(1, trade(Side.BUY, "30"))
    steps.insert(1, trade(Side.SELL, "10"))

    flow = [value(vector, "flow_5s") for vector in run(steps)]

    assert flow[0] == 0.0
    assert flow[1:26] == [0.5] * 25
    assert flow[26:] == [0.0] * 4


def test_vector_is_warm_after_five_seconds_of_history() -> None:
    """The longest look-back needs 25 intervals of the grid."""
    assert [vector.is_warm for vector in run([*quiet(27)])] == [False] * 25 + [True] * 2


def test_gap_starts_history_anew() -> None:
    """Nothing is computed across a hole that the normaliser reports."""
    steps: list[Step] = [*quiet(30)]
    steps.insert(28, GapStep(MARKET, 28, T0))

    assert [vector.is_warm for vector in run(steps)][-4:] == [True, True, False, False]


def test_long_silence_starts_history_anew() -> None:
    """A book unusable for more than two seconds leaves no return across the hole."""
    steps = quiet(27)
    later = grid(40, view([("0.5", "1")], [("0.6", "1")]))

    last = run([*steps, later])[-1]

    assert not last.is_warm
    assert value(last, "return_1s_bps") == 0.0


@pytest.mark.parametrize(
    "book",
    [
        view(state=BookState.GAPPED),
        view(state=BookState.SYNCING),
        view(state=BookState.STALE),
        view(asks=()),
        view(bids=()),
        view([("0.5", "1")], [("0.4", "1")]),
        view([("0.4", "1")], [("0.4", "1")]),
    ],
    ids=["gapped", "syncing", "stale", "no-asks", "no-bids", "crossed", "locked"],
)
def test_no_vector_without_a_trusted_mid(book: object) -> None:
    """A book that is not LIVE, two-sided and uncrossed has no features."""
    assert run([grid(0, book)]) == []  # type: ignore[arg-type]


def test_vector_says_where_it_comes_from() -> None:
    """Cause, flags, fingerprint and trigger are those of the step and the book."""
    stage, emitted = builder(), Emitted()
    step = grid(3, view(offset=7, flags=Flag.CLOCK_SKEW), offset=9)

    stage.run([step], emitted)

    (vector,) = emitted.records
    assert isinstance(vector, FeatureVector)
    assert step.features == {MARKET: vector}
    assert emitted.triggers == [step.ts_trigger]
    assert (vector.cause_topic, vector.cause_partition) == ("market.ticks", 0)
    assert (vector.cause_first_offset, vector.cause_offset) == (7, 9)
    assert vector.flags == Flag.CLOCK_SKEW
    assert vector.fingerprint == FeatureConfig().fingerprint
    assert vector.ts_grid == T0 + 3 * GRID


def test_fingerprint_follows_the_definitions() -> None:
    """Another window is another set of features."""
    assert FeatureConfig().fingerprint != replace(FeatureConfig(), short_us=500_000).fingerprint


def test_restored_state_continues_as_if_nothing_happened() -> None:
    """A snapshot through JSON in the middle, also between trades and their grid point, changes no vector."""
    steps: list[Step] = [*quiet(40)]
    steps.insert(30, trade(Side.BUY, "3"))
    undisturbed = run([*steps])
    first, second = builder(), builder()

    before = run(steps[:31], first)
    second.restore(thaw(freeze(first.state())))
    after = run(steps[31:], second)

    assert before + after == undisturbed


def test_state_stays_small() -> None:
    """An hour of one market costs a snapshot less than 4 KB, and not more than a minute does."""
    stage = builder()
    run([grid(i, view([(f"{0.4 + i % 7 * 0.0001:.4f}", "1")], [("0.4102", "1")])) for i in range(18_000)], stage)

    assert len(json.dumps(stage.state())) < 4_000


def test_trades_of_a_market_without_a_book_are_forgotten() -> None:
    """An AMM's trades do not pile up."""
    stage = builder()
    run([trade(Side.BUY, "1", market=("sim-sei", "SEI/USDC")), *quiet(1)], stage)

    assert stage.state()["trades"] == []


def test_names_are_unique() -> None:
    """A name stands for one feature."""
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)
