"""Real Apache Kafka from its jars: one KRaft node, on the loopback address, for tests and for one machine."""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from confluent_kafka import Consumer, KafkaException, TopicPartition

from infra.local.java import cache_dir, fetch_once, find_java, run_maven
from infra.local.ports import LOOPBACK, choose_port, free_port
from infra.local.process import Child
from infra.local.service import Service
from schemas.errors import ServiceUnavailable

__all__ = ["KAFKA_VERSION", "JvmKafka", "answers", "kafka_jars"]

KAFKA_VERSION = "4.1.1"
_MINIMUM_JAVA = 17
_ASSETS = Path(__file__).parents[1] / "kafka"
_COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_FORMAT_TIMEOUT_S = 60
_PROBE_TIMEOUT_S = 2.0
_QUICK_START = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def kafka_jars() -> Path:
    """Give the directory of the broker's jars; Maven fetches them the first time (about 10 s, 54 MB).

    Raises:
        ConfigurationError: Maven is not installed.
        ServiceUnavailable: Maven could not fetch them.
    """

    def fetch(target: Path) -> None:
        run_maven(
            "-f", str(_ASSETS / "pom.xml"), _COPY_DEPENDENCIES, "-DincludeScope=runtime", f"-DoutputDirectory={target}"
        )

    return fetch_once(cache_dir() / f"kafka-{KAFKA_VERSION}", fetch)


class JvmKafka(Service):
    """One broker, with its log and data in a directory.

    Args:
        directory: Where it keeps its records and its log file; what is there already is served again.
        port: Port to listen on; a free one where None.
        proxied_port: Port of a fault proxy. The broker then has a second listener, `proxy_upstream`, for clients that
            come through the proxy, and announces the proxy's port to them.
        heap_mb: Java heap in MiB.
        initial_heap_mb: What it has of that from the start, at most.
        jvm_options: Of the Java machine, beside its heap; by default it starts quickly and never compiles well.
        properties: Settings of the broker beside those of `infra/kafka/server.properties`.
        is_bound: Whether the broker ends with this process.
    """

    description = f"jvm (Apache Kafka {KAFKA_VERSION})"

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        proxied_port: int | None = None,
        heap_mb: int = 512,
        initial_heap_mb: int = 256,
        jvm_options: Sequence[str] = _QUICK_START,
        properties: Mapping[str, object] | None = None,
        is_bound: bool = True,
    ) -> None:
        self._directory = directory.absolute()
        self._wanted_port = port
        self._proxied_port = proxied_port
        self._heap_mb = heap_mb
        self._initial_heap_mb = min(initial_heap_mb, heap_mb)
        self._jvm_options = tuple(jvm_options)
        self._properties = dict(properties or {})
        self._is_bound = is_bound
        self.bootstrap = ""
        self.proxy_upstream = ""

    def _prepare(self) -> Child:
        java = find_java(_MINIMUM_JAVA)
        classpath = f"{kafka_jars()}/*"
        self._directory.mkdir(parents=True, exist_ok=True)
        properties = self._write_properties()
        self._format(java, classpath, properties)
        return Child(
            "Apache Kafka",
            [
                java,
                f"-Xms{self._initial_heap_mb}m",
                f"-Xmx{self._heap_mb}m",
                *self._jvm_options,
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-cp",
                classpath,
                "kafka.Kafka",
                str(properties),
            ],
            log=self._directory / "kafka.log",
            is_bound=self._is_bound,
        )

    def wait_ready(self, *, timeout_s: float = 60.0) -> None:
        """Wait until the broker answers for its topics and for a consumer group."""
        self.child.wait_ready(lambda: answers(self.bootstrap), timeout_s=timeout_s)

    def _write_properties(self) -> Path:
        if not self.bootstrap:
            port = choose_port("kafka", self._wanted_port)
            self._wanted_port = port
            self.bootstrap = f"{LOOPBACK}:{port}"
            if self._proxied_port is not None:
                self.proxy_upstream = f"{LOOPBACK}:{free_port()}"
        controller_port = free_port()
        listeners = [f"PLAINTEXT://{self.bootstrap}"]
        advertised = list(listeners)
        if self._proxied_port is not None:
            listeners.append(f"PROXIED://{self.proxy_upstream}")
            advertised.append(f"PROXIED://{LOOPBACK}:{self._proxied_port}")
        template = Template((_ASSETS / "server.properties").read_text(encoding="utf-8"))
        path = self._directory / "server.properties"
        properties = template.substitute(
            controller_port=controller_port,
            listeners=",".join([*listeners, f"CONTROLLER://{LOOPBACK}:{controller_port}"]),
            advertised=",".join(advertised),
            log_dir=self._directory / "records",
        )
        more = "".join(f"{name}={value}\n" for name, value in self._properties.items())
        path.write_text(properties + more, encoding="utf-8")
        return path

    def _format(self, java: str, classpath: str, properties: Path) -> None:
        if (self._directory / "records" / "meta.properties").exists():
            return
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes)[:22]
        done = subprocess.run(
            [
                java,
                *_QUICK_START,
                "-cp",
                classpath,
                "kafka.tools.StorageTool",
                "format",
                f"--cluster-id={cluster_id.decode()}",  # joined: an id may begin with a hyphen
                "-c",
                str(properties),
            ],
            capture_output=True,
            text=True,
            timeout=_FORMAT_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            said = " | ".join((done.stdout + done.stderr).splitlines()[-5:])
            raise ServiceUnavailable(
                "Apache Kafka", str(self._directory), f"its storage could not be formatted: {said}", fix="Empty it"
            )


def answers(bootstrap: str) -> bool:
    """Say whether a broker answers both a metadata request and one about a consumer group.

    A broker that is just up may serve topics and still refuse groups for a second (coordinator not available).
    """
    client = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "flashmm-probe", "log_level": 0, "reconnect.backoff.max.ms": 500}
    )
    try:
        client.list_topics(timeout=_PROBE_TIMEOUT_S)
        client.committed([TopicPartition("flashmm-probe", 0)], timeout=_PROBE_TIMEOUT_S)
    except KafkaException:
        return False
    finally:
        client.close()
    return True
