"""The executor's reader of commands, when the broker that has them goes away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.mock_kafka import MockCluster
from infra.runtime.clock import wall_clock_us
from infra.runtime.settings import Settings
from schemas.enums import Mode
from schemas.topics import DEFAULT_PARTITIONS, TOPICS
from sinks.executor.control.commands import CommandLog
from sinks.executor.control.operator import AuditTrail
from tests.sink_records import eventually


@pytest.fixture
def log(mock_kafka: MockCluster, development_registry_url: str, tmp_path: Path) -> Iterator[CommandLog]:
    """A reader that has caught up, of an account without commands."""
    for topic in TOPICS.values():
        mock_kafka.create_topic(topic.name, DEFAULT_PARTITIONS)
    settings = Settings(
        kafka_bootstrap=mock_kafka.bootstrap,
        registry_url=development_registry_url,
        data_dir=tmp_path,
        commands_stale_ms=2_000,
    )
    log = CommandLog(settings, AuditTrail(Mode.PAPER, "demo"), Mode.PAPER, "demo", wall_clock_us)
    log.catch_up()
    yield log
    log.close()


def test_it_knows_whether_it_would_hear_of_a_command(mock_kafka: MockCluster, log: CommandLog) -> None:
    """Not while the partition's broker is away; again when it is back."""

    def is_heard() -> bool:
        log.follow()
        return log.is_heard(wall_clock_us())

    assert is_heard()
    mock_kafka.set_down(is_down=True)
    eventually(lambda: not is_heard())
    mock_kafka.set_down(is_down=False)
    eventually(is_heard)
