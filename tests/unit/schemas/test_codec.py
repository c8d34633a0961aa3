"""What the codec takes and refuses, case by case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from schemas.codec import SCHEMA_ID_HEADER, Codec, load_schema, split_header
from schemas.enums import Side, TickKind
from schemas.errors import CodecError
from schemas.numbers import INT64_MAX
from schemas.reasons import DeadLetterReason
from schemas.records import Alert, Book, BookLevel, Metric, Tick, Trade

HEADER = b"\x00\x00\x00\x00\x07"
CODEC = Codec(Tick, 7)
TICK = Tick(
    venue="v",
    source="s",
    symbol="A/B",
    kind=TickKind.TRADE,
    side=Side.BUY,
    price=1,
    size=2,
    ts_recv=3,
    session=4,
    message=5,
    ordinal=6,
    first=True,
    last=False,
)
# Up to the kind: venue, source, symbol.
TEXTS = b"\x02v\x02s\x06A/B"
# After the size: two amounts and the event time null, ts_recv, watermark and sequence null, then the rest.
TAIL = b"\x00\x00\x00\x06\x00\x00\x08\x0a\x0c\x01\x00" + b"\x00" * 5 + b"\x00"


def body(*, kind: bytes = b"\x02", side: bytes = b"\x02", price: bytes = b"\x02\x01", tail: bytes = TAIL) -> bytes:
    return HEADER + TEXTS + kind + side + price + b"\x02\x02" + tail


def reason_of(value: bytes | None, codec: Codec = CODEC) -> tuple[DeadLetterReason, str]:
    with pytest.raises(CodecError) as caught:
        codec.decode(value)
    return caught.value.reason, caught.value.detail


def test_bytes_are_these() -> None:
    """The encoding is the Avro specification's, in its shortest form."""
    assert CODEC.encode(TICK) == body()
    assert CODEC.decode(body()) == TICK


