"""The benchmarks that need Kafka, in their short form: that they run and what they write, never how fast."""

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

Results = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module", autouse=True)
def kafka() -> None:
    """What the benchmarks start a broker from."""
    try:
        find_java(17)
        kafka_jars()
    except FlashMMError as error:
        missing("Kafka", str(error))


def bench(folder: Path, *arguments: str) -> str:
    """Run a benchmark and give what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", "bench", *arguments, "--quick"],
        cwd=ROOT,
        env={**os.environ, "FLASHMM_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    assert not list(folder.rglob("*.log")), "files are left"
    return done.stdout


def test_one_command_runs_all_and_writes_their_page(tmp_path: Path) -> None:
    """A JSON document of each with machine, versions and results, and the page made of them."""
    names = ("engine", "latency", "growth", "memory", "sinks")

    bench(tmp_path, "all", "--out", str(tmp_path / "performance"), "--only", ",".join(names))

    documents = {name: json.loads((tmp_path / "performance" / f"{name}.json").read_text("utf-8")) for name in names}
    assert all(set(document) >= {"machine", "versions", "results"} for document in documents.values())
    results: dict[str, Results] = {
        name: {result["name"]: result for result in document["results"]} for name, document in documents.items()
    }
    assert set(results["engine"]) == {"flashmm", "flashmm-with-trades", "consumer-performance"}
    assert all(result["ticks_per_s"] > 0 for result in results["engine"].values())
    assert documents["engine"]["ratios"]["flashmm/consumer-performance"] > 0
    paced, ordered = results["latency"].values()
    assert list(paced["tick_to_bar_ms"]) == ["p50", "p99", "p99_9", "max"]
    assert paced["tick_to_trade_ms_samples"] > 0
    assert paced["kept_up"] in (True, False)
    assert ordered["tick_to_order_ms_samples"] > 0
    assert ordered["tick_to_order_ms"]["p99"] > 0
    (case,) = results["growth"].values()
    assert case["cpu_us_per_tick"] > 0
    assert results["memory"]["memory"]["rss_end_mb"] > 0
    assert set(results["sinks"]) == {"redis", "influx"}
    assert all(result["server"] and result["records_per_s"] > 0 for result in results["sinks"].values())
    assert "## Targets" in (tmp_path / "performance.md").read_text("utf-8")


def test_peers_by_name(tmp_path: Path) -> None:
    """Ours beside only those asked for."""
    document = json.loads(bench(tmp_path, "peers", "--only", "consumer-performance", "--json"))

    rates = {result["name"]: result["ticks_per_s"] for result in document["results"]}
    assert set(rates) == {"flashmm", "flashmm-with-trades", "consumer-performance"}
    assert all(rate > 0 for rate in rates.values())
