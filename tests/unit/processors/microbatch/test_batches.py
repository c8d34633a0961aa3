"""Fetched records become batches whose positions form a chain without a missing link."""

from __future__ import annotations

from aiokafka.record._crc32c import crc as calc_crc32c_py
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from processors.microbatch import batches
from processors.microbatch.batches import BatchingPartitionRecords, FetchedBatch, self_test

TP = TopicPartition("market.ticks", 3)


def record_batch(base: int, values: list[bytes], *, control: bool = False) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 20)
    for index, value in enumerate(values):
        builder.append(index, 1_000, b"SEI", value, [("h", b"1")])
    raw = bytearray(builder.build())
    raw[0:8] = base.to_bytes(8, "big")
    return bytes(raw)


def fetched(raw: bytes, position: int, max_records: int) -> list[FetchedBatch]:
    class Small(BatchingPartitionRecords):
        topics = frozenset({TP.topic})

    Small.max_records = max_records
    return list(Small(TP, MemoryRecords(raw), [], position, None, None, True, "read_uncommitted"))


def test_the_self_test_passes_on_the_pinned_aiokafka() -> None:
    """The private interfaces of aiokafka behave as the transport needs them to."""
    assert self_test()


def test_records_below_the_position_are_left_out() -> None:
    """A fetch gives whole record batches; what lies before the position was applied already."""
    (batch,) = fetched(record_batch(100, [b"a", b"b", b"c"]), 101, 10)

    assert (batch.start, batch.offsets, batch.values, batch.next) == (101, [101, 102], [b"b", b"c"], 103)
    assert batch.record_headers == [(("h", b"1"),)] * 2 or batch.record_headers == [[("h", b"1")]] * 2


def test_a_hole_in_the_log_is_covered_by_the_chain_of_positions() -> None:
    """Compaction and transaction markers leave offsets out; the next batch still starts where the last one ended."""
    raw = record_batch(10, [b"a"]) + record_batch(20, [b"b"])

    got = fetched(raw, 10, 1)

    assert [(batch.start, batch.offsets, batch.next) for batch in got] == [(10, [10], 11), (11, [20], 21)]


def test_a_fetch_of_nothing_but_a_hole_is_a_batch_without_records() -> None:
    """Otherwise the next batch would start beyond the position, as if records were missing."""
    raw = bytearray(record_batch(10, [b"a"]))
    raw[21:23] = (0x20).to_bytes(2, "big")  # attributes: a control batch
    raw[17:21] = calc_crc32c_py(bytes(raw[21:])).to_bytes(4, "big")

    (batch,) = fetched(bytes(raw), 10, 5)

    assert (batch.start, batch.offsets, batch.next, batch.offset) == (10, [], 11, 10)


@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    gaps=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    max_records=st.integers(1, 9),
    skip=st.integers(0, 5),
)
def test_every_record_from_the_position_on_is_in_exactly_one_batch(
    sizes: list[int], gaps: list[int], max_records: int, skip: int
) -> None:
    """However the broker cut the log into record batches, and whatever the bound on ours."""
    raw, offset, expected = b"", 50, []
    for size, gap in zip(sizes, gaps, strict=False):
        offset += gap
        values = [b"%d" % (offset + i) for i in range(size)]
        raw += record_batch(offset, values)
        expected += [(offset + i, value) for i, value in enumerate(values)]
        offset += size
    position = 50 + skip

    got = fetched(raw, position, max_records)

    pairs = [pair for batch in got for pair in zip(batch.offsets, batch.values, strict=True)]
    assert pairs == [pair for pair in expected if pair[0] >= position]
    assert all(len(batch.offsets) <= max_records for batch in got)
    assert [batch.start for batch in got[1:]] == [batch.next for batch in got[:-1]]
    assert not got or got[0].start == position


def test_other_topics_stay_stock() -> None:
    """A topic that is not registered yields aiokafka's own records."""

    class Other(BatchingPartitionRecords):
        topics = frozenset({"something.else"})

    raw = record_batch(5, [b"a", b"b"])

    records = list(Other(TP, MemoryRecords(raw), [], 5, None, None, True, "read_uncommitted"))

    assert [record.offset for record in records] == [5, 6]


def test_where_the_self_test_fails_nothing_is_installed(monkeypatch) -> None:
    """Then every record becomes a batch of one."""
    monkeypatch.setattr(batches, "self_test", lambda: False)

    assert not batches.install(frozenset({"x"}), 10)

    record = next(
        iter(
            batches.PartitionRecords(
                TP, MemoryRecords(record_batch(5, [b"a"])), [], 5, None, None, True, "read_uncommitted"
            )
        )
    )
    single = FetchedBatch.of_record(record)
    assert (single.start, single.next, single.values) == (5, 6, [b"a"])
