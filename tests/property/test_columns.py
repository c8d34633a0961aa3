"""The compiled decoder of whole batches against the codec, on ticks and on bytes that are none."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import SCHEMA_ID_HEADER, Codec, load_schema
from schemas.columns import Spans, decode_ticks
from schemas.enums import Side, TickKind
from schemas.errors import CodecError
from schemas.numbers import INT64_MAX
from schemas.records import Record, Tick

unhurried = settings(deadline=None)

GUID = bytes(range(16))
NEWEST = load_schema("market.ticks-value")
# A writer that knows fewer fields than we do, and one whose prices are of another scale.
OLDER = {**NEWEST, "fields": [field for field in NEWEST["fields"] if field["name"] not in ("trade_id", "flags")]}
OTHER_SCALE = {
    **NEWEST,
    "fields": [
        {**field, "type": {**field["type"], "scale": 6}} if field["name"] == "price" else field
        for field in NEWEST["fields"]
    ],
}
CODEC = Codec(Tick, 7, {8: OLDER, 9: OTHER_SCALE, 10: NEWEST, GUID: NEWEST})

LONG = st.integers(-INT64_MAX - 1, INT64_MAX) | st.integers(-300, 300)
AMOUNT = st.integers(1 - 10**38, 10**38 - 1) | LONG
INT = st.integers(-(1 << 31), (1 << 31) - 1)
TEXT = st.sampled_from(["binance", "sei", "SEI/USDC", "BTC/USDT", ""]) | st.text(max_size=12)

ticks = st.builds(
    Tick,
    venue=TEXT,
    source=TEXT,
    symbol=TEXT,
    kind=st.sampled_from(TickKind),
    side=st.sampled_from(Side),
    price=LONG,
    size=LONG,
    base_amount=st.none() | AMOUNT,
    quote_amount=st.none() | AMOUNT,
    ts_event=st.none() | LONG,
    ts_recv=LONG,
    watermark=st.none() | LONG,
    sequence=st.none() | LONG,
    session=LONG,
    message=LONG,
    ordinal=INT,
    first=st.booleans(),
    last=st.booleans(),
    trade_id=st.none() | TEXT,
    tx_hash=st.none() | st.text("0123456789ABCDEF", min_size=64, max_size=64),
    block_height=st.none() | LONG,
    tx_index=st.none() | LONG,
    event_index=st.none() | LONG,
    flags=INT,
)


@unhurried
@given(batch=st.lists(ticks, max_size=20))
def test_columns_hold_what_was_encoded(batch: list[Tick]) -> None:
    """Every tick comes back whole from its row, and nulls are told from zeros."""
    columns = decode_ticks(Spans.of([CODEC.encode(tick) for tick in batch]), CODEC)

    assert columns.ticks() == batch
    assert columns.ok.all()
    assert not columns.errors
    assert columns.price.tolist() == [tick.price for tick in batch]
    assert columns.is_null("sequence").tolist() == [tick.sequence is None for tick in batch]
    assert [columns.strings[number] for number in columns.symbol] == [tick.symbol for tick in batch]
    assert len(set(columns.strings)) == len(columns.strings)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A tick with a few bytes replaced, inserted or removed, anywhere."""
    out = bytearray(CODEC.encode(draw(ticks)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(out)))
        removed = draw(st.integers(0, 2))
        out[at : at + removed] = draw(st.binary(max_size=3) | st.sampled_from([b"\xff" * 9 + b"\x01", b"\x80" * 10]))
    return bytes(out)


@st.composite
def reframed(draw: st.DrawFn) -> bytes:
    """A tick under another schema id: the same schema's, an older one's, an unreadable one's, an unknown one's."""
    return b"\x00" + draw(st.sampled_from([8, 9, 10, 11])).to_bytes(4, "big") + CODEC.encode(draw(ticks))[5:]


def outcome(codec: Codec, value: bytes | None, headers: list[tuple[str, bytes]] | None) -> Record | tuple[object, str]:
    try:
        return codec.decode(value, headers)
    except CodecError as error:
        return error.reason, error.detail


values = st.one_of(ticks.map(CODEC.encode), damaged(), reframed(), st.binary(max_size=60), st.none())
headers = st.sampled_from(
    [None, [], [("other", b"x")], [(SCHEMA_ID_HEADER, b"\x01" + GUID)], [(SCHEMA_ID_HEADER, b"")]]
)


@unhurried
@given(batch=st.lists(st.tuples(values, headers), max_size=20))
def test_hostile_values_give_what_the_codec_gives(
    batch: list[tuple[bytes | None, list[tuple[str, bytes]] | None]],
) -> None:
    """Row by row the same record, or the same reason; a bad row says nothing in any column."""
    columns = decode_ticks(Spans.of([value for value, _ in batch], [header for _, header in batch]), CODEC)
    ticks = columns.ticks()

    for row, (value, header) in enumerate(batch):
        expected = outcome(CODEC, value, header)
        if isinstance(expected, Tick):
            assert ticks[row] == expected
            assert row not in columns.errors
        else:
            assert (columns.errors[row].reason, columns.errors[row].detail) == expected
            assert ticks[row] is None
            assert columns.price[row] == columns.nulls[row] == columns.symbol[row] == 0
    assert np.array_equal(np.flatnonzero(~columns.ok), sorted(columns.errors))


@unhurried
@given(batch=st.lists(ticks.map(lambda tick: CODEC.encode(tick)[5:]), max_size=5))
def test_bodies_under_a_guid_need_no_framing(batch: list[bytes]) -> None:
    """A batch in the header form is decoded like one in the framed form."""
    header = [(SCHEMA_ID_HEADER, b"\x01" + GUID)]
    columns = decode_ticks(Spans.of(batch, [header] * len(batch)), CODEC)
    framed = decode_ticks(Spans.of([b"\x00\x00\x00\x00\x07" + body for body in batch]), CODEC)

    assert columns.ticks() == framed.ticks()
    assert not columns.errors
