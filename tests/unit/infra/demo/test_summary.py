"""The summary adds up what the components counted."""

from __future__ import annotations

from infra.demo.summary import Totals
from schemas.records import Metric


def metric(component: str, instance: str, counters: dict[str, int], gauges: dict[str, float] | None = None) -> Metric:
    return Metric(component=component, instance=instance, ts_metric=0, counters=counters, gauges=gauges or {})


def test_received_is_accepted_and_rejected_and_what_is_held() -> None:
    """Whatever is still held when the count is taken is rejected as PENDING."""
    totals = Totals()
    totals.add(
        metric("worker", "a|0", {"ticks.received": 10, "ticks.accepted": 7, "ticks.rejected.SPIKE": 1, "ticks.held": 2})
    )
    totals.add(metric("worker", "a|1", {"ticks.received": 5, "ticks.accepted": 4, "ticks.rejected.SPIKE": 1}))

    ticks = totals.ticks()

    assert ticks == {"received": 15, "accepted": 11, "rejected": {"SPIKE": 2, "PENDING": 2}}
    assert ticks["received"] == ticks["accepted"] + sum(ticks["rejected"].values())


def test_a_run_counts_from_its_beginning() -> None:
    """A worker goes on counting where its snapshot stood; what it held then is decided on in this run."""
    before = {"ticks.received": 100, "ticks.accepted": 95, "ticks.rejected.SPIKE": 3, "ticks.held": 2, "trades": 40}
    after = {"ticks.received": 110, "ticks.accepted": 106, "ticks.rejected.SPIKE": 3, "ticks.held": 1, "trades": 45}
    totals = Totals()
    totals.add(metric("worker", "a|0", before))
    totals.begin()

    totals.add(metric("worker", "a|0", after))

    assert totals.ticks() == {"received": 12, "accepted": 11, "rejected": {"PENDING": 1}}
    assert totals.counter("worker", "trades") == 5


def test_the_last_metric_of_an_instance_counts() -> None:
    """Counters are cumulative."""
    totals = Totals()
    totals.add(metric("sink.redis", "x", {"writes": 3}))
    totals.add(metric("sink.redis", "x", {"writes": 9}))

    document = totals.document(dead_letters=1, rss_mb={"worker": 1.26}, ran={"kafka": "mock"})

    assert (document["redis_writes"], document["dead_letters"], document["kafka"]) == (9, 1, "mock")
    assert document["rss_mb"] == {"worker": 1.3}
    assert document["bars"]["M1"] == {"partial": 0, "final": 0, "corrected": 0}
    assert document["latency_ms"]["inference"] == {"p50": None, "p99": None}
