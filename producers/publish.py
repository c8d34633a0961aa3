"""From a source's effects to Kafka: ticks, dead letters and the producer's own metrics.

Ticks go to the partition of their market's group, chosen here by murmur2 and never by the client library. A HEARTBEAT
or BLOCK concerns the whole source, so a copy goes to each partition that holds one of its markets. Nothing is dropped
but what `producers.shedding` leaves out where that is switched on: a full queue makes the caller wait, for as long as
Kafka is away, and a record that Kafka would not take ends the process at the next call.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from infra.runtime.clock import Clock
from infra.runtime.kafka import producer_config
from infra.runtime.settings import Settings
from producers.backlog import Backlog
from producers.core import BadFrame, Effects, Measured, Source
from producers.shedding import Shedder, ShedLimits
from schemas.codec import Codec
from schemas.enums import Severity, TickKind
from schemas.errors import ConfigurationError, ServiceUnavailable
from schemas.instruments import Instruments, partition_for
from schemas.records import Alert, DeadLetter, Instrument, Market, Metric, Tick
from schemas.registry import Registry
from schemas.topics import topic_of

__all__ = ["TickPublisher", "build_publisher"]

_PAYLOAD_LIMIT = 64 * 1024
_QUEUE_FULL_WAIT_S = 0.005
_MAX_RECORDS = "queue.buffering.max.messages"
_MAX_KBYTES = "queue.buffering.max.kbytes"
_LIBRARY_BOUNDS = {_MAX_RECORDS: 100_000, _MAX_KBYTES: 1 << 20}


class TickPublisher:
    """Writes what sources make to Kafka, and awaits its acknowledgement.

    Args:
        producer_config: Settings of confluent-kafka's producer (`infra.runtime.kafka.producer_config`).
        tick, dead_letter, metric, alert, instrument: Codecs of the records that a producer writes.
        instruments: Name the partitioning group of each market.
        partitions: Partition count of `market.ticks`.
        prefix: Topic prefix of the run; `market.ticks` itself has none.
        shed: When to leave tops out; None: never.
    """

    def __init__(
        self,
        producer_config: Mapping[str, Any],
        *,
        tick: Codec,
        dead_letter: Codec,
        metric: Codec,
        alert: Codec,
        instrument: Codec,
        instruments: Instruments,
        partitions: int,
        clock: Clock,
        prefix: str = "",
        shed: ShedLimits | None = None,
    ) -> None:
        self._bootstrap = str(producer_config["bootstrap.servers"])
        self._producer = Producer(dict(producer_config))
        self._codecs = {codec.record: codec for codec in (tick, dead_letter, metric, alert, instrument)}
        self._topics = {record: topic_of(record).full_name(prefix) for record in self._codecs}
        self._instruments = instruments
        self._partitions = partitions
        self._clock = clock
        bounds = {**_LIBRARY_BOUNDS, **producer_config}
        self._backlog = Backlog(int(bounds[_MAX_RECORDS]), int(bounds[_MAX_KBYTES]) * 1_024)
        self._shedder = Shedder(shed)
        self._give_up_s: float | None = None
        self._failure: KafkaError | None = None
        self._homes: dict[tuple[str, str], tuple[bytes, int]] = {}
        self._counters: dict[str, Counter[str]] = {}
        self.delivered = 0

    def counters(self, source: Source) -> Mapping[str, int]:
        """What was written for a source: ticks by kind, dead letters by reason."""
        return self._counters.get(source.name, Counter())

    async def check(self, timeout_s: float = 10.0) -> None:
        """Check that Kafka answers and that `market.ticks` is as configured.

        Raises:
            ServiceUnavailable: no broker answers.
            ConfigurationError: the topic is missing, or has another number of partitions.
        """
        name = self._topics[Tick]
        try:
            metadata = await asyncio.to_thread(self._producer.list_topics, name, timeout_s)
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from error
        found = len(metadata.topics[name].partitions)
        if not found:
            raise ConfigurationError(
                "FLASHMM_KAFKA_BOOTSTRAP", f"{self._bootstrap} has no topic {name}", "Run `flashmm topics create`"
            )
        if found != self._partitions:
            raise ConfigurationError(
                "FLASHMM_KAFKA_PARTITIONS",
                f"is {self._partitions}, but {name} has {found} partitions",
                f"Set it to {found}; the count is fixed for life",
            )

    async def publish(self, effects: Effects, source: Source) -> None:
        """Write a source's ticks, in order, its bad frames and its instruments; waits while the client's queue is full.

        Raises:
            ServiceUnavailable: an earlier record was not delivered; what follows must not be written past it.
        """
        now_us = self._clock()
        age_us = self._backlog.age_us(now_us)
        if self._shedder.judge(self._backlog.percent, age_us):
            await self._tell_of_shedding(source, age_us, now_us)
        await self._write_ticks(self._shedder.take(effects.ticks, now_us), source.symbols)
        counters = self._counters.setdefault(source.name, Counter())
        for bad in effects.bad:
            await self._write(self._dead_letter(bad, source), f"producer.{source.name}")
            counters[f"bad_{bad.reason.lower()}"] += 1
        for instrument in effects.instruments:
            _, partition = self._home(*instrument.market)
            await self._write(instrument, "|".join(instrument.market), partition)
            counters["instruments"] += 1
        self._poll()

    async def report(self, source: Source, counters: Mapping[str, int]) -> None:
        """Write a metrics record: the given counters and those of this publisher."""
        component = f"producer.{source.name}"
        await self._write(
            Metric(
                component=component,
                instance=str(os.getpid()),
                ts_metric=self._clock(),
                counters={**self.counters(source), "shed_top": self._shedder.shed, **counters},
                gauges={
                    **(source.gauges if isinstance(source, Measured) else {}),
                    "queued": float(self._backlog.records),
                    "queue_percent": float(self._backlog.percent),
                    "queue_age_ms": self._backlog.age_us(self._clock()) / 1_000,
                    "is_shedding": float(self._shedder.is_shedding),
                },
            ),
            component,
        )
        self._poll()

    def end_within(self, timeout_s: float) -> None:
        """Wait no longer than this for room in the queue: the process is about to end, and Kafka may be away."""
        self._give_up_s = asyncio.get_running_loop().time() + timeout_s

    async def flush(self, timeout_s: float = 10.0) -> None:
        """Write what is held back, and wait until everything written is acknowledged.

        Raises:
            ServiceUnavailable: it was not, in time or at all.
        """
        await self._write_ticks(self._shedder.rest(), ())
        left = await asyncio.to_thread(self._producer.flush, timeout_s)
        self._raise_failure()
        if left:
            raise ServiceUnavailable(
                "Kafka",
                self._bootstrap,
                f"{left} records were not acknowledged within {timeout_s:g} s",
                fix="They may be missing; check the broker",
            )

    async def _write_ticks(self, ticks: Sequence[Tick], markets: Sequence[Market]) -> None:
        """Write ticks; those of a whole source go to the partitions of its markets."""
        for tick in ticks:
            value = self._codecs[Tick].encode(tick)
            for key, partition in self._destinations(tick, markets):
                await self._produce(self._topics[Tick], key, value, partition)
            self._counters.setdefault(tick.source, Counter())[f"ticks_{tick.kind.lower()}"] += 1

    def _destinations(self, tick: Tick, markets: Sequence[Market]) -> list[tuple[bytes, int]]:
        if tick.kind not in (TickKind.HEARTBEAT, TickKind.BLOCK):
            return [self._home(tick.venue, tick.symbol)]
        key = tick.source.encode()
        return [(key, partition) for partition in sorted({self._home(*market)[1] for market in markets})]

    def _home(self, venue: str, symbol: str) -> tuple[bytes, int]:
        home = self._homes.get((venue, symbol))
        if home is None:
            key = self._instruments.group(venue, symbol).encode()
            home = self._homes[venue, symbol] = (key, partition_for(key, self._partitions))
        return home

    def _dead_letter(self, bad: BadFrame, source: Source) -> DeadLetter:
        return DeadLetter(
            component=f"producer.{source.name}",
            reason=bad.reason,
            detail=bad.detail,
            source=source.name,
            payload=bad.payload[:_PAYLOAD_LIMIT],
            payload_size=len(bad.payload) if bad.size is None else bad.size,
            ts_seen=self._clock(),
        )

    async def _tell_of_shedding(self, source: Source, age_us: int, now_us: int) -> None:
        component = f"producer.{source.name}"
        begins = self._shedder.is_shedding
        state = f"{self._backlog.percent} % of the queue is used, its oldest record is {age_us / 1e6:.1f} s old"
        message = (
            f"Kafka takes less than {source.name} sends: {state}. Tops of venues that are not quoted are left out "
            "where a newer one replaces them; see to the broker"
            if begins
            else f"All ticks are written again: {state}. {self._shedder.shed} tops were left out since the start"
        )
        alert = Alert(
            component=component,
            severity=Severity.WARNING if begins else Severity.INFO,
            code="SHEDDING_BEGAN" if begins else "SHEDDING_ENDED",
            message=message,
            ts_alert=now_us,
        )
        await self._write(alert, component)

    async def _write(
        self, record: Alert | DeadLetter | Metric | Instrument, key: str, partition: int | None = None
    ) -> None:
        value = self._codecs[type(record)].encode(record)
        await self._produce(self._topics[type(record)], key.encode(), value, partition)

    async def _produce(self, topic: str, key: bytes, value: bytes, partition: int | None = None) -> None:
        self._raise_failure()
        # -1 is librdkafka's RD_KAFKA_PARTITION_UA: the configured partitioner, murmur2, chooses.
        where = -1 if partition is None else partition
        while True:
            try:
                self._producer.produce(topic, value, key, where, on_delivery=self._on_delivery)
            except BufferError:
                self._poll()
                self._raise_failure()
                await self._wait_for_room()
            except KafkaException as error:
                raise self._unavailable(error.args[0]) from error
            else:
                self._backlog.sent(len(value), self._clock())
                return

    async def _wait_for_room(self) -> None:
        if self._give_up_s is not None and asyncio.get_running_loop().time() >= self._give_up_s:
            raise ServiceUnavailable(
                "Kafka",
                self._bootstrap,
                f"{self._backlog.records} records were not acknowledged, and there is no room for what came after them",
                fix="They are missing; check the broker",
            )
        await asyncio.sleep(_QUEUE_FULL_WAIT_S)

    def _poll(self) -> None:
        self._producer.poll(0)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        self._backlog.done(len(message))
        if error is None:
            self.delivered += 1
        elif self._failure is None:
            self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._unavailable(self._failure)

    def _unavailable(self, error: KafkaError) -> ServiceUnavailable:
        return ServiceUnavailable(
            "Kafka", self._bootstrap, error.str(), fix="Start it (`flashmm up`), or set FLASHMM_KAFKA_BOOTSTRAP"
        )


def build_publisher(settings: Settings, instruments: Instruments, clock: Clock) -> TickPublisher:
    """Build the publisher that the settings describe; asks the registry for the schemas' ids.

    Raises:
        ServiceUnavailable: the registry does not answer.
        ConfigurationError: a schema is not registered.
    """
    with Registry(settings.registry_url) as registry:
        records = (Tick, DeadLetter, Metric, Alert, Instrument)
        tick, dead_letter, metric, alert, instrument = (registry.codec(record) for record in records)
    limits = ShedLimits(
        queue_percent=settings.shed_queue_pct,
        age_us=settings.shed_backlog_ms * 1_000,
        quoted_venues=frozenset(settings.csv("quoted_venues")),
    )
    bounds = {
        _MAX_RECORDS: settings.producer_queue_records,
        _MAX_KBYTES: settings.producer_queue_kb,
        "message.timeout.ms": 0,  # an outage is waited for, however long
    }
    return TickPublisher(
        producer_config(settings, **bounds),
        tick=tick,
        dead_letter=dead_letter,
        metric=metric,
        alert=alert,
        instrument=instrument,
        instruments=instruments,
        partitions=settings.kafka_partitions,
        clock=clock,
        prefix=settings.topic_prefix,
        shed=limits if settings.shedding else None,
    )
