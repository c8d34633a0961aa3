"""The compiled decoder of each schema in bulk against the codec, fastavro and avro, on whole and on damaged bytes."""

from __future__ import annotations

import io
from dataclasses import fields

import avro.io
import avro.schema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.bench.codec import without_logical_types
from schemas.columns import layout
from schemas.columns.layout import layout_of
from schemas.columns.reading import read_rows
from schemas.columns.rows import Rows
from schemas.columns.spans import Spans
from schemas.records import Record
from tests.bulk import CODECS, any_record, read_by_fastavro

unhurried = settings(deadline=None, max_examples=50)

KINDS = sorted(CODECS, key=lambda kind: kind.__name__)
AVRO_SCHEMAS = {
    kind: avro.schema.make_avsc_object(without_logical_types(CODECS[kind].schema), avro.name.Names()) for kind in KINDS
}
INSERTED = [b"\xff" * 9 + b"\x01", b"\xff" * 9 + b"\x02", b"\x80" * 10, b"\x80\x00", b"\x81\x00", b"\x01", b"\x04"]


def records(kind: type[Record], values: list[bytes]) -> list[Record | None]:
    """Give the records that the compiled decoder takes."""
    lay = layout_of(kind)
    spans = Spans.of(values)
    rows, ok, strings = read_rows(lay, spans, CODECS[kind])
    return [
        next(Rows(kind, rows[row : row + 1], strings, spans.data).records()) if ok[row] else None
        for row in range(len(values))
    ]


def is_plain(record: Record) -> bool:
    """Tell whether a record is one that the compiled decoder may not leave to the codec."""
    for field in layout_of(type(record)).fields:
        value = getattr(record, field.name)
        if field.op == layout.OP_TEXT and value is not None and not value.isascii():
            return False
        if field.op == layout.OP_DECIMAL128 and value is not None and abs(value) >= 10**38 - (1 << 65):
            return False
    return True


@unhurried
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_is_whole_is_taken(kind: type[Record], data: st.DataObject) -> None:
    """Every record comes back as it was, every number of it written."""
    batch = data.draw(st.lists(any_record(kind), max_size=8))

    found = records(kind, [CODECS[kind].encode(record) for record in batch])

    assert all(
        one == record or (one is None and not is_plain(record)) for one, record in zip(found, batch, strict=True)
    )


@unhurried
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_nothing_is_taken_that_ends_elsewhere(kind: type[Record], data: st.DataObject) -> None:
    """A record cut off anywhere, or with more after it, is not taken, whatever lies behind it in memory."""
    whole = CODECS[kind].encode(data.draw(any_record(kind)))
    values = [whole[:size] for size in range(len(whole))] + [whole + b"\0", whole + whole]

    assert records(kind, values) == [None] * len(values)


@st.composite
def damaged(draw: st.DrawFn, kind: type[Record]) -> bytes:
    """A record with bits flipped, or bytes replaced, inserted or removed, anywhere."""
    out = bytearray(CODECS[kind].encode(draw(any_record(kind))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(5, len(out) - 1))
        if draw(st.booleans()):
            out[at] ^= 1 << draw(st.integers(0, 7))
        else:
            out[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=3) | st.sampled_from(INSERTED))
    return bytes(out)


@unhurried
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_is_taken_is_what_others_read(kind: type[Record], data: st.DataObject) -> None:
    """Of damaged bytes too: the codec, fastavro and avro find the same, to the last byte."""
    values = data.draw(st.lists(damaged(kind), min_size=1, max_size=4))

    for value, record in zip(values, records(kind, values), strict=True):
        if record is None:
            continue
        assert record == CODECS[kind].decode(value)
        read, left = read_by_fastavro(kind, value[5:])
        stream = io.BytesIO(value[5:])
        reader = avro.io.DatumReader(AVRO_SCHEMAS[kind])
        assert same(kind, read, record)
        assert same(kind, reader.read(avro.io.BinaryDecoder(stream)), record)
        assert left == len(stream.read()) == 0


def same(kind: type[Record], read: object, record: Record) -> bool:
    assert isinstance(read, dict)
    for field in layout_of(kind).fields:
        value, expected = read[field.name], getattr(record, field.name)
        if isinstance(value, bytes):
            value = int.from_bytes(value, "big", signed=True)
        if value != expected:
            return False
    return len(read) == len(fields(record))
