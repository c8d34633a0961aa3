"""One event is one fetched batch: how aiokafka's fetched records become `FetchedBatch`es.

aiokafka hands a fetch response to a `PartitionRecords`, which builds one object a record. For the registered topics the
subclass here keeps its checks (CRC, aborted transactions, control batches), has compiled code find the records in the
bytes as they came, and yields one object for up to `max_records` of them. These classes are
private API of aiokafka: `self_test` exercises them on a batch built in memory before the worker joins its group, and
where it fails every record becomes a batch of one (slower, same meaning).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher as aiokafka_fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.consumer.subscription_state import TopicPartitionState
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from numpy.typing import NDArray

from processors.microbatch.splitting import Run, split
from schemas.columns import TickColumns
from schemas.columns.spans import Spans

__all__ = ["BatchingPartitionRecords", "FetchedBatch", "install", "self_test"]

_BEFORE_LENGTH, _LEAST_BYTES = 12, 64
_NOTHING = Run(np.zeros(0, np.int64), Spans.of([]), 0, 0, 0, 0)


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
    """Fetched record batches, with their bytes."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.raw = raw


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
        pending: list[Run] = []
        most = room = self.max_records
        run = _NOTHING
        for run in self._runs():
            offsets, count = run.offsets, len(run.offsets)
            if not pending:
                # In equal parts: what costs a small batch costs a large one too.
                most = room = _share(count, self.max_records)
            at = 0
            while count - at >= room:
                upto = at + room
                pending.append(_part(run, at, upto))
                self.next_fetch_offset = int(offsets[upto - 1]) + 1
                yield self._fetched(start, pending, run)
                start, pending, room, at = self.next_fetch_offset, [], most, upto
            if at < count:
                pending.append(_part(run, at, count))
                room -= count - at
            self.next_fetch_offset = max(self.next_fetch_offset, run.next)
        if self.next_fetch_offset > start:
            yield self._fetched(start, pending, run)

    def _runs(self) -> Iterator[Run]:
        """Give the records in order, from the position on."""
        raw, at = self._records.raw, 0
        while at < len(raw):
            run = split(raw, at, self.next_fetch_offset, is_checked=self._check_crcs)
            if run is None:
                # Compressed, with headers, of a transaction or an old format, or damaged: aiokafka reads or refuses it.
                end = at + _BEFORE_LENGTH + int.from_bytes(raw[at + 8 : at + _BEFORE_LENGTH], "big", signed=True)
                # With what follows a length that cannot be, for aiokafka to see that.
                records = MemoryRecords(raw[at : max(end, at + _LEAST_BYTES)])
                if not records.has_next():
                    return  # not all of it was fetched
                run = self._run_of(records.next_batch(), end)
            yield run
            at = run.end

    def _run_of(self, batch: Any, end: int) -> Run:
        if self._check_crcs and not batch.validate_crc():
            raise aiokafka_fetcher.Errors.CorruptRecordException(f"Invalid CRC - {self._tp}")
        position = self.next_fetch_offset
        kept = [] if self._is_to_be_skipped(batch) else [record for record in batch if record.offset >= position]
        return Run(
            np.fromiter((record.offset for record in kept), np.int64, len(kept)),
            Spans.of([record.value for record in kept], [record.headers for record in kept]),
            batch.next_offset,
            end,
            batch.max_timestamp or 0,
            batch.timestamp_type or 0,
        )

    def _fetched(self, start: int, parts: list[Run], last: Run) -> FetchedBatch:
        return FetchedBatch(
            self._tp.topic,
            self._tp.partition,
            start,
            self.next_fetch_offset,
            parts[0].offsets
            if len(parts) == 1
            else np.concatenate([_NOTHING.offsets, *(one.offsets for one in parts)]),
            Spans.joined([one.values for one in parts]),
            timestamp=last.timestamp,
            timestamp_type=last.timestamp_type,
        )

    def _is_to_be_skipped(self, batch: Any) -> bool:
        if self._isolation_level == READ_COMMITTED and batch.producer_id is not None:
            self._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and self._contains_abort_marker(batch):
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return True
        return bool(batch.is_control_batch)


def _share(count: int, most: int) -> int:
    """Give how many records go into each of the fewest batches that hold them; as many as may where there are none."""
    return -(-count // -(-count // most)) if count else most


def _part(run: Run, begin: int, end: int) -> Run:
    if not begin and end == len(run.offsets):
        return run
    return replace(run, offsets=run.offsets[begin:end], values=run.values.part(begin, end))


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
        # What the transport sets on a consumer and its fetcher: waits and a bound that would else be aiokafka's.
        "_fetch_max_bytes" in AIOKafkaConsumer.__init__.__code__.co_names
        and {"_fetch_max_wait_ms", "_records"} <= set(aiokafka_fetcher.Fetcher._get_actions_per_node.__code__.co_names)
        and signature(aiokafka_fetcher.Fetcher._proc_fetch_request).parameters.keys()
        == {"self", "assignment", "node_id", "request"}
        and "highwater" in TopicPartitionState.__init__.__code__.co_names
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
