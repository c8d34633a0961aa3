"""Read what the components report of themselves, and how far the log has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from infra.demo.summary import Totals
from infra.runtime.kafka import consumer_config
from infra.runtime.settings import Settings
from schemas.codec import Codec
from schemas.errors import CodecError, ServiceUnavailable
from schemas.records import DeadLetter, Metric, Tick
from schemas.topics import topic_of

__all__ = ["Observer"]

_TIMEOUT_S = 5.0


class Observer:
    """A group-less reader of what `ops.metrics` gets from now on, and of the ends of topics.

    Args:
        codec: Of `ops.metrics`.
    """

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self.totals = Totals()
        self._settings = settings
        self._codec = codec
        self._consumer = Consumer(consumer_config(settings, "flashmm-observer-uncommitted"))
        self._topic = topic_of(Metric).full_name(settings.topic_prefix)
        # What was said before is about processes that are gone.
        self._consumer.assign([TopicPartition(self._topic, p, end) for p, end in self.ends(Metric).items()])
        self._letters_before = sum(self.ends(DeadLetter).values())

    def poll(self, timeout_s: float = 0.05) -> None:
        """Take the metrics that have arrived."""
        for message in self._consumer.consume(500, timeout_s):
            if message.error() is None:
                try:
                    metric = self._codec.decode(message.value(), message.headers())
                except CodecError:
                    continue  # counted by nobody else: the observer only shows what it can read
                assert isinstance(metric, Metric)
                self.totals.add(metric)

    def ends(self, record: type[Any]) -> dict[int, int]:
        """Give the end offset of every partition of a record's topic."""
        topic = topic_of(record).full_name(self._settings.topic_prefix)
        partitions = range(self._settings.kafka_partitions)
        return {partition: self._end(TopicPartition(topic, partition)) for partition in partitions}

    def dead_letters(self) -> int:
        """Count the records that `ops.dead-letters` got since this reader was made."""
        return sum(self.ends(DeadLetter).values()) - self._letters_before

    def applied(self) -> Mapping[int, int]:
        """Give the position that the worker reported for each partition."""
        found: dict[int, int] = {}
        for (component, instance), metric in self.totals.latest.items():
            if component == "worker":
                found[int(instance.rpartition("|")[2])] = metric.counters["position"]
        return found

    def wait_for_worker(self, timeout_s: float, *, is_alive: Callable[[], bool]) -> bool:
        """Wait until the worker's report covers all ticks that are in the log at that time; False when it does not."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and is_alive():
            self.poll(0.2)
            applied = self.applied()
            if all(applied.get(partition, 0) >= end for partition, end in self.ends(Tick).items()):
                return True
        return False

    def _end(self, pair: TopicPartition) -> int:
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                return int(self._consumer.get_watermark_offsets(pair, timeout=_TIMEOUT_S)[1])
            except KafkaException as error:  # a partition that was just created has no leader for a moment
                if time.monotonic() > deadline:
                    address = f"{pair.topic}[{pair.partition}]"
                    raise ServiceUnavailable("Kafka", address, error.args[0].str()) from error
                time.sleep(0.05)

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()
