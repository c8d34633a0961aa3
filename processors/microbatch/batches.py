"""One event is one fetched batch: how aiokafka's fetched records become `FetchedBatch`es.

aiokafka hands a fetch response to a `PartitionRecords`, which builds one object a record. For the registered topics the
subclass here keeps its checks (CRC, aborted transactions, control batches) and yields one object for up to
`max_records` records. That class is private API of aiokafka: `self_test` exercises it on a batch built in memory before
the worker joins its group, and where it fails every record becomes a batch of one (slower, same meaning).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka.consumer import fetcher as aiokafka_fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

__all__ = ["BatchingPartitionRecords", "FetchedBatch", "install", "self_test"]


@dataclass(slots=True)
class FetchedBatch:
    """Consecutive records of one partition; looks like one aiokafka record to Faust, at the last one's offset.

    Attributes:
        start: Position of the consumer before these records. It is below the first offset where the log has holes
            (compaction, transaction markers), and equals the `next` of the batch before: so a chain without a missing
            record can be told from one with. A fetch of nothing but a hole gives a batch without records.
        next: Position after these records.
        offsets, values, record_headers: One entry a record; Faust sees an event without headers.
    """

    topic: str
    partition: int
    start: int
    next: int
    offsets: list[int]
    values: list[bytes | None]
    record_headers: list[Sequence[tuple[str, bytes]]]
    headers: tuple[()] = ()
    timestamp: int = 0
    timestamp_type: int = 0
    key: None = None
    checksum: None = None
    serialized_key_size: int = 0
    serialized_value_size: int = 0
    generation: int = field(default=0)

    @property
    def offset(self) -> int:
        """Offset of the last record, or of the hole's end: what Faust tracks the event by."""
        return self.next - 1

    @property
    def value(self) -> FetchedBatch:
        """The batch itself: Faust passes `value` on to the schema."""
        return self

    @classmethod
    def of_record(cls, record: Any) -> FetchedBatch:
        """Wrap one record of aiokafka's: the fall-back when batching is not possible."""
        return cls(
            topic=record.topic,
            partition=record.partition,
            start=record.offset,
            next=record.offset + 1,
            offsets=[record.offset],
            values=[record.value],
            record_headers=[record.headers],
            timestamp=record.timestamp or 0,
            timestamp_type=record.timestamp_type,
        )


class BatchingPartitionRecords(PartitionRecords):  # type: ignore[misc]  # aiokafka ships no types
    """Yield `FetchedBatch`es for the registered topics and single records for all others."""

    topics: frozenset[str] = frozenset()
    max_records = 4096

    def _unpack_records(self) -> Iterator[Any]:
        if self._tp.topic in self.topics:
            return self._unpack_batches()
        records: Iterator[Any] = super()._unpack_records()
        return records

    def _unpack_batches(self) -> Iterator[FetchedBatch]:
        pending = self._new_batch()
        while self._records.has_next():
            batch = self._records.next_batch()
            if self._check_crcs and not batch.validate_crc():
                raise aiokafka_fetcher.Errors.CorruptRecordException(f"Invalid CRC - {self._tp}")
            if self._is_to_be_skipped(batch):
                self.next_fetch_offset = batch.next_offset
                continue
            pending.timestamp, pending.timestamp_type = batch.max_timestamp or 0, batch.timestamp_type or 0
            for record in batch:
                if record.offset < self.next_fetch_offset:
                    continue  # before the position that was asked for: batches are fetched whole
                pending.offsets.append(record.offset)
                pending.values.append(record.value)
                pending.record_headers.append(record.headers)
                if len(pending.offsets) >= self.max_records:
                    self.next_fetch_offset = pending.next = record.offset + 1
                    yield pending
                    pending = self._new_batch()
            self.next_fetch_offset = max(self.next_fetch_offset, batch.next_offset)
        if self.next_fetch_offset > pending.start:
            pending.next = self.next_fetch_offset
            yield pending

    def _new_batch(self) -> FetchedBatch:
        start = self.next_fetch_offset
        return FetchedBatch(self._tp.topic, self._tp.partition, start, start, [], [], [])

    def _is_to_be_skipped(self, batch: Any) -> bool:
        if self._isolation_level == READ_COMMITTED and batch.producer_id is not None:
            self._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and self._contains_abort_marker(batch):
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return True
        return bool(batch.is_control_batch)


def install(topics: frozenset[str], max_records: int) -> bool:
    """Make aiokafka's fetcher yield batches for these topics; False where its private API is not as expected."""
    if not self_test():
        return False
    BatchingPartitionRecords.topics = topics
    BatchingPartitionRecords.max_records = max_records
    aiokafka_fetcher.PartitionRecords = BatchingPartitionRecords
    return True


def self_test() -> bool:
    """Tell whether aiokafka's private interfaces behave as `BatchingPartitionRecords` needs them to."""
    try:
        builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 16)
        for index in range(5):
            builder.append(index, 1_000 + index, b"k", b"v%d" % index, [])
        built = bytearray(builder.build())
        built[0:8] = (7).to_bytes(8, "big")  # base offset
        partition = TopicPartition("self-test", 0)
        records = BatchingPartitionRecords(
            partition, MemoryRecords(bytes(built)), [], 8, None, None, True, "read_uncommitted"
        )
        records._records_iterator = records._unpack_batches()
        batches = list(records)
    except (AttributeError, TypeError, ValueError, KeyError, AssertionError):
        return False
    return (
        hasattr(aiokafka_fetcher, "PartitionRecords")
        and len(batches) == 1
        and batches[0].start == 8
        and batches[0].next == 12
        and batches[0].offsets == [8, 9, 10, 11]
        and batches[0].values == [b"v1", b"v2", b"v3", b"v4"]
    )
