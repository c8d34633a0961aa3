"""Latencies as percentiles over the last few thousand observations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LatencyWindow"]

_PER_MILLE = {"p50": 500, "p99": 990, "p99_9": 999, "max": 1_000}


class LatencyWindow:
    """The last observations of named latencies, in microseconds."""

    def __init__(self, size: int = 16_384) -> None:
        self._size = size
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
            ring = self._observed[name] = _Ring(self._size)
        ring.add(micros)

    def gauges(self) -> dict[str, float]:
        """Give `<name>.p50`, `.p99`, `.p99_9` and `.max` in milliseconds, nearest rank, for every name observed."""
        gauges = {}
        for name, ring in self._observed.items():
            ordered = np.sort(ring.values())
            for percentile, share in _PER_MILLE.items():
                rank = max(0, -(-len(ordered) * share // 1_000) - 1)
                gauges[f"{name}.{percentile}"] = int(ordered[rank]) / 1_000
        return gauges


class _Ring:
    def __init__(self, size: int) -> None:
        self._kept = np.zeros(size, np.int64)
        self._count = 0

    def add(self, values: NDArray[np.int64]) -> None:
        kept = self._kept
        self._count += max(0, len(values) - len(kept))
        values = values[-len(kept) :]
        at = self._count % len(kept)
        before_end = min(len(values), len(kept) - at)
        kept[at : at + before_end] = values[:before_end]
        kept[: len(values) - before_end] = values[before_end:]
        self._count += len(values)

    def values(self) -> NDArray[np.int64]:
        return self._kept[: self._count]
