"""The JSON document of a benchmark: on which machine, with which versions, what was measured."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from infra.local.jvm_kafka import KAFKA_VERSION

__all__ = ["document", "machine", "paired_ratios", "ratios", "versions"]

_PACKAGES = ("flashmm", "aiokafka", "confluent-kafka", "faust-streaming", "fastavro", "avro", "numba", "numpy")
_CPUINFO = Path("/proc/cpuinfo")


def document(
    bench: str,
    parameters: Mapping[str, object],
    results: Sequence[Mapping[str, object]],
    *,
    note: str,
    load_before: float,
    ratios: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Put a benchmark's document together.

    Args:
        parameters: What it was run with.
        note: What a reader should know of the machine, e.g. that others worked on it.
        load_before: Load average, one minute, at the start: what else ran.
    """
    found: dict[str, Any] = {
        "bench": bench,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**machine(), "load_1m_before": round(load_before, 2), "note": note},
        "versions": versions(),
        "parameters": dict(parameters),
        "results": [dict(result) for result in results],
    }
    if ratios:
        found["ratios"] = dict(ratios)
    return found


def machine() -> dict[str, object]:
    """Describe this machine, without its name."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "os": platform.platform(),
    }


def versions() -> dict[str, str]:
    """Give the versions that the figures depend on; `commit` where this is a checkout."""
    found = {"python": platform.python_version(), "kafka": KAFKA_VERSION}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    root = Path(__file__).resolve().parents[2]
    asked = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    if asked.returncode == 0:
        found["commit"] = asked.stdout.strip()
    return found


def ratios(
    results: Sequence[Mapping[str, Any]], of: Sequence[str], to: Sequence[str], *, measure: str = "ticks_per_s"
) -> dict[str, float]:
    """Give `<one>/<other>` of the rates measured in one run; what was skipped is left out.

    A measure other than `ticks_per_s` is told in the name: `<one>/<other>, warm` of `warm_ticks_per_s`.
    """
    rates = {result["name"]: result[measure] for result in results if measure in result}
    told = measure.removesuffix("ticks_per_s").removesuffix("_")
    return {
        f"{one}/{other}" + (f", {told}" if told else ""): round(rates[one] / rates[other], 3)
        for one in of
        for other in to
        if one in rates and other in rates and one != other
    }


def paired_ratios(rounds: Sequence[Mapping[str, float]], of: Sequence[str], to: Sequence[str]) -> dict[str, float]:
    """Give the median over the rounds of `<one>/<other>`, each of rates of one round; and the range."""
    found = {}
    for one in of:
        for other in to:
            each = [rates[one] / rates[other] for rates in rounds if one in rates and other in rates]
            if each:
                found[f"{one}/{other}"] = round(statistics.median(each), 3)
            if len(each) > 1:
                found[f"{one}/{other}, least"] = round(min(each), 3)
                found[f"{one}/{other}, greatest"] = round(max(each), 3)
    return found


def _cpu() -> str:
    if _CPUINFO.is_file():
        for line in _CPUINFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
