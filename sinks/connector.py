"""The contract of a sink, and the decisions of the loop that drives it, without Kafka.

A record is added, the connector flushed, and only then is the record's offset committed: what fails to be written is
never committed, so every record is written at least once, and connectors write so that twice is as good as once.

    TransientError from a flush   nothing is committed; the same flush is tried again after a back-off that doubles,
                                  and meanwhile nothing more is read
    a refused record              goes to `ops.dead-letters` with its reason; the others go on
    TerminalError from a flush    ends the process with nothing committed

The loop's buffer is bounded; on overflow it stops reading (the log keeps what is not read), so a sink drops nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from schemas.errors import CodecError, TransientError
from schemas.reasons import DeadLetterReason
from schemas.records import DeadLetter, Record
from sinks.decoding import Decoder, Delivery, TopicPartition

__all__ = ["Connector", "Flushed", "Limits", "Refused", "SinkLoop", "dead_letter"]

_PAYLOAD_KEPT = 16 * 1024
_DETAIL_KEPT = 500


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that the destination will never take, by where it came from."""

    delivery: Delivery
    reason: DeadLetterReason
    detail: str


class Connector(Protocol):
    """Writes records to one destination. Buffers what is added until `flush`; both are called from one thread."""

    @property
    def name(self) -> str:
        """The component's name behind `sink.`, e.g. `redis`."""

    @property
    def topics(self) -> Sequence[str]:
        """Catalogue names of the topics that it takes."""

    def open(self) -> None:
        """Connect.

        Raises:
            ServiceUnavailable: the destination does not answer.
            ConfigurationError: it answers that it will not serve us.
        """

    def add(self, record: Record, delivery: Delivery) -> None:
        """Take a record for the next flush."""

    def flush(self, now_us: int) -> Sequence[Refused]:
        """Write everything added; called at least once a second, also with nothing added.

        After a TransientError everything is still held, and the next call tries it again.

        Returns:
            The records that were refused; all others are written.

        Raises:
            TransientError: not everything could be written now.
            TerminalError: nothing will ever be written.
        """

    def counters(self) -> Mapping[str, int]:
        """Give cumulative counts of what was written, by name."""

    def close(self) -> None:
        """Disconnect, without a flush."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of a sink's loop."""

    batch_records: int
    flush_interval_us: int
    backoff_initial_us: int = 100_000
    backoff_max_us: int = 10_000_000
    idle_flush_us: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Flushed:
    """What may be committed, once the dead letters are acknowledged.

    Attributes:
        offsets: By partition, the offset to go on from.
        failure: Why the rest, or all, has to wait.
    """

    offsets: Mapping[TopicPartition, int] = field(default_factory=dict)
    dead_letters: Sequence[DeadLetter] = ()
    failure: TransientError | None = None


class SinkLoop:
    """Decide what to decode, when to flush and what may be committed.

    Args:
        component: Name in dead letters, e.g. `sink.redis`.
    """

    def __init__(self, connector: Connector, decoder: Decoder, limits: Limits, *, component: str) -> None:
        self._connector = connector
        self._decoder = decoder
        self._limits = limits
        self._component = component
        self._inbox: deque[Delivery] = deque()
        self._added = 0
        self._oldest_us = 0
        self._flushed_us = 0
        self._offsets: dict[TopicPartition, int] = {}
        self._dead_letters: list[DeadLetter] = []
        self._failures = 0
        self._retry_us = 0
        self.counts = {"records": 0, "flushes": 0, "retries": 0, "dead_letters": 0}

    @property
    def room(self) -> int:
        """How many more deliveries may be fed; 0 while a failed flush waits for its next attempt."""
        if self._failures:
            return 0
        return max(0, self._limits.batch_records - self._added - len(self._inbox))

    def feed(self, deliveries: Iterable[Delivery]) -> None:
        """Take deliveries, in the order of their partitions."""
        self._inbox.extend(deliveries)

    def step(self, now_us: int, *, force: bool = False) -> Flushed | None:
        """Decode what was fed and flush where that is due; with `force`, at once.

        Returns:
            The outcome of a flush, None where none was tried.
        """
        if now_us < self._retry_us and not force:
            return None
        blocked = self._decode(now_us)
        if blocked is None and not force and not self._is_due(now_us):
            return None
        try:
            refused = self._connector.flush(now_us)
        except TransientError as failure:
            self._back_off(now_us)
            return Flushed(failure=failure)
        self._dead_letters += [dead_letter(r.delivery, self._component, r.reason, r.detail, now_us) for r in refused]
        return self._settle(now_us, blocked)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Drop what is held of partitions that belong to somebody else now; they are read again there.

        What the connector already holds is written with the next flush, which is harmless, and never committed.
        """
        gone = set(partitions)
        self._inbox = deque(d for d in self._inbox if d.topic_partition not in gone)
        for partition in gone:
            self._offsets.pop(partition, None)

    def _decode(self, now_us: int) -> TransientError | None:
        while self._inbox and self._added < self._limits.batch_records:
            delivery = self._inbox[0]
            try:
                self._connector.add(self._decoder.decode(delivery), delivery)
            except CodecError as error:
                self._dead_letters.append(dead_letter(delivery, self._component, error.reason, error.detail, now_us))
            except TransientError as error:
                return error
            self._inbox.popleft()
            if not self._added:
                self._oldest_us = now_us
            self._added += 1
            self._offsets[delivery.topic_partition] = delivery.offset + 1
        return None

    def _is_due(self, now_us: int) -> bool:
        if self._failures or self._added >= self._limits.batch_records:
            return True
        if self._added:
            return now_us - self._oldest_us >= self._limits.flush_interval_us
        return now_us - self._flushed_us >= self._limits.idle_flush_us

    def _back_off(self, now_us: int) -> None:
        self.counts["retries"] += 1
        wait_us = self._limits.backoff_initial_us << min(self._failures, 20)
        self._retry_us = now_us + min(wait_us, self._limits.backoff_max_us)
        self._failures += 1

    def _settle(self, now_us: int, blocked: TransientError | None) -> Flushed:
        flushed = Flushed(self._offsets, self._dead_letters, blocked)
        self.counts["records"] += self._added
        self.counts["flushes"] += 1
        self.counts["dead_letters"] += len(self._dead_letters)
        self._offsets, self._dead_letters = {}, []
        self._added = 0
        self._flushed_us = now_us
        if blocked is None:
            self._failures = self._retry_us = 0
        else:
            self._back_off(now_us)
        return flushed


def dead_letter(delivery: Delivery, component: str, reason: DeadLetterReason, detail: str, now_us: int) -> DeadLetter:
    """Describe a delivery that did not become a record, or was refused; long payloads are cut."""
    payload = delivery.value or b""
    return DeadLetter(
        component=component,
        reason=reason,
        detail=detail[:_DETAIL_KEPT],
        source=delivery.topic,
        source_partition=delivery.partition,
        source_offset=delivery.offset,
        payload=payload[:_PAYLOAD_KEPT],
        payload_size=len(payload),
        ts_seen=now_us,
    )
