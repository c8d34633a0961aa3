"""The compiled bars stage against the plain one of `tests.oracle`, and its arithmetic against Python's."""

from __future__ import annotations

import itertools
from random import Random

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numba import int64, types, uint64

from processors.kernel import wide
from processors.kernel.bars import BarBuilder, BarConfig, EmptyPolicy
from processors.kernel.names import Names
from processors.kernel.snapshot import freeze, thaw
from processors.kernel.steprows import step_rows
from processors.kernel.steps import GapStep, GridStep, Step, TradeStep, WatermarkStep
from schemas.compiled import compiled
from schemas.enums import Side, TickKind
from schemas.numbers import INT64_MAX, divide_half_even
from schemas.records import Bar, Tick
from tests.oracle import bars as oracle
from tests.ticks import T0

_JUMPS = (0, 1, 1_000, 200_000, 1_000_000, 9_000_000, 61_000_000, 400_000_000, 7_200_000_000)


def hostile_steps(seed: int, length: int) -> list[Step]:
    """Steps with everything in them: jumps, late trades, silent sources, gaps, volumes that do not fit."""
    random = Random(seed)
    now, grid, steps = T0, T0, list[Step]()
    calm = random.choice((4, 6, 6, 7, 7, 8, len(_JUMPS)))
    largest = random.choice((9, 10**9, INT64_MAX))
    for offset in range(length):
        now += random.choice(_JUMPS[:calm])
        market = ("venue", random.choice("ABC"))
        source = random.choice(("one", "one", "one", "two"))
        if now - now % 200_000 > grid and random.random() < 0.9:
            grid = now - now % 200_000
            steps.append(GridStep(grid, offset, now, {}))
        match random.randrange(12):
            case 0 | 1:
                watermark = random.choice((now - 1_000_000, now - 1_000_000, now - 90_000_000, now + 60_000_000, None))
                steps.append(WatermarkStep(source, watermark, offset, now))
            case 2 if random.random() < 0.5:
                steps.append(GapStep(market, offset, now))
            case _:
                event = random.choice(
                    (
                        now,
                        now,
                        now - random.randrange(3_000_000),
                        now - random.randrange(900_000_000),
                        None,
                        now + 10**11,
                    )
                )
                steps.append(TradeStep(_tick(random, market, source, now, event, largest), offset, 1 << offset % 12))
    return steps


def disordered_steps(seed: int, length: int) -> list[Step]:
    """Trades of now and of any minute of the last three days, in no order; bars become final in between."""
    random = Random(seed)
    now, steps = T0 + 3 * 86_400_000_000, list[Step]()
    for offset in range(length):
        now += random.choice((1_000, 10_000, 500_000))
        market = ("venue", random.choice("AB"))
        event = now - random.choice((0, random.randrange(4 * 86_400_000_000), random.randrange(4_000) * 60_000_000))
        steps.append(TradeStep(_tick(random, market, "one", now, event, 9), offset, 0))
        if offset % 100 == 0:
            steps.append(GridStep(now - now % 200_000, offset, now, {}))
        if random.random() < 0.005:
            day = random.choice((3, 2, 1, 0))
            steps.append(WatermarkStep("one", now - day * 86_400_000_000, offset, now))
    return steps


def _tick(random: Random, market: tuple[str, str], source: str, now: int, event: int | None, largest: int) -> Tick:
    return Tick(
        venue=market[0],
        source=source,
        symbol=market[1],
        kind=TickKind.TRADE,
        side=random.choice((Side.BUY, Side.SELL)),
        price=random.choice((1, random.randint(1, 10**12), INT64_MAX)),
        size=random.randint(1, largest),
        ts_event=event,
        ts_recv=now,
        sequence=random.choice((None, random.randint(-5, 5))),
        session=1,
        message=1,
        ordinal=0,
        first=True,
        last=True,
    )


configs = st.builds(
    BarConfig,
    correction_us=st.sampled_from([0, 120_000_000, 600_000_000]),
    emit_empty=st.sampled_from(EmptyPolicy),
)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32), cuts=st.lists(st.integers(1, 399), max_size=6), config=configs, restarts=st.booleans()
)
def test_the_compiled_stage_gives_what_the_plain_one_gives(
    seed: int, cuts: list[int], config: BarConfig, restarts: bool
) -> None:
    """Bar by bar with its trigger, the same counts, and the same open bars at the end; however it is cut."""
    _compare(hostile_steps(seed, 400), cuts, config, restarts=restarts)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32), config=configs, restarts=st.booleans())
def test_minutes_in_no_order_are_found_among_thousands(seed: int, config: BarConfig, restarts: bool) -> None:
    """Which is more than the cursor's neighbours: the lists that leave minutes out are right, after a restart too."""
    _compare(disordered_steps(seed, 1_500), [300, 700, 701], config, restarts=restarts)


