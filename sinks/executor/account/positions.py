"""Positions and their PnL, exactly, by average cost. Pure.

All amounts are integers of 1e-17 quote. With B the signed cost of the open quantity q:

    a fill that opens    B += q_fill * price
    a fill that closes c of q   B_c = B * c / |q|, rounded half-even to 1e-17; realised += c * price * sign(q) - B_c;
                                B -= B_c
    unrealised at mark   q * mark - B

B itself is not rounded, so realised - cash = B always, and realised + unrealised = cash + q * mark to the unit;
rounding only moves a unit between realised and unrealised. `average_price` is B / q half-even, for display.

Funding of a perpetual is apart from all that, in 1e-18: what has accrued, as last told, is paid when a fill changes the
position. `sinks.executor.account.funding` puts right what accrued between the telling and the fill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from schemas.enums import ContractKind, Mode, Side
from schemas.numbers import divide_half_even
from schemas.records import ExecutionReport, Instrument, Market, Position

__all__ = ["apply_fill", "marked", "profit", "unrealised_pnl", "with_instrument", "zero_position"]

_AMOUNT = 10
"""Units of 1e-18 in one of 1e-17."""


def zero_position(
    mode: Mode,
    account: str,
    market: Market,
    partition: int,
    offset: int,
    now_us: int,
) -> Position:
    """Give the position of a market that was never traded; `offset` is where later executions start."""
    return Position(
        mode=mode,
        account=account,
        venue=market[0],
        symbol=market[1],
        quantity=0,
        cash=0,
        fees=0,
        realised_pnl=0,
        fill_count=0,
        executions_partition=partition,
        executions_offset=offset,
        ts_update=now_us,
    )


def apply_fill(position: Position, report: ExecutionReport, offset: int, now_us: int) -> Position:
    """Book an execution at its offset on `trading.executions`; one that is already included changes nothing."""
    if offset < position.executions_offset:
        return position
    if report.last_price is None or not report.last_size:
        return replace(position, executions_offset=offset + 1)
    change = report.last_size if report.side is Side.BUY else -report.last_size
    quantity = position.quantity + change
    cash = position.cash - change * report.last_price
    realised = position.realised_pnl + _realised(position, change, report.last_price)
    booked = replace(
        position,
        quantity=quantity,
        cash=cash,
        fees=position.fees + report.fee,
        average_price=divide_half_even(realised - cash, quantity) if quantity else None,
        realised_pnl=realised,
        fill_count=position.fill_count + 1,
        executions_offset=offset + 1,
        ts_update=now_us,
    )
    return marked(_with_funding_paid(booked), position.mark, now_us)


def marked(position: Position, mark: int | None, now_us: int) -> Position:
    """Value a position at a price; None is not known."""
    value = None if mark is None else unrealised_pnl(position, mark)
    return replace(position, mark=mark, unrealised_pnl=value, ts_update=now_us)


def unrealised_pnl(position: Position, mark: int) -> int:
    """Value the open quantity at a price, before fees, in 1e-17."""
    return position.quantity * mark - _cost(position)


def profit(positions: Mapping[Market, Position], marks: Mapping[Market, int]) -> int | None:
    """Give what trading has made so far, after fees, with funding paid and accrued, in 1e-18; None: a mark is missing.

    No deposit and no withdrawal is in it.
    """
    total = 0
    for market, position in positions.items():
        mark = marks.get(market)
        if mark is None and position.quantity:
            return None
        traded = position.cash - position.fees + position.quantity * (mark or 0)
        total += _AMOUNT * traded + (position.funding or 0) + (position.accrued_funding or 0)
    return total


def with_instrument(position: Position, instrument: Instrument) -> Position:
    """Begin to count the funding of a perpetual whose record has none yet."""
    is_new = instrument.contract is ContractKind.PERPETUAL and position.funding is None
    return replace(position, funding=0) if is_new else position


def _with_funding_paid(position: Position) -> Position:
    if position.funding is None or position.accrued_funding is None:
        return position
    return replace(position, funding=position.funding + position.accrued_funding, accrued_funding=0)


def _cost(position: Position) -> int:
    return position.realised_pnl - position.cash


def _realised(position: Position, change: int, price: int) -> int:
    held = position.quantity
    if held == 0 or (held > 0) == (change > 0):
        return 0
    closed = min(abs(held), abs(change))
    sign = 1 if held > 0 else -1
    return closed * price * sign - divide_half_even(_cost(position) * closed, abs(held))
