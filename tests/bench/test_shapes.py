"""The benchmarks that need Kafka, in their short form: that they run and what they print, never how fast."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.local.java import find_java
from infra.local.jvm_kafka import kafka_jars
from schemas.errors import FlashMMError
from tests.services import ROOT, missing

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", autouse=True)
def kafka() -> None:
    """What the benchmarks start a broker from."""
    try:
        find_java(17)
        kafka_jars()
    except FlashMMError as error:
        missing("Kafka", str(error))


def bench(folder: Path, *arguments: str) -> dict[str, Mapping[str, Any]]:
    """Run a benchmark and give its results by name."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", "bench", *arguments, "--quick", "--json"],
        cwd=ROOT,
        env={**os.environ, "FLASHMM_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    document = json.loads(done.stdout)
    assert set(document) >= {"machine", "versions", "results"}
    assert not list(folder.rglob("*.log")), "files are left"
    return {result["name"]: result for result in document["results"]}


def test_the_engine_beside_consumer_performance(tmp_path: Path) -> None:
    """Ticks a second of the worker, with and without its trades, and of the roof."""
    results = bench(tmp_path, "engine")

    assert set(results) == {"flashmm", "flashmm-with-trades", "consumer-performance"}
    assert results["flashmm-with-trades"]["ticks_per_s"] > 0
    assert results["consumer-performance"]["ticks_per_s"] > 0


def test_peers_by_name(tmp_path: Path) -> None:
    """Only those asked for; one that cannot run says so."""
    results = bench(tmp_path, "peers", "--only", "consumer-performance")

    assert set(results) == {"flashmm", "flashmm-with-trades", "consumer-performance"}


def test_latency_at_one_rate(tmp_path: Path) -> None:
    """Percentiles up to the maximum of what the ticks triggered."""
    (result,) = bench(tmp_path, "latency").values()

    assert list(result["tick_to_bar_ms"]) == ["p50", "p99", "p99_9", "max"]
    assert result["tick_to_trade_ms_samples"] > 0
    assert result["kept_up"] in (True, False)


def test_growth_in_markets_partitions_and_time(tmp_path: Path) -> None:
    """A drain a case, and memory at the end."""
    results = bench(tmp_path, "growth")

    assert results["markets-1-partitions-4-workers-1"]["ticks_per_s"] > 0
    assert results["memory"]["rss_end_mb"] > 0


def test_sinks(tmp_path: Path) -> None:
    """Records a second into each, and what server it was."""
    results = bench(tmp_path, "sinks")

    assert set(results) == {"redis", "influx"}
    assert all(result["server"] and result["records_per_s"] > 0 for result in results.values())
