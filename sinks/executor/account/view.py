"""What the rules of an account judge an order by: its limits, its markets and its money. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from schemas.enums import TradingState
from schemas.reasons import AccountReason
from schemas.records import Instrument, Market
from sinks.executor.blotter import Exposure

__all__ = ["AccountLimits", "AccountView", "MarketView", "Money", "Purse", "PurseKey"]

PurseKey: TypeAlias = tuple[str, str]
"""(venue, quote asset)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLimits:
    """What an account may do at most; notionals in 1e-17 quote. None: no limit.

    Attributes:
        sends_per_s: Requests to the venue a second, cancels among them.
        sends_for_cancels: How many of them new orders leave free.
        drawdown: Loss from the greatest profit so far.
        daily_loss: Loss since the UTC day began.
        price_band_bps: Distance of an order's price from the last trade of its market.
    """

    order_notional: int
    gross_notional: int
    open_orders: int
    sends_per_s: int
    sends_for_cancels: int
    drawdown: int | None = None
    daily_loss: int | None = None
    price_band_bps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketView:
    """One market of the account; None is unknown.

    Attributes:
        position: Signed quantity.
        mark: Price that it is valued at.
        exposure: What the live orders may still trade.
        instrument: In force now.
        last_trade: Price of the market's last trade, whoever's.
    """

    position: int | None
    mark: int | None
    exposure: Exposure
    instrument: Instrument | None = None
    last_trade: int | None = None

    @property
    def worst_quantity(self) -> int | None:
        """The greatest quantity that the position can have, without its sign, whatever fills."""
        if self.position is None:
            return None
        return max(abs(self.position + self.exposure.buy), abs(self.position - self.exposure.sell))

    @property
    def notional(self) -> int | None:
        """The greatest notional that the position can have, whatever fills; None where that is not known."""
        worst = self.worst_quantity
        if worst is None or self.mark is None:
            return None if self.position != 0 or self.exposure != Exposure() else 0
        return worst * self.mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """The money of one quote asset at one venue, in 1e-18; None is unknown.

    Attributes:
        equity: With the value of positions.
        margin_available: What the venue said last that further margin may use; None: it says nothing.
        holdings: By asset, what is there to buy with and to sell.
    """

    equity: int | None
    margin_available: int | None
    holdings: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An account's money; losses over all purses in 1e-18, None unknown.

    Attributes:
        breach: Limit of loss that was passed before and holds on.
    """

    purses: Mapping[PurseKey, Purse]
    drawdown: int | None
    daily_loss: int | None
    breach: AccountReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """What the rules judge an order by.

    Attributes:
        state: Of the order's market.
        may_flatten: Whether taking, reduce-only orders are sent there though it is HALTED.
        open_orders: Orders that may still fill.
        sends: Requests to the venue within the last second.
        unknown: Markets with an order of unknown fate.
        unreconciled: Markets where what the venue holds is not known, or not what we know.
        money: None where nobody counts it: the rules about it then do not apply.
    """

    state: TradingState
    markets: Mapping[Market, MarketView]
    open_orders: int
    sends: int
    unknown: frozenset[Market] = field(default_factory=frozenset)
    unreconciled: frozenset[Market] = field(default_factory=frozenset)
    may_flatten: bool = False
    money: Money | None = None

    def reducible(self, market: Market, is_buy: bool) -> int:
        """Give what an order may trade and only make the position smaller, whatever else fills; 0 where not known."""
        view = self.markets.get(market)
        if view is None or view.position is None:
            return 0
        left = -view.position - view.exposure.buy if is_buy else view.position - view.exposure.sell
        return max(left, 0)
