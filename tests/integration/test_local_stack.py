"""The embedded stack as a whole, with the mock Kafka; and `flashmm up`, `status` and `down`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka.admin import AdminClient

from infra.local.ports import free_port, is_free
from infra.local.process import is_running, wait_until
from infra.local.stack import LocalStack, Ports
from infra.runtime.topics import create_topics
from schemas.codec import committed_subjects, committed_versions
from schemas.errors import ConfigurationError, ServiceUnavailable
from schemas.registry import Registry
from schemas.topics import DEFAULT_PARTITIONS, TOPICS

pytestmark = pytest.mark.redis


def partitions(bootstrap: str) -> dict[str, int]:
    found = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=20).topics
    return {name: len(topic.partitions) for name, topic in found.items() if not name.startswith("__")}


def test_everything_is_in_place_when_it_has_started(tmp_path: Path) -> None:
    """Topics under the run's prefix, all schemas, settings for other processes, and what really runs."""
    with LocalStack(tmp_path, partitions=3, prefix="a.") as stack:
        settings = stack.environment()
        assert partitions(settings["FLASHMM_KAFKA_BOOTSTRAP"]) == {
            topic.full_name("a."): 3 for topic in TOPICS.values()
        }
        with Registry(settings["FLASHMM_REGISTRY_URL"]) as registry:
            assert all(
                registry.schema_id(subject, committed_versions(subject)[-1]) > 0 for subject in committed_subjects()
            )
        assert stack.describe()["kafka"] == "mock"
        assert "stand-in" in stack.in_words()["kafka"]
        assert "stand-in" in stack.describe()["registry"]
        assert set(stack.children) == {"kafka", "registry", "redis", "influx"}
        pids = [child.pid for child in stack.children.values()]
        command_lines = [" ".join(psutil.Process(pid).cmdline()) for pid in pids]

    assert settings["FLASHMM_INFLUXDB_TOKEN"] not in " ".join(command_lines)
    assert not any(map(is_running, pids))


@pytest.mark.chaos
def test_a_service_that_dies_is_named_with_its_log(tmp_path: Path) -> None:
    """`check` is for whoever watches over a run."""
    with LocalStack(tmp_path) as stack:
        stack.children["redis"].kill()

        with pytest.raises(ServiceUnavailable, match=r"Redis .*redis\.log"):
            stack.check()


def test_a_port_in_use_stops_what_was_started(tmp_path: Path, redis_url: str) -> None:
    """Nothing is left running, and the error names the setting and the port."""
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    stack = LocalStack(tmp_path, ports=Ports(redis=port))

    with pytest.raises(ConfigurationError, match=f"REDIS_URL: port {port}"):
        stack.start()

    assert stack.children
    assert not any(child.is_alive for child in stack.children.values())


@pytest.mark.parametrize(("kafka", "registry"), [("kafka", "development"), ("mock", "confluent")])
def test_an_unknown_kind_of_service_is_refused(tmp_path: Path, kafka: str, registry: str) -> None:
    """Before anything starts."""
    with pytest.raises(ConfigurationError, match="Choose one of them"):
        LocalStack(tmp_path, kafka=kafka, registry=registry)


def test_a_kafka_elsewhere_that_does_not_answer_is_found_out_first(tmp_path: Path) -> None:
    """Nothing is started for it, and the message says what to correct."""
    stack = LocalStack(tmp_path, kafka="127.0.0.1:1")
    with pytest.raises(ServiceUnavailable, match="--kafka"):
        stack.start()
    assert stack.children == {}


@pytest.mark.kafka
def test_topics_of_a_kafka_elsewhere_are_created_once(tmp_path: Path, kafka_bootstrap: str) -> None:
    """With their settings; another number of partitions is an error, not a surprise."""
    with LocalStack(tmp_path, kafka=kafka_bootstrap, partitions=DEFAULT_PARTITIONS, prefix="stack-test.") as stack:
        assert stack.describe()["kafka"] == f"external {kafka_bootstrap}"
        assert "kafka" not in stack.children
    names = [topic.full_name("stack-test.") for topic in TOPICS.values() if topic.is_output]
    found = partitions(kafka_bootstrap)

    assert {found[name] for name in names} == {DEFAULT_PARTITIONS}
    assert create_topics(kafka_bootstrap, partitions=found["market.ticks"], prefixes=("stack-test.",)) == []
    with pytest.raises(ConfigurationError, match="fixed for life"):
        create_topics(kafka_bootstrap, partitions=5, prefixes=("stack-test.",))


def flashmm(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def addresses(tmp_path: Path) -> dict[str, str]:
    """Settings with addresses and a data directory of this test's own."""
    return {
        "FLASHMM_DATA_DIR": str(tmp_path / "data"),
        "FLASHMM_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",
        "FLASHMM_REGISTRY_URL": f"http://127.0.0.1:{free_port()}",
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "INFLUXDB_URL": f"http://127.0.0.1:{free_port()}",
    }


def test_services_run_in_the_background_until_told_to_stop(addresses: dict[str, str]) -> None:
    """Up, status and down agree; Kafka is at the address of the settings although the mock chooses its own port."""
    assert flashmm(addresses, "status").returncode == 3
    up = flashmm(addresses, "up", "--json")
    try:
        assert up.returncode == 0, up.stderr
        assert len(partitions(addresses["FLASHMM_KAFKA_BOOTSTRAP"])) == len(TOPICS)
        state: dict[str, Any] = json.loads(flashmm(addresses, "status", "--json").stdout)
        assert state["running"] is True
        assert state["kafka"] == "mock"
        assert all(service["running"] for service in state["services"])
        exported = (Path(addresses["FLASHMM_DATA_DIR"]) / "stack.env").stat()
        assert exported.st_mode & 0o077 == 0
        again = flashmm(addresses, "up")
        assert (again.returncode, "run already" in again.stderr) == (4, True)
    finally:
        down = flashmm(addresses, "down")

    assert down.returncode == 0, down.stderr
    assert flashmm(addresses, "status").returncode == 3
    assert is_free(int(addresses["FLASHMM_KAFKA_BOOTSTRAP"].rpartition(":")[2]))


@pytest.mark.chaos
def test_a_service_that_dies_in_the_background_is_told_by_status(addresses: dict[str, str]) -> None:
    """The rest is stopped, and the reason kept."""
    state = json.loads(flashmm(addresses, "up", "--json").stdout)
    redis = next(service for service in state["services"] if service["name"] == "redis")
    psutil.Process(redis["pid"]).kill()

    assert wait_until(lambda: not is_running(state["pid"]), timeout_s=20)
    status = flashmm(addresses, "status")

    assert status.returncode == 3
    assert "Redis" in status.stderr


def test_up_names_the_setting_of_a_port_in_use(addresses: dict[str, str], redis_url: str) -> None:
    """A configuration error, and nothing is left running."""
    done = flashmm({**addresses, "REDIS_URL": redis_url}, "up")

    assert done.returncode == 4
    assert "is in use" in done.stderr
    assert flashmm(addresses, "status").returncode == 3


def test_doctor_tells_what_is_reachable(addresses: dict[str, str]) -> None:
    """A service that the settings name and that does not answer is a failure."""
    done = flashmm(addresses, "doctor", "--json")
    health = {row["check"]: row["health"] for row in json.loads(done.stdout)}

    assert done.returncode == 1
    assert {health[name] for name in ("kafka", "registry", "redis", "influx")} == {"fail"}
    assert health["python"] == "ok"
