"""Kafka client settings shared by every process outside Faust (confluent-kafka)."""

from __future__ import annotations

from typing import Any

from infra.runtime.settings import Settings

__all__ = ["LINGER_MS", "consumer_config", "producer_config"]

LINGER_MS = 5
"""How long a producer gathers records. Kafka's own default since 4.0 (KIP-1030): fewer, larger batches cost clients and
broker so much less that the latency under load is no higher."""


def producer_config(settings: Settings, **extra: Any) -> dict[str, Any]:
    """Configure an idempotent producer with Java's partitioner."""
    return {
        "bootstrap.servers": settings.kafka_bootstrap,
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": LINGER_MS,
        "partitioner": "murmur2_random",
        "log_level": 0,  # connection errors come back through the calls; librdkafka would repeat them on stderr
        **extra,
    }


def consumer_config(settings: Settings, group: str, **extra: Any) -> dict[str, Any]:
    """Configure a consumer that commits only what it is told to."""
    return {
        "bootstrap.servers": settings.kafka_bootstrap,
        "group.id": group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        # A broker answers as soon as there is something: this is how often it says that there is nothing, which costs
        # both as much. The embedded mock broker looks only then.
        "fetch.wait.max.ms": 50,
        "session.timeout.ms": 10_000,
        "log_level": 0,  # connection errors come back through the calls; librdkafka would repeat them on stderr
        **extra,
    }
