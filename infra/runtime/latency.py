"""Latencies as percentiles over the last few thousand observations."""

from __future__ import annotations

from collections import deque

__all__ = ["LatencyWindow"]


class LatencyWindow:
    """The last observations of named latencies, in microseconds."""

    def __init__(self, size: int = 4_096) -> None:
        self._size = size
        self._observed: dict[str, deque[int]] = {}

    def observe(self, name: str, micros: int) -> None:
        """Add an observation."""
        window = self._observed.get(name)
        if window is None:
            window = self._observed[name] = deque(maxlen=self._size)
        window.append(micros)

    def gauges(self) -> dict[str, float]:
        """Give `<name>.p50` and `<name>.p99` in milliseconds, nearest rank, for every name observed."""
        gauges = {}
        for name, window in self._observed.items():
            ordered = sorted(window)
            for percentile in (50, 99):
                rank = max(0, -(-len(ordered) * percentile // 100) - 1)
                gauges[f"{name}.p{percentile}"] = ordered[rank] / 1_000
        return gauges
