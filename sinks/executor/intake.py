"""What the executor reads from Kafka: ticks and decisions into one order per partition, within bounds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, Message, TopicPartition

from infra.runtime.clock import Clock
from infra.runtime.kafka import consumer_config
from infra.runtime.settings import Settings
from schemas.errors import CodecError
from schemas.records import Cause, Instrument, QuoteDecision, Tick
from schemas.topics import topic_of
from sinks.decoding import Decoder, Delivery, delivery_of
from sinks.executor.desk import Desk
from sinks.executor.merge import Merge
from sinks.executor.reading import TickReader
from sinks.runner import is_record

__all__ = ["Intake"]

_BATCH = 1_000
_POLL_S = 0.01
# Ticks cost by the answer, and by the time that they are looked at, more than by the tick: they come in bulk, and are
# taken when a decision needs them, or else so often.
_IN_BULK = {"fetch.min.bytes": 32 * 1024, "fetch.wait.max.ms": 15}
_TICKS_US = 40_000


class Intake:
    """Reads what it is assigned.

    Args:
        consumer: For all but ticks, which another of its own reads.
        on_refused: Told of what is no record.
        on_instrument: Given those that come.

    Attributes:
        merges: By partition.
    """

    def __init__(
        self,
        settings: Settings,
        consumer: Consumer,
        decoder: Decoder,
        desk: Desk,
        clock: Clock,
        *,
        on_refused: Callable[[Delivery, CodecError], None],
        on_instrument: Callable[[Instrument], None],
    ) -> None:
        self._consumer = consumer
        # Decisions must not wait for ticks, which come in bulk, nor ticks come one by one because decisions do.
        group = f"{settings.topic_prefix}flashmm-executor-ticks"
        self._bulk_consumer = Consumer(consumer_config(settings, group, **_IN_BULK))
        self._decoder = decoder
        self._desk = desk
        self._clock = clock
        self._on_refused = on_refused
        self._on_instrument = on_instrument
        self._ticks = topic_of(Tick).full_name(settings.topic_prefix)
        self._decisions = topic_of(QuoteDecision).full_name(settings.topic_prefix)
        self._reader = TickReader(self._ticks, decoder, desk.listings, on_refused)
        self._paused: set[tuple[str, int]] = set()
        self._taken_us = 0
        self.merges = {
            partition: Merge(
                self._ticks,
                partition,
                desk.counts,
                is_waiting=desk.venue.is_on_log,
                silence_us=settings.dead_man_ms * 1_000,
                frequency_hz=settings.quote_frequency_hz,
            )
            for partition in range(settings.kafka_partitions)
        }

    def assign(self, starts: Sequence[TopicPartition]) -> None:
        """Read these partitions on from these offsets."""
        self._bulk_consumer.assign([start for start in starts if start.topic == self._ticks])
        self._consumer.assign([start for start in starts if start.topic != self._ticks])

    def close(self) -> None:
        """Leave the broker."""
        self._bulk_consumer.close()
        self._consumer.close()

    def read(self) -> None:
        """Wait a moment for messages, and take in those that are there.

        Raises:
            ServiceUnavailable: a schema id is new and the registry does not answer.
        """
        ticks: defaultdict[int, list[Message]] = defaultdict(list)
        others: list[Delivery] = []
        for message in self._messages():
            if not is_record(message):
                continue
            if message.topic() == self._ticks:
                ticks[message.partition() or 0].append(message)
            else:
                others.append(delivery_of(message))
        for partition, messages in ticks.items():
            for read in self._reader.read(messages):
                self.merges[partition].add(read)
        for delivery in others:
            self._take(delivery)

    def make_room(self) -> None:
        """Stop reading what there is no room for, until there is again."""
        for partition, merge in self.merges.items():
            self._make_room(self._bulk_consumer, self._ticks, partition, has_room=merge.wants_ticks)
            self._make_room(self._consumer, self._decisions, partition, has_room=merge.wants_decisions)

    def _messages(self) -> Sequence[Message]:
        """Wait a moment for a decision, or for the ticks that one names, and take what is there.

        `consume` alone would wait for a full batch.
        """
        is_decided = any(merge.is_decided for merge in self.merges.values())
        first = (self._bulk_consumer if is_decided else self._consumer).poll(_POLL_S)
        messages = [] if first is None else [first]
        messages += self._consumer.consume(_BATCH, 0)
        now_us = self._clock()
        if is_decided or messages or not 0 <= now_us - self._taken_us < _TICKS_US:
            self._taken_us = now_us
            messages += self._bulk_consumer.consume(_BATCH, 0)
        return messages

    def _take(self, delivery: Delivery) -> None:
        try:
            record = self._decoder.decode(delivery)
        except CodecError as error:
            self._on_refused(delivery, error)
            return
        now_us = self._clock()
        if isinstance(record, Instrument):
            self._on_instrument(record)
        elif isinstance(record, QuoteDecision):
            cause = Cause(delivery.topic, delivery.partition, delivery.offset, delivery.offset)
            if self._desk.is_mine(record):
                self.merges[delivery.partition].add_decision(record, cause, now_us)
            else:
                self._desk.decide(record, cause, now_us)  # which counts why it is ignored

    def _make_room(self, consumer: Consumer, topic: str, partition: int, *, has_room: bool) -> None:
        place = (topic, partition)
        if has_room is (place not in self._paused):
            return
        (consumer.resume if has_room else consumer.pause)([TopicPartition(topic, partition)])
        self._paused ^= {place}
