"""Fetched records become batches whose positions form a chain without a missing link."""

from __future__ import annotations

import contextlib

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record._crc32c import crc as calc_crc32c_py
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from processors.microbatch import batches, splitting
from processors.microbatch.batches import BatchingPartitionRecords, FetchedBatch, RawRecords, self_test
from processors.microbatch.splitting import split

TP = TopicPartition("market.ticks", 3)
CRC_AT = 17


def record_batch(base: int, values: list[bytes | None], *, headers: bool = False, codec: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, 0, 1 << 20)
    for index, value in enumerate(values):
        builder.append(index, 1_000, b"SEI", value, [("h", b"1")] if headers else [])
    raw = bytearray(builder.build())
    raw[0:8] = base.to_bytes(8, "big")
    return bytes(raw)


def records_of(batch: FetchedBatch) -> list[tuple[int, bytes | None]]:
    return [(offset, batch.values.value(row)) for row, offset in enumerate(batch.offsets.tolist())]


def fetched(raw: bytes, position: int, max_records: int) -> list[FetchedBatch]:
    class Small(BatchingPartitionRecords):
        topics = frozenset({TP.topic})

    Small.max_records = max_records
    return list(Small(TP, RawRecords(raw), [], position, None, None, True, "read_uncommitted"))


def test_the_self_test_passes_on_the_pinned_aiokafka() -> None:
    """The private interfaces of aiokafka behave as the transport needs them to."""
    assert self_test()


def test_records_below_the_position_are_left_out() -> None:
    """A fetch gives whole record batches; what lies before the position was applied already."""
    (batch,) = fetched(record_batch(100, [b"a", b"b", b"c"]), 101, 10)

    assert (batch.start, batch.next, records_of(batch)) == (101, 103, [(101, b"b"), (102, b"c")])


def test_a_hole_in_the_log_is_covered_by_the_chain_of_positions() -> None:
    """Compaction and transaction markers leave offsets out; the next batch still starts where the last one ended."""
    raw = record_batch(10, [b"a"]) + record_batch(20, [b"b"])

    got = fetched(raw, 10, 1)

    assert [(batch.start, batch.offsets.tolist(), batch.next) for batch in got] == [(10, [10], 11), (11, [20], 21)]


def test_a_fetch_of_nothing_but_a_hole_is_a_batch_without_records() -> None:
    """Otherwise the next batch would start beyond the position, as if records were missing."""
    raw = bytearray(record_batch(10, [b"a"]))
    raw[21:23] = (0x20).to_bytes(2, "big")  # attributes: a control batch
    raw[17:21] = calc_crc32c_py(bytes(raw[21:])).to_bytes(4, "big")

    (batch,) = fetched(bytes(raw), 10, 5)

    assert (batch.start, batch.offsets.tolist(), batch.next, batch.offset) == (10, [], 11, 10)


@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    gaps=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    max_records=st.integers(1, 9),
    skip=st.integers(0, 5),
    headers=st.lists(st.booleans(), min_size=6, max_size=6),
    codecs=st.lists(st.sampled_from([0, 0, 1]), min_size=6, max_size=6),
)
def test_every_record_from_the_position_on_is_in_exactly_one_batch(
    sizes: list[int], gaps: list[int], max_records: int, skip: int, headers: list[bool], codecs: list[int]
) -> None:
    """However the broker cut the log into record batches, and whatever the bound on ours."""
    raw, offset, expected = b"", 50, []
    with_headers = []
    for size, gap, has_headers, codec in zip(sizes, gaps, headers, codecs, strict=False):
        offset += gap
        values = [b"%d" % (offset + i) if (offset + i) % 5 else None for i in range(size)]
        raw += record_batch(offset, values, headers=has_headers, codec=codec)
        with_headers += [offset + i for i in range(size) if has_headers]
        expected += [(offset + i, value) for i, value in enumerate(values)]
        offset += size
    position = 50 + skip

    got = fetched(raw, position, max_records)

    pairs = [pair for batch in got for pair in records_of(batch)]
    assert pairs == [pair for pair in expected if pair[0] >= position]
    found = {
        offset: batch.values.headers.get(row) for batch in got for row, offset in enumerate(batch.offsets.tolist())
    }
    assert [offset for offset, one in found.items() if one] == [at for at in with_headers if at >= position]
    assert all(list(one) == [("h", b"1")] for one in found.values() if one)
    assert all(len(batch.offsets) <= max_records for batch in got)
    assert [batch.start for batch in got[1:]] == [batch.next for batch in got[:-1]]
    assert not got or got[0].start == position


@pytest.mark.parametrize("is_compiled", [True, False])
@given(flipped=st.integers(0, 10**6))
def test_a_fetch_with_a_flipped_bit_gives_no_record_of_its_batch(is_compiled: bool, flipped: int) -> None:
    """The checksum covers all from the attributes on."""
    good, bad = record_batch(0, [b"good" * 9] * 3), bytearray(record_batch(3, [b"bad" * 9] * 3))
    bit = 8 * CRC_AT + flipped % (8 * (len(bad) - CRC_AT))
    bad[bit // 8] ^= 1 << bit % 8
    got = []

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(CorruptRecordException):
        if not is_compiled:
            patch.setattr(splitting, "_taken", None)
        got += fetched(good + bytes(bad) + record_batch(6, [b"after"]), 0, 3)

    assert [pair for batch in got for pair in records_of(batch)] in ([], [(at, b"good" * 9) for at in range(3)])


@given(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=40), max_records=st.integers(1, 9))
def test_without_compiled_code_the_batches_are_the_same(sizes: list[int], max_records: int) -> None:
    """Where the processor cannot check CRCs by an instruction, aiokafka reads every record."""
    raw = b"".join(record_batch(2 * at, [b"v" * size, None]) for at, size in enumerate(sizes))

    def read() -> list[tuple[int, bytes | None]]:
        return [pair for batch in fetched(raw, 1, max_records) for pair in records_of(batch)]

    ours = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splitting, "_taken", None)
        assert (
            ours == read() == [(at, b"v" * sizes[at // 2] if at % 2 == 0 else None) for at in range(1, 2 * len(sizes))]
        )


def test_a_fetch_of_more_than_a_batch_may_hold_is_cut_into_equal_parts() -> None:
    """A small rest would cost as much as a whole batch."""
    got = fetched(record_batch(0, [b"v"] * 100), 0, 30)

    assert [len(batch.offsets) for batch in got] == [25, 25, 25, 25]


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
    assert (single.start, single.next, records_of(single)) == (5, 6, [(5, b"a")])


@given(
    at=st.integers(61, 200),
    behind=st.sampled_from([0, 64]),
    junk=st.binary(max_size=6) | st.sampled_from([b"\xff" * 9 + b"\x01", b"\x80" * 10, b"\x01", b"\x7f"]),
)
def test_damaged_records_are_left_to_aiokafka(at: int, behind: int, junk: bytes) -> None:
    """Compiled code never reads past a batch: it gives what aiokafka gives, or nothing."""
    raw = bytearray(record_batch(0, [b"%d" % i * 5 for i in range(8)]))
    # Where much follows, nothing looks at ends before a record is read.
    raw += bytes(behind)
    raw[at : at + len(junk)] = junk[: max(0, len(raw) - at)]

    run = split(bytes(raw), 0, 0, is_checked=False)

    if run is not None:
        for row in range(len(run.offsets)):
            value = run.values.value(row)
            assert value is None or value in bytes(raw)
