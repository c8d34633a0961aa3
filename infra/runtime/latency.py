"""Latencies as percentiles over what was observed lately."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

__all__ = ["LatencyWindow"]

_PER_MILLE = {"p50": 500, "p99": 990, "p99_9": 999, "max": 1_000}


class LatencyWindow:
    """The last observations of named latencies, in microseconds.

    Args:
        size: Most that are kept of a name.
        reports: What was observed before so many reports counts no more: at one a second, half a minute.
    """

    def __init__(self, size: int = 16_384, reports: int = 30) -> None:
        self._size = size
        self._reports = reports
        self._observed: dict[str, _Ring] = {}

    def observe(self, name: str, micros: int) -> None:
        """Add an observation."""
        self.observe_all(name, np.array([micros], np.int64))

    def observe_all(self, name: str, micros: NDArray[np.int64]) -> None:
        """Add observations in their order."""
        if not len(micros):
            return
        ring = self._observed.get(name)
        if ring is None:
            ring = self._observed[name] = _Ring(self._size, self._reports)
        ring.add(micros)

    def gauges(self) -> dict[str, float]:
        """Report `<name>.p50`, `.p99`, `.p99_9` and `.max` in milliseconds, nearest rank, of every name observed."""
        gauges = {}
        for name, ring in self._observed.items():
            ordered = np.sort(ring.report())
            if not len(ordered):
                continue
            for percentile, share in _PER_MILLE.items():
                rank = max(0, -(-len(ordered) * share // 1_000) - 1)
                gauges[f"{name}.{percentile}"] = int(ordered[rank]) / 1_000
        return gauges


class _Ring:
    def __init__(self, size: int, reports: int) -> None:
        self._kept = np.zeros(size, np.int64)
        self._count = 0
        # How many there had been at the last reports.
        self._reported = deque([0], reports)

    def add(self, values: NDArray[np.int64]) -> None:
        kept = self._kept
        self._count += max(0, len(values) - len(kept))
        values = values[-len(kept) :]
        at = self._count % len(kept)
        before_end = min(len(values), len(kept) - at)
        kept[at : at + before_end] = values[:before_end]
        kept[: len(values) - before_end] = values[before_end:]
        self._count += len(values)

    def report(self) -> NDArray[np.int64]:
        """Give those since the first of the reports that are remembered, in any order."""
        size = len(self._kept)
        news = min(self._count - self._reported[0], size)
        self._reported.append(self._count)
        return self._kept[np.arange(self._count - news, self._count) % size]