@pytest.mark.parametrize(
    ("value", "reason", "field"),
    [
        (body(kind=b"\x10"), DeadLetterReason.MALFORMED, "kind"),  # symbol 8 of 8
        (body(kind=b"\x01"), DeadLetterReason.MALFORMED, "kind"),  # symbol -1
        (body(price=b"\x00"), DeadLetterReason.MALFORMED, "price"),  # no bytes at all
        (body(price=b"\x01"), DeadLetterReason.MALFORMED, "price"),  # length -1
        (body(price=b"\x12\x00\x80" + b"\x00" * 7), DeadLetterReason.DOES_NOT_FIT, "price"),  # 2**63
        (body(price=b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01"), DeadLetterReason.TRUNCATED, "price"),
        (body(price=b"\xff" * 9 + b"\x02"), DeadLetterReason.MALFORMED, "price"),  # a varint of 65 bits
        (body(price=b"\xff" * 10), DeadLetterReason.MALFORMED, "price"),  # a varint without end
        (body(tail=b"\x04" + TAIL[1:]), DeadLetterReason.MALFORMED, "base_amount"),  # branch 2 of 2
        (body(tail=b"\x01" + TAIL[1:]), DeadLetterReason.MALFORMED, "base_amount"),  # branch -1
        (body(tail=TAIL[:9] + b"\x02" + TAIL[10:]), DeadLetterReason.MALFORMED, "first"),  # a boolean of 2
        (body(tail=TAIL[:-1] + b"\x80\x80\x80\x80\x10"), DeadLetterReason.MALFORMED, "flags"),  # 2**31
        (body()[:-1], DeadLetterReason.TRUNCATED, "flags"),
        (body() + b"\x00", DeadLetterReason.TRUNCATED, "1 bytes left over"),
        (body().replace(b"\x06A/B", b"\x06A/\xff"), DeadLetterReason.MALFORMED, "symbol"),  # not UTF-8
    ],
)
def test_damage_has_its_reason_and_its_field(value: bytes, reason: DeadLetterReason, field: str) -> None:
    """Each kind of damage is refused with its reason code, naming the field where it was found."""
    found, detail = reason_of(value)
    assert found is reason
    assert detail.startswith(f"market.ticks-value: {field}")


@pytest.mark.parametrize("value", [None, b"", b"\x00\x00\x00", b"\x01" + body()[1:], b'{"price": 1}'])
def test_a_value_without_header_is_not_framed(value: bytes | None) -> None:
    """A tombstone, a short value and another format are told from a damaged record."""
    assert reason_of(value)[0] is DeadLetterReason.NOT_FRAMED


def test_an_unknown_schema_id_is_named() -> None:
    """Whoever reads the dead letter can look the id up."""
    reason, detail = reason_of(b"\x00\x00\x00\x00\x63" + body()[5:])
    assert reason is DeadLetterReason.UNKNOWN_SCHEMA
    assert "99" in detail


@pytest.mark.parametrize(
    ("raw", "units"),
    [
        (b"\x1e" + b"\x00" * 14 + b"\x05", 5),
        (b"\x1e" + b"\xff" * 14 + b"\xfb", -5),
        (b"\x14" + b"\x00\x00\x7f" + b"\xff" * 7, INT64_MAX),
        (b"\x12" + b"\xff\x80" + b"\x00" * 7, -INT64_MAX - 1),
    ],
)
def test_sign_padded_decimals_are_taken_if_they_fit(raw: bytes, units: int) -> None:
    """Writers may pad a decimal with its sign; what counts is the number."""
    assert CODEC.decode(body(price=raw)) == replace(TICK, price=units)


@pytest.mark.parametrize("units", [INT64_MAX, -INT64_MAX - 1, 0, -1, 127, 128, -128, -129])
def test_decimals_at_the_edges(units: int) -> None:
    """The edges of 64 bits and of each byte survive."""
    tick = replace(TICK, price=units, base_amount=10**38 - 1, quote_amount=1 - 10**38)
    assert CODEC.decode(CODEC.encode(tick)) == tick


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"price": INT64_MAX + 1}, DeadLetterReason.DOES_NOT_FIT, "price"),
        ({"base_amount": 10**38}, DeadLetterReason.DOES_NOT_FIT, "base_amount"),
        ({"ts_recv": INT64_MAX + 1}, DeadLetterReason.MALFORMED, "ts_recv"),
        ({"ordinal": 1 << 31}, DeadLetterReason.MALFORMED, "ordinal"),
        ({"symbol": None}, DeadLetterReason.MALFORMED, "symbol"),
        ({"symbol": "\ud800"}, DeadLetterReason.MALFORMED, "symbol"),
        ({"price": 1.5}, DeadLetterReason.MALFORMED, "price"),
        ({"kind": "TRADES"}, DeadLetterReason.MALFORMED, "kind"),
    ],
)
def test_what_the_schema_cannot_hold_is_not_written(changes: Any, reason: DeadLetterReason, field: str) -> None:
    """Encoding never rounds, wraps or guesses."""
    with pytest.raises(CodecError) as caught:
        CODEC.encode(replace(TICK, **changes))
    assert caught.value.reason is reason
    assert caught.value.detail.startswith(f"market.ticks-value: {field}")


def test_arrays_in_several_blocks_with_sizes_are_read() -> None:
    """Writers may split an array and say how long each block is."""
    codec = Codec(Book, 7)
    levels = (BookLevel(price=1, size=2), BookLevel(price=3, size=4))
    value = codec.encode(_book(levels))
    joined = b"\x04\x02\x01\x02\x02\x02\x03\x02\x04\x00"
    split = b"\x01\x08\x02\x01\x02\x02\x02\x02\x03\x02\x04\x00"
    assert codec.decode(value.replace(joined, split)) == _book(levels)
    reason, detail = reason_of(value.replace(joined, b"\x01\x0a" + split[2:]), codec)
    assert reason is DeadLetterReason.MALFORMED
    assert "bids" in detail


def test_a_huge_count_costs_nothing() -> None:
    """An array that claims 2**62 items is refused before any is made."""
    codec = Codec(Book, 7)
    value = codec.encode(_book(())).replace(b"LIVE", b"")
    huge = b"\xfe" + b"\xff" * 8 + b"\x01"
    reason, detail = reason_of(value[:5] + b"\x02v\x06A/B\x02" + huge, codec)
    assert reason is DeadLetterReason.TRUNCATED
    assert "bids" in detail


