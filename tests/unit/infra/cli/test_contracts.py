"""`flashmm schemas` and `flashmm topics` where neither a registry nor a broker answers."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.cli import contracts
from infra.cli.contracts import schemas_app, topics_app, topics_markdown
from schemas.codec import committed_subjects, committed_versions, load_schema
from schemas.errors import ServiceUnavailable
from schemas.topics import TOPICS

ROOT = Path(__file__).parents[4]
runner = CliRunner()


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address where nobody listens, set for the broker and the registry."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("FLASHMM_KAFKA_BOOTSTRAP", address)
    monkeypatch.setenv("FLASHMM_REGISTRY_URL", f"http://{address}")
    return address


def test_every_committed_schema_is_listed() -> None:
    """The list is one JSON document, with what is released and which way it must be compatible."""
    rows = json.loads(runner.invoke(schemas_app, ["list", "--json"]).stdout)
    assert [(row["subject"], row["version"]) for row in rows] == [
        (subject, version) for subject in committed_subjects() for version in committed_versions(subject)
    ]
    assert rows[0] == {
        "subject": "market.ticks-value",
        "version": 1,
        "status": "released",
        "compatibility": "BACKWARD_TRANSITIVE",
    }
    assert "market.ticks-value" in runner.invoke(schemas_app, ["list"]).stdout


@pytest.mark.parametrize("name", ["market.bars", "market.bars-value"])
def test_a_schema_is_shown_by_subject_or_topic(name: str) -> None:
    """What is shown is the committed file."""
    assert json.loads(runner.invoke(schemas_app, ["show", name, "--version", "1"]).stdout) == load_schema(
        "market.bars-value"
    )


@pytest.mark.parametrize(
    "arguments", [["show", "market.nothing"], ["show", "market.bars", "--version", "99"], ["show"]]
)
def test_what_does_not_exist_is_a_usage_error(arguments: list[str]) -> None:
    """A wrong name or version ends with exit code 2."""
    assert runner.invoke(schemas_app, arguments).exit_code == 2


def test_the_committed_schemas_pass_the_check() -> None:
    """Lint, compatibility and lock find nothing, offline."""
    result = runner.invoke(schemas_app, ["check", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "checked": sum(len(committed_versions(subject)) for subject in committed_subjects()),
        "problems": [],
    }


def test_a_problem_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each problem is printed, and the exit code is 1."""
    monkeypatch.setattr(contracts, "lock_problems", lambda: ["market.bars-value/v1.avsc is released and was changed"])
    result = runner.invoke(schemas_app, ["check"])
    assert result.exit_code == 1
    assert "released and was changed" in result.stdout


@pytest.mark.parametrize(
    "arguments", [["register"], ["list", "--registry"], ["check", "--registry"], ["diff", "market.bars"]]
)
def test_a_registry_that_does_not_answer_is_named(arguments: list[str], nobody: str) -> None:
    """The error names the address and the setting."""
    result = runner.invoke(schemas_app, arguments)
    assert isinstance(result.exception, ServiceUnavailable)
    assert nobody in str(result.exception)
    assert "FLASHMM_REGISTRY_URL" in str(result.exception)


def test_topics_are_listed_under_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs carry the prefix of the run, the shared input does not; the broker's settings are said."""
    monkeypatch.setenv("FLASHMM_TOPIC_PREFIX", "second.")
    monkeypatch.setenv("FLASHMM_KAFKA_PARTITIONS", "8")
    rows = {row["topic"]: row for row in json.loads(runner.invoke(topics_app, ["list", "--json"]).stdout)}
    assert len(rows) == len(TOPICS)
    assert rows["market.ticks"]["partitions"] == 8
    assert rows["second.trading.positions"]["config"]["cleanup.policy"] == "compact"
    assert "second.state.snapshots" in rows
    assert "second.market.bars" in runner.invoke(topics_app, ["list"]).stdout


def test_a_broker_that_does_not_answer_is_named(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the address and the setting."""
    monkeypatch.setattr(contracts, "_BROKER_TIMEOUT_S", 0.2)
    result = runner.invoke(topics_app, ["create"])
    assert isinstance(result.exception, ServiceUnavailable)
    assert nobody in str(result.exception)
    assert "FLASHMM_KAFKA_BOOTSTRAP" in str(result.exception)


def test_the_page_of_topics_is_fresh() -> None:
    """docs/topics.md is what the catalogue gives: `flashmm topics list --markdown > docs/topics.md`."""
    assert (ROOT / "docs" / "topics.md").read_text(encoding="utf-8") == topics_markdown()
