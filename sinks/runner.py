"""The shell of a connector: a Kafka consumer group, commits, dead letters, metrics and signals around a `SinkLoop`."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from infra.runtime.clock import Clock, wall_clock_us
from infra.runtime.kafka import consumer_config
from infra.runtime.logging import get_logger
from infra.runtime.settings import Settings
from schemas.errors import TerminalError, TransientError
from schemas.records import DeadLetter, Metric
from schemas.topics import TOPICS
from sinks.connector import Connector, Flushed, Limits, SinkLoop
from sinks.decoding import Decoder, delivery_of
from sinks.ops import RecordProducer, check_broker, outgoing_dead_letter, outgoing_metric
from sinks.stop import Stop

__all__ = ["SinkRunner", "is_record"]

log = get_logger(__name__)

_POLL_S = 0.02
_METRICS_US = 1_000_000
_CLOSE_S = 3.0
# Answers to a commit by somebody whose partitions are already another's: the records will be read again there.
_NO_LONGER_OURS = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError._NO_OFFSET,  # noqa: SLF001  librdkafka's own codes are spelled so
    KafkaError._STATE,  # noqa: SLF001
    KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001
}


class SinkRunner:
    """Run one connector until told to stop.

    Args:
        stop: Ends it, within 100 ms while the destination answers.

    Raises:
        ServiceUnavailable: the registry does not answer.
        ConfigurationError: a committed schema is not registered.
    """

    def __init__(
        self,
        connector: Connector,
        settings: Settings,
        *,
        stop: Stop,
        clock: Clock = wall_clock_us,
    ) -> None:
        self._connector = connector
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._component = f"sink.{connector.name}"
        self._instance = _instance_name()
        self._metrics_us = 0
        self._commit_failures = 0
        self._paused = False
        self._closing = False
        self._producer = RecordProducer(self._settings, (DeadLetter, Metric))
        decoder = Decoder.for_topics(self._connector.topics, self._settings, self._clock)
        limits = Limits(
            batch_records=settings.sink_batch_records,
            flush_interval_us=settings.sink_flush_interval_ms * 1_000,
        )
        self._loop = SinkLoop(self._connector, decoder, limits, component=self._component)
        prefix = self._settings.topic_prefix
        self._consumer = Consumer(
            consumer_config(
                self._settings,
                f"{prefix}flashmm-{self._component}",
                # A topic that is created after the sink has started is noticed this soon.
                **{"topic.metadata.refresh.interval.ms": 2_000},
            )
        )

    def run(self) -> None:
        """Connect, then read, flush and commit until told to stop.

        Raises:
            ServiceUnavailable: Kafka or the destination does not answer at the start.
            TerminalError: going on makes no sense; nothing is committed past what was written.
        """
        try:
            found = check_broker(self._consumer, self._settings)
            self._connector.open()
            topics = [TOPICS[name].full_name(self._settings.topic_prefix) for name in self._connector.topics]
            missing = [topic for topic in topics if topic not in found]
            if missing:
                log.warning("topics_missing", topics=missing, fix="Run `flashmm topics create`; reading starts then")
            self._consumer.subscribe(topics, on_revoke=self._revoked)
            log.info("sink_started", sink=self._component, topics=list(self._connector.topics))
            while not self._stop.is_requested:
                self._turn()
            self._last_flush()
            self._report()
        finally:
            self._closing = True
            self._consumer.close()
            self._producer.close(_CLOSE_S)
            self._connector.close()
            log.info("sink_stopped", sink=self._component, **self.counters)

    def _turn(self) -> None:
        room = self._loop.room
        self._pause(room == 0)
        # Also called while paused: it keeps the membership and serves rebalances.
        messages = self._consumer.consume(max(room, 1), _POLL_S)
        self._loop.feed(delivery_of(message) for message in messages if is_record(message))
        now_us = self._clock()
        self._finish(self._loop.step(now_us))
        if now_us - self._metrics_us >= _METRICS_US:
            self._report()

    def _report(self) -> None:
        self._metrics_us = self._clock()
        self._producer.send(outgoing_metric(self._metric(self._metrics_us)))

    def _finish(self, flushed: Flushed | None) -> None:
        if flushed is None:
            return
        if flushed.failure is not None:
            log.warning("sink_waits", sink=self._component, because=str(flushed.failure))
        if flushed.dead_letters:
            letters = [outgoing_dead_letter(letter) for letter in flushed.dead_letters]
            self._producer.write(letters, self._stop.has_run_out)
        self._commit(flushed)

    def _commit(self, flushed: Flushed) -> None:
        if not flushed.offsets:
            return
        offsets = [TopicPartition(topic, number, at) for (topic, number), at in flushed.offsets.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            self._commit_failures += 1
            code = error.args[0]
            if not (code.retriable() or code.code() in _NO_LONGER_OURS or code.code() < 0):
                raise TerminalError(f"Kafka refused the offsets of {self._component}: {code.str()}") from error
            log.warning("commit_failed", sink=self._component, because=code.str())

    def _revoked(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        if self._closing:
            return
        self._last_flush()
        self._loop.forget((partition.topic, partition.partition) for partition in partitions)

    def _last_flush(self) -> None:
        try:
            self._finish(self._loop.step(self._clock(), force=True))
        except TransientError as error:
            # Nothing was committed, so nothing is lost: who reads next writes it.
            log.warning("sink_waits", sink=self._component, because=str(error))

    def _pause(self, wanted: bool) -> None:
        if wanted:
            # Every turn: a rebalance may have brought partitions that are not paused yet.
            self._consumer.pause(self._consumer.assignment())
        elif self._paused:
            self._consumer.resume(self._consumer.assignment())
        self._paused = wanted

    def _metric(self, now_us: int) -> Metric:
        return Metric(
            component=self._component,
            instance=self._instance,
            ts_metric=now_us,
            counters=self.counters,
            gauges={"waiting": float(self._loop.room == 0)},
        )

    @property
    def counters(self) -> Mapping[str, int]:
        """Cumulative counts of the loop and of the connector."""
        return {**self._loop.counts, **self._connector.counters(), "commit_failures": self._commit_failures}


def _instance_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def is_record(message: Message) -> bool:
    """Tell a record from an event; one that the client gets over by itself is logged.

    Raises:
        TerminalError: the client cannot go on.
    """
    error = message.error()
    if error is None:
        return True
    if error.fatal():
        raise TerminalError(f"Kafka ended the consumer: {error.str()}")
    log.warning("consumer_error", because=error.str())  # e.g. a topic that is not there yet; librdkafka tries again
    return False
