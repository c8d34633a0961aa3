"""The bar contract, rule by rule; see docs/bars.md."""

from __future__ import annotations

from dataclasses import replace

import pytest

from processors.kernel.bars import BarConfig, EmptyPolicy
from processors.kernel.normalise import NormaliseConfig
from processors.kernel.snapshot import freeze, thaw
from schemas.enums import BarState, Flag, Side, Timeframe
from schemas.numbers import INT64_MAX
from schemas.records import Bar, Tick
from tests.ticks import T0, Feed, Run, px, qty, second

M1 = Timeframe.M1


def run_bars(config: BarConfig | None = None) -> Run:
    """Bars behind a normaliser that judges neither age nor jumps of the clock."""
    return Run(NormaliseConfig(max_age_us=10**15, max_ahead_us=10**15), config or BarConfig())


def bars(run: Run, timeframe: Timeframe = M1, state: BarState | None = None) -> list[Bar]:
    return [bar for bar in run.bars if bar.timeframe is timeframe and state in (None, bar.state)]


def final(run: Run, timeframe: Timeframe = M1) -> list[Bar]:
    return bars(run, timeframe, BarState.FINAL)


def corrected(run: Run, timeframe: Timeframe = M1) -> list[Bar]:
    return bars(run, timeframe, BarState.CORRECTED)


def beats(feed: Feed, start: int, stop: int) -> list[Tick]:
    """A heartbeat a second, its watermark a second behind."""
    return [feed.heartbeat(second(s), watermark=second(s - 1)) for s in range(start, stop)]


def test_a_bar_sums_up_the_trades_of_its_interval() -> None:
    """Exactly: quote volume in 1e-17, vwap rounded half-even."""
    run, feed = run_bars(), Feed()

    run.feed(
        feed.trade(second(1), "1.000000001", "0.00000003", sequence=5),
        feed.trade(second(2), "1.05", "0.00000001", Side.SELL, sequence=3),
        feed.trade(second(3), "0.99", "0.00000002", sequence=9),
        beats(feed, 4, 63),
    )

    (bar,) = final(run)
    assert (bar.open, bar.high, bar.low, bar.close) == (px("1.000000001"), px("1.05"), px("0.99"), px("0.99"))
    assert (bar.volume, bar.buy_volume, bar.sell_volume, bar.trade_count) == (6, 5, 1, 3)
    assert bar.quote_volume == 3 * 1_000_000_001 + 1_050_000_000 + 2 * 990_000_000
    assert bar.vwap == 1_005_000_000  # 1005000000.5, to even
    assert (bar.first_sequence, bar.last_sequence) == (3, 9)
    assert (bar.ts_open, bar.ts_close) == (T0, second(60))


def test_an_interval_includes_its_start_and_not_its_end() -> None:
    """[start, end), aligned to the epoch."""
    run, feed = run_bars(), Feed()

    run.feed(feed.trade(T0, 100), feed.trade(second(60) - 1, 101), feed.trade(second(60), 102), beats(feed, 61, 122))

    assert [(bar.ts_open, bar.trade_count) for bar in final(run)] == [(T0, 2), (second(60), 1)]


def test_open_and_close_go_by_event_time_then_by_arrival() -> None:
    """Not by the order of the log."""
    run, feed = run_bars(), Feed()

    run.feed(
        [
            feed.trade(second(9), price, ts_event=second(s))
            for price, s in ((102, 5), (100, 2), (101, 2), (103, 5), (104, 3))
        ],
        beats(feed, 10, 63),
    )

    (bar,) = final(run)
    assert (bar.open, bar.close) == (px(100), px(103))


def test_a_bar_is_final_when_the_watermark_reaches_its_end() -> None:
    """Not when the clock does."""
    run, feed = run_bars(), Feed()
    run.feed(feed.trade(second(40)), feed.heartbeat(second(61), watermark=second(60) - 1))
    assert final(run) == []

    run.feed(feed.heartbeat(second(62), watermark=second(60)))

    (bar,) = final(run)
    assert (bar.ts_emit, bar.cause_first_offset, bar.cause_offset) == (second(62), 0, 2)


