"""How the cost of a tick grows with markets, partitions and workers, and memory with time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infra.bench.drain import DrainPlan, drain_all, flashmm_drain
from infra.bench.ground import Ground
from infra.bench.latency import start_pacer
from infra.bench.log import TickLog
from infra.bench.worker import Sample, Workers

__all__ = ["CASES", "QUICK_CASES", "Case", "grow", "memory", "memory_result"]

_READY_S = 60.0
_MARKETS = 40
_MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Case:
    """One shape of a log and of who reads it."""

    markets: int = _MARKETS
    partitions: int = 4
    workers: int = 1

    @property
    def name(self) -> str:
        """Name it in results."""
        return f"markets-{self.markets}-partitions-{self.partitions}-workers-{self.workers}"


CASES = (
    *(Case(markets=markets) for markets in (1, 10, 40, 100, 1_000)),
    *(Case(partitions=partitions) for partitions in (1, 2, 8, 16)),
    Case(workers=2),
)
QUICK_CASES = (Case(markets=1), Case(markets=100, partitions=2))


def grow(
    folder: Path, cases: tuple[Case, ...], plan: DrainPlan, say: Callable[[str], None], **settings: Any
) -> list[dict[str, object]]:
    """Drain a log of each shape, each on a broker of its own; gives a result a case."""
    results: list[dict[str, object]] = []
    for case in cases:
        say(case.name)
        with Ground(folder / case.name, partitions=case.partitions) as ground:
            log = TickLog(ground, markets=case.markets)
            system = flashmm_drain(ground, "growth", workers=case.workers, **settings)
            results += drain_all(log, {case.name: system}, plan, say)
    return results


def memory(folder: Path, rate: int, seconds: float, say: Callable[[str], None], **settings: Any) -> dict[str, object]:
    """Run a worker at an even rate and watch its memory."""
    say(f"memory at {rate:,} ticks/s for {seconds:g} s")
    with Ground(folder / "memory") as ground:
        run = ground.run("memory")
        with Workers(run, **settings) as workers:
            workers.wait_owned(_READY_S)
            before = len(workers.samples)
            pacer = start_pacer(run, rate, seconds, _MARKETS)
            while pacer.is_alive:
                workers.poll()
            return {**memory_result(workers.samples[before:]), "ticks_per_s": rate}


def memory_result(samples: list[Sample]) -> dict[str, object]:
    """Say how resident memory went: at the start, in the middle, at the end, and its slope in the second half."""
    megabytes = [sample.rss / _MEGABYTE for sample in samples]
    minutes = [(sample.time_s - samples[0].time_s) / 60 for sample in samples]
    half = len(samples) // 2
    slope = np.polyfit(minutes[half:], megabytes[half:], 1)[0]
    return {
        "name": "memory",
        "seconds": round(samples[-1].time_s - samples[0].time_s, 1),
        "rss_start_mb": round(megabytes[0], 1),
        "rss_middle_mb": round(megabytes[half], 1),
        "rss_end_mb": round(megabytes[-1], 1),
        "rss_mb_per_minute": round(float(slope), 2),
    }
