"""Each system drains a prefix of one log that takes it long enough, and what cannot run is said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from infra.bench.drain import Drain, DrainPlan, System, drain_all, drain_in_turn, median
from infra.bench.log import TickLog
from schemas.errors import ServiceUnavailable


@dataclass
class FakeLog:
    """A log that remembers how it grew."""

    trades: int = 0
    grown: list[int] = field(default_factory=list)

    def grow(self, trades: int) -> None:
        if trades > self.trades:
            self.trades = trades
            self.grown.append(trades)


def at_rate(rate: float, seen: list[int] | None = None) -> System:
    def drain(log: TickLog) -> Drain:
        if seen is not None:
            seen.append(log.trades)
        return Drain(log.trades, log.trades / rate)

    return drain


def run(log: FakeLog, systems: dict[str, System], plan: DrainPlan) -> dict[str, dict[str, Any]]:
    results = drain_all(cast(TickLog, log), systems, plan, lambda _: None)
    assert [result["name"] for result in results] == list(systems)
    return {str(result["name"]): result for result in results}


def test_the_log_grows_until_each_system_took_long_enough() -> None:
    """A slow system is measured on a short prefix, once; a fast one on a longer, of the same topic."""
    log, slow, fast = FakeLog(), list[int](), list[int]()
    systems = {"fast": at_rate(1_000_000, fast), "slow": at_rate(10_000, slow)}

    results = run(log, systems, DrainPlan(seconds=10, first_trades=200_000))

    assert slow == [200_000]
    assert fast == [200_000, 12_000_000]
    assert log.grown == [200_000, 12_000_000]
    assert results["slow"]["ticks_per_s"] == 10_000
    assert results["fast"]["seconds"] == 12


def test_a_log_has_a_greatest_size() -> None:
    """What is faster than that is measured for as long as it takes."""
    log = FakeLog()

    results = run(log, {"fast": at_rate(1e9)}, DrainPlan(seconds=10, first_trades=100, max_trades=5_000))

    assert log.trades == 5_000
    assert results["fast"]["ticks"] == 5_000


def test_a_system_that_cannot_run_says_why_and_stops_nobody() -> None:
    """For instance because its packages could not be installed."""

    def broken(_: TickLog) -> Drain:
        raise ServiceUnavailable("quix", "its package index", "no answer")

    results = run(FakeLog(), {"quix": broken, "other": at_rate(100)}, DrainPlan(seconds=1, first_trades=1_000))

    assert "no answer" in str(results["quix"]["skipped"])
    assert results["other"]["ticks_per_s"] == 100


def test_of_repeated_drains_the_median_counts() -> None:
    """And all are told."""
    rates = iter([100.0, 300.0, 200.0])
    system: System = lambda log: Drain(log.trades, log.trades / next(rates))  # noqa: E731

    results = run(FakeLog(), {"uneven": system}, DrainPlan(seconds=1, repeats=3, first_trades=1_000))

    assert results["uneven"]["ticks_per_s"] == 200
    assert results["uneven"]["runs_ticks_per_s"] == [100, 300, 200]


def test_in_turn_all_drain_the_log_that_the_fastest_needs() -> None:
    """One that shows the log to be short makes all begin again; every other round is in the opposite order."""
    log, order = FakeLog(), list[tuple[str, int]]()

    def told(name: str, rate: float) -> System:
        def drain(log: TickLog) -> Drain:
            order.append((name, log.trades))
            return Drain(log.trades, log.trades / rate)

        return drain

    systems = {"fast": told("fast", 1_000_000), "slow": told("slow", 500_000)}
    plan = DrainPlan(seconds=10, repeats=2, first_trades=1_000_000)
    results, rounds = drain_in_turn(cast(TickLog, log), systems, plan, lambda _: None)

    length = 12_000_000
    rising = [("fast", 1_000_000), ("fast", length), ("slow", length)]
    assert order == [*rising, ("slow", length), ("fast", length)]
    assert rounds == [{"fast": 1_000_000, "slow": 500_000}] * 2
    assert [result["name"] for result in results] == ["fast", "slow"]


def test_in_turn_one_that_cannot_run_is_asked_once() -> None:
    """The others go on without it."""
    asked = list[int]()

    def broken(_: TickLog) -> Drain:
        asked.append(1)
        raise ServiceUnavailable("peer", "this machine", "no answer")

    plan = DrainPlan(seconds=1, repeats=3, first_trades=1_000)
    systems = {"broken": broken, "other": at_rate(100)}
    results, rounds = drain_in_turn(cast(TickLog, FakeLog()), systems, plan, lambda _: None)

    assert len(asked) == 1
    assert "skipped" in results[0]
    assert rounds == [{"other": 100}] * 3


def test_the_median_of_an_even_number_is_the_slower_middle() -> None:
    """Rather too little than too much."""
    drains = [Drain(ticks, 1.0) for ticks in (4, 1, 3, 2)]

    assert median(drains).rate == 2


def test_measures_name_their_unit() -> None:
    """What a system does not tell is left out."""
    assert Drain(2_000, 4.0).measures() == {"ticks_per_s": 500, "ticks": 2_000, "seconds": 4.0}
    assert Drain(9, 1.0, warm_rate=8.0, cold_rate=7.0).measures()["warm_ticks_per_s"] == 8
    assert Drain(1_000, 1.0, cpu_s=0.5, rss_mb=99.6).measures()["cpu_us_per_tick"] == pytest.approx(500)
