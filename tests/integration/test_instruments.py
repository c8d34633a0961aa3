"""Instruments go from a file into their topic, and come back from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.cli.instruments import instruments_app
from infra.local.mock_kafka import MockCluster
from infra.runtime.settings import Settings
from schemas.errors import ConfigurationError
from schemas.instruments import DEFAULT_PATH, Instruments, partition_for
from schemas.topics import TOPICS
from sinks.instruments import load_instruments, read_instruments

PARTITIONS = 4
SEI = ("sim-sei-clob", "SEI/USDC")
runner = CliRunner()


@pytest.fixture
def settings(mock_kafka: MockCluster, development_registry_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for topic in TOPICS.values():
        mock_kafka.create_topic(topic.name, PARTITIONS)
    monkeypatch.setenv("FLASHMM_KAFKA_BOOTSTRAP", mock_kafka.bootstrap)
    monkeypatch.setenv("FLASHMM_REGISTRY_URL", development_registry_url)
    return Settings()


def changed(folder: Path, old: str, new: str) -> Path:
    path = folder / "instruments.toml"
    path.write_text(DEFAULT_PATH.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    return path


def test_a_file_is_loaded_once_and_then_only_what_changed(settings: Settings, tmp_path: Path) -> None:
    """Loading again writes nothing; a changed market alone is written, and holds from then on."""
    assert {instrument.market for instrument in load_instruments(settings)} == {
        instrument.market for instrument in Instruments.load()
    }
    assert load_instruments(settings) == []

    path = changed(tmp_path, 'tick = "0.0001"', 'tick = "0.0002"')
    (written,) = load_instruments(settings, path, clock=lambda: 1_000)
    assert written.market == SEI

    table, ends = read_instruments(settings)
    assert sum(ends.values()) == len(list(Instruments.load())) + 1
    before, after = table.at(SEI, 999), table.at(SEI, 1_000)
    assert before is not None
    assert after is not None
    assert (before.tick, after.tick) == (100_000, 200_000)
    assert ends[partition_for(b"SEI", PARTITIONS)] > 0


def test_a_file_that_moves_a_market_is_refused(settings: Settings, tmp_path: Path) -> None:
    """Nothing is written: the partition of a market is fixed for life."""
    load_instruments(settings)
    ends = read_instruments(settings)[1]
    with pytest.raises(ConfigurationError, match="fixed for life"):
        load_instruments(settings, changed(tmp_path, 'tick = "0.0001"', 'tick = "0.0002"\ngroup = "BTC"'))
    assert read_instruments(settings)[1] == ends


def test_the_commands(settings: Settings) -> None:
    """`load` says what it wrote, `list` what the topic has; both as tables or as one JSON document."""
    assert "run `flashmm instruments load`" in runner.invoke(instruments_app, ["list"]).stdout
    written = json.loads(runner.invoke(instruments_app, ["load", "--json"]).stdout)["written"]
    listed = json.loads(runner.invoke(instruments_app, ["list", "--json"]).stdout)
    assert sorted((row["venue"], row["symbol"]) for row in written) == [(r["venue"], r["symbol"]) for r in listed]
    assert next(row for row in listed if (row["venue"], row["symbol"]) == SEI)["tick"] == "0.0001"
    assert "sim-sei-clob" in runner.invoke(instruments_app, ["list"]).stdout
    assert "already" in runner.invoke(instruments_app, ["load"]).stdout


@pytest.mark.kafka
def test_a_topic_that_does_not_exist_is_named(kafka_bootstrap: str, development_registry_url: str) -> None:
    """With the command that creates it."""
    settings = Settings(
        kafka_bootstrap=kafka_bootstrap, registry_url=development_registry_url, topic_prefix="not-created."
    )
    with pytest.raises(ConfigurationError, match=r"not-created\.reference\.instruments.*flashmm topics create"):
        read_instruments(settings)
