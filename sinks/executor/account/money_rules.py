"""The rules about an account's money, asked before every new order: margin, balances and losses. Pure.

They count the worst case, as those of `account_rules` do, and what is not known is denied. What can only make a
position smaller passes a limit of loss, and what needs no more margin than is bound already passes that of margin.
"""

from __future__ import annotations

from dataclasses import replace

from schemas.enums import ContractKind, Side
from schemas.instruments import assets_of
from schemas.reasons import AccountReason
from schemas.records import Instrument
from sinks.executor.account.view import AccountLimits, AccountView, MarketView, Money, Purse
from sinks.executor.blotter import Exposure
from sinks.executor.orders import Order

__all__ = ["balance_enough", "loss_reason", "losses_within", "margin_enough", "margin_of", "widened_by"]

_AMOUNT = 10
"""Units of 1e-18 in one of 1e-17."""
_BASE = 10**10
"""Units of 1e-18 in one of 1e-8."""
_PPM = 1_000_000


def loss_reason(limits: AccountLimits, money: Money) -> AccountReason | None:
    """Give the limit of loss that holds trading back to reductions; None where none does."""
    if limits.drawdown is None and limits.daily_loss is None:
        return None
    if money.breach is not None:
        return money.breach
    if money.drawdown is None or money.daily_loss is None:
        return AccountReason.EQUITY_UNKNOWN
    if limits.drawdown is not None and money.drawdown > limits.drawdown * _AMOUNT:
        return AccountReason.DRAWDOWN
    if limits.daily_loss is not None and money.daily_loss > limits.daily_loss * _AMOUNT:
        return AccountReason.DAILY_LOSS
    return None


def losses_within(limits: AccountLimits, account: AccountView, order: Order) -> AccountReason | None:
    """Allow beyond a limit of loss only what makes the position smaller, whatever fills."""
    reason = loss_reason(limits, account.money) if account.money is not None else None
    is_reducing = order.size <= account.reducible(order.market, order.side is Side.BUY)
    return None if reason is None or is_reducing else reason


def margin_enough(_: AccountLimits, account: AccountView, order: Order) -> AccountReason | None:
    """Ask that the worst case of all perpetuals at the venue, this order among them, is covered by what it is worth."""
    found = _purse_of(account, order, ContractKind.PERPETUAL)
    if found is None:
        return None
    view, purse = found
    before, after = margin_of(view), margin_of(widened_by(view, order))
    if before is None or after is None:
        return AccountReason.MARK_UNKNOWN
    if after <= before:
        return None
    if purse is None or purse.equity is None:
        return AccountReason.EQUITY_UNKNOWN
    others = [
        margin_of(other)
        for market, other in account.markets.items()
        if market != order.market and market[0] == order.market[0] and _is(other, ContractKind.PERPETUAL)
    ]
    known = [margin for margin in others if margin is not None]
    if len(known) < len(others):
        return AccountReason.MARK_UNKNOWN
    is_covered = sum(known) + after <= purse.equity
    is_left = purse.margin_available is None or after - before <= purse.margin_available
    return None if is_covered and is_left else AccountReason.MARGIN


def balance_enough(_: AccountLimits, account: AccountView, order: Order) -> AccountReason | None:
    """Ask on a spot market for the quote asset that all open buys cost, or the base asset that all open sells give."""
    found = _purse_of(account, order, ContractKind.SPOT)
    if found is None:
        return None
    view, purse = found
    if purse is None or view.instrument is None:
        return AccountReason.BALANCE
    base, quote = assets_of(order.market[1])
    if order.side is Side.SELL:
        needed = _BASE * (view.exposure.sell + order.size)
        return None if needed <= purse.holdings.get(base, 0) else AccountReason.BALANCE
    cost = _cost(order.price * order.size, view.instrument) + sum(
        _cost(other.exposure.buy_value, other.instrument)
        for market, other in account.markets.items()
        if market[0] == order.market[0] and assets_of(market[1])[1] == quote and other.instrument is not None
    )
    return None if cost <= purse.holdings.get(quote, 0) else AccountReason.BALANCE


def margin_of(view: MarketView) -> int | None:
    """Give the initial margin of a market's worst case, in 1e-18 rounded up; None where that is not known."""
    notional = view.notional
    if notional is None:
        return None
    share = view.instrument.initial_margin_ppm if view.instrument is not None else 0
    return -(-notional * _AMOUNT * (share or _PPM) // _PPM)


def widened_by(view: MarketView, order: Order) -> MarketView:
    """Give a market as it is with one more order."""
    buys = order.size if order.side is Side.BUY else 0
    open_orders = view.exposure
    return replace(view, exposure=Exposure(open_orders.buy + buys, open_orders.sell + order.size - buys))


def _cost(value: int, instrument: Instrument) -> int:
    """Give what a value of 1e-17 costs in 1e-18 with the taker's fee, rounded up."""
    return value * _AMOUNT + max(0, -(-value * _AMOUNT * instrument.taker_fee_ppm // _PPM))


def _purse_of(account: AccountView, order: Order, contract: ContractKind) -> tuple[MarketView, Purse | None] | None:
    view = account.markets.get(order.market)
    if account.money is None or view is None or not _is(view, contract):
        return None
    return view, account.money.purses.get((order.market[0], assets_of(order.market[1])[1]))


def _is(view: MarketView, contract: ContractKind) -> bool:
    return view.instrument is not None and view.instrument.contract is contract
