"""Positions by average cost, by hand-made examples; the invariant is in tests/property/test_paper_positions.py."""

from __future__ import annotations

from dataclasses import replace

from schemas.enums import Mode, OrderStatus, Side
from schemas.numbers import NOTIONAL_SCALE, PRICE_SCALE, SIZE_SCALE, format_units, to_units
from schemas.records import ExecutionReport, Position
from sinks.executor.account.positions import apply_fill, marked, profit, unrealised_pnl, zero_position

MARKET = ("sim-sei-clob", "SEI/USDC")
FLAT = zero_position(Mode.PAPER, "demo", MARKET, 2, 10, 0)


def fill(side: Side, price: str, size: str, fee: str = "0") -> ExecutionReport:
    return ExecutionReport(
        execution_id="e",
        order_id="o",
        mode=Mode.PAPER,
        account="demo",
        venue=MARKET[0],
        symbol=MARKET[1],
        status=OrderStatus.FILLED,
        side=side,
        price=to_units(price, PRICE_SCALE),
        size=to_units(size, SIZE_SCALE),
        filled_size=to_units(size, SIZE_SCALE),
        last_price=to_units(price, PRICE_SCALE),
        last_size=to_units(size, SIZE_SCALE),
        fee=to_units(fee, NOTIONAL_SCALE, bits=128),
        ts_event=0,
        ts_recv=0,
        cause_topic="market.ticks",
        cause_partition=2,
        cause_first_offset=0,
        cause_offset=0,
    )


def booked(*reports: ExecutionReport) -> Position:
    position = FLAT
    for offset, report in enumerate(reports, start=10):
        position = apply_fill(position, report, offset, now_us=offset)
    return position


def money(units: int) -> str:
    return format_units(units, NOTIONAL_SCALE)


def average(position: Position) -> str | None:
    return None if position.average_price is None else format_units(position.average_price, PRICE_SCALE)


def test_buying_more_averages_the_price() -> None:
    """10 at 1 and 30 at 2 cost 1.75 each."""
    position = booked(fill(Side.BUY, "1", "10"), fill(Side.BUY, "2", "30", "0.5"))

    assert (average(position), money(position.cash), money(position.fees)) == ("1.75", "-70", "0.5")
    assert position.realised_pnl == 0
    assert money(unrealised_pnl(position, to_units("2", PRICE_SCALE))) == "10"


def test_selling_a_part_realises_its_share() -> None:
    """The rest keeps its average price."""
    position = booked(fill(Side.BUY, "1.75", "40"), fill(Side.SELL, "2", "10"))

    assert (average(position), money(position.realised_pnl)) == ("1.75", "2.5")


def test_selling_through_zero_opens_the_other_side() -> None:
    """What is left over of the fill is short at its price."""
    position = booked(fill(Side.BUY, "1", "10"), fill(Side.SELL, "3", "15"))

    assert position.quantity == to_units("-5", SIZE_SCALE)
    assert (average(position), money(position.realised_pnl)) == ("3", "20")


def test_a_flat_position_has_no_average_price() -> None:
    """Its realised PnL is its cash."""
    position = booked(fill(Side.SELL, "3", "10"), fill(Side.BUY, "1", "10"))

    assert (position.average_price, position.quantity) == (None, 0)
    assert position.realised_pnl == position.cash == to_units("20", NOTIONAL_SCALE, bits=128)


def test_an_execution_counts_once() -> None:
    """One below the offset that the position includes is already in it."""
    position = booked(fill(Side.BUY, "1", "10"))

    assert apply_fill(position, fill(Side.BUY, "1", "10"), 10, now_us=99) == position
    assert position.executions_offset == 11


def test_a_fill_pays_the_funding_that_had_accrued() -> None:
    """As last told; what accrues after it is told anew. A spot market has none."""
    owed = replace(FLAT, funding=5, accrued_funding=-7)
    position = apply_fill(owed, fill(Side.BUY, "1", "10"), 10, now_us=1)
    assert (position.funding, position.accrued_funding) == (-2, 0)

    spot = apply_fill(FLAT, fill(Side.BUY, "1", "10"), 10, now_us=1)
    assert (spot.funding, spot.accrued_funding) == (None, None)


def test_a_position_is_valued_at_its_mark() -> None:
    """Also by the fill that changes it; without a price its worth is not known."""
    held = marked(booked(fill(Side.BUY, "1", "10")), to_units("1.5", PRICE_SCALE), now_us=7)
    assert (money(held.unrealised_pnl or 0), held.ts_update) == ("5", 7)
    assert profit({MARKET: held}, {MARKET: to_units("1.5", PRICE_SCALE)}) == 10 * (held.unrealised_pnl or 0)

    more = apply_fill(held, fill(Side.BUY, "1.5", "10"), 99, now_us=8)
    assert money(more.unrealised_pnl or 0) == "5"
    assert marked(held, None, 9).unrealised_pnl is None
    assert profit({MARKET: held}, {}) is None
