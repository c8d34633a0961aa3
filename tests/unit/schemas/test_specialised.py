"""Fields of every type on the wire: what a compiled decoder takes as what, and what it leaves to the codec."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from schemas.codec import Codec
from schemas.columns import Spans, decode_ticks
from schemas.columns.layout import Layout, lay_out
from schemas.columns.reading import read_rows
from schemas.columns.rows import Rows
from schemas.enums import Side, TickKind
from schemas.records import Tick, Trade
from tests.bulk import rows_of

DECIMAL64 = {"type": "bytes", "logicalType": "decimal", "precision": 19, "scale": 9}
DECIMAL128 = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 18}
SHUFFLED = {"type": "enum", "name": "Side", "symbols": ["SELL", "NONE", "BUY"]}
CODEC = Codec(Tick, 7)
HEADER = CODEC.header
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
    last=True,
)


@cache
def layout_of_one(kind: str) -> Layout:
    """Lay out a record of one field, `x` or the text `trade_id`."""
    schemas: dict[str, tuple[str, Any]] = {
        "long": ("x", "long"),
        "int": ("x", "int"),
        "boolean": ("x", "boolean"),
        "enum": ("x", SHUFFLED),
        "decimal64": ("x", DECIMAL64),
        "decimal128": ("x", DECIMAL128),
        "interned": ("x", "string"),
        "text": ("trade_id", "string"),
        "nullable": ("x", ["null", "long"]),
    }
    name, schema = schemas[kind]
    return lay_out({"name": f"test-{kind}", "type": "record", "fields": [{"name": name, "type": schema}]})


def numbers(kind: str, body: bytes) -> tuple[int, ...] | None:
    """Give the row of a body, None where it is not taken; what lies behind it in memory is all ones."""
    values = Spans.of([HEADER + body, b"\xff" * 64]).part(0, 1)
    rows, ok, _ = read_rows(layout_of_one(kind), values, CODEC)
    return tuple(rows[0].tolist()) if ok[0] else None


@pytest.mark.parametrize(
    ("kind", "body", "row"),
    [
        ("long", "01", (-1, 0)),
        ("long", "8000", (0, 0)),
        ("long", "80808080808080808000", (0, 0)),
        ("long", "feffffffffffffff7f", ((1 << 62) - 1, 0)),
        ("long", "feffffffffffffffff01", ((1 << 63) - 1, 0)),
        ("long", "ffffffffffffffffff01", (-(1 << 63), 0)),
        ("int", "feffffff0f", ((1 << 31) - 1, 0)),
        ("int", "ffffffff0f", (-(1 << 31), 0)),
        ("boolean", "00", (0, 0)),
        ("boolean", "01", (1, 0)),
        ("enum", "00", (2, 0)),
        ("enum", "04", (1, 0)),
        ("decimal64", "0280", (-128, 0)),
        ("decimal64", "100000000000000001", (1, 0)),
        ("decimal64", "108000000000000000", (-(1 << 63), 0)),
        ("decimal128", "02ff", (-1, -1, 0)),
        ("decimal128", "12008000000000000000", (0, -(1 << 63), 0)),
        ("decimal128", "20fffffffffffffffffffffffffffffffe", (-1, -2, 0)),
        ("interned", "00", (0, 0)),
        ("text", "046162", (6, 2, 0)),
        ("nullable", "00", (0, 1)),
        ("nullable", "0202", (1, 0)),
    ],
)
def test_a_field_is_taken(kind: str, body: str, row: tuple[int, ...]) -> None:
    """Padded or not, each number as it stands; an enum by its symbol's name, not its place."""
    assert numbers(kind, bytes.fromhex(body)) == row


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("long", ""),
        ("long", "80"),
        ("long", "ffffffffffffffffff02"),
        ("long", "8080808080808080808000"),
        ("long", "0000"),
        ("int", "8080808010"),
        ("int", "8180808010"),
        ("boolean", "02"),
        ("enum", "01"),
        ("enum", "06"),
        ("decimal64", "00"),
        ("decimal64", "01"),
        ("decimal64", "03ffff"),
        ("decimal64", "04ff"),
        ("decimal64", "12000000000000000001"),
        ("decimal128", "00"),
        ("decimal128", "204b3b4ca85a86c47a098a224000000000"),
        ("decimal128", "22" + "00" * 17),
        ("interned", "01"),
        ("interned", "04ff"),
        ("interned", "feffffffffffffffff01"),
        ("interned", "02ff"),
        ("text", "0461"),
        ("text", "ffffffffffffffffff01"),
        ("text", "04c3bc"),
        ("nullable", "01"),
        ("nullable", "04"),
        ("nullable", "800002"),
        ("nullable", "02"),
    ],
)
def test_a_field_is_left_to_the_codec(kind: str, body: str) -> None:
    """A varint too long or cut off, a branch, member or length that there is not, a number too large."""
    assert numbers(kind, bytes.fromhex(body)) is None


