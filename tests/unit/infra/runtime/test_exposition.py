"""What Prometheus scrapes is what `ops.metrics` says."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from infra.runtime.exposition import exposition
from schemas.records import Metric


def test_counters_and_gauges_of_all_instances_can_be_scraped() -> None:
    """One family a name, one sample an instance; dots become underscores."""
    metrics = [
        Metric(
            component="worker",
            instance=f"normalise|{partition}",
            ts_metric=0,
            counters={"ticks.received": 10 + partition, "ticks.rejected.SPIKE": 1},
            gauges={"latency_ms.tick_to_bar.p99": 1.5},
        )
        for partition in range(2)
    ]

    families = {family.name: family for family in text_string_to_metric_families(exposition(metrics))}

    assert families["flashmm_ticks_received"].type == "counter"
    samples = {sample.labels["instance"]: sample.value for sample in families["flashmm_ticks_received"].samples}
    assert samples == {"normalise|0": 10.0, "normalise|1": 11.0}
    assert families["flashmm_latency_ms_tick_to_bar_p99"].type == "gauge"
    assert "flashmm_ticks_rejected_spike" in families
