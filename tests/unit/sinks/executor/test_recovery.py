"""Orders as the log left them."""

from __future__ import annotations

from typing import Any

from schemas.enums import OrderAction, OrderStatus, Side
from schemas.records import ExecutionReport, OrderIntent
from sinks.executor.orders import OrderState
from sinks.executor.recovery import RecoveredOrder, recovered_orders
from tests.sink_records import execution, size
from tests.venue_events import request

MARKET = ("sim-citrex", "SEI/USDC-PERP")
NONCE = int.from_bytes(b"a")


def intent(action: OrderAction = OrderAction.PLACE) -> OrderIntent:
    return request("a", action, MARKET, Side.BUY, 100, size("5")).intent


def report(status: OrderStatus, number: int, **changes: Any) -> ExecutionReport:
    fields = {"status": status, "order_id": "a", "last_size": None, "last_price": None, "filled_size": 0}
    return execution(number, **fields | changes)


def recovered(*reports: ExecutionReport, after_us: int = 0) -> list[RecoveredOrder]:
    return recovered_orders([intent(), intent(OrderAction.CANCEL)], reports, after_us)


def test_an_order_of_which_nothing_was_reported_is_unknown() -> None:
    """It was sent, as far as anybody knows."""
    (one,) = recovered()

    assert (one.order.state, one.order.venue_order_id, one.reports) == (OrderState.UNKNOWN, None, 0)
    assert (one.cause.topic, one.cause.offset) == ("trading.quotes", 40)


def test_an_order_goes_on_where_its_reports_end() -> None:
    """With its name and its trades, as the next report is numbered after the last."""
    fill = {"filled_size": size("2"), "last_size": size("2"), "last_price": 100, "trade_id": "t1"}
    (one,) = recovered(report(OrderStatus.OPEN, 0, venue_order_id="v1"), report(OrderStatus.PARTIAL, 1, **fill))

    assert (one.order.state, one.order.filled, one.order.venue_order_id) == (OrderState.PARTIAL, size("2"), "v1")
    assert [(fill.trade_id, fill.venue_order_id) for fill in one.fills] == [("t1", "v1")]
    assert one.reports == 2


def test_an_order_that_ended_lately_may_still_be_told_trades() -> None:
    """One that ended long ago is left out."""
    ended = report(OrderStatus.CANCELLED, 0, venue_order_id="v1")

    assert [one.order.state for one in recovered(ended, after_us=NONCE)] == [OrderState.CANCELLED]
    assert recovered(ended, after_us=NONCE + 1) == []
