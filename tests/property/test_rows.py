"""The compiled encoder against the codec and fastavro, on records of every value, and on rows that are none."""

from __future__ import annotations

import io
from dataclasses import fields

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import Codec
from schemas.columns.layout import OP_DECIMAL128, OP_ENUM, OP_INTERN, OP_TEXT, layout_of
from schemas.columns.rows import Rows, row_dtype
from schemas.enums import BarState, Side, Timeframe
from schemas.errors import CodecError
from schemas.numbers import INT64_MAX
from schemas.records import Bar, Record, Trade

unhurried = settings(deadline=None)

CODECS = {Trade: Codec(Trade, 7), Bar: Codec(Bar, 1 << 31)}
_LOW = (1 << 64) - 1
LONG = (
    st.integers(-INT64_MAX - 1, INT64_MAX) | st.integers(-300, 300) | st.sampled_from([-129, -128, 127, 128, 1 << 55])
)
AMOUNT = st.integers(1 - 10**38, 10**38 - 1) | LONG | st.sampled_from([-(1 << 64), 1 << 63, (1 << 64) - 1, 10**38 - 1])
INT = st.integers(-(1 << 31), (1 << 31) - 1)
TEXT = st.sampled_from(["binance", "SEI/USDC", ""]) | st.text(max_size=12)

trades = st.builds(
    Trade,
    **dict.fromkeys(("venue", "source", "symbol", "trade_id", "cause_topic"), TEXT),
    **dict.fromkeys(("price", "size", "ts_recv", "cause_first_offset", "cause_offset"), LONG),
    **{name: st.none() | LONG for name in ("ts_event", "sequence", "block_height", "tx_index", "event_index")},
    **{name: st.none() | AMOUNT for name in ("base_amount", "quote_amount")},
    **dict.fromkeys(("flags", "cause_partition"), INT),
    side=st.sampled_from(Side),
    tx_hash=st.none() | TEXT,
)
_BAR_LONGS = "ts_open ts_close ts_emit open high low close volume buy_volume sell_volume vwap trade_count"
bars = st.builds(
    Bar,
    **dict.fromkeys(("venue", "symbol", "cause_topic"), TEXT),
    **dict.fromkeys((*_BAR_LONGS.split(), "cause_first_offset", "cause_offset"), LONG),
    **{name: st.none() | LONG for name in ("first_sequence", "last_sequence")},
    **dict.fromkeys(("flags", "revision", "cause_partition"), INT),
    quote_volume=AMOUNT,
    timeframe=st.sampled_from(Timeframe),
    state=st.sampled_from(BarState),
    is_complete=st.booleans(),
)


def rows_of(kind: type[Record], records: list[Record]) -> Rows:
    """Lay records out as a kernel would."""
    values = np.zeros(len(records), row_dtype(kind))
    strings: list[str] = []
    text = bytearray()
    for row, record in zip(values, records, strict=True):
        for field in layout_of(kind).fields:
            value = getattr(record, field.name)
            name = field.name
            if value is None:
                row["nulls"] |= field.null_bit
            elif field.op == OP_ENUM:
                row[name] = field.members.index(value)
            elif field.op == OP_INTERN:
                strings.append(value)
                row[name] = len(strings) - 1
            elif field.op == OP_TEXT:
                raw = value.encode()
                row[name], row[f"{name}_length"] = len(text), len(raw)
                text += raw
            elif field.op == OP_DECIMAL128:
                row[name], row[f"{name}_low"] = value >> 64, np.uint64(value & _LOW).astype(np.int64)
            else:
                row[name] = value
    return Rows(kind, values, strings, bytes(text))


def split(rows: Rows, codec: Codec) -> list[bytes]:
    values = rows.encode(codec)
    ends = values.ends.tolist()
    return [bytes(values.data[begin:end]) for begin, end in zip([0, *ends], ends, strict=False)]


@unhurried
@given(batch=st.lists(trades, max_size=12) | st.lists(bars, max_size=12))
def test_rows_are_encoded_as_the_codec_does(batch: list[Record]) -> None:
    """Byte for byte, and back to the same records."""
    kind = type(batch[0]) if batch else Bar
    rows = rows_of(kind, batch)

    assert split(rows, CODECS[kind]) == [CODECS[kind].encode(record) for record in batch]
    assert list(rows.records()) == batch


@unhurried
@given(record=trades | bars)
def test_fastavro_reads_what_is_written(record: Record) -> None:
    """Another implementation finds the same numbers in the bytes."""
    codec = CODECS[type(record)]
    (value,) = split(rows_of(type(record), [record]), codec)
    stream = io.BytesIO(value[5:])

    read = fastavro.schemaless_reader(stream, codec._resolved)

    assert stream.read() == b""
    for field in fields(record):
        expected = getattr(record, field.name)
        got = read[field.name]
        assert (int.from_bytes(got, "big", signed=True) if isinstance(got, bytes) else got) == expected


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
        (Trade, "trade_id_length", 9),
        (Trade, "trade_id_length", -1),
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
