"""`flashmm config`: what is in force, where it came from, and a page of it that is fresh."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from infra.cli.config import settings_markdown
from infra.cli.main import build
from tests.services import ROOT


def test_the_page_of_settings_is_fresh() -> None:
    """Regenerate it with `flashmm config schema --markdown > docs/settings.md`."""
    assert (ROOT / "docs" / "settings.md").read_text() == settings_markdown() + "\n"


def test_show_names_the_source_and_hides_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The value of a secret is nowhere in the output."""
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@localhost/0")
    monkeypatch.setenv("FLASHMM_ACCOUNT", "desk-7")

    result = CliRunner().invoke(build("config"), ["config", "show", "--json"])

    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert shown["FLASHMM_ACCOUNT"] == {"value": "desk-7", "source": "environment FLASHMM_ACCOUNT"}
    assert shown["FLASHMM_REDIS_URL"]["source"] == "environment REDIS_URL"
    assert shown["FLASHMM_HOT_TICKS"]["source"] == "default"
    assert "hunter2" not in result.stdout


def test_the_json_schema_names_every_setting() -> None:
    """Editors complete from it."""
    result = CliRunner().invoke(build("config"), ["config", "schema"])

    assert result.exit_code == 0
    assert "kafka_bootstrap" in json.loads(result.stdout)["properties"]
