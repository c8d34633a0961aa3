"""Reading a partition by hand, to its end, with no group: what a process needs to know before it starts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from infra.runtime.kafka import consumer_config
from infra.runtime.settings import Settings
from schemas.errors import CodecError, ConfigurationError, ServiceUnavailable
from schemas.records import Record
from sinks.decoding import Decoder, delivery_of

__all__ = ["LogReader", "log_reader"]

_ANSWER_S = 10.0
_BATCH = 1_000
_LOOK_BACK, _LOOK_FURTHER = 64, 8
# A partition that was just created is led a moment later.
_LEADERLESS = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
_MISSING = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001  librdkafka spells it so
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
)


class LogReader:
    """Reads spans of partitions; made by `log_reader`."""

    def __init__(self, settings: Settings, decoder: Decoder, consumer: Consumer) -> None:
        self._settings = settings
        self._decoder = decoder
        self._consumer = consumer

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """Give the first offset of a partition and the one after its last.

        Raises:
            ConfigurationError: there is no such topic or partition.
            ServiceUnavailable: the broker does not answer in time.
        """
        deadline = time.monotonic() + _ANSWER_S
        while True:
            try:
                start, end = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_ANSWER_S)
            except KafkaException as error:
                if error.args[0].code() in _MISSING:
                    problem = f"{self._settings.kafka_bootstrap} has no partition {partition} of {topic}"
                    fix = "Run `flashmm topics create`"
                    raise ConfigurationError("FLASHMM_KAFKA_BOOTSTRAP", problem, fix) from error
                if error.args[0].code() not in _LEADERLESS or time.monotonic() > deadline:
                    raise self._unavailable(f"{topic} {partition}: {error.args[0].str()}") from error
                time.sleep(0.05)
            else:
                return start, end

    def records(self, topic: str, partition: int, start: int, end: int) -> Iterator[tuple[Record, int]]:
        """Give the records of a span with their offsets; what is no record of ours is passed over.

        Raises:
            ServiceUnavailable: the broker does not answer in time.
        """
        for message in self._messages(topic, partition, start, end):
            delivery = delivery_of(message)
            try:
                yield self._decoder.decode(delivery), delivery.offset
            except CodecError:
                continue  # the sinks that consume the topic describe it as a dead letter

    def batches(self, topic: str, partition: int, start: int, end: int) -> Iterator[list[Message]]:
        """Give the messages of a span, many at a time.

        Raises:
            ServiceUnavailable: the broker does not answer in time.
        """
        messages = self._messages(topic, partition, start, end)
        while batch := list(islice(messages, _BATCH)):
            yield batch

    def last_value(self, topic: str, partition: int, key: bytes) -> bytes | None:
        """Give the last value of a key; None where it has none.

        Raises:
            ServiceUnavailable: the broker does not answer in time.
        """
        start, end = self.ends(topic, partition)
        first, back = end, _LOOK_BACK
        while first > start:
            # From the end backwards, further each time: compaction may not have come to hours of them yet.
            last, first = first, max(start, first - back)
            value: bytes | None = None
            for message in self._messages(topic, partition, first, last):
                if message.key() == key:
                    value = message.value()
            if value is not None:
                return value
            back *= _LOOK_FURTHER
        return None

    def _messages(self, topic: str, partition: int, start: int, end: int) -> Iterator[Message]:
        offset = start
        if start < end:
            self._consumer.assign([TopicPartition(topic, partition, start)])
        while offset < end:
            message = self._consumer.poll(_ANSWER_S)
            error = message.error() if message is not None else None
            if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  librdkafka spells it so
                return
            if message is None or error is not None:
                why = error.str() if error is not None else "no answer"
                raise self._unavailable(f"reading {topic} {partition}: {why}")
            offset = delivery_of(message).offset + 1
            if offset <= end:  # the last offset of a span may be a hole
                yield message

    def _unavailable(self, detail: str) -> ServiceUnavailable:
        return ServiceUnavailable("Kafka", self._settings.kafka_bootstrap, detail)


@contextmanager
def log_reader(settings: Settings, decoder: Decoder) -> Iterator[LogReader]:
    """Open a reader for the length of a block."""
    # A group name is demanded, but nothing joins it and nothing is committed: partitions are assigned by hand.
    consumer = Consumer(consumer_config(settings, "flashmm-reader", **{"enable.partition.eof": True}))
    try:
        yield LogReader(settings, decoder, consumer)
    finally:
        consumer.close()
