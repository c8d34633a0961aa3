"""Counters and gauges in Prometheus' text format, for process health; the same numbers as `ops.metrics`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from schemas.records import Metric

__all__ = ["exposition"]

_LABELS = ("component", "instance")


class _Metrics(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Family]:
        yield from self._families(CounterMetricFamily, lambda metric: metric.counters)
        yield from self._families(GaugeMetricFamily, lambda metric: metric.gauges)

    def _families(
        self, kind: type[CounterMetricFamily | GaugeMetricFamily], values: Callable[[Metric], Mapping[str, float]]
    ) -> Iterator[Family]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for metric in self._metrics:
            for name, value in values(metric).items():
                full = f"flashmm_{re.sub(r'[^a-zA-Z0-9]', '_', name).lower()}"
                family = families.get(full)
                if family is None:
                    family = families[full] = kind(full, f"{name} of {metric.component}", labels=_LABELS)
                family.add_metric((metric.component, metric.instance), value)
        yield from families.values()


def exposition(metrics: Iterable[Metric]) -> str:
    """Write metrics for Prometheus to scrape."""
    registry = CollectorRegistry()
    registry.register(_Metrics(metrics))
    return generate_latest(registry).decode()
