"""`flashmm topics create` against a real broker."""

from __future__ import annotations

import json
import uuid

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from typer.testing import CliRunner

from infra.cli.contracts import topics_app
from schemas.errors import ConfigurationError
from schemas.topics import DEFAULT_PARTITIONS, TOPICS

runner = CliRunner()


@pytest.fixture
def prefix(kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A topic prefix of this test's own; the shared input keeps the partitions that it has."""
    ticks = AdminClient({"bootstrap.servers": kafka_bootstrap}).list_topics(timeout=20).topics.get("market.ticks")
    own = f"t{uuid.uuid4().hex[:8]}."
    monkeypatch.setenv("FLASHMM_KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("FLASHMM_KAFKA_PARTITIONS", str(len(ticks.partitions) if ticks else DEFAULT_PARTITIONS))
    monkeypatch.setenv("FLASHMM_TOPIC_PREFIX", own)
    return own


@pytest.mark.kafka
def test_topics_are_created_once_as_the_catalogue_says(prefix: str, kafka_bootstrap: str) -> None:
    """The first run creates what is missing with its settings, the second finds everything there."""
    first = json.loads(runner.invoke(topics_app, ["create", "--json"]).stdout)
    assert {topic.full_name(prefix) for topic in TOPICS.values() if topic.is_output} <= set(first["created"])
    second = json.loads(runner.invoke(topics_app, ["create", "--json"]).stdout)
    assert second["created"] == []
    assert len(second["existed"]) == len(TOPICS)

    resource = ConfigResource(ResourceType.TOPIC, f"{prefix}state.snapshots")
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    config = admin.describe_configs([resource])[resource].result(20)
    for name, value in TOPICS["state.snapshots"].broker_config().items():
        assert config[name].value == value


@pytest.mark.kafka
def test_another_number_of_partitions_is_refused(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The partition count is fixed for life: a setting that differs is an error, and nothing is created."""
    assert runner.invoke(topics_app, ["create"]).exit_code == 0
    monkeypatch.setenv("FLASHMM_KAFKA_PARTITIONS", "7")
    result = runner.invoke(topics_app, ["create"])
    assert isinstance(result.exception, ConfigurationError)
    assert "FLASHMM_KAFKA_PARTITIONS" in str(result.exception)
    assert prefix in str(result.exception) or "market.ticks" in str(result.exception)
