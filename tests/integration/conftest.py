"""The real services that integration tests run against, each started once a session.

Another session's services are reused where the environment names them: FLASHMM_TEST_KAFKA (bootstrap servers).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from infra.local import registry as development_registry
from infra.local.apicurio import Apicurio
from infra.local.influxd import Influxd
from infra.local.jvm_kafka import JvmKafka, answers
from infra.local.mock_kafka import MockCluster
from infra.local.redis import RedisServer
from schemas.errors import ConfigurationError
from tests.services import missing


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Apache Kafka without topics; tests create theirs under names of their own."""
    if given := os.environ.get("FLASHMM_TEST_KAFKA"):
        if not answers(given):
            missing("Kafka", f"FLASHMM_TEST_KAFKA={given} does not answer")
        yield given
        return
    broker = JvmKafka(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
    except ConfigurationError as error:
        missing("Kafka", str(error))
    try:
        broker.wait_ready()
        yield broker.bootstrap
    finally:
        broker.stop()


@pytest.fixture
def mock_kafka() -> Iterator[MockCluster]:
    """A mock cluster of this test's own: `bootstrap`, `create_topic`, and faults to inject."""
    with MockCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def apicurio_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Confluent API of a real Apicurio Registry, empty when the session starts."""
    registry = Apicurio(tmp_path_factory.mktemp("apicurio"))
    try:
        registry.start()
    except ConfigurationError as error:
        missing("Apicurio Registry", str(error))
    try:
        registry.wait_ready()
        yield registry.url
    finally:
        registry.stop()


@pytest.fixture(scope="session")
def development_registry_url() -> Iterator[str]:
    """Our development registry; it has all committed schemas from the start."""
    with development_registry.serve() as server:
        yield server.url


@pytest.fixture(params=["development", pytest.param("apicurio", marks=pytest.mark.registry)])
def registry_url(request: pytest.FixtureRequest) -> str:
    """A schema registry's Confluent API: each test runs against ours and against a real one.

    State is the session's: use subjects of your own.
    """
    url = request.getfixturevalue(f"{request.param}_registry_url" if request.param == "development" else "apicurio_url")
    assert isinstance(url, str)
    return url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server of this session's own; tests use key prefixes or databases (…/1) of theirs."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        server.start()
    except ConfigurationError as error:
        missing("Redis", str(error))
    try:
        server.wait_ready()
        yield server.url
    finally:
        server.stop()


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    """A real InfluxDB 2, set up: `url`, `org`, `bucket` and `token`; tests use measurements of their own."""
    server = Influxd(tmp_path_factory.mktemp("influx"))
    try:
        server.start()
    except ConfigurationError as error:
        missing("InfluxDB 2", str(error))
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()
