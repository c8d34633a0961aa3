"""Drain one topic with several systems, each a prefix of it that takes it long enough to be measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.bench.ground import Ground
from infra.bench.log import TickLog
from infra.bench.worker import Workers
from schemas.errors import FlashMMError

__all__ = ["Drain", "DrainPlan", "System", "drain_all", "flashmm_drain", "median"]

_TIMEOUT_S = 900.0
_FIRST_TRADES = 200_000
_MARGIN = 1.25
_MAX_ROUNDS = 16


@dataclass(frozen=True, slots=True)
class Drain:
    """One system, once through the log.

    Attributes:
        seconds: From the first record processed to the last.
        cpu_s: CPU that it used meanwhile, of all its threads; None where it does not say.
        rss_mb: Its greatest resident size; None where it was not watched.
    """

    ticks: int
    seconds: float
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
    max_trades: int = 60_000_000
    first_trades: int = _FIRST_TRADES


@dataclass(slots=True)
class _Progress:
    drains: list[Drain] = field(default_factory=list)
    wanted: int = 0
    problem: str | None = None


def drain_all(
    log: TickLog, systems: Mapping[str, System], plan: DrainPlan, say: Callable[[str], None]
) -> list[dict[str, object]]:
    """Drain with every system, growing the log until each has taken long enough; gives a result each.

    A system that cannot run has a result with `skipped`, the reason.
    """
    progress = {name: _Progress(wanted=plan.first_trades) for name in systems}
    open_ = dict(systems)
    for _ in range(_MAX_ROUNDS):
        if not open_:
            break
        trades = min(min(progress[name].wanted for name in open_), plan.max_trades)
        say(f"log of {trades:,} trades")
        log.grow(trades)
        for name, system in list(open_.items()):
            if _try(name, system, log, plan, progress[name], say):
                del open_[name]
    return [_result(name, progress[name]) for name in systems]


def _try(
    name: str, system: System, log: TickLog, plan: DrainPlan, progress: _Progress, say: Callable[[str], None]
) -> bool:
    """Drain the log as it is, if it is long enough for the system; true when nothing more is to be done."""
    if progress.wanted > log.trades and log.trades < plan.max_trades:
        return False
    try:
        drain = system(log)
        say(f"{name}: {drain.rate:,.0f} ticks/s over {drain.seconds:.1f} s")
        progress.drains = [drain]
        if drain.seconds < plan.seconds and log.trades < plan.max_trades:
            progress.wanted = int(drain.rate * plan.seconds * _MARGIN)
            return False
        for _ in range(plan.repeats - 1):
            progress.drains.append(system(log))
    except FlashMMError as error:
        say(f"{name}: {error}")
        progress.problem = str(error)
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

    The time is the broker's: from the arrival of the first bar, made by the first records of the log, to that of the
    last record published, made by its last ones. That first bar arrives when its batch is done, so one batch of the
    worker's greatest size is not counted among the ticks.
    """
    runs = iter(range(1_000))

    def drain(log: TickLog) -> Drain:
        run = ground.run(f"{name}-{next(runs)}")
        with Workers(run, count=workers, **settings) as watched:
            watched.wait_drained(_TIMEOUT_S)
            watched.check_received(log.records)
            start_s, end_s = watched.span_s()
            cpu_s = watched.cpu_between(start_s, end_s)
            ticks = log.trades - run.settings.batch_max_records
            return Drain(ticks, end_s - start_s, cpu_s, watched.rss_peak / 2**20)

    return drain
