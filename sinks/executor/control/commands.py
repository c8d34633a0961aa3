"""The shell around a `Supervisor`: the account's commands out of Kafka, and the settings that it follows.

The commands have a consumer of their own, so that none waits behind ticks.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from infra.runtime.clock import Clock
from infra.runtime.kafka import consumer_config
from infra.runtime.settings import Settings
from schemas.enums import Mode
from schemas.errors import CodecError, ConfigurationError, ServiceUnavailable
from schemas.instruments import partition_for
from schemas.records import Cause, Command, ExecutionReport
from schemas.topics import topic_of
from sinks.decoding import Decoder, delivery_of
from sinks.executor.control.breakers import BreakerLimits
from sinks.executor.control.flatten import FlattenLimits
from sinks.executor.control.supervisor import Supervisor
from sinks.executor.desk import Desk
from sinks.ops import check_broker

__all__ = ["CommandLog", "check_commands", "command_key", "supervisor_of"]

_ANSWER_S = 10.0
_STATISTICS_MS = 500
_IDLE_US = 1_000_000


def command_key(mode: Mode, account: str) -> str:
    """Give the key of an account's commands."""
    return f"{mode}|{account}"


def check_commands(client: Any, settings: Settings) -> None:
    """See that commands are written where executors look for them.

    Raises:
        ServiceUnavailable: no broker answers.
        ConfigurationError: the topic does not exist, or has another number of partitions than the settings.
    """
    topic = topic_of(Command).full_name(settings.topic_prefix)
    found = check_broker(client, settings).get(topic)
    if found is None:
        problem = f"has no topic {topic}, so nobody could halt"
        raise ConfigurationError("FLASHMM_KAFKA_BOOTSTRAP", problem, "Run `flashmm topics create`")
    if found != settings.kafka_partitions:
        problem = f"is {settings.kafka_partitions}, but {topic} has {found} partitions"
        raise ConfigurationError("FLASHMM_KAFKA_PARTITIONS", problem, "Set it to the topic's number")


def supervisor_of(settings: Settings, desk: Desk) -> Supervisor:
    """Build the supervisor that the settings ask for.

    Raises:
        ConfigurationError: a value cannot be.
    """
    flatten = FlattenLimits(
        price_bps=settings.flatten_price_bps,
        participation_pct=settings.flatten_participation_pct,
        order_notional=settings.notional("max_order_quote"),
        interval_us=settings.flatten_interval_ms * 1_000,
        book_age_us=settings.flatten_book_age_ms * 1_000,
    )
    breakers = BreakerLimits(
        latency_us=settings.breaker_latency_ms * 1_000,
        latency_window_us=settings.breaker_latency_window_ms * 1_000,
        position_notional=settings.notional("max_position_quote"),
        inventory_pct=settings.breaker_inventory_pct,
        rest_us=settings.breaker_rest_ms * 1_000,
        trial_us=settings.breaker_trial_ms * 1_000,
    )
    return Supervisor(
        desk,
        flatten,
        breakers,
        executions=topic_of(ExecutionReport).full_name(settings.topic_prefix),
        widen_pct=settings.widen_pct,
        escalate_us=settings.breaker_escalate_ms * 1_000,
    )


class Listener(Protocol):
    """Whoever is told of an account's commands, in the order of the log."""

    def on_command(self, command: Command, cause: Cause) -> None:
        """Take a command, perhaps of another account."""

    def on_unreadable_command(self, cause: Cause, why: str, now_us: int) -> None:
        """Take bytes that may have been a command of the account."""

    def started(self) -> None:
        """All commands of the past were given."""


class CommandLog:
    """Reads the commands of one (mode, account)."""

    def __init__(self, settings: Settings, listener: Listener, mode: Mode, account: str, clock: Clock) -> None:
        self._settings = settings
        self._listener = listener
        self._clock = clock
        self._key = command_key(mode, account).encode()
        self._topic = topic_of(Command).full_name(settings.topic_prefix)
        self.partition = partition_for(self._key, settings.kafka_partitions)
        self._decoder = Decoder.for_topics([topic_of(Command).name], settings, clock)
        self._next = 0
        self._heard_us = 0
        self._consumer = Consumer(
            consumer_config(
                settings,
                # A group name is demanded, but nothing joins it: the partition is assigned by hand.
                "flashmm-commands",
                **{
                    "enable.partition.eof": True,
                    "statistics.interval.ms": _STATISTICS_MS,
                    "stats_cb": self._on_statistics,
                },
            )
        )

    def catch_up(self) -> None:
        """Read all commands that were ever given: before that, nothing may be sent.

        Raises:
            ServiceUnavailable: they cannot be read.
            ConfigurationError: their topic does not exist, or has another number of partitions than the settings.
        """
        check_commands(self._consumer, self._settings)
        self._consumer.assign([TopicPartition(self._topic, self.partition, 0)])
        while True:
            message = self._consumer.poll(_ANSWER_S)
            error = message.error() if message is not None else None
            if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  librdkafka spells it so
                self._heard_us = self._clock()
                self._listener.started()
                return
            if message is None or error is not None:
                raise self._unreadable(error)
            self._take(message)

    def follow(self) -> bool:
        """Read what has come since; tell whether there was anything. Never waits.

        Raises:
            ServiceUnavailable: they cannot be read any more.
        """
        taken = 0
        while (message := self._consumer.poll(0)) is not None:
            error = message.error()
            if error is None:
                self._take(message)
                taken += 1
            elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                raise self._unreadable(error)
        return taken > 0

    def is_heard(self, now_us: int) -> bool:
        """Whether the broker of the commands answered lately: if not, a halt might be there and not be known."""
        return now_us - self._heard_us <= self._settings.commands_stale_ms * 1_000

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def _take(self, message: Message) -> None:
        delivery = delivery_of(message)
        if delivery.offset < self._next:
            return
        self._next = delivery.offset + 1
        cause = Cause(delivery.topic, delivery.partition, delivery.offset, delivery.offset)
        try:
            record = self._decoder.decode(delivery)
        except CodecError as error:
            if message.key() in (None, self._key):
                self._listener.on_unreadable_command(cause, str(error), self._clock())
            return
        assert isinstance(record, Command)
        self._listener.on_command(record, cause)

    def _on_statistics(self, text: str) -> None:
        statistics = json.loads(text)
        partition = statistics["topics"].get(self._topic, {}).get("partitions", {}).get(str(self.partition), {})
        for broker in statistics["brokers"].values():
            # Fetches are answered every few milliseconds, also when there is nothing.
            if broker["nodeid"] == partition.get("leader") and 0 <= broker["rxidle"] < _IDLE_US:
                # Not when this is read, which may be much later.
                self._heard_us = max(self._heard_us, int(statistics["time"]) * 1_000_000)

    def _unreadable(self, error: KafkaError | None) -> ServiceUnavailable:
        why = error.str() if error is not None else "no answer"
        return ServiceUnavailable(
            "Kafka",
            self._settings.kafka_bootstrap,
            f"reading {self._topic} {self.partition}: {why}",
            fix="Without its commands an executor does not trade",
        )
