"""What the ladder and the breakers leave of trading, and what of resting orders and targets that leaves. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from schemas.enums import Side, TradingState
from schemas.instruments import Instrument
from schemas.records import Market, QuoteDecision, QuoteLevel
from sinks.executor.orders import Order

__all__ = ["FREE", "PERCENT", "Restraint", "strictest", "surplus", "widened"]

PERCENT: Final = 100
_SEVERITY: Final = {state: number for number, state in enumerate(TradingState)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Restraint:
    """How an account is held back.

    Attributes:
        state: Of the whole account.
        markets: Stricter states of single markets.
        flattening: Markets whose position is being closed: nothing else rests there.
        widen_pct: Distance of quotes from the fair price, in percent of what the decision asks for.
    """

    state: TradingState = TradingState.ACTIVE
    markets: Mapping[Market, TradingState] = field(default_factory=dict)
    flattening: frozenset[Market] = frozenset()
    widen_pct: int = PERCENT

    def state_in(self, market: Market) -> TradingState:
        """Give what orders of a market may do, flattening ones aside."""
        if market in self.flattening:
            return TradingState.HALTED
        return strictest(self.state, self.markets.get(market, TradingState.ACTIVE))

    @property
    def is_free(self) -> bool:
        """Whether nothing that rests can be too much."""
        return self.state is TradingState.ACTIVE and not self.markets and not self.flattening


FREE: Final = Restraint()


def strictest(*states: TradingState) -> TradingState:
    """Give the state that allows least."""
    return max(states, key=_SEVERITY.__getitem__)


def surplus(state: TradingState, live: Sequence[Order], position: int | None) -> list[Order]:
    """Give the orders to cancel in a market: those that a state does not let rest and that are not being cancelled yet.

    When REDUCING those stay that make the position smaller, best price first, as long as they do so if all fill.

    Args:
        live: Orders of the market that may still fill.
        position: None is not known.
    """
    if state is TradingState.ACTIVE:
        return []
    working = [order for order in live if not order.is_cancelling]
    if state is TradingState.HALTED or not position:
        return working
    closing = Side.SELL if position > 0 else Side.BUY
    better = 1 if closing is Side.SELL else -1
    left = abs(position) - sum(order.open_size for order in live if order.is_cancelling and order.side is closing)
    gone = []
    for order in sorted(working, key=lambda order: (better * order.price, order.nonce)):
        if order.side is closing and order.open_size <= left:
            left -= order.open_size
        else:
            gone.append(order)
    return gone


def widened(decision: QuoteDecision, percent: int, instrument: Instrument) -> QuoteDecision:
    """Move each level away from the fair price (the mid where there is none), outward to the next tick.

    A level that is on the wrong side of that price moves by a tick at least; none ever moves inward. Without either
    price, and below the minimum notional, nothing is asked for.
    """
    if percent <= PERCENT:
        return decision
    centre = decision.fair if decision.fair is not None else decision.mid

    def moved(levels: Sequence[QuoteLevel], away: int) -> tuple[QuoteLevel, ...]:
        if centre is None:
            return ()
        outer = [_moved(level, away, centre, percent, instrument.tick) for level in levels]
        return tuple(x for x in outer if x.price > 0 and x.price * x.size >= instrument.min_notional)

    return replace(decision, bids=moved(decision.bids, -1), asks=moved(decision.asks, 1))


def _moved(level: QuoteLevel, away: int, centre: int, percent: int, tick: int) -> QuoteLevel:
    distance = max(away * (level.price - centre), tick)
    # In units of a hundredth of a price unit, divided once, away from the centre.
    exact = PERCENT * level.price + away * distance * (percent - PERCENT)
    step = PERCENT * tick
    price = -(-exact // step) * tick if away > 0 else exact // step * tick
    return replace(level, price=price)
