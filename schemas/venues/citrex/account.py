"""What the venue tells an account: orders, positions, balances, margin.

Such a list is of use only when complete, so one bad row fails it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.enums import Side
from schemas.errors import ProtocolError
from schemas.numbers import SIZE_SCALE
from schemas.reasons import DeadLetterReason
from schemas.venues.citrex.market_data import TradePrint
from schemas.venues.citrex.messages import OrderStatus, OrderType, TimeInForce, address_of
from schemas.venues.citrex.reading import (
    Fields,
    Refusal,
    all_rows,
    answer_of,
    enum_of,
    flag_of,
    millis_of,
    read_rows,
    refusal_of,
)
from schemas.venues.citrex.units import WIRE_SCALE, price_from_wire, size_from_wire, wire_integer
from schemas.wire import long_of, parse_json, short_text

__all__ = [
    "AccountHealth",
    "Fill",
    "MarginBalance",
    "OrderState",
    "PositionState",
    "fills_of",
    "parse_account_health",
    "parse_balances",
    "parse_cancel_answer",
    "parse_open_orders",
    "parse_order_answer",
    "parse_positions",
]

_MAX_ORDERS = 10_000
_MAX_POSITIONS = 1_000
_ONE: int = 10**WIRE_SCALE
_SIZE: int = 10 ** (WIRE_SCALE - SIZE_SCALE)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderState:
    """An order as the venue has it; price and sizes in schema units, times in microseconds UTC."""

    order_id: str
    account: str
    sub_account_id: int
    product_id: int
    symbol: str
    is_buy: bool
    order_type: OrderType
    time_in_force: TimeInForce
    price: int
    size: int
    residual_size: int
    nonce: int
    ts_expiry: int
    ts_created: int
    status: OrderStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionState:
    """A position; size in units of 1e-8, negative when short, everything else in 1e-18."""

    product_id: int
    symbol: str
    size: int
    average_entry_price: int
    mark_price: int
    profit: int
    margin: int
    accrued_funding: int
    liquidation_price: int

    @property
    def entry_value(self) -> int:
        """What was paid for what is held, in 1e-18: its value at the mark less the profit, to the unit.

        The average entry price would not do: it is rounded.
        """
        return self.size * _SIZE * self.mark_price // _ONE - self.profit


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginBalance:
    """What a sub-account holds of a margin asset, in 1e-18; `asset` is the contract's address in small letters."""

    asset: str
    quantity: int
    pending_withdrawal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountHealth:
    """A sub-account's margin, in 1e-18 of the quote asset."""

    equity: int
    initial_health: int
    maintenance_health: int
    initial_margin_used: int
    initial_margin_available: int
    total_profit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """A sub-account's part in a trade; fee in 1e-18 of the quote asset, negative for a rebate."""

    uid: str
    order_id: str
    side: Side
    price: int
    size: int
    fee: int
    is_maker: bool
    ts_event: int


def parse_order_answer(body: bytes) -> OrderState | Refusal:
    """Read the answer to a new order, or to one that replaces another.

    Raises:
        ContractError: it can be read as neither; what became of the order is then unknown.
    """
    document = parse_json(body)
    refusal = refusal_of(document)
    if refusal is not None:
        return refusal
    if not isinstance(document, dict):
        raise ProtocolError(DeadLetterReason.MALFORMED, "the answer to an order is not an object")
    return _order(document)


def parse_cancel_answer(body: bytes) -> Refusal | None:
    """Read the answer to a cancellation; None says that it was done.

    Raises:
        ContractError: it can be read as neither.
    """
    document = parse_json(body)
    refusal = refusal_of(document)
    if refusal is None and not (isinstance(document, dict) and document.get("success") is True):
        raise ProtocolError(DeadLetterReason.MALFORMED, "the answer to a cancellation says neither success nor error")
    return refusal


def parse_open_orders(body: bytes) -> tuple[OrderState, ...]:
    """Read a list of open orders.

    Raises:
        ContractError: it, or one of its rows, cannot be read.
    """
    return all_rows(read_rows(answer_of(body), "orders", _MAX_ORDERS, _order), "order")


def parse_positions(body: bytes) -> tuple[PositionState, ...]:
    """Read a list of positions.

    Raises:
        ContractError: it, or one of its rows, cannot be read.
    """
    return all_rows(read_rows(answer_of(body), "positions", _MAX_POSITIONS, _position), "position")