def _compare(steps: list[Step], cuts: list[int], config: BarConfig, *, restarts: bool) -> None:
    expected: list[tuple[Bar, int]] = []
    plain = oracle.BarBuilder(config, "market.ticks", 3)
    plain.run(steps, lambda bar, ts_trigger: expected.append((bar, ts_trigger)))  # type: ignore[arg-type]

    names = Names()
    builder = BarBuilder(config, "market.ticks", 3, names)
    got: list[tuple[Bar, int]] = []
    bounds = [0, *sorted(set(cuts)), len(steps)]
    for begin, end in itertools.pairwise(bounds):
        rows = builder.run(step_rows(steps[begin:end], names))
        got += zip(rows.records(), rows.values["ts_trigger"].tolist(), strict=True)  # type: ignore[arg-type]
        if restarts:
            state = thaw(freeze([names.state(), builder.state()]))
            names = Names()
            builder = BarBuilder(config, "market.ticks", 3, names)
            names.restore(state[0])
            builder.restore(state[1])
            assert [names.state(), builder.state()] == state

    assert got == expected
    assert (builder.too_late, builder.unfit) == (plain.too_late, plain.unfit)
    before = builder.state()
    assert builder.open_bars(T0) == plain.open_bars(T0)
    assert builder.state() == before


def test_times_that_no_clock_shows_neither_wrap_nor_stop_the_stage() -> None:
    """The extremes of 64 bits in every time of every step."""
    names = Names()
    builder = BarBuilder(BarConfig(emit_empty=EmptyPolicy.CARRY_CLOSE), "market.ticks", 0, names)
    random = Random(1)
    times = (-INT64_MAX - 1, -1, 0, T0, INT64_MAX)
    steps: list[Step] = []
    for offset, (one, other) in enumerate([(one, other) for one in times for other in times]):
        steps.append(TradeStep(_tick(random, ("v", "A"), "s", one, other, 9), offset, 0))
        steps.append(WatermarkStep("s", other, offset, one))
        steps.append(GridStep(other, offset, one, {}))
        steps.append(GapStep(("v", "A"), offset, one))

    rows = builder.run(step_rows(steps, names))

    assert len(rows)
    for bar in rows.records():
        assert isinstance(bar, Bar)
        assert 0 <= bar.ts_open < bar.ts_close < 1 << 54


def test_thousands_of_open_bars_find_room() -> None:
    """A source that never says how far it is, with a trade in each of ten thousand minutes of two markets."""
    names = Names()
    builder = BarBuilder(BarConfig(), "market.ticks", 0, names)
    random = Random(1)
    steps: list[Step] = []
    for offset in range(20_000):
        at = T0 + offset // 2 * 60_000_000
        steps.append(TradeStep(_tick(random, ("v", "AB"[offset % 2]), "s", at, at, 9), offset, 0))
    end = T0 + 20_000 * 60_000_000
    finals = [*steps, WatermarkStep("s", end, 20_000, end)]
    got = [bar for bar in builder.run(step_rows(finals, names)).records() if isinstance(bar, Bar)]

    assert sum(bar.timeframe == "M1" for bar in got) == 20_000
    assert sum(bar.trade_count for bar in got if bar.timeframe == "D1") == 20_000


@compiled(types.UniTuple(uint64, 2)(int64, int64))
def _multiply(one: int, other: int) -> tuple[int, int]:
    return wide.multiply(one, other)


@compiled(types.UniTuple(uint64, 2)(uint64, uint64, uint64, uint64))
def _add(high: int, low: int, more_high: int, more_low: int) -> tuple[int, int]:
    return wide.add(high, low, more_high, more_low)


@compiled(int64(uint64, uint64, int64))
def _divide(high: int, low: int, divisor: int) -> int:
    return wide.divide_half_even(high, low, divisor)


_LOW = (1 << 64) - 1
_EDGES = st.sampled_from([0, 1, 2, 3, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**62, 2**63 - 2**32, 2**63 - 2, 2**63 - 1])
_INT64 = st.integers(0, INT64_MAX) | _EDGES
_WIDE = st.integers(0, 2**128 - 1) | st.sampled_from([0, 1, _LOW, _LOW + 1, 2**127 - 1, 2**127, 2**128 - 1])


@given(one=_INT64, other=_INT64)
def test_products_are_exact(one: int, other: int) -> None:
    """Up to the square of the greatest int64."""
    high, low = _multiply(one, other)
    assert int(high) << 64 | int(low) == one * other


@given(one=_WIDE, other=_WIDE)
@example(one=_LOW, other=1)
def test_sums_carry(one: int, other: int) -> None:
    """From the low half to the high one, modulo 2**128."""
    words = (np.uint64(one >> 64), np.uint64(one & _LOW), np.uint64(other >> 64), np.uint64(other & _LOW))
    high, low = _add(*words)
    assert int(high) << 64 | int(low) == (one + other) % (1 << 128)


@given(quotient=_INT64, divisor=_INT64.filter(bool), rest=_INT64, tie=st.booleans())
def test_quotients_round_half_to_even(quotient: int, divisor: int, rest: int, tie: bool) -> None:
    """Ties too, as long as the quotient fits."""
    numerator = quotient * divisor + (divisor // 2 if tie else rest % divisor)
    expected = divide_half_even(numerator, divisor)
    if expected <= INT64_MAX:
        assert _divide(np.uint64(numerator >> 64), np.uint64(numerator & _LOW), divisor) == expected