def test_only_the_source_that_serves_a_market_makes_its_bars_final() -> None:
    """Another one knows nothing of it."""
    run, feed = run_bars(), Feed()

    run.feed(feed.trade(second(1)), beats(Feed("B/USDC", source="other"), 2, 25))
    run.feed(Feed("B/USDC", source="other", session=2).heartbeat(second(26), watermark=second(120)))

    assert final(run) == []


def test_a_venue_without_event_times_is_placed_by_receipt() -> None:
    """The bar says so, and is final when the source speaks after its end."""
    run, feed = run_bars(), Feed()

    run.feed(feed.trade(second(1), ts_event=None), [feed.heartbeat(second(s)) for s in range(2, 62)])

    (bar,) = final(run)
    assert bar.flags == Flag.NO_EVENT_TIME


def test_a_silent_source_makes_bars_final_and_gapped() -> None:
    """After 30 s of partition clock, and not before the interval ended."""
    run, feed = run_bars(), Feed()
    other = Feed("B/USDC", source="other")
    run.feed(feed.trade(second(20)))

    run.feed(beats(other, 21, 60))
    assert final(run) == []

    run.feed(beats(other, 60, 62))
    (bar,) = final(run)
    assert (bar.flags, bar.is_complete) == (Flag.GAPPED, False)


def test_partial_bars_are_made_on_whole_seconds_when_they_changed() -> None:
    """Of every timeframe; nothing is said twice."""
    run, feed = run_bars(), Feed()

    run.feed(feed.trade(second(0.5), 100), feed.trade(second(0.7), 101), feed.heartbeat(second(1.1)))
    assert [(bar.timeframe, bar.state, bar.ts_emit, bar.trade_count) for bar in run.bars] == [
        (timeframe, BarState.PARTIAL, second(1), 2) for timeframe in Timeframe
    ]
    assert not any(bar.is_complete for bar in run.bars)

    run.feed([feed.heartbeat(second(s)) for s in (2.1, 3.1)])
    assert len(run.bars) == 6


def test_a_partial_higher_bar_is_its_final_minutes_and_the_open_one() -> None:
    """As it would be if the interval ended now."""
    run, feed = run_bars(), Feed()
    five = second(60)  # T0 is the last minute of its five

    run.feed(
        feed.trade(five, 100),
        beats(feed, 61, 125),
        feed.trade(five + 65_000_000, 105, 2),
        beats(feed, 126, 128),
    )

    assert final(run, Timeframe.M5) == []
    bar = bars(run, Timeframe.M5)[-1]
    assert (bar.ts_open, bar.open, bar.close, bar.volume, bar.trade_count) == (five, px(100), px(105), qty(3), 2)


def test_revisions_rise_by_one_with_each_record_of_a_bar() -> None:
    """Partial, final and corrected alike, from 0."""
    run, feed = run_bars(), Feed()

    run.feed(
        [feed.trade(second(s + 0.5)) for s in range(5)], beats(feed, 6, 63), feed.trade(second(63), ts_event=second(3))
    )

    assert [bar.revision for bar in bars(run)] == list(range(7))
    assert [bar.state for bar in bars(run)] == [BarState.PARTIAL] * 5 + [BarState.FINAL, BarState.CORRECTED]


def test_a_late_trade_corrects_every_final_bar_that_holds_it() -> None:
    """And goes into those that are still open."""
    run, feed = run_bars(), Feed()
    run.feed(feed.trade(second(40), 100), feed.trade(second(61), 100), beats(feed, 62, 125))
    assert len(final(run)) == 2
    assert len(final(run, Timeframe.M5)) == 1

    run.feed(feed.trade(second(125), 105, ts_event=second(42)), feed.heartbeat(second(127)))

    (minute,), (five,) = corrected(run), corrected(run, Timeframe.M5)
    assert (minute.close, minute.trade_count, minute.cause_offset) == (px(105), 2, 65)
    assert (five.close, five.trade_count) == (px(105), 2)
    assert minute.flags & five.flags & Flag.LATE
    # The hour holds both minutes and is still open: it is not late for it.
    hour = bars(run, Timeframe.H1)[-1]
    assert (hour.state, hour.trade_count, hour.flags & Flag.LATE) == (BarState.PARTIAL, 3, 0)


