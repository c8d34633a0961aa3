"""The compiled encoder against the codec, fastavro and avro, on records of every value, and on rows that are none."""

from __future__ import annotations

import io

import avro.io
import avro.schema
import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.bench.codec import without_logical_types
from schemas.codec import Codec
from schemas.columns.rows import Rows, row_dtype
from schemas.errors import CodecError
from schemas.numbers import INT64_MAX
from schemas.records import Bar, Record, Trade
from tests.bulk import CODECS, any_record, datum_of, fastavro_schema, rows_of

unhurried = settings(deadline=None)

AVRO_SCHEMAS = {
    kind: avro.schema.make_avsc_object(without_logical_types(codec.schema), avro.name.Names())
    for kind, codec in CODECS.items()
}
KINDS = st.sampled_from(sorted(CODECS, key=lambda kind: kind.__name__))


def split(rows: Rows, codec: Codec) -> list[bytes]:
    values = rows.encode(codec)
    ends = values.ends.tolist()
    return [bytes(values.data[begin:end]) for begin, end in zip([0, *ends], ends, strict=False)]


@unhurried
@given(data=st.data(), kind=KINDS)
def test_rows_are_encoded_as_the_codec_does(data: st.DataObject, kind: type[Record]) -> None:
    """Byte for byte, and back to the same records."""
    batch = data.draw(st.lists(any_record(kind), max_size=8))
    rows = rows_of(kind, batch)

    assert split(rows, CODECS[kind]) == [CODECS[kind].encode(record) for record in batch]
    assert list(rows.records()) == batch


@unhurried
@given(record=KINDS.flatmap(any_record))
def test_other_implementations_write_the_same(record: Record) -> None:
    """fastavro and avro have the same bytes for the same numbers."""
    kind = type(record)
    (value,) = split(rows_of(kind, [record]), CODECS[kind])
    fast, slow = io.BytesIO(), io.BytesIO()

    fastavro.schemaless_writer(fast, fastavro_schema(kind), datum_of(record))
    avro.io.DatumWriter(AVRO_SCHEMAS[kind]).write(datum_of(record), avro.io.BinaryEncoder(slow))

    assert value[5:] == fast.getvalue() == slow.getvalue()


@pytest.mark.parametrize(
    ("column", "value"),
    [("flags", 1 << 31), ("revision", -(1 << 31) - 1), ("quote_volume", INT64_MAX), ("quote_volume", -INT64_MAX)],
)
def test_what_the_schema_cannot_hold_is_refused(column: str, value: int) -> None:
    """With the codec's own reason, whatever stands around it; nothing is cut off or wrapped."""
    values = np.zeros(3, row_dtype(Bar))
    values[column][1] = value

    with pytest.raises(CodecError, match=column):
        Rows(Bar, values, ["x"]).encode(CODECS[Bar])


@pytest.mark.parametrize(
    ("kind", "column", "value"),
    [
        (Bar, "venue", 1),
        (Bar, "venue", -1),
        (Bar, "timeframe", 6),
        (Bar, "timeframe", -1),
        (Trade, "trade_id_length", 9),
        (Trade, "trade_id_length", -1),
        (Trade, "trade_id_length", INT64_MAX),
        (Trade, "trade_id", -1),
        (Trade, "tx_hash", INT64_MAX),
    ],
)
def test_a_row_that_points_outside_reads_nothing_there(kind: type[Record], column: str, value: int) -> None:
    """A number of no text, a member of no enum, a span beyond its bytes: never other memory."""
    values = np.zeros(2, row_dtype(kind))
    values[column][1] = value

    try:
        got = split(Rows(kind, values, ["x"], b"abc"), CODECS[kind])
    except (CodecError, IndexError, ValueError):
        return
    assert len(got[1]) < 200
