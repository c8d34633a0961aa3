"""The journal of an account: what is written together, and while the broker is away."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from infra.local.mock_kafka import MockCluster
from infra.runtime.settings import Settings
from infra.runtime.topics import create_topics
from schemas.enums import Mode
from schemas.errors import Fenced, ServiceUnavailable, StateError
from schemas.records import ExecutionReport
from schemas.topics import DEFAULT_PARTITIONS, TOPICS
from sinks.executor.journal import Journal, _Line
from sinks.ops import Outgoing
from tests.sink_records import Kafka, execution


@pytest.mark.kafka
def test_what_is_written_together_is_one_transaction(
    kafka_bootstrap: str, development_registry_url: str, tmp_path: Path
) -> None:
    """Its offsets are known at once; others read all of it at the end, and within it nothing is committed early."""
    create_topics(kafka_bootstrap, partitions=DEFAULT_PARTITIONS, prefixes=["together."])
    settings = Settings(
        kafka_bootstrap=kafka_bootstrap,
        registry_url=development_registry_url,
        data_dir=tmp_path,
        topic_prefix="together.",
    )
    kafka, journal = Kafka(settings), Journal(settings, Mode.PAPER, "demo", lambda: False)
    with closing(journal):
        journal.open()
        with journal.together():
            assert journal.write([Outgoing(execution(1), "SEI", 0)]) == [0]
            assert journal.write([Outgoing(execution(2), "SEI", 0)]) == [1]
            assert kafka.read(ExecutionReport) == []
            with pytest.raises(StateError), journal.together():
                pass
        with journal.together():
            pass  # nothing written: nothing to commit
        assert journal.write([Outgoing(execution(3), "SEI", 0)]) in ([2], [3])  # the broker may still end the first

    assert kafka.read(ExecutionReport) == [execution(1), execution(2), execution(3)]


class _Fencing:
    """A producer whose transactional id is taken from it while it commits, as Kafka 4.1 tells that, if seldom."""

    def begin_transaction(self) -> None:
        """Succeed."""

    def produce(self, *_: object, on_delivery: Callable[[None, object], None], **__: object) -> None:
        on_delivery(None, SimpleNamespace(offset=lambda: 0))

    def commit_transaction(self, _: float) -> None:
        raise KafkaException(KafkaError(KafkaError.UNKNOWN, "EndTxn commit failed", False, False, True))

    def abort_transaction(self, _: float) -> None:
        raise KafkaException(KafkaError(KafkaError._FENCED, "fenced by a newer instance", True))


def test_who_is_fenced_while_it_commits_says_so(development_registry_url: str, tmp_path: Path) -> None:
    """The broker answers with an unknown error, after which only the abort tells what happened."""
    settings = Settings(registry_url=development_registry_url, data_dir=tmp_path)
    journal = Journal(settings, Mode.PAPER, "demo", lambda: False)
    journal._lines.append(_Line(_Fencing()))  # type: ignore[arg-type]

    with pytest.raises(Fenced):
        journal.write([Outgoing(execution(1), "SEI", 0)])


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
