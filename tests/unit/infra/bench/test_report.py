"""The page of results is made of the documents alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.bench.document import document, paired_ratios, ratios
from infra.bench.report import markdown, table_of
from infra.bench.targets import targets
from schemas.errors import ConfigurationError

DOCS = Path(__file__).resolve().parents[4] / "docs"

RESULTS: list[dict[str, Any]] = [
    {"name": "flashmm", "ticks_per_s": 3_000_000, "ticks": 30_000_000, "seconds": 10.0},
    {"name": "faust", "ticks_per_s": 15_000, "ticks": 150_000, "seconds": 10.0},
    {"name": "quix", "skipped": "no network"},
]


def a_document(bench: str = "peers", **changes: Any) -> dict[str, Any]:
    made = document(bench, {"seconds": 10.0}, RESULTS, note="Shared.", load_before=0.5, ratios={"flashmm/faust": 200.0})
    return {**made, **changes}


def test_a_document_says_machine_versions_and_results() -> None:
    """What every `flashmm bench … --json` prints."""
    made = a_document()

    assert made["results"] == RESULTS
    assert made["machine"]["cores"] >= 1
    assert made["versions"]["kafka"]
    json.dumps(made)


def test_ratios_are_of_rates_measured_in_one_run() -> None:
    """A system that was skipped has none."""
    assert ratios(RESULTS, ["flashmm"], ["faust", "quix"]) == {"flashmm/faust": 200.0}


def test_a_ratio_of_another_measure_says_so() -> None:
    """What was not told has none."""
    results = [{"name": "a", "warm_ticks_per_s": 30}, {"name": "b", "warm_ticks_per_s": 20}, {"name": "c"}]

    assert ratios(results, ["a"], ["b", "c"], measure="warm_ticks_per_s") == {"a/b, warm": 1.5}


def test_the_ratio_of_rounds_is_the_median_of_theirs() -> None:
    """Each is of two drains after one another, so that a slow minute of the machine has no part in it."""
    rounds = [{"a": 10.0, "b": 10.0}, {"a": 4.0, "b": 2.0}, {"a": 30.0, "b": 10.0}, {"b": 1.0}]

    assert paired_ratios(rounds, ["a"], ["b"]) == {"a/b": 2.0, "a/b, least": 1.0, "a/b, greatest": 3.0}


def test_targets_stand_beside_what_was_measured() -> None:
    """Met, missed, or not measured."""
    page = markdown([a_document(ratios={"flashmm/faust": 200.0, "flashmm/kafka-streams": 5.0})])

    assert "| ticks/s, flashmm/faust | at least 150 | 200 | yes | Peers |" in page
    assert "| ticks/s, flashmm/kafka-streams | at least 8 | 5 | no | Peers |" in page
    assert "| ticks/s, flashmm/consumer-performance | at least 1.5 |  | not measured | Engine |" in page


def test_the_growth_target_compares_markets_alone() -> None:
    """More partitions or workers are another matter."""
    costs = {
        "markets-1-partitions-4-workers-1": 0.4,
        "markets-1000-partitions-4-workers-1": 0.5,
        "markets-40-partitions-16-workers-1": 0.9,
    }
    results = [{"name": name, "cpu_us_per_tick": cost} for name, cost in costs.items()]

    (target,) = [one for one in targets({"growth": {"results": results}}) if one.bench == "growth"]

    assert target.measured == pytest.approx(1.25)
    assert target.is_met


def test_the_page_has_date_machine_method_results_and_ratios() -> None:
    """A reader can judge a figure without asking."""
    page = markdown([a_document(date="2026-01-02T03:04:05+00:00")])

    assert "## Peers" in page
    assert "2026-01-02" in page
    assert "Shared." in page
    assert "| flashmm | 3,000,000 | 30,000,000 | 10.0 |" in page
    assert "quix was not measured: no network" in page
    assert "| flashmm/faust | 200.0 |" in page


def test_sections_have_one_order() -> None:
    """Whatever the order of the files."""
    page = markdown([a_document("sinks"), a_document("engine")])

    assert page == markdown([a_document("engine"), a_document("sinks")])
    assert page.index("## Engine") < page.index("## Sinks")


@pytest.mark.parametrize("documents", [[a_document("other")], [a_document(), a_document()], [{}]])
def test_other_documents_are_refused(documents: list[dict[str, Any]]) -> None:
    """So are two of one benchmark: which one would count?"""
    with pytest.raises(ConfigurationError):
        markdown(documents)


def test_results_of_many_measures_have_a_column_each() -> None:
    """Latencies at three rates would not fit rows."""
    wide = [{"name": f"{rate}-per-s", **{f"measure_{n}": n for n in range(9)}} for rate in (1, 2)]

    table = table_of(wide)

    assert table.columns == ["", "1-per-s", "2-per-s"]
    assert table.rows[0] == ["measure 0", "0", "0"]


def test_percentiles_share_a_cell() -> None:
    """p50 / p99 / p99.9 / max."""
    table = table_of([{"name": "x", "tick_to_bar_ms": {"p50": 1.0, "p99": 2.0, "p99_9": 3.0, "max": 4.0}}])

    assert table.rows == [["x", "1.0 / 2.0 / 3.0 / 4.0"]]


def test_the_committed_page_is_made_of_the_committed_documents() -> None:
    """Nobody edits figures by hand."""
    files = sorted((DOCS / "performance").glob("*.json"))

    page = markdown([json.loads(file.read_text(encoding="utf-8")) for file in files])

    assert files
    assert (DOCS / "performance.md").read_text(encoding="utf-8") == page
