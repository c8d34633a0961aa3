"""Drain one topic with several systems: each a prefix that takes it long enough, or all the same log in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.bench.ground import Ground
from infra.bench.log import TickLog
from infra.bench.worker import Workers
from schemas.errors import FlashMMError, StateError

__all__ = ["WARM_S", "Drain", "DrainPlan", "System", "drain_all", "drain_in_turn", "flashmm_drain", "median"]

WARM_S = 2.0
_TIMEOUT_S = 900.0
_FIRST_TRADES = 200_000
_MARGIN = 1.2
_MAX_ROUNDS = 16


@dataclass(frozen=True, slots=True)
class Drain:
    """One system, once through the log.

    Attributes:
        seconds: From the first record processed to the last.
        warm_rate: Ticks a second without the first `WARM_S` seconds, in which Java compiles; None where not told.
        cold_rate: Ticks a second of the first three million; None where not told.
        cpu_s: CPU that it used, of all its threads; None where it does not say.
        rss_mb: Its greatest resident size; None where it was not watched.
    """

    ticks: int
    seconds: float
    warm_rate: float | None = None
    cold_rate: float | None = None
    cpu_s: float | None = None
    rss_mb: float | None = None

    @property
    def rate(self) -> float:
        """Ticks a second."""
        return self.ticks / self.seconds

    def measures(self) -> dict[str, object]:
        """Give the drain as measures of a result."""
        found: dict[str, object] = {
            "ticks_per_s": round(self.rate),
            "ticks": self.ticks,
            "seconds": round(self.seconds, 2),
        }
        if self.warm_rate is not None:
            found["warm_ticks_per_s"] = round(self.warm_rate)
        if self.cold_rate is not None:
            found["first_3m_ticks_per_s"] = round(self.cold_rate)
        if self.cpu_s is not None:
            found["cpu_us_per_tick"] = round(self.cpu_s / self.ticks * 1e6, 3)
        if self.rss_mb is not None:
            found["rss_mb"] = round(self.rss_mb)
        return found


System = Callable[[TickLog], Drain]
"""Drains the log as it is."""


@dataclass(frozen=True, slots=True)
class DrainPlan:
    """How long each system is to be measured, and how often.

    Attributes:
        seconds: A drain that took less is repeated on a longer log.
        repeats: Drains of that length; the median is the result.
        max_trades: The log grows no further.
    """

    seconds: float = 10.0
    repeats: int = 1
    max_trades: int = 100_000_000
    first_trades: int = _FIRST_TRADES


@dataclass(slots=True)
class _Progress:
    wanted: int
    drains: list[Drain] = field(default_factory=list)
    problem: str | None = None


def drain_all(
    log: TickLog, systems: Mapping[str, System], plan: DrainPlan, say: Callable[[str], None]
) -> list[dict[str, object]]:
    """Drain with every system, growing the log until each has taken long enough; gives a result each.

    A system that cannot run has a result with `skipped`, the reason.
    """
    progress = {name: _Progress(plan.first_trades) for name in systems}
    open_ = dict(systems)
    for _ in range(_MAX_ROUNDS):
        if not open_:
            break
        _grow(log, min(progress[name].wanted for name in open_), plan, say)
        for name, system in list(open_.items()):
            if _try(name, system, log, plan, progress[name], say):
                del open_[name]
                for _ in range(plan.repeats - 1):
                    _drain(name, system, log, progress[name], say)
    return [_result(name, progress[name]) for name in systems]


def drain_in_turn(
    log: TickLog, systems: Mapping[str, System], plan: DrainPlan, say: Callable[[str], None]
) -> tuple[list[dict[str, object]], list[dict[str, float]]]:
    """Drain the same log with systems of a like speed, in turn and as often as planned; gives results, and the rates
    of each round.

    The log is as long as the fastest of them needs: where one took less than the time planned, it grows and all begin
    again. Name the fastest first. Every other round is in the opposite order, so that whatever changes on the machine
    meanwhile is shared.
    """
    wanted = plan.first_trades
    while True:
        _grow(log, wanted, plan, say)
        progress = {name: _Progress(wanted) for name in systems}
        rounds, longer = _rounds(log, systems, plan, progress, say)
        if longer is None:
            return [_result(name, progress[name]) for name in systems], rounds
        wanted = longer


def _rounds(
    log: TickLog,
    systems: Mapping[str, System],
    plan: DrainPlan,
    progress: Mapping[str, _Progress],
    say: Callable[[str], None],
) -> tuple[list[dict[str, float]], int | None]:
    """Drain in turn; gives the rates, and how long the log should have been as soon as one shows that it is short."""
    rounds: list[dict[str, float]] = []
    for number in range(plan.repeats):
        rounds.append({})
        for name in list(systems)[:: -1 if number % 2 else 1]:
            if _drain(name, systems[name], log, progress[name], say):
                drain = progress[name].drains[-1]
                rounds[-1][name] = drain.rate
                longer = _longer(drain, plan)
                if not number and drain.seconds < plan.seconds and log.trades < min(longer, plan.max_trades):
                    return rounds, longer
    return rounds, None


def _grow(log: TickLog, trades: int, plan: DrainPlan, say: Callable[[str], None]) -> None:
    trades = min(trades, plan.max_trades)
    if trades > log.trades:
        say(f"log of {trades:,} trades")
        log.grow(trades)


def _try(
    name: str, system: System, log: TickLog, plan: DrainPlan, progress: _Progress, say: Callable[[str], None]
) -> bool:
    """Drain the log as it is, if it is long enough for the system; true when it need be no longer."""
    if progress.wanted > log.trades and log.trades < plan.max_trades:
        return False
    progress.drains = []
    if not _drain(name, system, log, progress, say):
        return True
    (drain,) = progress.drains
    if drain.seconds < plan.seconds and log.trades < plan.max_trades:
        progress.wanted = _longer(drain, plan)
        return False
    return True


def _longer(drain: Drain, plan: DrainPlan) -> int:
    return int(max(drain.rate, drain.warm_rate or 0.0) * plan.seconds * _MARGIN)


def _drain(name: str, system: System, log: TickLog, progress: _Progress, say: Callable[[str], None]) -> bool:
    """Drain once; false when the system cannot, now or before."""
    if progress.problem is not None:
        return False
    try:
        drain = system(log)
    except FlashMMError as error:
        say(f"{name}: {error}")
        progress.problem = str(error)
        return False
    say(f"{name}: {drain.rate:,.0f} ticks/s over {drain.seconds:.1f} s")
    progress.drains.append(drain)
    return True


def _result(name: str, progress: _Progress) -> dict[str, object]:
    if progress.problem is not None:
        return {"name": name, "skipped": progress.problem}
    result = {"name": name, **median(progress.drains).measures()}
    if len(progress.drains) > 1:
        result["runs_ticks_per_s"] = [round(drain.rate) for drain in progress.drains]
    return result


def median(drains: Sequence[Drain]) -> Drain:
    """Give the drain of the middle rate; of an even number, the slower of the two."""
    return sorted(drains, key=lambda drain: drain.rate)[(len(drains) - 1) // 2]


def flashmm_drain(ground: Ground, name: str, *, workers: int = 1, **settings: Any) -> System:
    """Make the system that is our worker: stages normalise and bars, in a run of its own each time.

    The time is the broker's: from the arrival of the first bar to that of the last record published, which the last
    records of the log make. The ticks that were applied by the first arrival are not counted: see `Run.applied_by`.
    """
    runs = iter(range(1_000))

    def drain(log: TickLog) -> Drain:
        run = ground.run(f"{name}-{next(runs)}", keeps_outputs=False)
        with Workers(run, count=workers, **settings) as watched:
            watched.wait_drained(_TIMEOUT_S)
            watched.check_received(log.records)
            start_ms, end_ms = run.first_arrival_ms(), run.last_arrival_ms()
            warm_ms = start_ms + round(WARM_S * 1_000)
            ticks = log.records - run.applied_by(start_ms)
            if ticks <= 0 or end_ms <= start_ms:
                raise StateError(f"{run.name}: the log of {log.records:,} records is too short to be timed")
            warm_ticks = log.records - run.applied_by(warm_ms)
            return Drain(
                ticks,
                (end_ms - start_ms) / 1_000,
                warm_rate=warm_ticks * 1_000 / (end_ms - warm_ms) if end_ms > warm_ms and warm_ticks > 0 else None,
                cpu_s=watched.cpu_between(start_ms / 1_000, end_ms / 1_000),
                rss_mb=watched.rss_peak / 2**20,
            )

    return drain
