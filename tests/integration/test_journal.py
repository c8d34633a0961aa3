"""The journal of an account, while the broker is away."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from infra.local.mock_kafka import MockCluster
from infra.runtime.settings import Settings
from schemas.enums import Mode
from schemas.errors import ServiceUnavailable
from schemas.topics import DEFAULT_PARTITIONS, TOPICS
from sinks.executor.journal import Journal
from sinks.ops import Outgoing
from tests.sink_records import execution


def test_a_write_takes_no_longer_than_its_patience(
    mock_kafka: MockCluster, development_registry_url: str, tmp_path: Path
) -> None:
    """So that whoever has orders in a book elsewhere can go and cancel them."""
    for topic in TOPICS.values():
        mock_kafka.create_topic(topic.name, DEFAULT_PARTITIONS)
    settings = Settings(kafka_bootstrap=mock_kafka.bootstrap, registry_url=development_registry_url, data_dir=tmp_path)
    journal = Journal(settings, Mode.PAPER, "demo", lambda: False, patience_s=5)
    with closing(journal):
        journal.open()
        assert journal.write([Outgoing(execution(1), "SEI", 0)]) == [0]

        mock_kafka.set_down(is_down=True)

        with pytest.raises(ServiceUnavailable):
            journal.write([Outgoing(execution(2), "SEI", 0)])
