"""What a benchmark runs on: one real Kafka and a registry of its own, with topics that tell when a record arrived."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
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
from schemas.records import Bar, Record, Tick, Trade
from schemas.registry import Registry
from schemas.topics import topic_of

__all__ = ["TICKS", "Ground", "Run"]

TICKS = topic_of(Tick).name
_TIMEOUT_S = 30.0
_STAMPED: tuple[type[Record], ...] = (Bar, Trade)


class Ground:
    """A broker and a registry, entered as a context; `market.ticks` has one name on it, outputs one a run.

    Args:
        folder: Its files; removed at the end unless something failed.
    """

    def __init__(self, folder: Path, *, partitions: int = 4) -> None:
        self.folder = folder.absolute()
        self.partitions = partitions
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        with self._exit:
            kafka = self._exit.enter_context(JvmKafka(self.folder / "kafka"))
            self.bootstrap = kafka.bootstrap
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

    def run(self, name: str) -> Run:
        """Make the topics of a run's outputs; its bars and trades bear the broker's time of arrival."""
        run = Run(self, name)
        create_topics(self.bootstrap, partitions=self.partitions, prefixes=(run.settings.topic_prefix,))
        stamped = ConfigEntry("message.timestamp.type", "LogAppendTime", incremental_operation=AlterConfigOpType.SET)
        resources = [
            ConfigResource(ResourceType.TOPIC, run.topic(record), incremental_configs=[stamped]) for record in _STAMPED
        ]
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        for future in admin.incremental_alter_configs(resources).values():
            future.result(_TIMEOUT_S)
        return run


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

    def edges(self, record: type[Record]) -> list[tuple[int, int]]:
        """Give the timestamps, milliseconds, of the first and the last record of each partition that has any."""
        consumer = self.reader()
        found = []
        try:
            for number in range(self.ground.partitions):
                pair = TopicPartition(self.topic(record), number)
                low, high = consumer.get_watermark_offsets(pair, timeout=_TIMEOUT_S)
                if high > low:
                    found.append((_time_at(consumer, pair, low), _time_at(consumer, pair, high - 1)))
        finally:
            consumer.close()
        return found


def _time_at(consumer: Consumer, pair: TopicPartition, offset: int) -> int:
    consumer.assign([TopicPartition(pair.topic, pair.partition, offset)])
    while True:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            return int(message.timestamp()[1])
