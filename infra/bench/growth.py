"""How the cost of a tick grows with markets, partitions and workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.bench.drain import DrainPlan, drain_all, flashmm_drain
from infra.bench.ground import Ground
from infra.bench.log import TickLog

__all__ = ["CASES", "QUICK_CASES", "Case", "grow"]

_MARKETS = 40


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
QUICK_CASES = (Case(markets=100, partitions=2, workers=2),)


def grow(
    folder: Path, cases: Sequence[Case], plan: DrainPlan, say: Callable[[str], None], *, rate: int, is_quick: bool
) -> list[dict[str, object]]:
    """Drain a log of each shape, each on a broker of its own, publishing bars; gives a result a case.

    Args:
        rate: Ticks a second of the logs' time.
    """
    results: list[dict[str, object]] = []
    for case in cases:
        say(case.name)
        with Ground(folder / case.name, partitions=case.partitions, is_quick=is_quick) as ground:
            log = TickLog(ground, markets=case.markets, rate=rate)
            system = flashmm_drain(ground, "growth", workers=case.workers, publish_trades=False)
            results += drain_all(log, {case.name: system}, plan, say)
    return results
