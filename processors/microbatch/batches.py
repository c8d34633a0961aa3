"""One event is one fetched batch: how aiokafka's fetched records become `FetchedBatch`es.

aiokafka hands a fetch response to a `PartitionRecords`, which builds one object a record. For the registered topics the
subclass here keeps its checks (CRC, aborted transactions, control batches), has compiled code find the records in the
bytes as they came, and yields one object for up to `max_records` of them. These classes are
private API of aiokafka: `self_test` exercises them on a batch built in memory before the worker joins its group, and
where it fails every record becomes a batch of one (slower, same meaning).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher as aiokafka_fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from numpy.typing import NDArray

from processors.microbatch.crc32c import crc32c
from processors.microbatch.splitting import split
from schemas.columns import TickColumns
from schemas.columns.spans import Spans

__all__ = ["BatchingPartitionRecords", "FetchedBatch", "install", "self_test"]

_BEFORE_LENGTH = 12
_CHECKED_FROM = 21  # where the CRC ends
_MAGIC = 2  # the format of today, the only one that compiled code knows
_Part: TypeAlias = tuple[NDArray[np.int64], Spans]


@dataclass(slots=True)
class FetchedBatch:
    """Consecutive records of one partition; looks like one aiokafka record to Faust, at the last one's offset.

    Attributes:
        start: Position of the consumer before these records. It is below the first offset where the log has holes
            (compaction, transaction markers), and equals the `next` of the batch before: so a chain without a missing
            record can be told from one with. A fetch of nothing but a hole gives a batch without records.
        next: Position after these records.
        offsets, values: One entry a record, headers with the values; Faust sees an event without any.
        columns: The values decoded, as the consumer's thread does it; None before.
    """

    topic: str
    partition: int
    start: int
    next: int
    offsets: NDArray[np.int64]
    values: Spans
    columns: TickColumns | None = None
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
            offsets=np.array([record.offset], np.int64),
            values=Spans.of([record.value], [record.headers]),
            timestamp=record.timestamp or 0,
            timestamp_type=record.timestamp_type,
        )


class RawRecords(MemoryRecords):  # type: ignore[misc]  # aiokafka ships no types
    """Fetched record batches, with their bytes, and where the last one that was given lies in them."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.raw = raw
        self.begin = self.end = 0

    def next_batch(self) -> Any:
        """Give the next record batch."""
        self.begin = self.end
        self.end += _BEFORE_LENGTH + int.from_bytes(self.raw[self.begin + 8 : self.begin + _BEFORE_LENGTH], "big")
        return super().next_batch()

    def is_whole(self, batch: Any) -> bool:
        """Tell whether the checksum of the batch that was given last, of format v2, is that of its bytes."""
        checked = memoryview(self.raw)[self.begin + _CHECKED_FROM : self.end]
        return len(checked) > 0 and crc32c(checked) == batch.crc


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
        start = int(self.next_fetch_offset)  # type: ignore[has-type]
        pending: list[_Part] = []
        room = self.max_records
        batch = None
        while self._records.has_next():
            batch = self._records.next_batch()
            if self._check_crcs and not self._is_whole(batch):
                raise aiokafka_fetcher.Errors.CorruptRecordException(f"Invalid CRC - {self._tp}")
            if self._is_to_be_skipped(batch):
                self.next_fetch_offset = batch.next_offset
                continue
            offsets, values = self._split(batch)
            at = 0
            while len(offsets) - at >= room:
                upto = at + room
                pending.append((offsets[at:upto], values.part(at, upto)))
                self.next_fetch_offset = int(offsets[upto - 1]) + 1
                yield self._fetched(start, pending, batch)
                start, pending, room, at = int(offsets[upto - 1]) + 1, [], self.max_records, upto
            if at < len(offsets):
                pending.append((offsets[at:], values.part(at, len(offsets))))
                room -= len(offsets) - at
            self.next_fetch_offset = max(self.next_fetch_offset, batch.next_offset)
        if self.next_fetch_offset > start:
            yield self._fetched(start, pending, batch)

    def _is_whole(self, batch: Any) -> bool:
        records = self._records
        if not isinstance(records, RawRecords) or batch.magic != _MAGIC:
            return bool(batch.validate_crc())
        return records.is_whole(batch)

    def _split(self, batch: Any) -> _Part:
        """Give the records of a batch from the position on: batches are fetched whole."""
        position = self.next_fetch_offset
        records = self._records
        if isinstance(records, RawRecords) and batch.magic == _MAGIC and not batch.compression_type:
            part = split(records.raw, records.begin, records.end, position)
            if part is not None:
                return part
        # Compressed, with headers, of an old format, or damaged: aiokafka reads or refuses it.
        kept = [record for record in batch if record.offset >= position]
        offsets = np.fromiter((record.offset for record in kept), np.int64, len(kept))
        return offsets, Spans.of([record.value for record in kept], [record.headers for record in kept])

    def _fetched(self, start: int, parts: list[_Part], batch: Any) -> FetchedBatch:
        return FetchedBatch(
            self._tp.topic,
            self._tp.partition,
            start,
            self.next_fetch_offset,
            np.concatenate([np.zeros(0, np.int64), *(offsets for offsets, _ in parts)]),
            Spans.joined([values for _, values in parts]),
            timestamp=batch.max_timestamp or 0 if batch else 0,
            timestamp_type=batch.timestamp_type or 0 if batch else 0,
        )

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
    aiokafka_fetcher.MemoryRecords = RawRecords
    return True


def self_test() -> bool:
    """Tell whether aiokafka's private interfaces behave as `BatchingPartitionRecords` needs them to."""
    try:
        builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 16)
        for index in range(5):
            builder.append(index, 1_000 + index, b"k", b"v%d" % index, [])
        built = (7).to_bytes(8, "big") + bytes(builder.build())[8:]  # base offset
        partition = TopicPartition("self-test", 0)
        records = BatchingPartitionRecords(partition, RawRecords(built), [], 8, None, None, True, "read_uncommitted")
        records._records_iterator = records._unpack_batches()
        batches = list(records)
    except (AttributeError, TypeError, ValueError, KeyError, AssertionError):
        return False
    return (
        # What the transport sets on a consumer and its fetcher: waits that would else be aiokafka's.
        "_fetch_max_wait_ms" in AIOKafkaConsumer.__init__.__code__.co_names
        and "_prefetch_backoff" in aiokafka_fetcher.Fetcher.__init__.__code__.co_names
        and hasattr(aiokafka_fetcher, "PartitionRecords")
        and hasattr(aiokafka_fetcher, "MemoryRecords")
        and len(batches) == 1
        and batches[0].start == 8
        and batches[0].next == 12
        and batches[0].offsets.tolist() == [8, 9, 10, 11]
        and [batches[0].values.value(row) for row in range(4)] == [b"v1", b"v2", b"v3", b"v4"]
        and batches[0].values.data is built
    )