def test_a_late_trade_in_an_empty_interval_makes_its_bar() -> None:
    """There was none to correct, but the interval was final."""
    run, feed = run_bars(), Feed()
    run.feed(feed.trade(second(1)), feed.trade(second(121)), beats(feed, 122, 185))

    run.feed(feed.trade(second(185), ts_event=second(70)))

    (bar,) = corrected(run)
    assert (bar.ts_open, bar.revision, bar.trade_count, bar.is_complete) == (second(60), 0, 1, True)


def test_a_trade_below_the_watermark_is_not_late_while_its_bar_is_open() -> None:
    """The promise may be broken within the interval."""
    run, feed = run_bars(), Feed()

    run.feed(feed.trade(second(1)), beats(feed, 2, 50), feed.trade(second(50), ts_event=second(3)), beats(feed, 51, 63))

    (bar,) = final(run)
    assert (bar.trade_count, bar.flags & Flag.LATE) == (2, 0)


def test_corrections_end_ten_minutes_after_the_bar_was_final() -> None:
    """By the partition's clock; what comes later is counted and kept aside."""
    run, feed = run_bars(), Feed()
    late = {"ts_event": second(2), "flags": Flag.REPLAYED}
    run.feed(feed.trade(second(1)), beats(feed, 2, 662))

    run.feed(feed.trade(second(661), **late))
    assert (len(corrected(run)), run.builder.too_late) == (1, 0)

    run.feed(feed.trade(second(661.1), **late))
    assert (len(corrected(run)), run.builder.too_late) == (1, 1)


def test_a_new_markets_trades_long_before_the_watermark_are_too_late() -> None:
    """Its bars were never open here."""
    run, feed = run_bars(), Feed()

    run.feed(
        feed.heartbeat(T0, watermark=T0),
        feed.trade(T0, ts_event=second(-601), flags=Flag.REPLAYED),
        feed.trade(T0, ts_event=second(-1)),
    )

    assert run.builder.too_late == 1
    assert [bar.ts_open for bar in corrected(run)] == [second(-60)]


def test_the_first_bar_after_a_start_is_not_complete() -> None:
    """What was traded before the source was observed is not known."""
    run, feed = run_bars(), Feed()

    for minute in range(3):
        run.feed(feed.trade(second(60 * minute + 1)), beats(feed, 60 * minute + 2, 60 * minute + 60))
    run.feed(beats(feed, 180, 423))

    assert [bar.is_complete for bar in final(run)] == [False, True, True]
    assert [bar.is_complete for bar in final(run, Timeframe.M5)] == [False, True]


def test_a_quiet_markets_first_bar_is_complete_when_its_source_was_observed() -> None:
    """The source was there; there was nothing to see."""
    run, feed = run_bars(), Feed()

    run.feed(beats(feed, 0, 100), feed.trade(second(100)), beats(feed, 101, 123))

    assert [bar.is_complete for bar in final(run)] == [True]


def test_a_gap_flags_the_open_bars_and_the_next_trades() -> None:
    """Something is missing between them."""
    run, feed = run_bars(), Feed()

    run.feed(
        feed.trade(second(1)),
        beats(feed, 2, 30),
        feed.status(second(30), Flag.GAPPED),
        beats(feed, 31, 65),
        feed.trade(second(65)),
        beats(feed, 66, 125),
        feed.trade(second(125)),
        beats(feed, 126, 423),
    )

    assert [bool(bar.flags & Flag.GAPPED) for bar in final(run)] == [True, True, False]
    assert [bool(bar.flags & Flag.GAPPED) for bar in final(run, Timeframe.M5)] == [True, True]


def test_a_gap_long_before_a_quiet_markets_next_trade_is_not_in_its_bar() -> None:
    """The interval was observed from its start."""
    run, feed = run_bars(), Feed()

    run.feed(
        feed.trade(second(1)),
        feed.status(second(2), Flag.GAPPED),
        beats(feed, 3, 300),
        feed.trade(second(300)),
        beats(feed, 301, 363),
    )

    assert [bool(bar.flags & Flag.GAPPED) for bar in final(run)] == [True, False]


def test_quality_flags_of_trades_are_those_of_the_bar() -> None:
    """Spikes, skew and order can be seen in what was built from them."""
    run, feed = run_bars(), Feed()

    run.feed(
        feed.trade(second(2), flags=Flag.AGGREGATE),
        feed.trade(second(2), ts_event=second(1)),
        beats(feed, 3, 63),
    )

    assert final(run)[0].flags == Flag.AGGREGATE | Flag.OUT_OF_ORDER


