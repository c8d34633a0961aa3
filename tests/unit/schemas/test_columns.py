"""Batches of ticks as columns, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest

from schemas.codec import Codec
from schemas.columns import KINDS, SIDES, Spans, TickColumns, decode_ticks
from schemas.columns.kernel import _MIX_FIRST, _MIX_LAST
from schemas.enums import Side, TickKind
from schemas.reasons import DeadLetterReason
from schemas.records import Record, Tick

CODEC = Codec(Tick, 7)
TICK = Tick(
    venue="binance",
    source="binance",
    symbol="BTC/USDT",
    kind=TickKind.TRADE,
    side=Side.SELL,
    price=61_234_120_000_000,
    size=2,
    base_amount=-(10**37),
    ts_recv=3,
    session=4,
    message=5,
    ordinal=6,
    first=True,
    last=False,
    trade_id="77",
)


def test_no_values_are_no_rows() -> None:
    """A batch may be empty."""
    columns = decode_ticks(Spans.of([]), CODEC)
    assert len(columns) == 0
    assert not columns.errors


def test_columns_carry_units_codes_and_halves() -> None:
    """Enums are numbers into KINDS and SIDES; a wide amount is two columns of 64 bits."""
    columns = decode_ticks(Spans.of([CODEC.encode(TICK)] * 2), CODEC)
    assert columns.price.tolist() == [TICK.price] * 2
    assert KINDS[columns.kind[1]] is TickKind.TRADE
    assert SIDES[columns.side[1]] is Side.SELL
    assert (int(columns.base_amount[0]) << 64) + int(columns.base_amount_low.view(np.uint64)[0]) == -(10**37)
    assert columns.is_null("quote_amount").all()
    assert not columns.is_null("base_amount").any()
    assert columns.strings == ["binance", "BTC/USDT"]
    assert all(getattr(columns, field.name).dtype == np.int64 for field in fields(TickColumns)[5:])


def test_a_bad_row_costs_itself_only() -> None:
    """Each bad row has its reason, the rows around it are whole, and its own columns say nothing."""
    good = CODEC.encode(TICK)
    values = [good, good[:-1], None, good + b"\x00", b"\x00\x00\x00\x00\x09" + good[5:], good]
    columns = decode_ticks(Spans.of(values), CODEC)
    assert columns.ticks() == [TICK, None, None, None, None, TICK]
    assert columns.ok.tolist() == [True, False, False, False, False, True]
    assert {row: error.reason for row, error in columns.errors.items()} == {
        1: DeadLetterReason.TRUNCATED,
        2: DeadLetterReason.NOT_FRAMED,
        3: DeadLetterReason.TRUNCATED,
        4: DeadLetterReason.UNKNOWN_SCHEMA,
    }
    assert columns.price.tolist() == [TICK.price, 0, 0, 0, 0, TICK.price]


def test_texts_of_any_script_and_padded_decimals_take_the_long_way() -> None:
    """What the compiled path leaves to the codec ends in the same columns."""
    plain = CODEC.encode(TICK)
    padded = plain.replace(b"\x02\x02\x02", b"\x16" + b"\x00" * 10 + b"\x02\x02", 1)
    greek = replace(TICK, trade_id="τ" * 3, tx_hash="ü", symbol="Ω/USDT")
    columns = decode_ticks(Spans.of([plain, CODEC.encode(greek), padded, CODEC.encode(greek)]), CODEC)
    assert columns.ticks() == [TICK, greek, TICK, greek]
    assert columns.strings == ["binance", "BTC/USDT", "Ω/USDT"]


def test_a_text_that_is_no_utf8_fails_in_every_row_that_has_it() -> None:
    """An interned text is checked once, and its rows all fail."""
    good = CODEC.encode(TICK)
    bad = good.replace(b"BTC/", b"BTC\xff")
    columns = decode_ticks(Spans.of([bad, good, bad]), CODEC)
    assert columns.ok.tolist() == [False, True, False]
    assert {error.reason for error in columns.errors.values()} == {DeadLetterReason.MALFORMED}


def test_thousands_of_distinct_texts_are_told_apart() -> None:
    """Interning compares bytes: no two texts share a number, and no text has two."""
    ticks = [replace(TICK, venue=f"v{n % 7}", source=f"s{n}", symbol=f"A{n % 1000}/B") for n in range(3000)]
    columns = decode_ticks(Spans.of([CODEC.encode(tick) for tick in ticks]), CODEC)
    assert columns.ticks() == ticks
    assert len(columns.strings) == len(set(columns.strings)) == 7 + 3000 + 1000


class CountingCodec(Codec):
    """A codec that counts what is left to it."""

    decoded = 0

    def decode(self, value: bytes | None, headers: Sequence[tuple[str, bytes]] | None = None) -> Record:
        self.decoded += 1
        return super().decode(value, headers)


def _slot(text: str) -> int:
    """Give where a text of less than eight bytes begins to be looked for, in the smallest hash table."""
    digest = int.from_bytes(text.encode(), "little") * _MIX_FIRST ^ len(text) * _MIX_LAST
    digest &= (1 << 64) - 1
    return (digest ^ (digest >> 32)) & 1_023


def test_texts_made_to_collide_are_still_told_apart() -> None:
    """A flood of texts that share a place in the hash table goes the long way and comes out right."""
    texts = [text for text in (f"x{n}" for n in range(150_000)) if _slot(text) == 5][:80]
    assert len(texts) == 80
    ticks = [replace(TICK, symbol=text) for text in texts]
    codec = CountingCodec(Tick, 7)
    columns = decode_ticks(Spans.of([CODEC.encode(tick) for tick in ticks]), codec)
    assert columns.ticks() == ticks
    assert codec.decoded == 80 - 64


@pytest.mark.parametrize("length", range(5))
def test_values_shorter_than_their_header_are_not_framed(length: int) -> None:
    """Nothing is read past the end of a value, not even of the last one."""
    columns = decode_ticks(Spans.of([CODEC.encode(TICK)[:length]]), CODEC)
    assert columns.errors[0].reason is DeadLetterReason.NOT_FRAMED
