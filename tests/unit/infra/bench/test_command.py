"""`flashmm bench`: one JSON document for machines, tables for people, a page from files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.cli.bench import bench_app
from schemas.errors import ConfigurationError

runner = CliRunner()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where no .env and no data folder is."""
    monkeypatch.chdir(tmp_path)


def test_json_is_one_document_with_machine_versions_and_results() -> None:
    """The shape is a promise to scripts."""
    done = runner.invoke(bench_app, ["codec", "--quick", "--note", "a test", "--json"])

    document = json.loads(done.stdout)
    assert done.exit_code == 0
    assert set(document) >= {"machine", "versions", "results"}
    assert document["machine"]["note"] == "a test"
    assert all("name" in result and "ns_per_record" in result for result in document["results"])


def test_people_get_a_table_and_no_file_is_left(tmp_path: Path) -> None:
    """The same figures."""
    done = runner.invoke(bench_app, ["codec", "--quick"])

    assert "decode-columns" in done.stdout
    assert not list(tmp_path.rglob("bench-*"))


def test_the_page_is_written_from_the_json_of_runs(tmp_path: Path) -> None:
    """To stdout, or to a file."""
    run = tmp_path / "codec.json"
    run.write_text(runner.invoke(bench_app, ["codec", "--quick", "--json"]).stdout, encoding="utf-8")

    printed = runner.invoke(bench_app, ["report", str(run)]).stdout
    runner.invoke(bench_app, ["report", str(run), "--out", str(tmp_path / "page.md")])

    assert "## Codec" in printed
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == printed


@pytest.mark.parametrize("content", ["not json", "[]"])
def test_a_file_that_is_no_document_is_a_configuration_error(tmp_path: Path, content: str) -> None:
    """The message names the file."""
    (tmp_path / "x.json").write_text(content, encoding="utf-8")

    error = runner.invoke(bench_app, ["report", str(tmp_path / "x.json")]).exception

    assert isinstance(error, ConfigurationError)
    assert "x.json" in str(error)