def test_intervals_without_trades_make_no_bar_by_default() -> None:
    """None is invented."""
    run, feed = run_bars(), Feed()

    run.feed(feed.trade(second(1)), beats(feed, 2, 303))

    assert [bar.ts_open for bar in final(run)] == [T0]


def test_empty_intervals_can_carry_the_last_close() -> None:
    """Without volume, in every timeframe, from the first bar on; a late trade corrects them."""
    run = run_bars(BarConfig(emit_empty=EmptyPolicy.CARRY_CLOSE))
    feed = Feed()
    run.feed(beats(feed, -120, 0), feed.trade(second(1), 100), beats(feed, 2, 363))

    empty = final(run)[1:]
    assert [(bar.ts_open, bar.open, bar.close, bar.vwap) for bar in empty] == [
        (second(60 * i), px(100), px(100), px(100)) for i in range(1, 6)
    ]
    assert {(bar.volume, bar.quote_volume, bar.trade_count) for bar in empty} == {(0, 0, 0)}
    assert [(bar.ts_open, bar.trade_count) for bar in final(run, Timeframe.M5)] == [(second(-240), 1), (second(60), 0)]

    run.feed(feed.trade(second(363), 101, ts_event=second(70)))
    assert [(bar.open, bar.trade_count, bar.revision) for bar in corrected(run)] == [(px(101), 1, 1)]
    assert [(bar.open, bar.trade_count, bar.revision) for bar in corrected(run, Timeframe.M5)] == [(px(101), 1, 1)]


def test_an_event_time_far_in_the_future_is_not_believed() -> None:
    """Its bar would stay open for ever; the receipt stands in, and the bar says so."""
    run, feed = run_bars(), Feed()

    run.feed(feed.trade(second(1), ts_event=T0 * 2), beats(feed, 2, 63))

    (bar,) = final(run)
    assert bar.flags & Flag.NO_EVENT_TIME


def test_a_volume_that_does_not_fit_is_counted_and_loses_only_its_bar() -> None:
    """Each trade fits its contract, their sum need not; nothing wraps or saturates."""
    run, feed = run_bars(), Feed()
    huge = replace(feed.trade(second(1)), size=INT64_MAX)

    run.feed(huge, feed.trade(second(2)), feed.trade(second(61), 101), beats(feed, 62, 123))

    assert [bar.ts_open for bar in final(run)] == [second(60)]
    assert run.builder.unfit > 0


def test_at_the_end_of_a_log_open_bars_are_given_as_they_stand() -> None:
    """Partial and incomplete: nothing is made final because a recording ends."""
    run, feed = run_bars(), Feed()
    run.feed(feed.trade(second(1), 100), feed.trade(second(61), 101), beats(feed, 62, 63))
    before = run.snapshot()

    found = run.builder.open_bars(second(63))

    assert [(bar.timeframe, bar.ts_open, bar.trade_count) for bar in found if bar.timeframe in ("M1", "M5", "H1")] == [
        ("M1", second(60), 1),
        ("M5", second(60), 1),
        ("H1", T0 - T0 % 3_600_000_000, 2),
    ]
    assert {(bar.state, bar.is_complete, bar.ts_emit) for bar in found} == {(BarState.PARTIAL, False, second(63))}
    assert run.snapshot() == before


@pytest.mark.parametrize("policy", EmptyPolicy)
def test_the_state_comes_back_exactly(policy: EmptyPolicy) -> None:
    """With open, final and corrected bars, gaps and two sources in it."""
    run = run_bars(BarConfig(emit_empty=policy))
    feed, other = Feed(), Feed("B/USDC", source="other")
    run.feed(
        feed.trade(second(1)),
        other.trade(second(1)),
        beats(feed, 2, 185),
        feed.trade(second(185), ts_event=second(3)),
        feed.status(second(185), Flag.GAPPED),
        feed.trade(second(186)),
        other.status(second(186), Flag.GAPPED),
    )
    state = run.snapshot()

    run.restart(thaw(freeze(state)))

    assert run.snapshot() == state
