"""PnL adds up to the unit, whatever is filled in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.enums import Mode, OrderStatus, Side
from schemas.numbers import INT64_MAX
from schemas.records import ExecutionReport
from sinks.executor.account.positions import apply_fill, unrealised_pnl, zero_position

FILLS = st.lists(
    st.tuples(
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(1, INT64_MAX),
        st.integers(1, INT64_MAX // 100),
        st.integers(-(10**20), 10**20),
    ),
    max_size=40,
)


@given(FILLS, st.integers(1, INT64_MAX))
def test_realised_and_unrealised_make_cash_and_value(fills: list[tuple[Side, int, int, int]], mark: int) -> None:
    """realised + unrealised == cash + quantity * mark, in units of 1e-17; both sides counted here by themselves."""
    position = zero_position(Mode.PAPER, "demo", ("v", "A/B"), 0, 0, 0)
    cash = quantity = fees = 0
    for offset, (side, price, size, fee) in enumerate(fills):
        change = size if side is Side.BUY else -size
        cash, quantity, fees = cash - change * price, quantity + change, fees + fee
        report = ExecutionReport(
            execution_id=str(offset),
            order_id="o",
            mode=Mode.PAPER,
            account="demo",
            venue="v",
            symbol="A/B",
            status=OrderStatus.FILLED,
            side=side,
            price=price,
            size=size,
            filled_size=size,
            last_price=price,
            last_size=size,
            fee=fee,
            ts_event=0,
            ts_recv=0,
            cause_topic="market.ticks",
            cause_partition=0,
            cause_first_offset=0,
            cause_offset=0,
        )
        position = apply_fill(position, report, offset, 0)

    assert (position.quantity, position.cash, position.fees) == (quantity, cash, fees)
    assert position.realised_pnl + unrealised_pnl(position, mark) == cash + quantity * mark
    if quantity == 0:
        assert position.realised_pnl == cash
