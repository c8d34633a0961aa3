"""The brokers that the embedded stack runs."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from infra.local.jvm_kafka import JvmKafka
from infra.local.mock_kafka import MockCluster
from infra.local.ports import free_port
from infra.local.process import Child, wait_until
from schemas.errors import ConfigurationError


def produce(bootstrap: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    failed: list[KafkaError] = []
    producer.produce(topic, value, on_delivery=lambda error, _: failed.append(error) if error else None)
    assert producer.flush(20) == 0
    assert not failed


def read(bootstrap: str, topic: str, group: str) -> bytes:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic])
        message = consumer.poll(20)
        assert message is not None
        assert message.error() is None
        value = message.value()
        assert isinstance(value, bytes)
        return value
    finally:
        consumer.close()


@pytest.mark.kafka
def test_a_real_broker_serves_topics_and_groups_as_soon_as_it_is_ready(kafka_bootstrap: str) -> None:
    """Create, produce and consume through a group, with no retry of ours."""
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.create_topics([NewTopic("local.ready", 3, 1)])["local.ready"].result(20)

    produce(kafka_bootstrap, "local.ready", b"hello")

    assert read(kafka_bootstrap, "local.ready", "local-ready") == b"hello"
    assert len(admin.list_topics(timeout=10).topics["local.ready"].partitions) == 3


@pytest.mark.kafka
@pytest.mark.chaos
@pytest.mark.slow
def test_a_killed_broker_serves_its_records_again_at_the_same_address(tmp_path: Path, kafka_bootstrap: str) -> None:
    """What was acknowledged before kill -9 is read after the restart."""
    broker = JvmKafka(tmp_path)
    try:
        broker.start()
        broker.wait_ready()
        address = broker.bootstrap
        admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(20)
        produce(address, "kept", b"acknowledged")

        broker.child.kill()
        broker.start()
        broker.wait_ready()

        assert broker.bootstrap == address
        assert read(address, "kept", "after-kill") == b"acknowledged"
    finally:
        broker.stop()


@pytest.mark.kafka
def test_a_port_in_use_is_an_error_that_names_it(tmp_path: Path, kafka_bootstrap: str) -> None:
    """The broker is not even started where something else listens."""
    port = int(kafka_bootstrap.rpartition(":")[2])

    with pytest.raises(ConfigurationError, match=f"port {port} on 127.0.0.1 is in use"):
        JvmKafka(tmp_path, port=port).start()


def announced_ports(bootstrap: str, tries: int = 20) -> list[int]:
    """Ask which ports brokers announce; a client that has just been told so may ask there, where nothing answers."""
    for _ in range(tries):
        with suppress(KafkaException):
            metadata = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=2)
            return [node.port for node in metadata.brokers.values()]
    raise AssertionError(f"no answer of {bootstrap} in {tries} tries")


@pytest.mark.kafka
def test_clients_of_the_second_listener_are_sent_to_the_proxy(tmp_path: Path) -> None:
    """The broker announces the fault proxy's port, where nothing listens here, to those who come through it."""
    proxy = free_port()
    with JvmKafka(tmp_path, proxied_port=proxy) as broker:
        ports = announced_ports(broker.proxy_upstream)

    assert ports == [proxy]


def test_the_mock_has_the_partitions_it_was_told(mock_kafka: MockCluster) -> None:
    """Creating twice is harmless, and records come back through a group."""
    mock_kafka.create_topic("local.mock", 7)
    mock_kafka.create_topic("local.mock", 7)

    produce(mock_kafka.bootstrap, "local.mock", b"hello")

    topics = AdminClient({"bootstrap.servers": mock_kafka.bootstrap}).list_topics(timeout=10).topics
    assert len(topics["local.mock"].partitions) == 7
    assert read(mock_kafka.bootstrap, "local.mock", "local-mock") == b"hello"


def test_the_mock_host_says_what_it_is_and_ends_on_sigterm(tmp_path: Path) -> None:
    """One line of JSON with the address, then service until told to stop, then status 0."""
    host = Child(
        "mock", [sys.executable, "-m", "infra.local.mock_kafka", "--topics", "a:2,b:5"], log=tmp_path / "mock.log"
    )
    host.start()
    try:
        assert wait_until(lambda: host.log.read_text().endswith("\n"), timeout_s=20)
        said = json.loads(host.log.read_text())
        topics = AdminClient({"bootstrap.servers": said["bootstrap"]}).list_topics(timeout=10).topics
        os.kill(host.pid, signal.SIGTERM)
        assert wait_until(lambda: not host.is_alive, timeout_s=10)
    finally:
        host.stop()

    assert "mock" in said["kafka"]
    assert {name: len(topic.partitions) for name, topic in topics.items()} == {"a": 2, "b": 5}
    assert host.returncode == 0
