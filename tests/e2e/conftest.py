"""A platform on a real broker: topics, schemas, and workers that tests start and kill."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local import registry as development_registry
from infra.local.jvm_kafka import JvmKafka
from infra.local.process import Child
from infra.runtime.settings import Settings
from infra.runtime.topics import create_topics
from schemas.errors import ConfigurationError
from tests.services import ROOT, missing

StartWorker = Callable[..., Child]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Kafka of this module's own: `market.ticks` has one name on a broker."""
    kafka = JvmKafka(tmp_path_factory.mktemp("kafka"))
    try:
        kafka.start()
    except ConfigurationError as error:
        missing("Kafka", str(error))
    try:
        kafka.wait_ready()
        yield kafka.bootstrap
    finally:
        kafka.stop()


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """The development registry; it has all committed schemas from the start."""
    with development_registry.serve() as server:
        yield server.url


@pytest.fixture
def settings_for(broker: str, registry: str, tmp_path: Path) -> Callable[[str], Settings]:
    """Make the settings of a run with a topic prefix of its own, its topics created."""

    def make(prefix: str) -> Settings:
        create_topics(broker, partitions=4, prefixes=(prefix,))
        return Settings(
            _env_file=None,
            kafka_bootstrap=broker,
            registry_url=registry,
            topic_prefix=prefix,
            snapshot_interval_ms=300,
            data_dir=tmp_path,
        )

    return make


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[StartWorker]:
    """Start workers; all are killed at the end of the test."""
    children: list[Child] = []

    def start(settings: Settings, *, app: str = "processors.app", **environment: str) -> Child:
        name = f"worker-{len(children)}"
        child = Child(
            name,
            [sys.executable, "-m", "faust", "-A", app, "worker", "-l", "info", "--without-web"],
            log=tmp_path / f"{name}.log",
            environment={
                "FLASHMM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
                "FLASHMM_REGISTRY_URL": settings.registry_url,
                "FLASHMM_TOPIC_PREFIX": settings.topic_prefix,
                "FLASHMM_SNAPSHOT_INTERVAL_MS": str(settings.snapshot_interval_ms),
                "FLASHMM_DATA_DIR": str(tmp_path / name),
                "FLASHMM_STAGES": "normalise,bars",
                **environment,
            },
            cwd=ROOT,
        )
        child.start()
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