def test_schemas_that_are_not_flat_are_refused() -> None:
    """Rather than laid out wrongly: an array, a union without null, a decimal of another width."""
    for schema in ({"type": "array", "items": "long"}, ["long", "string"], {**DECIMAL64, "precision": 10}):
        with pytest.raises(KeyError):
            lay_out({"name": "X", "type": "record", "fields": [{"name": "x", "type": schema}]})


@pytest.mark.parametrize("size", [0, 7, 8, 9, 63, 64, 300, 4_000, 5_000])
def test_texts_of_any_length_at_the_end_of_the_bytes(size: int) -> None:
    """A record that is the last in its bytes is read as any other, however long its texts."""
    ticks = [replace(TICK, trade_id="7" * size), replace(TICK, symbol="x" * size, tx_hash="A" * size)]
    columns = decode_ticks(Spans.of([CODEC.encode(tick) for tick in ticks]), CODEC)
    assert columns.ticks() == ticks


def test_long_texts_that_differ_in_the_middle_are_told_apart() -> None:
    """Where length, beginning and end are alike, the bytes between decide."""
    texts = [f"{'a' * 10}{n:08d}{'z' * 10}" for n in (1, 2, 1, 3)]
    ticks = [replace(TICK, symbol=text) for text in texts]
    columns = decode_ticks(Spans.of([CODEC.encode(tick) for tick in ticks]), CODEC)
    assert columns.ticks() == ticks
    assert columns.symbol.tolist()[0] == columns.symbol.tolist()[2]


def test_rows_are_encoded_however_much_room_they_take() -> None:
    """Texts far longer than most make more room; those at the end of the text are read to their last byte."""
    codec = Codec(Trade, 9)
    trade = Trade(
        **dict.fromkeys(("venue", "source", "symbol", "cause_topic"), "x" * 3_000),
        **dict.fromkeys(("price", "size", "ts_recv", "cause_first_offset", "cause_offset", "cause_partition"), -1),
        trade_id="9" * 5_000,
        side=Side.SELL,
        tx_hash="é" * 4_000,
    )
    trades = [replace(trade, trade_id=trade.trade_id[:size]) for size in (5_000, 1, 0, 4_999, 8)]
    values = rows_of(Trade, trades).encode(codec)
    assert bytes(values.data) == b"".join(codec.encode(trade) for trade in trades)


def test_texts_are_those_of_the_list_as_it_is() -> None:
    """A list that has grown or changed since it was last encoded is encoded anew."""
    codec = Codec(Trade, 9)
    rows = rows_of(Trade, [Trade(**{**_ANY, "venue": "one"})])  # type: ignore[arg-type]
    strings = list(rows.strings)
    for venue in ("two", "thr\0ee", "", "four"):
        strings[0] = venue
        strings.append("more")
        values = Rows(Trade, rows.values, strings, rows.text).encode(codec)
        assert codec.decode(bytes(values.data)) == Trade(**{**_ANY, "venue": venue})  # type: ignore[arg-type]


_ANY = {
    **dict.fromkeys(("source", "symbol", "cause_topic", "trade_id"), "x"),
    **dict.fromkeys(("price", "size", "ts_recv", "cause_first_offset", "cause_offset", "cause_partition"), 1),
    "side": Side.BUY,
}
