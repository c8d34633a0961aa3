"""Latencies are percentiles of what was observed last."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from infra.runtime.latency import LatencyWindow


def test_percentiles_are_those_of_the_nearest_rank_in_milliseconds() -> None:
    """One that was observed, never one between two."""
    window = LatencyWindow()
    window.observe_all("a", np.arange(1_000, 0, -1))
    window.observe("b", 1_500)

    assert window.gauges() == {
        "a.p50": 0.5,
        "a.p99": 0.99,
        "a.p99_9": 0.999,
        "a.max": 1.0,
        **{f"b.{name}": 1.5 for name in ("p50", "p99", "p99_9", "max")},
    }


@given(groups=st.lists(st.lists(st.integers(0, 1_000), max_size=12), max_size=6), size=st.integers(1, 8))
def test_only_the_last_observations_count(groups: list[list[int]], size: int) -> None:
    """However many came at once."""
    window = LatencyWindow(size)
    for group in groups:
        window.observe_all("a", np.array(group, np.int64))
    kept = [one for group in groups for one in group][-size:]

    gauges = window.gauges()

    if kept:
        assert gauges["a.max"] == max(kept) / 1_000
        assert gauges["a.p50"] == sorted(kept)[(len(kept) - 1) // 2] / 1_000
