"""What a benchmark runs on: one real Kafka and a registry of its own, with topics that tell when a record arrived."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from infra.local import registry as development_registry
from infra.local.jvm_kafka import JvmKafka
from infra.runtime.kafka import consumer_config
from infra.runtime.settings import PREFIX, load_settings
from infra.runtime.topics import create_topics
from schemas.codec import Codec
from schemas.errors import ServiceUnavailable, StateError
from schemas.records import Bar, Record, Tick, Trade
from schemas.registry import Registry
from schemas.topics import topic_of

__all__ = ["TICKS", "Ground", "Run"]

TICKS = topic_of(Tick).name
_HEAP_MB = 1_024
# As Kafka's own start script has them, but for JMX and logs.
_JVM_OPTIONS = (
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
)
# G1 stops two processors that others keep busy for 20 ms at a time, and for 70 to 140 where its two threads wait for
# each other: this collector works beside the broker, and wants more memory for that.
_PAUSELESS_HEAP_MB = 2_048
_PAUSELESS_OPTIONS = ("-server", "-XX:+UseZGC", "-XX:+AlwaysPreTouch")
_BROKER = {"log.retention.check.interval.ms": 2_000, "log.segment.delete.delay.ms": 1_000}
# What a drain publishes is not read again: it is not to push the log that is drained out of the page cache.
_DRAINED = {"segment.bytes": 64 * 2**20, "retention.bytes": 128 * 2**20}
_TIMEOUT_S = 30.0
_STAMPED: tuple[type[Record], ...] = (Bar, Trade)


class Ground:
    """A broker and a registry, entered as a context; `market.ticks` has one name on it, outputs one a run.

    Args:
        folder: Its files; removed at the end unless something failed.
        is_quick: Let the broker start quickly and be slow.
        is_pauseless: Let the broker collect garbage beside its work instead of as Kafka's start script has it.
    """

    def __init__(
        self, folder: Path, *, partitions: int = 4, is_quick: bool = False, is_pauseless: bool = False
    ) -> None:
        heap_mb, options = (_PAUSELESS_HEAP_MB, _PAUSELESS_OPTIONS) if is_pauseless else (_HEAP_MB, _JVM_OPTIONS)
        whole = {"heap_mb": heap_mb, "initial_heap_mb": heap_mb, "jvm_options": options}
        self._java: dict[str, Any] = {} if is_quick else whole
        self.folder = folder.absolute()
        self.partitions = partitions
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        with self._exit:
            kafka = JvmKafka(self.folder / "kafka", properties=_BROKER, **self._java)
            self.bootstrap = self._exit.enter_context(kafka).bootstrap
            self.registry_url = self._exit.enter_context(development_registry.serve()).url
            create_topics(self.bootstrap, partitions=self.partitions)
            self._exit = self._exit.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()
        if error is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def codec(self, record: type[Record]) -> Codec:
        """Make the codec of a record."""
        with Registry(self.registry_url) as registry:
            return registry.codec(record)

    def run(self, name: str, *, keeps_outputs: bool = True) -> Run:
        """Make the topics of a run's outputs; its bars and trades bear the broker's time of arrival.

        Args:
            keeps_outputs: Whether they are needed whole; else only the newest stay.
        """
        run = Run(self, name)
        create_topics(self.bootstrap, partitions=self.partitions, prefixes=(run.settings.topic_prefix,))
        settings: dict[str, object] = {"message.timestamp.type": "LogAppendTime"}
        for record in _STAMPED:
            # Bars are few, and tell how far a drain was at any time.
            more = {} if keeps_outputs or record is Bar else _DRAINED
            self._set(run.topic(record), {**settings, **more})
        return run

    def _set(self, topic: str, settings: Mapping[str, object]) -> None:
        entries = [
            ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET)
            for name, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(_TIMEOUT_S)


class Run:
    """One worker's outputs over the ground's ticks: a topic prefix, and so a consumer group, of its own."""

    def __init__(self, ground: Ground, name: str) -> None:
        self.ground = ground
        self.name = name
        self.settings = load_settings(
            kafka_bootstrap=ground.bootstrap,
            kafka_partitions=ground.partitions,
            registry_url=ground.registry_url,
            topic_prefix=f"{name}.",
            data_dir=ground.folder / name,
        )

    def environment(self, **settings: Any) -> dict[str, str]:
        """Give the settings of a process of this run as environment variables."""
        chosen: Mapping[str, Any] = {
            name: getattr(self.settings, name)
            for name in ("kafka_bootstrap", "kafka_partitions", "registry_url", "topic_prefix", "data_dir")
        }
        return {f"{PREFIX}{name.upper()}": str(value) for name, value in {**chosen, **settings}.items()}

    def topic(self, record: type[Record]) -> str:
        """Give the name of a record's topic in this run."""
        return topic_of(record).full_name(self.settings.topic_prefix)

    def reader(self) -> Consumer:
        """Make a consumer for reading the run's topics; it commits nothing."""
        return Consumer(consumer_config(self.settings, f"{self.name}-reader-uncommitted"))

    def first_arrival_ms(self) -> int:
        """Give when the first bar reached the broker.

        Raises:
            StateError: there is none.
        """
        return min(self._arrivals(Bar, is_first=True))

    def last_arrival_ms(self) -> int:
        """Give when the last bar or trade reached the broker.

        Raises:
            StateError: there is none.
        """
        return max(time for record in _STAMPED for time in self._arrivals(record, is_first=False))

    def applied_by(self, time_ms: int) -> int:
        """Give how many records of `market.ticks` were applied, at most, to make what had arrived by a time.

        At most, because a partition counts up to the tick that triggered its next bar, and whole when none followed.
        """
        codec = self.ground.codec(Bar)
        applied = 0
        with _closing(self.reader()) as consumer:
            for number in range(self.ground.partitions):
                after = TopicPartition(self.topic(Bar), number, time_ms + 1)
                (found,) = consumer.offsets_for_times([after], timeout=_TIMEOUT_S)
                if found.offset < 0:
                    ticks = TopicPartition(TICKS, number)
                    applied += consumer.get_watermark_offsets(ticks, timeout=_TIMEOUT_S)[1]
                else:
                    bar = codec.decode(_message_at(consumer, found).value())
                    assert isinstance(bar, Bar)
                    applied += bar.cause_offset
        return applied

    def _arrivals(self, record: type[Record], *, is_first: bool) -> list[int]:
        found = []
        with _closing(self.reader()) as consumer:
            for number in range(self.ground.partitions):
                pair = TopicPartition(self.topic(record), number)
                low, high = consumer.get_watermark_offsets(pair, timeout=_TIMEOUT_S)
                if high > low:
                    at = TopicPartition(pair.topic, number, low if is_first else high - 1)
                    found.append(int(_message_at(consumer, at).timestamp()[1]))
        if not found and record is Bar:
            raise StateError(f"{self.name}: no bar was published")
        return found


@contextmanager
def _closing(consumer: Consumer) -> Iterator[Consumer]:
    try:
        yield consumer
    finally:
        consumer.close()


def _message_at(consumer: Consumer, place: TopicPartition) -> Any:
    consumer.assign([place])
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            return message
    raise ServiceUnavailable("Kafka", f"{place.topic}[{place.partition}]", f"offset {place.offset} was not read")
