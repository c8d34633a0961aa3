"""Where a Docker engine is: the images that the compose file names serve what the platform needs of them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from infra.local.jvm_kafka import answers
from infra.runtime.topics import create_topics
from schemas.topics import TOPICS
from tests.services import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def images() -> dict[str, str]:
    """The images of the compose file, by service; skips where no Docker engine answers."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command")
    engine = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if engine.returncode != 0:
        pytest.skip(f"no Docker engine answers: {engine.stderr.strip()}")
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return {name: service["image"] for name, service in services.items() if "image" in service}


@pytest.fixture(scope="module")
def container_kafka(images: dict[str, str]) -> Iterator[str]:
    """The compose file's Kafka in a container of its own."""
    from testcontainers.kafka import KafkaContainer

    with KafkaContainer(images["kafka"]).with_kraft() as kafka:
        yield kafka.get_bootstrap_server()


def test_topics_are_created_on_the_kafka_of_the_compose_file(container_kafka: str) -> None:
    """All of the catalogue, once."""
    assert answers(container_kafka)

    assert set(create_topics(container_kafka, partitions=4)) == set(TOPICS)
    assert create_topics(container_kafka, partitions=4) == []
