"""The account's rules of risk, asked before every new order: small functions, each with one reason code. Pure.

They count the worst case: every live order may fill, one of unknown fate too. What is not known is denied. A cancel is
never asked about.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeAlias

from schemas.enums import Side, TradingState
from schemas.reasons import AccountReason
from schemas.records import Market
from sinks.executor.account.money_rules import balance_enough, losses_within, margin_enough, widened_by
from sinks.executor.account.view import AccountLimits, AccountView, MarketView
from sinks.executor.orders import Order

__all__ = ["RULES", "AccountLimits", "AccountView", "MarketView", "SendRate", "denial", "gross_notional"]

_SECOND_US = 1_000_000
_BPS = 10_000


Rule: TypeAlias = Callable[[AccountLimits, AccountView, Order], "AccountReason | None"]


def trading_allowed(_: AccountLimits, account: AccountView, order: Order) -> AccountReason | None:
    """Allow nothing new when HALTED, and when REDUCING only what makes the position smaller, whatever fills.

    An order that flattens has to do so in every state.
    """
    is_flattening = order.is_reduce_only and order.is_taker
    if account.state is TradingState.HALTED and not (is_flattening and account.may_flatten):
        return AccountReason.TRADING_HALTED
    if account.state is TradingState.ACTIVE and not is_flattening:
        return None
    is_reducing = order.size <= account.reducible(order.market, order.side is Side.BUY)
    return None if is_reducing else AccountReason.TRADING_REDUCING


def fates_known(_: AccountLimits, account: AccountView, order: Order) -> AccountReason | None:
    """Ask that every order of the market has a known fate."""
    return AccountReason.ORDER_UNKNOWN if order.market in account.unknown else None


def reconciled(_: AccountLimits, account: AccountView, order: Order) -> AccountReason | None:
    """Ask that what the venue holds has been read lately, and agrees with what we know."""
    return AccountReason.NOT_RECONCILED if order.market in account.unreconciled else None


def position_and_mark_known(_: AccountLimits, account: AccountView, order: Order) -> AccountReason | None:
    """Ask for the market's position, and a price to value it at."""
    view = account.markets.get(order.market)
    if view is None or view.position is None:
        return AccountReason.POSITION_UNKNOWN
    return AccountReason.MARK_UNKNOWN if view.mark is None else None


def instrument_fits(_: AccountLimits, account: AccountView, order: Order) -> AccountReason | None:
    """Ask for the tick, the lot and the minima of the instrument in force: the decision may rest on another one."""
    view = account.markets.get(order.market)
    instrument = view.instrument if view else None
    if instrument is None:
        return AccountReason.INSTRUMENT
    is_on_grid = order.price > 0 and order.price % instrument.tick == 0 and order.size % instrument.lot == 0
    is_enough = order.size >= instrument.min_size and order.price * order.size >= instrument.min_notional
    return None if is_on_grid and is_enough else AccountReason.INSTRUMENT


def price_sane(limits: AccountLimits, account: AccountView, order: Order) -> AccountReason | None:
    """Bound the distance of a price from the market's last trade, whatever the decision takes for fair.

    Before the first trade is read the mark stands in.
    """
    view = account.markets.get(order.market)
    seen = (view.last_trade or view.mark) if view else None
    if limits.price_band_bps is None:
        return None
    if seen is None:
        return AccountReason.MARK_UNKNOWN
    return AccountReason.PRICE if abs(order.price - seen) * _BPS > limits.price_band_bps * seen else None


def order_small_enough(limits: AccountLimits, _: AccountView, order: Order) -> AccountReason | None:
    """Bound one order's notional at its own price: a wrong size is caught here whatever the rest says."""
    return AccountReason.ORDER_NOTIONAL if order.price * order.size > limits.order_notional else None


def gross_notional_within(limits: AccountLimits, account: AccountView, order: Order) -> AccountReason | None:
    """Bound the sum over all markets of the greatest notional that each position can have."""
    view = account.markets.get(order.market)
    if view is None:
        return AccountReason.POSITION_UNKNOWN
    after = widened_by(view, order)
    if after.notional is not None and view.notional is not None and after.notional <= view.notional:
        # What makes no market's worst case worse passes also where a moved mark has broken the bound, or another
        # market's is not known: else one lost feed would keep all positions from being closed.
        return None
    gross = gross_notional({**account.markets, order.market: after})
    if gross is None:
        return AccountReason.MARK_UNKNOWN
    return AccountReason.GROSS_NOTIONAL if gross > limits.gross_notional else None


def few_enough_open(limits: AccountLimits, account: AccountView, _: Order) -> AccountReason | None:
    """Bound the number of orders that may fill."""
    return AccountReason.OPEN_ORDERS if account.open_orders >= limits.open_orders else None


def slow_enough(limits: AccountLimits, account: AccountView, _: Order) -> AccountReason | None:
    """Bound the requests a second, with room left for cancels."""
    allowed = limits.sends_per_s - limits.sends_for_cancels
    return AccountReason.SEND_RATE if account.sends >= allowed else None


RULES: tuple[Rule, ...] = (
    trading_allowed,
    losses_within,
    fates_known,
    reconciled,
    position_and_mark_known,
    instrument_fits,
    price_sane,
    order_small_enough,
    gross_notional_within,
    margin_enough,
    balance_enough,
    few_enough_open,
    slow_enough,
)


def denial(limits: AccountLimits, account: AccountView, order: Order) -> AccountReason | None:
    """Give the first objection to an order that is not in the blotter yet; None where it may be sent."""
    return next((reason for rule in RULES if (reason := rule(limits, account, order)) is not None), None)


def gross_notional(markets: Mapping[Market, MarketView]) -> int | None:
    """Sum the greatest notional of each market; None where one is not known."""
    found = [view.notional for view in markets.values()]
    known = [notional for notional in found if notional is not None]
    return sum(known) if len(known) == len(found) else None


class SendRate:
    """Requests to the venue within the last second."""

    def __init__(self) -> None:
        self._sent: deque[int] = deque()

    def note(self, now_us: int) -> None:
        """Count one request."""
        self._sent.append(now_us)

    def within(self, now_us: int) -> int:
        """Give how many there were in the second that ends now."""
        while self._sent and self._sent[0] <= now_us - _SECOND_US:
            self._sent.popleft()
        return len(self._sent)
