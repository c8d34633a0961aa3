"""The embedded stack: Kafka, registry, Redis and InfluxDB as child processes, ready for the platform to run on."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.local import influx_standin, registry
from infra.local.apicurio import Apicurio
from infra.local.influxd import Influxd, find_influxd
from infra.local.jvm_kafka import KAFKA_VERSION, JvmKafka
from infra.local.ports import LOOPBACK, choose_port
from infra.local.process import Child
from infra.local.redis import RedisServer
from infra.local.service import answers
from infra.runtime.settings import PREFIX, load_settings
from infra.runtime.topics import create_topics
from schemas.codec import committed_subjects, committed_versions
from schemas.errors import ConfigurationError
from schemas.registry import Registry
from schemas.topics import DEFAULT_PARTITIONS, TOPICS
from sinks.instruments import load_instruments

__all__ = ["LocalStack", "Ports"]

_READY_S = 60.0
_OWN_KAFKAS = {
    "mock": "librdkafka's mock cluster, a stand-in for Kafka: 5 MiB a partition, no compaction",
    "jvm": f"Apache Kafka {KAFKA_VERSION}, one broker",
}


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports to listen on; None chooses a free one."""

    kafka: int | None = None
    registry: int | None = None
    redis: int | None = None
    influx: int | None = None


