"""A platform on a real broker: topics, schemas, and workers that tests start and kill."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from infra.demo.observer import Observer
from infra.local import registry as development_registry
from infra.local.jvm_kafka import JvmKafka
from infra.local.ports import free_port
from infra.local.process import Child, wait_until
from infra.runtime.kafka import consumer_config
from infra.runtime.settings import Settings
from infra.runtime.topics import create_topics
from schemas.errors import ConfigurationError
from schemas.records import Metric, Tick
from tests.chaos.log import codec_of
from tests.chaos.oracle import expected, published
from tests.chaos.proxy import FaultProxy
from tests.services import ROOT, missing

IS_LONG = os.environ.get("FLASHMM_CHAOS") == "long"
GROUP = "flashmm.normalise-bars"
STARTS_WITHIN_S = 180  # the first worker of a checkout compiles its kernels


@dataclass
class Run:
    """A run with a topic prefix of its own over the broker's one log, and the workers that serve it."""

    settings: Settings
    folder: Path
    workers: list[Child] = field(default_factory=list)

    def start(self, *, app: str = "processors.app", **environment: str) -> Child:
        """Start a worker of the data stages."""
        name = f"{self.settings.topic_prefix}{len(self.workers)}"
        settings = self.settings
        worker = Child(
            name,
            [sys.executable, "-m", "faust", "-A", app, "worker", "-l", "info", "--without-web"],
            log=self.folder / f"{name}.log",
            environment={
                "FLASHMM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
                "FLASHMM_REGISTRY_URL": settings.registry_url,
                "FLASHMM_TOPIC_PREFIX": settings.topic_prefix,
                "FLASHMM_SNAPSHOT_INTERVAL_MS": str(settings.snapshot_interval_ms),
                "FLASHMM_SESSION_TIMEOUT_MS": "6000",
                "FLASHMM_DATA_DIR": str(self.folder / name),
                "FLASHMM_STAGES": "normalise,bars",
                **environment,
            },
            cwd=ROOT,
        )
        worker.start()
        self.workers.append(worker)
        return worker

    def wait_for(self, worker: Child) -> None:
        """Wait until a worker has its partitions, restored."""
        is_ready = wait_until(lambda: b"worker_started" in worker.log.read_bytes(), timeout_s=STARTS_WITHIN_S)
        assert is_ready, worker.log_tail()

    def wait_for_progress(self, by: int = 1) -> None:
        """Wait until the workers report that they applied so many more ticks."""
        observer = Observer(self.settings, codec_of(self.settings, Metric))
        start = -1
        while start != (start := sum(observer.applied().values())) or start < 0:
            observer.poll(0.3)

        def is_further() -> bool:
            observer.poll(0.1)
            return sum(observer.applied().values()) >= start + by

        is_so = wait_until(is_further, timeout_s=STARTS_WITHIN_S)
        observer.close()
        assert is_so, self.workers[-1].log_tail()

    def drain(self, *workers: Child, timeout_s: float = 120) -> None:
        """Wait until everything in the log is applied and reported."""
        observer = Observer(self.settings, codec_of(self.settings, Metric))
        is_done = observer.wait_for_worker(timeout_s, is_alive=lambda: all(worker.is_alive for worker in workers))
        observer.close()
        assert is_done, "\n".join(f"{worker.name}: {worker.returncode} {worker.log_tail()}" for worker in workers)

    def committed(self) -> list[int]:
        """Give the offsets that the group committed; -1001 where there is none."""
        consumer = Consumer(consumer_config(self.settings, f"{self.settings.topic_prefix}{GROUP}"))
        pairs = [TopicPartition("market.ticks", partition) for partition in range(self.settings.kafka_partitions)]
        offsets = [pair.offset for pair in consumer.committed(pairs, timeout=20)]
        consumer.close()
        return offsets

    def ends(self) -> dict[int, int]:
        """Give where each partition of the log ends."""
        observer = Observer(self.settings, codec_of(self.settings, Metric))
        ends = observer.ends(Tick)
        observer.close()
        return ends

    def check_bars(self) -> set[tuple[int, int]]:
        """Compare what was published with what the oracle makes of the log; gives where the log holds no tick."""
        bars, poison = expected(self.settings)
        said = published(self.settings)
        assert len(bars) > 20, "the log is too short to say anything"
        assert said.disagreements == [], "two contents at one revision"
        assert said.revisions_missing == {}
        missing_bars = [bar for bar in bars if bar not in said.latest]
        assert missing_bars == [], "final bars are missing"
        wrong = {bar: (said.latest[bar], content) for bar, content in bars.items() if said.latest[bar][1] != content}
        assert wrong == {}
        assert {said.latest[bar][0] for bar in bars} <= {"FINAL", "CORRECTED"}
        print(f"{len(bars)} final bars are as they should be, of {said.records} published records")
        return poison


StartRun = Callable[[str], Run]


def start_kafka(kafka: JvmKafka) -> None:
    """Start a broker, or skip what needs it."""
    try:
        kafka.start()
    except ConfigurationError as error:
        missing("Kafka", str(error))
    kafka.wait_ready()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Kafka of this module's own: `market.ticks` has one name on a broker."""
    kafka = JvmKafka(tmp_path_factory.mktemp("kafka"))
    try:
        start_kafka(kafka)
        yield kafka.bootstrap
    finally:
        kafka.stop()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    """A fault proxy, not forwarding yet."""
    proxy = FaultProxy(tmp_path_factory.mktemp("proxy"), free_port())
    yield proxy
    proxy.stop()


@pytest.fixture(scope="module")
def proxied_kafka(proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JvmKafka]:
    """A broker with a second address, behind the proxy."""
    kafka = JvmKafka(tmp_path_factory.mktemp("kafka"), proxied_port=proxy.port)
    try:
        start_kafka(kafka)
        proxy.forward_to(kafka.proxy_upstream)
        yield kafka
    finally:
        kafka.stop()


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """The development registry; it has all committed schemas from the start."""
    with development_registry.serve() as server:
        yield server.url


@pytest.fixture
def start_run(broker: str, registry: str, tmp_path: Path) -> Iterator[StartRun]:
    """Make runs, their topics created; their workers are killed at the end of the test."""
    runs: list[Run] = []

    def make(prefix: str) -> Run:
        create_topics(broker, partitions=4, prefixes=(prefix,))
        settings = Settings(
            _env_file=None,
            kafka_bootstrap=broker,
            registry_url=registry,
            topic_prefix=prefix,
            snapshot_interval_ms=300,
            data_dir=tmp_path,
        )
        runs.append(Run(settings, tmp_path))
        return runs[-1]

    yield make
    for run in runs:
        for worker in run.workers:
            worker.kill()