def test_maps_are_read_in_any_block_form() -> None:
    """A map is written in one block and read in several."""
    codec = Codec(Metric, 7)
    metric = Metric(component="c", instance="i", ts_metric=1, counters={"a": 1, "b": -1}, gauges={"g": 0.5})
    value = codec.encode(metric)
    assert codec.decode(value) == metric
    assert codec.decode(value.replace(b"\x04\x02a\x02\x02b\x01\x00", b"\x02\x02a\x02\x01\x06\x02b\x01\x00")) == metric


def test_the_header_form_is_read() -> None:
    """A GUID in the record header names the schema, and the value is the bare body."""
    guid = bytes(range(16))
    codec = Codec(Tick, 7, {guid: load_schema("market.ticks-value")})
    headers = [("other", b"x"), (SCHEMA_ID_HEADER, b"\x01" + guid)]
    assert split_header(b"x", headers) == (guid, b"x")
    assert codec.decode(body()[5:], headers) == TICK
    with pytest.raises(CodecError) as caught:
        CODEC.decode(body()[5:], headers)
    assert caught.value.reason is DeadLetterReason.UNKNOWN_SCHEMA
    assert guid.hex() in caught.value.detail


def test_an_enum_symbol_of_a_newer_writer_becomes_the_default() -> None:
    """A kind that we do not know is UNKNOWN, so that the rest of the record is not lost."""
    newer = load_schema("market.ticks-value")
    kind = next(field for field in newer["fields"] if field["name"] == "kind")
    kind["type"] = {**kind["type"], "symbols": [*kind["type"]["symbols"], "AUCTION"]}
    codec = Codec(Tick, 7, {8: newer})
    assert codec.decode(b"\x00\x00\x00\x00\x08" + body(kind=b"\x10")[5:]) == replace(TICK, kind=TickKind.UNKNOWN)


@pytest.mark.parametrize(
    "schema",
    [
        load_schema("market.trades-value"),
        {"type": "record", "name": "Tick"},
        {"type": "string"},
        ["null"],
        None,
        7,
        "nonsense",
    ],
)
def test_a_schema_that_ticks_cannot_be_read_with_is_refused_once(schema: Any) -> None:
    """A writer's schema of something else makes its records dead letters, not guesses."""
    codec = Codec(Tick, 7, {8: schema})
    assert codec.knows(8)
    assert reason_of(b"\x00\x00\x00\x00\x08" + body()[5:], codec)[0] is DeadLetterReason.UNKNOWN_SCHEMA


def test_a_price_of_another_scale_is_never_read_as_ours() -> None:
    """Underneath both are bytes; a scale that differs would be a price a thousand times too large."""
    other = load_schema("market.ticks-value")
    price = next(field for field in other["fields"] if field["name"] == "price")
    price["type"] = {**price["type"], "scale": 6}
    reason, detail = reason_of(b"\x00\x00\x00\x00\x08" + body()[5:], Codec(Tick, 7, {8: other}))
    assert reason is DeadLetterReason.UNKNOWN_SCHEMA
    assert "scale 6" in detail


def test_ids_of_the_newest_schema_are_told() -> None:
    """Documentation apart, the same schema under another id needs no resolution."""
    same = load_schema("market.ticks-value")
    same["doc"] = "said otherwise"
    other = load_schema("market.ticks-value")
    other["fields"] = other["fields"][:-1]
    codec = Codec(Tick, 7, {8: same, 9: other})
    assert codec.newest_ids() == {7, 8}


def test_records_of_another_topic_are_refused() -> None:
    """Bytes of a trade are no tick, even under the right id."""
    trade = Trade(
        venue="v",
        source="s",
        symbol="A/B",
        trade_id="1",
        side=Side.SELL,
        price=1,
        size=1,
        ts_recv=1,
        cause_topic="market.ticks",
        cause_partition=0,
        cause_first_offset=0,
        cause_offset=0,
    )
    reason_of(Codec(Trade, 7).encode(trade))
    with pytest.raises(CodecError):
        CODEC.encode(Alert(component="c", severity="INFO", code="x", message="", ts_alert=1))  # type: ignore[arg-type]


def _book(levels: tuple[BookLevel, ...]) -> Book:
    return Book(
        venue="v",
        symbol="A/B",
        state="LIVE",  # type: ignore[arg-type]
        bids=levels,
        asks=(),
        ts_grid=1,
        ts_recv=1,
        cause_topic="market.ticks",
        cause_partition=0,
        cause_first_offset=0,
        cause_offset=0,
    )