class LocalStack:
    """The services, with topics, schemas and instruments in place; enter it as a context, or call `start` and `stop`.

    Args:
        data_dir: Where the services keep their files and logs; real Kafka and InfluxDB serve again what they kept.
        kafka: `mock`, `jvm`, or the bootstrap servers of a Kafka that runs elsewhere.
        registry: `development` or `apicurio`.
        ports: Ports of the services.
        partitions: Partitions of every topic.
        prefix: Prefix of the output topics.
        instruments: File of the instruments; the built-in one where None.
        influx_org: Organisation of InfluxDB.
        influx_bucket: Bucket of InfluxDB.
        influx_token: Token of InfluxDB; a random one where empty.
        is_bound: Whether the services end with this process.

    Raises:
        ConfigurationError: `kafka` or `registry` is none of these.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        kafka: str = "mock",
        registry: str = "development",
        ports: Ports | None = None,
        partitions: int = DEFAULT_PARTITIONS,
        prefix: str = "",
        instruments: Path | None = None,
        influx_org: str = "flashmm",
        influx_bucket: str = "metrics",
        influx_token: str = "",
        is_bound: bool = True,
    ) -> None:
        if kafka not in _OWN_KAFKAS and ":" not in kafka:
            raise ConfigurationError("--kafka", f"{kafka!r} is not mock, jvm or HOST:PORT", "Choose one of them")
        if registry not in ("development", "apicurio"):
            raise ConfigurationError("--registry", f"{registry!r} is not development or apicurio", "Choose one of them")
        self._data_dir = data_dir.absolute()
        self._kafka = kafka
        self._registry = registry
        self._ports = ports or Ports()
        self._partitions = partitions
        self._prefix = prefix
        self._instruments = instruments
        self._influx_org = influx_org
        self._influx_bucket = influx_bucket
        self._influx_token = influx_token or secrets.token_urlsafe(32)
        self._is_bound = is_bound
        self._children: dict[str, Child] = {}
        self._environment: dict[str, str] = {}
        self._described: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def children(self) -> Mapping[str, Child]:
        """The processes by service: kafka (unless it runs elsewhere), registry, redis, influx."""
        return self._children

    def environment(self) -> dict[str, str]:
        """Give the settings that make a process use these services, as environment variables; one is a secret."""
        return dict(self._environment)

    def describe(self) -> dict[str, str]:
        """Say what really runs: kafka is `mock`, `jvm` or `external ADDRESS`; stand-ins say that they are."""
        return dict(self._described)

    def in_words(self) -> dict[str, str]:
        """Say the same to people."""
        kafka = self._described["kafka"]
        return {**self._described, "kafka": _OWN_KAFKAS.get(kafka, kafka)}

    def start(self) -> None:
        """Start everything and wait until it serves, with topics created, schemas registered and instruments loaded.

        Raises:
            ConfigurationError: a program is missing, or a port is in use.
            ServiceUnavailable: a service ended or is not ready in time; the message names its log.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Make sure that every service still runs.

        Raises:
            ServiceUnavailable: one ended; the message names it and its log.
        """
        for child in self._children.values():
            child.check()

    def stop(self) -> None:
        """Stop everything."""
        for child in self._children.values():
            child.ask_to_end()
        for child in self._children.values():
            child.stop()

    def _start(self) -> None:
        self._set("DATA_DIR", str(self._data_dir))
        # The slowest comes first; the others come up while it does.
        broker = self._start_kafka()
        if self._kafka not in _OWN_KAFKAS:
            self._create_topics()  # before anything is started: it may not answer
        self._start_registry()
        self._start_redis()
        self._start_influx()
        if broker is not None:
            broker.wait_ready()
            self._create_topics()
        with Registry(self._environment[f"{PREFIX}REGISTRY_URL"]) as client:
            for subject in committed_subjects():
                for version in committed_versions(subject):
                    client.register(subject, version)
        load_instruments(
            load_settings(
                kafka_bootstrap=self._environment[f"{PREFIX}KAFKA_BOOTSTRAP"],
                kafka_partitions=self._partitions,
                registry_url=self._environment[f"{PREFIX}REGISTRY_URL"],
                topic_prefix=self._prefix,
                instruments=self._instruments,
            )
        )
        self.check()

    def _create_topics(self) -> None:
        bootstrap = self._environment[f"{PREFIX}KAFKA_BOOTSTRAP"]
        create_topics(bootstrap, partitions=self._partitions, prefixes=(self._prefix,))

    def _start_kafka(self) -> JvmKafka | None:
        broker = None
        bootstrap = self._kafka
        if self._kafka == "jvm":
            broker = JvmKafka(self._data_dir / "kafka", port=self._ports.kafka, is_bound=self._is_bound)
            broker.start()
            self._children["kafka"] = broker.child
            bootstrap = broker.bootstrap
        elif self._kafka == "mock":
            bootstrap = self._start_mock()
        self._set("KAFKA_BOOTSTRAP", bootstrap)
        self._set("KAFKA_PARTITIONS", str(self._partitions))
        self._set("TOPIC_PREFIX", self._prefix)
        self._described["kafka"] = self._kafka if self._kafka in _OWN_KAFKAS else f"external {bootstrap}"
        return broker

    def _start_mock(self) -> str:
        topics = ",".join(f"{topic.full_name(self._prefix)}:{self._partitions}" for topic in TOPICS.values())
        arguments = ["--topics", topics]
        if self._ports.kafka is not None:
            arguments += ["--port", str(choose_port("kafka", self._ports.kafka))]
        child = self._python("kafka", "mock Kafka", "infra.local.mock_kafka", arguments)
        child.wait_ready(lambda: _first_document(child.log) is not None, timeout_s=_READY_S)
        document = _first_document(child.log)
        assert document is not None
        return document["bootstrap"]

    def _start_registry(self) -> None:
        if self._registry == "apicurio":
            server = Apicurio(self._data_dir / "registry", port=self._ports.registry, is_bound=self._is_bound)
            server.start()
            self._children["registry"] = server.child
            server.wait_ready()
            self._set("REGISTRY_URL", server.url)
            self._described["registry"] = server.description
            return
        port = choose_port("registry", self._ports.registry)
        child = self._python("registry", "development registry", "infra.local.registry", ["--port", str(port)])
        url = f"http://{LOOPBACK}:{port}"
        child.wait_ready(lambda: answers(url), timeout_s=_READY_S)
        self._set("REGISTRY_URL", url)
        self._described["registry"] = registry.DESCRIPTION

    def _start_redis(self) -> None:
        server = RedisServer(self._data_dir / "redis", port=self._ports.redis, is_bound=self._is_bound)
        server.start()
        self._children["redis"] = server.child
        server.wait_ready()
        self._set("REDIS_URL", server.url)
        self._described["redis"] = server.description

    def _start_influx(self) -> None:
        if find_influxd() is not None:
            server = Influxd(
                self._data_dir / "influx",
                org=self._influx_org,
                bucket=self._influx_bucket,
                token=self._influx_token,
                port=self._ports.influx,
                is_bound=self._is_bound,
            )
            server.start()
            self._children["influx"] = server.child
            server.wait_ready()
            url, token, described = server.url, server.token, server.description
        else:
            port = choose_port("influx", self._ports.influx)
            url, token, described = f"http://{LOOPBACK}:{port}", self._influx_token, influx_standin.DESCRIPTION
        self._set("INFLUXDB_URL", url)
        self._set("INFLUXDB_TOKEN", token)
        self._set("INFLUXDB_ORG", self._influx_org)
        self._set("INFLUXDB_BUCKET", self._influx_bucket)
        self._described["influx"] = described
        if "influx" not in self._children:
            child = self._python("influx", "InfluxDB stand-in", "infra.local.influx_standin", ["--port", str(port)])
            child.wait_ready(lambda: answers(f"{url}/health"), timeout_s=_READY_S)

    def _python(self, service: str, name: str, module: str, arguments: list[str]) -> Child:
        child = Child(
            name,
            [sys.executable, "-m", module, *arguments],
            log=self._data_dir / service / f"{service}.log",
            environment=self._environment,
            is_bound=self._is_bound,
        )
        child.start()
        self._children[service] = child
        return child

    def _set(self, name: str, value: str) -> None:
        self._environment[f"{PREFIX}{name}"] = value


def _first_document(log: Path) -> dict[str, str] | None:
    """Find the line of JSON that a service prints when it serves."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        if line.startswith("{") and line.endswith("\n"):
            document: dict[str, str] = json.loads(line)
            return document
    return None
