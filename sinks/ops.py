"""What every sink writes back to Kafka: dead letters and metrics, each acknowledged before anything rests on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from infra.runtime.kafka import producer_config
from infra.runtime.settings import Settings
from schemas.codec import Codec
from schemas.errors import ServiceUnavailable, TerminalError
from schemas.records import DeadLetter, Metric, Record
from schemas.registry import Registry
from schemas.topics import topic_of

__all__ = ["Outgoing", "RecordProducer", "RecordWriter", "check_broker", "outgoing_dead_letter", "outgoing_metric"]

_POLL_S = 0.05
_ANSWER_S = 5.0


def check_broker(client: Any, settings: Settings) -> Mapping[str, int]:
    """Give the partition counts of the broker's topics, so that a wrong address is noticed when a process starts.

    Raises:
        ServiceUnavailable: no broker answers within 5 s.
    """
    try:
        topics = client.list_topics(timeout=_ANSWER_S).topics
    except KafkaException as error:
        raise ServiceUnavailable(
            "Kafka",
            settings.kafka_bootstrap,
            str(error.args[0].str()),
            fix="Start it (`flashmm up`), or set FLASHMM_KAFKA_BOOTSTRAP",
        ) from error
    return {name: len(topic.partitions) for name, topic in topics.items()}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to write; without a partition the key decides, as Java's partitioner would."""

    record: Record
    key: str
    partition: int | None = None


class RecordWriter:
    """Encode records, give them to a producer and wait for the broker's acknowledgement.

    Args:
        kinds: Classes of the records that will be written.

    Raises:
        ServiceUnavailable: the registry does not answer.
        ConfigurationError: a committed schema is not registered.
    """

    def __init__(self, settings: Settings, kinds: Sequence[type[Record]]) -> None:
        self._settings = settings
        with Registry(settings.registry_url) as registry:
            self._codecs: dict[type[Record], Codec] = {kind: registry.codec(kind) for kind in kinds}

    def write(
        self,
        producer: Producer,
        records: Sequence[Outgoing],
        give_up: Callable[[], bool],
        ask: Callable[[Callable[[], Any]], Any] = lambda call: call(),
    ) -> list[int]:
        """Write records and give their offsets, in the same order, when all are acknowledged.

        Args:
            ask: Makes each call of the producer.

        Raises:
            ServiceUnavailable: `give_up` said so before all were acknowledged: the outcome is not known.
            KafkaException: the broker did not take a record.
        """
        offsets: list[int | None] = [None] * len(records)
        failures: list[KafkaError] = []

        def acknowledged(index: int) -> Callable[[KafkaError | None, Message], None]:
            def callback(error: KafkaError | None, message: Message) -> None:
                if error is not None:
                    failures.append(error)
                else:
                    offsets[index] = message.offset()

            return callback

        for index, outgoing in enumerate(records):
            ask(partial(self.produce, producer, outgoing, acknowledged(index)))
        while not failures and None in offsets:
            ask(partial(producer.poll, _POLL_S))
            if None in offsets and give_up():
                detail = "records were not acknowledged in time"
                raise ServiceUnavailable("Kafka", self._settings.kafka_bootstrap, detail)
        if failures:
            raise KafkaException(failures[0])
        return [offset for offset in offsets if offset is not None]

    def produce(
        self,
        producer: Producer,
        outgoing: Outgoing,
        callback: Callable[[KafkaError | None, Message], None] | None = None,
    ) -> None:
        """Give a record to a producer without waiting."""
        kind = type(outgoing.record)
        extra: dict[str, Any] = {} if outgoing.partition is None else {"partition": outgoing.partition}
        producer.produce(
            topic_of(kind).full_name(self._settings.topic_prefix),
            value=self._codecs[kind].encode(outgoing.record),
            key=outgoing.key.encode(),
            on_delivery=callback,
            **extra,
        )


class RecordProducer:
    """Write records through a producer of its own; see `RecordWriter`."""

    def __init__(self, settings: Settings, kinds: Sequence[type[Record]]) -> None:
        self._writer = RecordWriter(settings, kinds)
        # 0: librdkafka tries for ever; who waits decides when to give up.
        self._producer = Producer(producer_config(settings, **{"message.timeout.ms": 0, "linger.ms": 0}))

    def write(self, records: Sequence[Outgoing], give_up: Callable[[], bool]) -> list[int]:
        """Write records and give their offsets, in the same order, when all are acknowledged.

        Raises:
            ServiceUnavailable: `give_up` said so before all were acknowledged: the outcome is not known.
            TerminalError: the broker refused a record for good.
        """
        try:
            return self._writer.write(self._producer, records, give_up)
        except KafkaException as failure:
            error: KafkaError = failure.args[0]
            raise TerminalError(f"Kafka refused a record for good: {error.str()}. See the broker's log") from failure

    def send(self, outgoing: Outgoing) -> None:
        """Write a record without waiting; dropped where it cannot be buffered (for metrics, of which more follow)."""
        try:
            self._writer.produce(self._producer, outgoing)
        except BufferError:
            return
        self._producer.poll(0)

    def close(self, timeout_s: float) -> None:
        """Wait for what was sent, not longer than `timeout_s`."""
        self._producer.flush(timeout_s)


def outgoing_dead_letter(letter: DeadLetter) -> Outgoing:
    """Address a dead letter."""
    return Outgoing(letter, letter.component)


def outgoing_metric(metric: Metric) -> Outgoing:
    """Address a metric."""
    return Outgoing(metric, metric.component)
