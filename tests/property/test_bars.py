"""Bars against a naive oracle, their conservation, roll-up, and independence of arrival order."""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.kernel.normalise import NormaliseConfig
from processors.kernel.steps import TradeStep
from schemas.enums import BarState, Side, Timeframe
from schemas.records import Bar, Tick
from tests.ticks import T0, Feed, Run, second

_SIZES = st.integers(1, 10**12)
_PRICES = st.integers(10**9, 10**9 + 10**7)
# (event time after T0, price, size, is it bought, delay)
_Print = tuple[int, int, int, bool, int]
_PRINTS = st.lists(
    st.tuples(st.integers(0, 400_000_000), _PRICES, _SIZES, st.booleans(), st.integers(0, 400_000_000)),
    min_size=1,
    max_size=40,
)


def log_of(prints: list[_Print], *, until_s: int) -> list[Tick]:
    """Trades in the order of their receipt, heartbeats of every second between them."""
    feed = Feed()
    received = sorted((T0 + at + delay, T0 + at, price, size, buys) for at, price, size, buys, delay in prints)
    log: list[Tick] = []
    beat = 0
    for ts_recv, ts_event, price, size, buys in received:
        while second(beat) <= ts_recv:
            log.append(feed.heartbeat(second(beat), watermark=second(beat - 1)))
            beat += 1
        tick = feed.trade(ts_recv, side=Side.BUY if buys else Side.SELL, ts_event=ts_event)
        log.append(replace(tick, price=price, size=size))
    while beat <= until_s:
        log.append(feed.heartbeat(second(beat), watermark=second(beat - 1)))
        beat += 1
    return log


def run_bars(log: list[Tick]) -> Run:
    run = Run(NormaliseConfig(max_age_us=10**15, max_ahead_us=10**15))
    return run.feed(log)


def latest(run: Run) -> dict[tuple[Timeframe, int], Bar]:
    """The final or corrected bars, greatest revision of each."""
    return {(bar.timeframe, bar.ts_open): bar for bar in run.bars if bar.state is not BarState.PARTIAL}


def naive(trades: list[TradeStep], timeframe: Timeframe) -> dict[int, dict[str, int]]:
    """Bars by grouping and sorting, in decimals."""
    groups: dict[int, list[TradeStep]] = {}
    for step in trades:
        at = step.tick.ts_event
        assert at is not None
        groups.setdefault(at // timeframe.micros * timeframe.micros, []).append(step)
    found = {}
    for start, steps in groups.items():
        ticks = [step.tick for step in sorted(steps, key=lambda step: (step.tick.ts_event or 0, step.offset))]
        volume = sum(tick.size for tick in ticks)
        quote_volume = sum(tick.price * tick.size for tick in ticks)
        with localcontext() as context:
            context.prec = 60
            vwap = int((Decimal(quote_volume) / volume).to_integral_value(ROUND_HALF_EVEN))
        found[start] = {
            "open": ticks[0].price,
            "high": max(tick.price for tick in ticks),
            "low": min(tick.price for tick in ticks),
            "close": ticks[-1].price,
            "volume": volume,
            "buy_volume": sum(tick.size for tick in ticks if tick.side is Side.BUY),
            "sell_volume": sum(tick.size for tick in ticks if tick.side is Side.SELL),
            "quote_volume": quote_volume,
            "vwap": vwap,
            "trade_count": len(ticks),
            "first_sequence": min(tick.sequence or 0 for tick in ticks),
            "last_sequence": max(tick.sequence or 0 for tick in ticks),
        }
    return found


@settings(max_examples=50, deadline=None)
@given(prints=_PRINTS)
def test_final_bars_equal_a_naive_oracle_in_every_timeframe(prints: list[_Print]) -> None:
    """However late each trade is, as long as corrections are accepted."""
    run = run_bars(log_of(prints, until_s=1_000))
    trades = [step for step in run.steps if isinstance(step, TradeStep)]
    assert (len(trades), run.builder.too_late) == (len(prints), 0)
    bars = latest(run)

    for timeframe in (Timeframe.M1, Timeframe.M5, Timeframe.M15):
        for start, expected in naive(trades, timeframe).items():
            if start + timeframe.micros > second(999):
                continue
            bar = bars.pop((timeframe, start))
            assert {name: getattr(bar, name) for name in expected} == expected
    assert bars == {}


@settings(max_examples=30, deadline=None)
@given(prints=_PRINTS)
def test_every_trade_is_in_one_minute_bar_or_counted_as_too_late(
    prints: list[_Print],
) -> None:
    """Volume is conserved, also beyond the time of corrections."""
    spread = [(at, price, size, buys, delay * 4) for at, price, size, buys, delay in prints]
    run = run_bars(log_of(spread, until_s=2_100))
    minutes = [bar for (timeframe, _), bar in latest(run).items() if timeframe is Timeframe.M1]

    assert sum(bar.trade_count for bar in minutes) + run.builder.too_late == len(prints)
    assert all(bar.volume == bar.buy_volume + bar.sell_volume for bar in minutes)
    if not run.builder.too_late:
        assert sum(bar.volume for bar in minutes) == sum(size for _, _, size, _, _ in prints)


@settings(max_examples=30, deadline=None)
@given(prints=_PRINTS)
def test_a_higher_bar_is_the_sum_of_its_minutes(prints: list[_Print]) -> None:
    """Also of those that were corrected before it was final."""
    run = run_bars(log_of(prints, until_s=1_000))
    bars = latest(run)

    for (timeframe, start), bar in bars.items():
        minutes = [bars.get((Timeframe.M1, at)) for at in range(start, bar.ts_close, Timeframe.M1.micros)]
        present = [minute for minute in minutes if minute is not None]
        assert timeframe in Timeframe
        assert (bar.open, bar.close) == (present[0].open, present[-1].close)
        assert (bar.high, bar.low) == (max(m.high for m in present), min(m.low for m in present))
        for name in ("volume", "buy_volume", "sell_volume", "quote_volume", "trade_count"):
            assert getattr(bar, name) == sum(getattr(minute, name) for minute in present)


_ARRIVAL = {"ts_emit", "revision", "cause_first_offset", "cause_offset", "first_sequence", "last_sequence", "flags"}


@settings(max_examples=40, deadline=None)
@given(
    prints=st.lists(
        st.tuples(st.integers(0, 119_999_999), _PRICES, _SIZES, st.booleans(), st.just(0)),
        min_size=1,
        max_size=30,
        unique_by=lambda one: one[0],
    ),
    seed=st.integers(0, 2**32),
)
def test_final_bars_do_not_depend_on_the_order_of_arrival(prints: list[_Print], seed: int) -> None:
    """Of trades at distinct times that arrive before the watermark."""

    def finals(order: list[_Print]) -> list[dict[str, object]]:
        feed = Feed()
        start = feed.heartbeat(T0, watermark=second(-2))
        trades = [
            replace(
                feed.trade(second(120), ts_event=T0 + at, side=Side.BUY if buys else Side.SELL), price=price, size=size
            )
            for at, price, size, buys, _ in order
        ]
        run = run_bars([start, *trades, feed.heartbeat(second(121), watermark=second(120))])
        return [
            {field.name: getattr(bar, field.name) for field in fields(bar) if field.name not in _ARRIVAL}
            for bar in run.bars
            if bar.state is BarState.FINAL
        ]

    shuffled = prints.copy()
    Random(seed).shuffle(shuffled)

    assert finals(shuffled) == finals(sorted(prints))
