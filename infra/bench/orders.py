"""From a tick to the orders that it leads to, at an even rate: all stages, then the executor on paper."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Self

from infra.bench.ground import Ground, Run
from infra.bench.latency import PERCENTILES, Percentiles, start_pacer
from infra.bench.worker import ROOT, Workers
from infra.local.process import Child
from schemas.errors import StateError
from schemas.records import Metric
from sinks.instruments import load_instruments

__all__ = ["MEASURED_S", "tick_to_order"]

_VENUE = "sim-sei-clob"
_STAGES = "normalise,bars,features,inference,quoting"
_READY_S = 90.0
_SLACK_S = 60.0
# A new broker compiles its code for most of the first minute, and the first seconds have too little history to quote.
_WARM_S = 45.0
# Of which the executor's gauges are.
_WINDOW_S = 30.0
MEASURED_S = _WARM_S + 5 * _WINDOW_S + 2.0
"""The warm-up, five half minutes after it, and time for the executor's last report."""

_LATENCY = "latency_ms.tick_to_order"


def tick_to_order(
    ground: Ground, rate: int, seconds: float, markets: int, say: Callable[[str], None]
) -> dict[str, object]:
    """Pace ticks and the books of quoted markets through a worker with all stages and an executor.

    The executor reports what the last half minute was like. Of those after the warm-up the middle one by its p99 is
    given, and the p99 of each: what else the machine does shows in some of them.

    Raises:
        StateError: no order was sent, so nothing was measured.
    """
    run = ground.run("orders")
    load_instruments(run.settings)
    with Workers(run, stages=_STAGES, quoted_venues=_VENUE) as workers, _Executor(run) as executor:
        workers.wait_owned(_READY_S)
        before = len(workers.samples)
        pacer = start_pacer(run, rate, seconds, markets, books=_VENUE)
        earlier = 0
        windows: list[Percentiles] = []
        while pacer.is_alive:
            workers.poll()
            executor.child.check()
            elapsed = workers.samples[-1].time_s - workers.samples[before].time_s
            if elapsed < _WARM_S:
                earlier = executor.orders(workers)
            elif elapsed >= _WARM_S + _WINDOW_S * (len(windows) + 1):
                windows.append(executor.latency(workers))
        watched = workers.samples[before:]
        if not windows:  # a quick run is over before it is warm
            windows, earlier = [executor.latency(workers)], 0
        orders = executor.orders(workers)
        workers.wait_drained(_SLACK_S)
    elapsed = watched[-1].time_s - watched[0].time_s
    latency = sorted(windows, key=lambda window: window["p99"])[len(windows) // 2]
    say(f"{rate:,} ticks/s: tick to order {latency}")
    return {
        "name": f"orders-{rate}-per-s",
        "tick_to_order_ms": latency,
        "tick_to_order_ms_samples": orders - earlier,
        "half_minutes_p99_ms": [window["p99"] for window in windows],
        "seconds": seconds,
        "worker_cores": round((watched[-1].cpu_s - watched[0].cpu_s) / elapsed, 2),
        "rss_mb": round(max(sample.rss for sample in watched) / 2**20),
    }


class _Executor:
    """`flashmm sink executor` of a run, entered as a context."""

    def __init__(self, run: Run) -> None:
        self.child = Child(
            "executor",
            [sys.executable, "-m", "infra.cli", "sink", "executor"],
            log=run.ground.folder / "executor.log",
            environment=run.environment(quoted_venues=_VENUE),
            cwd=ROOT,
        )

    def __enter__(self) -> Self:
        self.child.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.child.kill()

    def latency(self, workers: Workers) -> Percentiles:
        """Give what it reported last, in milliseconds.

        Raises:
            StateError: it did not send an order lately.
        """
        metric = self._reported(workers)
        if metric is None or f"{_LATENCY}.p99" not in metric.gauges:
            raise StateError(f"no order was sent; see {self.child.log}")
        return {measure: round(metric.gauges[f"{_LATENCY}.{measure}"], 2) for measure in PERCENTILES}

    def orders(self, workers: Workers) -> int:
        """Count the orders that it has sent."""
        metric = self._reported(workers)
        return 0 if metric is None else metric.counters.get("orders", 0)

    @staticmethod
    def _reported(workers: Workers) -> Metric | None:
        for (component, _), metric in workers.observer.totals.latest.items():
            if component == "executor":
                return metric
        return None
