"""Sessions, messages, ordinals and the watermark."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from producers.numbering import HeartbeatClock, TickFactory, TickFields
from schemas.enums import Flag, Side, TickKind

T0 = 1_700_000_000_000_000


def fields(count: int) -> list[TickFields]:
    return [TickFields(symbol="A/B", kind=TickKind.LEVEL, side=Side.BUY, price=1, size=1) for _ in range(count)]


def opened() -> TickFactory:
    factory = TickFactory("venue", "source")
    factory.open(T0)
    return factory


@given(st.lists(st.integers(0, 5), max_size=8))
def test_a_message_is_numbered_and_has_one_first_and_one_last_tick(sizes: list[int]) -> None:
    """An empty one takes no number."""
    factory = opened()
    messages = [ticks for size in sizes if (ticks := factory.message(T0, fields(size)))]
    for number, ticks in enumerate(messages):
        assert {tick.message for tick in ticks} == {number}
        assert [tick.ordinal for tick in ticks] == list(range(len(ticks)))
        assert [tick.first for tick in ticks] == [True] + [False] * (len(ticks) - 1)
        assert [tick.last for tick in ticks] == [False] * (len(ticks) - 1) + [True]


def test_a_session_is_never_the_same_twice() -> None:
    """Even where the clock stands still or goes back; each counts its messages from 0."""
    factory = opened()
    factory.message(T0, fields(1))
    factory.open(T0 - 1)
    assert factory.session == T0 + 1
    assert factory.message(T0, fields(1))[0].message == 0


def test_a_status_has_neither_side_nor_price() -> None:
    """Only the flags say something."""
    (tick,) = opened().status(T0, "A/B", Flag.GAPPED)
    assert (tick.kind, tick.side, tick.price, tick.size, tick.flags) == (TickKind.STATUS, Side.NONE, 0, 0, 1)


def test_the_watermark_is_the_greatest_time_less_the_lateness() -> None:
    """None before any time is known; it never goes back, nor ahead of a believable time."""
    clock = HeartbeatClock(1_000_000)
    assert clock.watermark is None
    for ts_event in (T0, None, T0 - 5, T0 + 60_000_001):
        clock.observe(ts_event, T0)
        assert clock.watermark == T0 - 1_000_000
    clock.observe(T0 + 60_000_000, T0)
    assert clock.watermark == T0 + 59_000_000


@given(st.integers(1, 250_000), st.integers(300_000, 1_000_000))
def test_heartbeats_are_never_further_apart_than_the_interval(step_us: int, interval_us: int) -> None:
    """As long as the source hears the time at least every 250 ms."""
    clock, factory = HeartbeatClock(0, interval_us), opened()
    beats = [T0 + n * step_us for n in range(50) if clock.beat(T0 + n * step_us, factory)]
    assert beats[0] == T0
    assert all(after - before <= interval_us for before, after in pairwise(beats))


def test_a_clock_that_goes_back_does_not_stop_the_heart() -> None:
    """Otherwise the source would seem dead until the old time is reached again."""
    clock, factory = HeartbeatClock(0), opened()
    assert clock.beat(T0, factory)
    assert clock.beat(T0 - 3_600_000_000, factory)
