"""One order of ticks and decisions: what waits for what, and for how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schemas.codec import Codec
from schemas.columns import Spans, decode_ticks
from schemas.enums import Side, TickKind
from schemas.records import Cause, QuoteDecision, Tick
from sinks.executor.lapse import Lapse
from sinks.executor.merge import Merge, Merged
from sinks.executor.stretch import read_ticks
from tests.unit.sinks.executor.conftest import GRID_US as START_US
from tests.unit.sinks.executor.conftest import MARKET

CODEC = Codec(Tick, 1)


def merge_of(**options: Any) -> Merge:
    return Merge("market.ticks", 2, Counter(), **{"is_waiting": True, **options})


class Logs:
    """The two topics of a partition, and what comes of them: offsets of ticks, and grid points of decisions."""

    def __init__(self, merge: Merge, make_tick: Callable[..., Tick], make_decision: Callable[..., QuoteDecision]):
        self.merge = merge
        self._make_tick = make_tick
        self._make_decision = make_decision
        self._offset = 0

    def tick(self, offset: int, at_ms: int, message: int | None = None) -> list[str]:
        tick = self._make_tick(kind=TickKind.TRADE, side=Side.BUY, price=1, size=1)
        ts_recv = START_US + at_ms * 1_000
        self.merge.add((offset, replace(tick, ts_recv=ts_recv, message=offset if message is None else message)))
        return self.take()

    def others(self, *places: tuple[int, int]) -> list[str]:
        """Read ticks of another market at once, each an offset and a time."""
        tick = replace(self._make_tick(kind=TickKind.TRADE, side=Side.BUY, price=1, size=1), symbol="X/Y")
        made = [replace(tick, ts_recv=START_US + at_ms * 1_000, message=offset) for offset, at_ms in places]
        columns = decode_ticks(Spans.of([CODEC.encode(one) for one in made]), CODEC)
        for read in read_ticks(np.array([offset for offset, _ in places]), columns, [MARKET]):
            self.merge.add(read)
        return self.take()

    def decision(self, at_ms: int, cause: int, now_us: int = 0, **changes: Any) -> list[str]:
        decision = replace(self._make_decision(at_ms), cause_offset=cause, **changes)
        self._offset += 1
        self.merge.add_decision(decision, Cause("trading.quotes", 2, self._offset, self._offset), now_us)
        return self.take()

    def take(self) -> list[str]:
        return list(names(self.merge.take()))


def names(merged: Iterable[Merged]) -> Iterable[str]:
    for one, cause in merged:
        if isinstance(one, Tick):
            yield f"t{cause.offset}"
        elif isinstance(one, Lapse):
            assert (one.offsets[0], one.offsets[-1]) == (cause.first_offset, cause.offset)
            yield f"o{cause.first_offset}-{cause.offset}"
        else:
            yield f"d{(one.ts_grid - START_US) // 1_000}"


@pytest.fixture
def logs(make_tick: Callable[..., Tick], make_decision: Callable[..., QuoteDecision]) -> Logs:
    logs = Logs(merge_of(), make_tick, make_decision)
    logs.tick(1, 0)
    logs.tick(2, 200)
    logs.decision(200, cause=2)
    return logs


def test_ticks_wait_for_the_decision_of_a_grid_point(logs: Logs) -> None:
    """The one that crosses it goes, those behind it wait; the decision comes between."""
    assert logs.tick(3, 399) == ["t3"]
    assert logs.tick(4, 401) == ["t4"]
    assert logs.tick(5, 402) == []
    assert logs.decision(400, cause=4) == ["d400", "t5"]


def test_a_decision_waits_for_the_tick_that_it_names(logs: Logs) -> None:
    """It may be read first: the topics are not delivered in any order."""
    assert logs.decision(400, cause=4) == []
    assert (logs.merge.is_decided, logs.merge.has_decision) == (True, False)
    assert logs.tick(3, 399) == ["t3"]
    assert logs.tick(4, 401) == ["t4", "d400"]
    assert not logs.merge.is_decided
    assert logs.tick(5, 402) == ["t5"]


def test_a_market_that_never_decided_holds_up_nothing(
    make_tick: Callable[..., Tick], make_decision: Callable[..., QuoteDecision]
) -> None:
    """There are no orders that a decision could change."""
    logs = Logs(merge_of(), make_tick, make_decision)

    assert [logs.tick(n, n * 200) for n in range(1, 4)] == [["t1"], ["t2"], ["t3"]]


def test_every_followed_market_is_waited_for(logs: Logs) -> None:
    """One of two is not enough."""
    logs.decision(200, cause=2, symbol="SEI/USDT")
    logs.tick(3, 400)
    logs.tick(4, 401)

    assert logs.decision(400, cause=3) == ["d400"]
    assert logs.decision(400, cause=3, symbol="SEI/USDT") == ["d400", "t4"]


def test_a_market_that_falls_silent_is_waited_for_no_longer(logs: Logs) -> None:
    """After two seconds, by whatever clock tells when decisions are read; its next one is waited for again."""
    logs.tick(3, 400)
    assert logs.tick(4, 600) == []
    assert logs.merge.silent(2_000_000) == []
    assert logs.merge.silent(2_000_001) == [MARKET]

    logs.merge.forget(MARKET)
    assert logs.take() == ["t4"]
    assert logs.tick(5, 800) == ["t5"]
    assert logs.decision(400, cause=3, now_us=3_000_000) == ["d400"]
    assert logs.merge.silent(3_000_000) == []
    assert logs.tick(6, 1_000) == ["t6"]
    assert logs.tick(7, 1_001) == []


def test_a_pull_between_grid_points_follows_what_has_passed(logs: Logs) -> None:
    """Nobody waits for what may never come."""
    assert logs.tick(3, 250) == ["t3"]
    assert logs.tick(4, 260) == ["t4"]
    assert logs.decision(200, cause=3, sequence=1) == ["d200"]


def test_one_decision_a_second_is_waited_for_once_a_second(
    make_tick: Callable[..., Tick], make_decision: Callable[..., QuoteDecision]
) -> None:
    """At the grid points that its frequency divides."""
    logs = Logs(merge_of(frequency_hz=1), make_tick, make_decision)
    logs.tick(1, 0)
    logs.decision(0, cause=1)

    assert [logs.tick(n, n * 200 - 200) for n in range(2, 7)] == [["t2"], ["t3"], ["t4"], ["t5"], ["t6"]]
    assert logs.tick(7, 1_001) == []
    assert logs.decision(1_000, cause=6) == ["d1000", "t7"]


def test_a_tick_of_an_implausible_time_is_passed_over(logs: Logs) -> None:
    """As the worker does: it moves the clock only where the next message says so too."""
    assert logs.tick(3, 60_000) == []
    assert logs.tick(4, 210) == ["t4"]
    assert logs.tick(5, 90_000) == []
    assert logs.tick(6, 90_001) == ["t5", "t6"]


def test_a_tick_that_is_delivered_again_is_passed_over(logs: Logs) -> None:
    """By its offset."""
    assert logs.tick(3, 210) == ["t3"]
    assert logs.tick(3, 210) == []
    assert logs.tick(2, 200) == []


def test_what_waits_is_bounded(logs: Logs) -> None:
    """There is no room for more than so many; the shell stops reading until there is."""
    logs.tick(3, 400)
    assert logs.merge.wants_ticks
    offset = 3
    while logs.merge.wants_ticks:
        offset += 1
        logs.merge.add((offset, logs._make_tick(kind=TickKind.HEARTBEAT)))

    assert offset == 50_003
    assert len(logs.decision(400, cause=3)) == 50_001
    assert logs.merge.wants_ticks


def test_other_markets_pass_up_to_a_grid_point(logs: Logs) -> None:
    """The one that crosses it passes with those before it, those behind it wait; also at a point of books alone."""
    assert logs.others((3, 210), (4, 205), (6, 299), (7, 300), (8, 399), (9, 401), (10, 402)) == ["o3-7", "o8-9"]
    assert logs.decision(400, cause=9) == ["d400", "o10-10"]


def test_a_decision_comes_between_others(logs: Logs) -> None:
    """Right behind the tick that it names, or the next one where that is a hole."""
    logs.decision(200, cause=4, sequence=1)
    logs.decision(200, cause=6, sequence=2)
    assert logs.others((3, 210), (4, 211), (5, 212), (7, 213), (8, 214)) == ["o3-4", "d200", "o5-7", "d200", "o8-8"]


def test_an_implausible_time_among_others_is_judged(logs: Logs) -> None:
    """Those before it pass; it counts where the next message says so too."""
    assert logs.others((3, 210), (4, 60_000), (5, 220)) == ["o3-3", "t5"]
    assert logs.others((6, 230), (7, 90_000), (8, 90_001), (9, 90_002)) == ["o6-6", "t7", "t8"]
    assert logs.decision(90_000, cause=7) == ["d90000", "o9-9"]


def test_others_that_are_delivered_again_are_passed_over(logs: Logs) -> None:
    """By their offsets: of a batch, what is new goes on."""
    assert logs.others((3, 210), (4, 211)) == ["o3-4"]
    assert logs.others((3, 210), (4, 211), (5, 212)) == ["o5-5"]
    assert logs.others((4, 211), (5, 212)) == []


def test_without_waiting_all_goes_as_it_comes(
    make_tick: Callable[..., Tick], make_decision: Callable[..., QuoteDecision]
) -> None:
    """For venues that do not live on the log."""
    logs = Logs(merge_of(is_waiting=False), make_tick, make_decision)

    assert logs.decision(400, cause=4) == ["d400"]
    assert [logs.tick(n, n * 200) for n in (1, 2, 3)] == [["t1"], ["t2"], ["t3"]]
