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


def test_what_was_observed_long_ago_counts_no_more() -> None:
    """Before so many reports; a name of which nothing is left is not reported."""
    window = LatencyWindow(reports=2)
    window.observe("a", 9_000)
    assert window.gauges()["a.max"] == 9.0
    window.observe("a", 1_000)
    window.observe("b", 2_000)
    assert window.gauges()["a.max"] == 9.0

    window.observe("a", 3_000)
    assert {name: value for name, value in window.gauges().items() if name.endswith("max")} == {
        "a.max": 3.0,
        "b.max": 2.0,
    }
    assert window.gauges()["a.max"] == 3.0
    assert window.gauges() == {}


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
