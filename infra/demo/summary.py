"""The summary of a run: what the components counted themselves, added up. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.enums import Timeframe
from schemas.reasons import RejectReason
from schemas.records import Metric

__all__ = ["Totals"]

_WORKER, _RECEIVED, _HELD = "worker", "ticks.received", "ticks.held"
_LATENCIES = {"tick_to_bar": "worker", "tick_to_order": "executor", "inference": "worker"}


@dataclass(slots=True)
class Totals:
    """The last metrics of every component instance; counters are cumulative, so the last one holds all.

    A worker's counters are in its snapshots and outlive it: `begin` tells a run from those before on the same Kafka.
    """

    latest: dict[tuple[str, str], Metric] = field(default_factory=dict)
    _before: dict[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)

    def add(self, metric: Metric) -> None:
        """Take a metric, in the order of its topic's partition."""
        self.latest[metric.component, metric.instance] = metric

    def begin(self) -> None:
        """Count from here; ticks that are held now are received, and decided on, after it."""
        for key, metric in self.latest.items():
            if metric.component == _WORKER:
                held = metric.counters.get(_HELD, 0)
                received = metric.counters.get(_RECEIVED, 0)
                self._before[key] = {**metric.counters, _RECEIVED: received - held, _HELD: 0}

    def counter(self, component: str, name: str) -> int:
        """Give a counter over all instances of a component; a component `x.*` stands for all below it."""
        return sum(self._counters(metric).get(name, 0) for metric in self._of(component))

    def counters_under(self, component: str, prefix: str) -> dict[str, int]:
        """Give the counters whose names begin with a prefix, by the rest of the name, over all instances."""
        found: dict[str, int] = {}
        for metric in self._of(component):
            for name, count in self._counters(metric).items():
                if name.startswith(prefix) and count:
                    found[name.removeprefix(prefix)] = found.get(name.removeprefix(prefix), 0) + count
        return dict(sorted(found.items()))

    def gauge(self, component: str, name: str) -> float | None:
        """Give the greatest value of a gauge over the instances of a component; None where nobody has it."""
        values = [metric.gauges[name] for metric in self._of(component) if name in metric.gauges]
        return max(values, default=None)

    def instances(self, component: str) -> int:
        """Count the instances of a component that have reported."""
        return len(list(self._of(component)))

    def ticks(self) -> dict[str, Any]:
        """Give received, accepted and rejected ticks; what is still held counts as rejected, PENDING."""
        rejected = self.counters_under(_WORKER, "ticks.rejected.")
        held = self.counter(_WORKER, _HELD)
        if held:
            rejected[RejectReason.PENDING] = rejected.get(RejectReason.PENDING, 0) + held
        return {
            "received": self.counter(_WORKER, _RECEIVED),
            "accepted": self.counter("worker", "ticks.accepted"),
            "rejected": rejected,
        }

    def document(self, *, dead_letters: int, rss_mb: Mapping[str, float], ran: Mapping[str, str]) -> dict[str, Any]:
        """Give the summary that `flashmm demo --json` ends with.

        Args:
            dead_letters: Records in `ops.dead-letters`.
            rss_mb: Peak resident memory by process.
            ran: What really ran: kafka, registry, redis, influx, executor.
        """
        bars = self.counters_under("worker", "bars.")
        return {
            "ticks": self.ticks(),
            "bars": {
                frame.value: {state: bars.get(f"{frame}.{state}", 0) for state in ("partial", "final", "corrected")}
                for frame in Timeframe
            },
            "features": self.counter("worker", "features"),
            "predictions": self.counter("worker", "predictions"),
            "decisions": self.counter("worker", "decisions"),
            "denied": self.counters_under("worker", "denied."),
            "orders": self.counter("executor", "orders"),
            "fills": self.counter("executor", "fills"),
            "redis_writes": self.counter("sink.redis", "writes"),
            "influx_points": self.counter("sink.influx", "points"),
            "dead_letters": dead_letters,
            "latency_ms": {name: self._latency(name, component) for name, component in _LATENCIES.items()},
            "rss_mb": {name: round(value, 1) for name, value in rss_mb.items()},
            **ran,
        }

    def _latency(self, name: str, component: str) -> dict[str, float | None]:
        return {each: self.gauge(component, f"latency_ms.{name}.{each}") for each in ("p50", "p99")}

    def _counters(self, metric: Metric) -> Mapping[str, int]:
        before = self._before.get((metric.component, metric.instance), {})
        return {name: count - before.get(name, 0) for name, count in metric.counters.items()}

    def _of(self, component: str) -> Iterable[Metric]:
        if component.endswith(".*"):
            return [m for (name, _), m in self.latest.items() if name.startswith(component[:-1])]
        return [m for (name, _), m in self.latest.items() if name == component]
