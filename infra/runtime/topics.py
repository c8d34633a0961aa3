"""Create the topics of the catalogue on a broker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.errors import ConfigurationError, ServiceUnavailable
from schemas.topics import TOPICS

__all__ = ["create_topics"]

_TIMEOUT_S = 30.0
_REACH_S = 5.0


def create_topics(bootstrap: str, *, partitions: int, prefixes: Sequence[str] = ("",)) -> list[str]:
    """Create the topics that do not exist yet, under each prefix, and give their names.

    All have the same number of partitions: the stages of a worker read and write partitions of the same number.

    Raises:
        ConfigurationError: a topic exists with another number of partitions.
        ServiceUnavailable: the broker does not answer, or cannot create topics (librdkafka's mock cannot).
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        existing = admin.list_topics(timeout=_REACH_S).topics
        wanted = {topic.full_name(prefix): topic for prefix in prefixes for topic in TOPICS.values()}
        for name in wanted.keys() & existing.keys():
            _check_partitions(name, len(existing[name].partitions), partitions)
        missing = [name for name in wanted if name not in existing]
        if not missing:
            return []
        requests = [NewTopic(name, partitions, -1, config=wanted[name].broker_config()) for name in missing]
        futures = admin.create_topics(requests, request_timeout=_TIMEOUT_S)
        created = [name for name, future in futures.items() if _is_created(future)]
        _wait_until_led(admin, missing)
    except KafkaException as error:
        raise ServiceUnavailable(
            "Kafka", bootstrap, error.args[0].str(), fix="Start it, or correct --kafka or FLASHMM_KAFKA_BOOTSTRAP"
        ) from error
    return created


def _check_partitions(name: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise ConfigurationError(
            "FLASHMM_KAFKA_PARTITIONS",
            f"topic {name} has {found} partitions, not {wanted}, and the number is fixed for life",
            "Set it to what the topics have, or use another cluster or topic prefix",
        )


def _is_created(future: Future[None]) -> bool:
    try:
        future.result(_TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else created it meanwhile
            raise
        return False
    return True


def _wait_until_led(admin: AdminClient, names: Sequence[str]) -> None:
    """Wait until every partition has a leader in the broker's metadata: creation is acknowledged before that."""
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        found = admin.list_topics(timeout=_TIMEOUT_S).topics
        topics = [found.get(name) for name in names]
        if all(topic and all(part.leader >= 0 for part in topic.partitions.values()) for topic in topics):
            return
        time.sleep(0.05)
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "created topics got no leader in time"))  # noqa: SLF001  the code's public name
