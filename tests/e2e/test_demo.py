"""The demonstration runs the whole platform, counts in every stage, and says what ran."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from infra.demo.platform import Source
from infra.demo.run import DemoRun
from infra.local.process import wait_until
from infra.local.stack import LocalStack
from infra.runtime.kafka import consumer_config
from infra.runtime.settings import Settings
from schemas.topics import TOPICS
from tests.services import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

# Prices of the simulated book are on its tick of 0.0001 or 0.01: a float in between would show.
_EXACT = {
    "market.trades": ("price", "size"),
    "market.bars": ("open", "quote_volume"),
    "market.ticks": ("price", "size"),
}


def demo(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", "demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "FLASHMM_DATA_DIR": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_every_stage_counts_and_the_sum_is_right(tmp_path: Path) -> None:
    """Received is accepted and rejected; nothing of an undisturbed run is a dead letter; memory stays below 2 GB."""
    ended = demo(tmp_path, "--seconds", "20", "--json")

    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    ticks = summary["ticks"]
    assert ticks["received"] == ticks["accepted"] + sum(ticks["rejected"].values())
    for name in ("features", "decisions", "orders", "redis_writes", "influx_points"):
        assert summary[name] > 0, name
    assert ticks["accepted"] > 0
    assert summary["bars"]["M1"]["partial"] > 0
    assert summary["dead_letters"] == 0
    assert sum(summary["rss_mb"].values()) < 2_000
    assert (summary["kafka"], summary["executor"]) == ("mock", "paper")
    assert "stand-in" in summary["registry"]
    assert "SIMULATED" in ended.stderr
    for latency in summary["latency_ms"].values():
        assert latency["p50"] is None or 0 <= latency["p50"] <= latency["p99"]


def test_check_verifies_every_component_and_stops(tmp_path: Path) -> None:
    """For machines: one JSON document, and the exit code."""
    ended = demo(tmp_path, "--check", "--json")

    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert document["ok"]
    assert set(document["components"]) == {"worker", "redis sink", "influx sink", "executor"}


def test_a_demonstration_does_not_trade(tmp_path: Path) -> None:
    """Whatever the terminal that it is started in was set up for: an executor would cancel what rests there."""
    process = demo(tmp_path, FLASHMM_EXECUTOR_MODE="citrex")

    assert process.returncode == 4
    assert "FLASHMM_EXECUTOR_MODE" in process.stderr


def test_a_capture_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    """It names the file, and the exit code is 4."""
    ended = demo(tmp_path, "--source", str(tmp_path / "nothing.gz"), "--seconds", "1")

    assert ended.returncode == 4
    assert "nothing.gz" in ended.stderr


@contextmanager
def running(tmp_path: Path) -> Iterator[DemoRun]:
    def settings_of(environment: Mapping[str, str]) -> Settings:
        values = {name.removeprefix("FLASHMM_").lower(): value for name, value in environment.items()}
        return Settings(_env_file=None, **values)

    stack = LocalStack(tmp_path / "stack", kafka="jvm")
    run = DemoRun(stack, Source(), settings_of=settings_of, logs=tmp_path / "logs", say=lambda _: None)
    with run:
        run.wait_until_working(90)
        counts = run.totals
        wanted = [("worker", "predictions"), ("executor", "orders")]  # both need five seconds of history
        assert wait_until(lambda: run.watch() or all(counts.counter(*each) for each in wanted), timeout_s=60)
        yield run


@pytest.mark.kafka
def test_a_plain_avro_consumer_reads_every_topic_exactly(tmp_path: Path) -> None:
    """On real Kafka, with confluent-kafka's own deserializer and nothing of ours but the address of the registry."""
    with running(tmp_path) as run:
        summary = run.finish()
        settings = run.settings
        read = {name: _read(settings, name) for name, topic in TOPICS.items() if topic.record is not None}

    assert summary["kafka"] == "jvm"
    # Nothing went wrong and nobody intervened, so nothing was said about it; positions are written at the start.
    silent = {"ops.alerts", "ops.dead-letters", "control.commands"}
    assert {name for name, records in read.items() if not records} <= silent
    for name, fields in _EXACT.items():
        for record in read[name]:
            for field in fields:
                assert isinstance(record[field], Decimal)
    clob = [
        trade for trade in read["market.trades"] if trade["venue"] == "sim-sei-clob" and trade["symbol"] == "SEI/USDC"
    ]
    assert clob
    assert all(trade["price"] % Decimal("0.0001") == 0 for trade in clob)


def _read(settings: Settings, topic: str) -> list[dict[str, Any]]:
    with SchemaRegistryClient({"url": settings.registry_url, "timeout": 5}) as registry:
        deserialize = AvroDeserializer(registry)
        # A transaction's marker takes the last offset: the end is what the broker says it is.
        consumer = Consumer(consumer_config(settings, "plain", **{"enable.partition.eof": True}))
        records = []
        for partition in range(settings.kafka_partitions):
            consumer.assign([TopicPartition(topic, partition, 0)])
            at, is_over = 0, False
            while at < 500 and not is_over:
                for message in consumer.consume(500, 0.5):
                    error = message.error()
                    is_over = error is not None and error.code() == KafkaError._PARTITION_EOF
                    if is_over:
                        break
                    assert error is None
                    at = message.offset() + 1
                    records.append(deserialize(message.value(), SerializationContext(topic, MessageField.VALUE)))
        consumer.close()
    return records
