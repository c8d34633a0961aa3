"""From a Kafka message to a record: codecs by topic, and the registry for schema ids that they do not know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import Message

from infra.runtime.clock import Clock
from infra.runtime.settings import Settings
from schemas.codec import Codec, Json, split_header
from schemas.errors import CodecError
from schemas.reasons import DeadLetterReason
from schemas.records import Record
from schemas.registry import Registry
from schemas.topics import TOPICS

__all__ = ["Decoder", "Delivery", "Headers", "TopicPartition", "delivery_of"]

TopicPartition = tuple[str, int]
Headers = Sequence[tuple[str, bytes]]

_ASK_AGAIN_US = 60_000_000
_MOST_UNKNOWN = 1_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """One Kafka message as it was delivered; `topic` carries the run's prefix."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    headers: Headers | None = None

    @property
    def topic_partition(self) -> TopicPartition:
        """The partition that it came from."""
        return (self.topic, self.partition)


def delivery_of(message: Message) -> Delivery:
    """Take what a record needs out of a message."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return Delivery(topic, partition, offset, message.value(), message.headers())


class Decoder:
    """Decode deliveries; the registry is asked once a minute at most for an id that nobody knows.

    Args:
        codecs: Codec by full topic name.
        lookup: Gives the schema of an id or GUID, None where the registry does not know it.
    """

    def __init__(self, codecs: Mapping[str, Codec], lookup: Callable[[int | bytes], Json | None], clock: Clock) -> None:
        self._codecs = codecs
        self._lookup = lookup
        self._clock = clock
        self._unknown_until: dict[int | bytes, int] = {}

    @classmethod
    def for_topics(cls, topics: Iterable[str], settings: Settings, clock: Clock) -> Decoder:
        """Build the decoder of catalogue topics.

        Raises:
            ServiceUnavailable: the registry does not answer.
            ConfigurationError: a committed schema is not registered.
        """
        codecs = {}
        with Registry(settings.registry_url) as registry:
            for name in topics:
                topic = TOPICS[name]
                assert topic.record is not None
                codecs[topic.full_name(settings.topic_prefix)] = registry.codec(topic.record)

        def lookup(schema_id: int | bytes) -> Json | None:
            with Registry(settings.registry_url) as registry:
                return registry.schema(schema_id)

        return cls(codecs, lookup, clock)

    def decode(self, delivery: Delivery) -> Record:
        """Decode a delivery.

        Raises:
            CodecError: its bytes are not the record of its topic.
            ServiceUnavailable: its schema id is new and the registry does not answer.
        """
        codec = self._codecs[delivery.topic]
        try:
            return codec.decode(delivery.value, delivery.headers)
        except CodecError as error:
            if error.reason is not DeadLetterReason.UNKNOWN_SCHEMA or not self.learns(delivery):
                raise
        return codec.decode(delivery.value, delivery.headers)

    def codec(self, topic: str) -> Codec:
        """Give the codec of a topic."""
        return self._codecs[topic]

    def learns(self, delivery: Delivery) -> bool:
        """Learn the schema of a delivery of UNKNOWN_SCHEMA; False where the registry does not know it either.

        Raises:
            ServiceUnavailable: the registry does not answer.
        """
        codec = self._codecs[delivery.topic]
        schema_id, _ = split_header(delivery.value, delivery.headers)
        return not codec.knows(schema_id) and self._learn(codec, schema_id)

    def _learn(self, codec: Codec, schema_id: int | bytes) -> bool:
        now_us = self._clock()
        if now_us < self._unknown_until.get(schema_id, 0):
            return False
        schema = self._lookup(schema_id)
        if schema is None:
            if len(self._unknown_until) >= _MOST_UNKNOWN:
                self._unknown_until.clear()
            self._unknown_until[schema_id] = now_us + _ASK_AGAIN_US
            return False
        codec.add_writer(schema_id, schema)
        return True
