"""Orders, positions, balances and margin, of use only when complete."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.enums import Side
from schemas.errors import ContractError, ProtocolError
from schemas.venues.citrex.account import (
    OrderState,
    fills_of,
    parse_account_health,
    parse_balances,
    parse_cancel_answer,
    parse_open_orders,
    parse_order_answer,
    parse_positions,
)
from schemas.venues.citrex.market_data import parse_trades
from schemas.venues.citrex.messages import OrderStatus, OrderType, TimeInForce
from schemas.venues.citrex.reading import Refusal
from tests import citrex
from tests.citrex import body


def test_an_order_is_read_whole() -> None:
    """In schema units, with the nonce that is our name for it."""
    (found,) = parse_open_orders(body([citrex.order()]))

    assert (found.order_type, found.time_in_force, found.status) == (
        OrderType.LIMIT_MAKER,
        TimeInForce.GTC,
        OrderStatus.OPEN,
    )
    assert (found.price, found.size, found.residual_size) == (421_300_000, 1_250_000_000, 250_000_000)
    assert (found.nonce, found.ts_expiry) == (1_709_829_760_000_000, 1_709_829_820_000_000)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "SLEEPING"},
        {"orderType": 3},
        {"orderType": True},
        {"orderType": 1.0},
        {"timeInForce": "0"},
        {"nonce": -1},
        {"residualQuantity": citrex.wei("12.6")},
        {"isBuy": 1},
        {"id": None},
        {"account": "somebody"},
    ],
)
def test_one_bad_order_fails_the_list(change: dict[str, Any]) -> None:
    """An order that we did not see would count as gone."""
    with pytest.raises(ContractError):
        parse_open_orders(body([citrex.order(), citrex.order(**change)]))


def test_an_order_is_taken_or_refused_or_neither() -> None:
    """What can be read as neither says nothing about what became of it."""
    taken = parse_order_answer(body(citrex.order()))
    refused = parse_order_answer(b'{"error":"nonce was used","success":false}')

    assert isinstance(taken, OrderState)
    assert refused == Refusal("nonce was used")
    for unclear in (b"", b"null", b"[]", b"{}", b'{"success":true}', b"<html>"):
        with pytest.raises(ContractError):
            parse_order_answer(unclear)


def test_a_cancellation_is_done_or_refused_or_neither() -> None:
    """Only an explicit success is one."""
    assert parse_cancel_answer(b'{"success":true}') is None
    assert parse_cancel_answer(b'{"error":"no such order","success":false}') == Refusal("no such order")
    for unclear in (b"", b"{}", b'{"success":1}', b"true"):
        with pytest.raises(ContractError):
            parse_cancel_answer(unclear)


def test_a_short_position_is_negative() -> None:
    """Size in schema units, money in 1e-18."""
    (found,) = parse_positions(body([citrex.position()]))

    assert (found.size, found.profit, found.accrued_funding) == (
        -2_000_000_000,
        -3_304_396_381_014_467_820,
        736_486_652_336_197_441,
    )


def test_balances_and_margin() -> None:
    """Equity may be negative."""
    (found,) = parse_balances(body([{"asset": citrex.TAKER, "quantity": "100", "pendingWithdrawal": "0"}]))
    margin = parse_account_health(body(citrex.health(equity="-1")))

    assert (found.asset, found.quantity) == (citrex.TAKER.lower(), 100)
    assert (margin.equity, margin.total_profit) == (-1, -41_880_167_994_700_001_958)
    with pytest.raises(ProtocolError):
        parse_account_health(b'{"success":true}')


def test_fills_are_our_parts_in_trades() -> None:
    """Maker and taker have opposite sides; other sub-accounts are other accounts."""
    rows = [
        citrex.trade("buy", "0.42", "1", at_ms=1),
        citrex.trade("sell", "0.42", "2", at_ms=2, is_buy=False, makerAccount=citrex.TAKER, makerSubaccountId=0),
    ]
    trades = parse_trades(body({"trades": rows})).good

    maker = fills_of(citrex.MAKER.upper().replace("0X", "0x"), 1, trades)
    both = fills_of(citrex.TAKER, 0, trades)

    assert [(f.uid, f.side, f.is_maker, f.fee) for f in maker] == [("buy", Side.SELL, True, 0)]
    assert [(f.uid, f.side, f.is_maker) for f in both] == [
        ("buy", Side.BUY, False),
        ("sell", Side.BUY, True),
        ("sell", Side.SELL, False),
    ]
    assert fills_of(citrex.MAKER, 0, trades) == []