def parse_balances(body: bytes) -> tuple[MarginBalance, ...]:
    """Read a list of margin balances.

    Raises:
        ContractError: it, or one of its rows, cannot be read.
    """
    return all_rows(read_rows(answer_of(body), "balances", _MAX_POSITIONS, _balance), "balance")


def parse_account_health(body: bytes) -> AccountHealth:
    """Read a sub-account's margin.

    Raises:
        ContractError: it is not that.
    """
    document = answer_of(body)
    value = document.get("value") if isinstance(document, dict) else None
    if not isinstance(value, dict):
        raise ProtocolError(DeadLetterReason.MALFORMED, "account health has no value")

    def number(name: str) -> int:
        return wire_integer(value.get(name), name, signed=True)

    return AccountHealth(
        equity=number("equity"),
        initial_health=number("initialHealth"),
        maintenance_health=number("maintenanceHealth"),
        initial_margin_used=number("initialMarginUsed"),
        initial_margin_available=number("initialMarginAvailable"),
        total_profit=number("totalPnl"),
    )


def fills_of(account: str, sub_account_id: int, trades: Iterable[TradePrint]) -> list[Fill]:
    """Give a sub-account's part in trades, in their order. One that traded with itself has two parts in a trade."""
    own = (account.lower(), sub_account_id)
    fills = []
    for trade in trades:
        maker_side = Side.SELL if trade.taker_side is Side.BUY else Side.BUY
        parts = (
            (trade.maker_account, trade.maker_sub_account_id, trade.maker_order_id, maker_side, trade.maker_fee),
            (trade.taker_account, trade.taker_sub_account_id, trade.taker_order_id, trade.taker_side, trade.taker_fee),
        )
        for is_maker, (who, sub_account, order_id, side, fee) in zip((True, False), parts, strict=True):
            if (who, sub_account) == own:
                fills.append(
                    Fill(
                        uid=trade.uid,
                        order_id=order_id,
                        side=side,
                        price=trade.price,
                        size=trade.size,
                        fee=fee,
                        is_maker=is_maker,
                        ts_event=trade.ts_event,
                    )
                )
    return fills


def _order(row: Fields) -> OrderState:
    size = size_from_wire(wire_integer(row.get("quantity"), "quantity"))
    residual = size_from_wire(wire_integer(row.get("residualQuantity"), "residualQuantity"))
    if residual > size:
        raise ProtocolError(DeadLetterReason.MALFORMED, "residualQuantity is more than quantity")
    return OrderState(
        order_id=short_text(row.get("id"), "id"),
        account=address_of(row.get("account"), "account"),
        sub_account_id=long_of(row.get("subAccountId"), "subAccountId"),
        product_id=long_of(row.get("productId"), "productId"),
        symbol=short_text(row.get("productSymbol"), "productSymbol"),
        is_buy=flag_of(row, "isBuy"),
        order_type=enum_of(OrderType, row, "orderType"),
        time_in_force=enum_of(TimeInForce, row, "timeInForce"),
        price=price_from_wire(wire_integer(row.get("price"), "price")),
        size=size,
        residual_size=residual,
        nonce=long_of(row.get("nonce"), "nonce"),
        ts_expiry=millis_of(row, "expiry"),
        ts_created=millis_of(row, "createdAt"),
        status=enum_of(OrderStatus, row, "status"),
    )


def _position(row: Fields) -> PositionState:
    def number(name: str) -> int:
        return wire_integer(row.get(name), name, signed=True)

    return PositionState(
        product_id=long_of(row.get("productId"), "productId"),
        symbol=short_text(row.get("productSymbol"), "productSymbol"),
        size=size_from_wire(number("quantity")),
        average_entry_price=number("avgEntryPrice"),
        mark_price=number("markPrice"),
        profit=number("pnl"),
        margin=number("margin"),
        accrued_funding=number("accruedFunding"),
        liquidation_price=number("liquidationPrice"),
    )


def _balance(row: Fields) -> MarginBalance:
    return MarginBalance(
        asset=address_of(row.get("asset"), "asset"),
        quantity=wire_integer(row.get("quantity"), "quantity", signed=True),
        pending_withdrawal=wire_integer(row.get("pendingWithdrawal"), "pendingWithdrawal"),
    )
