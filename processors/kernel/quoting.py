"""The quoting stage: at grid points, a decision for every market of the quoted venues, with all that it rests on.

A decision is a target: the orders that the market should have from here on. Floats live inside the formula alone;
prices are rounded outward to ticks and sizes down to lots, as integers.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from processors.kernel.avellaneda_stoikov import Parameters, Pricing, price
from processors.kernel.inventory import Inventory
from processors.kernel.risk import Facts, OrderRate, Target, capacity, crossed, denials, is_below_minimum
from processors.kernel.samples import MidSamples, trusted_mid2
from processors.kernel.steps import BookView, Emit, GridStep, State, Step, TradeStep
from schemas.clock import GRID_US
from schemas.enums import Mode, Verdict
from schemas.errors import ConfigurationError
from schemas.instruments import Instrument, Instruments
from schemas.numbers import INT64_MAX, NOTIONAL_SCALE, PRICE_SCALE, divide_half_even
from schemas.reasons import DenyReason
from schemas.records import Market, Prediction, QuoteDecision, QuoteLevel

__all__ = ["Quoter", "QuotingConfig"]

_NO_ORDERS: Target = ((), ())
_POSITIVE = {
    "max_position_quote": "FLASHMM_MAX_POSITION_QUOTE",
    "quote_size_quote": "FLASHMM_QUOTE_SIZE_QUOTE",
    "gamma": "FLASHMM_RISK_AVERSION",
    "max_orders_per_s": "FLASHMM_MAX_ORDERS_PER_S",
    "kappa": "kappa",
    "horizon_s": "horizon_s",
    "volatility_min_us": "volatility_min_us",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotingConfig:
    """What quotes depend on; all of it is in the config hash of each decision.

    Attributes:
        venues: Venues whose books are quoted.
        frequency_hz: Decisions a second and market; divides 5.
        max_position_quote: Position limit per market, in units of notionals; its quantity follows the mid.
        quote_size_quote: Value of one order, in units of notionals.
        gamma, kappa, horizon_s, max_signal_bps, max_offset_bps: See `avellaneda_stoikov.Parameters`.
        volatility_window_us: What volatility is estimated from.
        volatility_min_us: Less history than this is too little for an estimate.
        max_hole_us: Without a usable book for longer than this, the history starts anew.
        stale_us: Nobody quotes on a book unchanged and unconfirmed for longer.
        max_orders_per_s: New orders a second and market.

    Raises:
        ConfigurationError: the frequency does not divide 5, or a limit is not positive.
    """

    mode: Mode = Mode.PAPER
    account: str = "demo"
    venues: frozenset[str] = frozenset({"sim-sei-clob"})
    frequency_hz: int = 5
    max_position_quote: int = 2_000 * 10**NOTIONAL_SCALE
    quote_size_quote: int = 100 * 10**NOTIONAL_SCALE
    gamma: float = 0.1
    kappa: float = 0.5
    horizon_s: float = 10.0
    max_signal_bps: float = 20.0
    max_offset_bps: float = 500.0
    volatility_window_us: int = 30_000_000
    volatility_min_us: int = 5_000_000
    max_hole_us: int = 2_000_000
    stale_us: int = 1_000_000
    max_orders_per_s: int = 10

    def __post_init__(self) -> None:
        """Refuse what cannot be quoted with."""
        if self.frequency_hz not in (1, 5):
            raise ConfigurationError(
                "FLASHMM_QUOTE_FREQUENCY_HZ",
                f"must divide the grid's 5 Hz, was {self.frequency_hz}",
                "Set it to 1 or 5",
            )
        for name, setting in _POSITIVE.items():
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigurationError(setting, f"must be positive and finite, was {value}", "Correct it")

    @property
    def parameters(self) -> Parameters:
        """What the formula is set to."""
        return Parameters(self.gamma, self.kappa, self.horizon_s, self.max_signal_bps, self.max_offset_bps)

    @property
    def config_hash(self) -> str:
        """SHA-256 of all settings, in hexadecimal."""
        settings = asdict(self) | {"venues": sorted(self.venues)}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


class _MarketState:
    def __init__(self, config: QuotingConfig) -> None:
        self.mids = MidSamples(config.volatility_window_us, config.max_hole_us)
        self.rate = OrderRate(config.max_orders_per_s)

    def sigma(self, min_span_us: int) -> float | None:
        """Volatility of the mid: units of prices per square root of a second."""
        span_us = self.mids.span_us
        return math.sqrt(self.mids.squared_changes() / 4 / (span_us / 1e6)) if span_us >= min_span_us else None


class Quoter:
    """The stage that decides quotes, of one partition.

    Args:
        epoch: Of the decisions that it makes.
    """

    def __init__(
        self, config: QuotingConfig, instruments: Instruments, topic: str, partition: int, epoch: int = 0
    ) -> None:
        self.epoch = epoch
        self._config = config
        self._config_hash = config.config_hash
        self._parameters = config.parameters
        self._instruments = instruments
        self._topic = topic
        self._partition = partition
        self._markets: dict[Market, _MarketState] = {}
        self._bookless: set[Market] = set()

    def run(self, steps: Sequence[Step], emit: Emit, inventory: Inventory) -> None:
        """Decide at each grid step for every market of the quoted venues, and emit each decision."""
        for step in steps:
            if isinstance(step, TradeStep):
                self._notice_bookless(step.tick.market)
            elif isinstance(step, GridStep):
                self._at_grid(step, emit, inventory)

    def _notice_bookless(self, market: Market) -> None:
        if market[0] in self._config.venues:
            instrument = self._instruments.get(*market)
            if instrument is not None and not instrument.has_book:
                self._bookless.add(market)

    def _at_grid(self, step: GridStep, emit: Emit, inventory: Inventory) -> None:
        is_due = step.ts_grid // GRID_US % (5 // self._config.frequency_hz) == 0
        markets = {market for market in step.books if market[0] in self._config.venues} | self._bookless
        for market in sorted(markets):
            state = self._state_of(market)
            view = step.books.get(market)
            mid2 = trusted_mid2(view) if view else None
            if view and mid2 is not None:
                state.mids.add(step.ts_grid, mid2, view.offset)
            if is_due:
                decision = self._decide(step, market, view, state, inventory.position(market))
                state.rate.record((decision.bids, decision.asks), step.ts_grid)
                emit(decision, step.ts_trigger)

    def _state_of(self, market: Market) -> _MarketState:
        state = self._markets.get(market)
        if state is None:
            state = self._markets[market] = _MarketState(self._config)
        return state

    def _decide(
        self,
        step: GridStep,
        market: Market,
        view: BookView | None,
        state: _MarketState,
        held: tuple[int, int] | None,
    ) -> QuoteDecision:
        instrument = self._instruments.get(*market)
        sigma = state.sigma(self._config.volatility_min_us)
        decision = self._blank(step, market, view, held)
        facts = Facts(
            now_us=step.ts_grid,
            instrument=instrument,
            view=view,
            position=held[0] if held else None,
            sigma=sigma,
            stale_us=self._config.stale_us,
        )
        reasons = denials(facts)
        if reasons:
            return replace(decision, verdict=Verdict.DENIED, reasons=reasons)
        assert instrument is not None and view is not None and held is not None and sigma is not None  # noqa: PT018  the gates
        decision = replace(decision, cause_first_offset=min(view.offset, state.mids.first_offset))
        return self._quote(decision, instrument, view, held[0], sigma, step.predictions.get(market), state.rate)

    def _blank(
        self, step: GridStep, market: Market, view: BookView | None, held: tuple[int, int] | None
    ) -> QuoteDecision:
        config = self._config
        return QuoteDecision(
            decision_id=f"{config.mode}|{config.account}|{market[0]}|{market[1]}|{step.ts_grid}",
            mode=config.mode,
            account=config.account,
            venue=market[0],
            symbol=market[1],
            ts_grid=step.ts_grid,
            epoch=self.epoch,
            verdict=Verdict.EMPTY,
            reasons=(),
            bids=(),
            asks=(),
            position=held[0] if held else None,
            executions_offset=held[1] if held else None,
            sigma=0.0,
            gamma=0.0,
            kappa=0.0,
            horizon_s=config.horizon_s,
            signal_bps=0.0,
            clamps=(),
            config_hash=self._config_hash,
            flags=view.flags if view else 0,
            cause_topic=self._topic,
            cause_partition=self._partition,
            cause_first_offset=view.offset if view else step.offset,
            cause_offset=step.offset,
        )

    def _quote(
        self,
        decision: QuoteDecision,
        instrument: Instrument,
        view: BookView,
        position: int,
        sigma: float,
        prediction: Prediction | None,
        rate: OrderRate,
    ) -> QuoteDecision:
        config = self._config
        mid = divide_half_even(view.bids[0].price + view.asks[0].price, 2)
        limit = config.max_position_quote // mid
        signal_bps = prediction.return_bps if prediction else 0.0
        pricing = price(mid, sigma, position / limit if limit else 0.0, signal_bps, self._parameters)
        target, reasons, clamps = _orders(pricing, instrument, view, position, limit, config.quote_size_quote // mid)
        per_quote = 10_000 / mid * 10**PRICE_SCALE
        decision = replace(
            decision,
            mid=mid,
            fair=_in_range(pricing.fair),
            reservation=_in_range(pricing.reservation),
            half_spread=_in_range(pricing.half_spread),
            sigma=sigma / 10**PRICE_SCALE,
            gamma=config.gamma * per_quote,
            kappa=config.kappa * per_quote,
            signal_bps=signal_bps,
            model_hash=prediction.model_hash if prediction else None,
            reasons=reasons,
            clamps=(*pricing.clamps, *clamps),
        )
        if crossed(target, view):
            return replace(decision, verdict=Verdict.DENIED, reasons=(*reasons, DenyReason.QUOTE_CROSSED))
        if not rate.allows(target, decision.ts_grid):
            return replace(decision, verdict=Verdict.DENIED, reasons=(*reasons, DenyReason.ORDER_RATE))
        verdict = Verdict.EMPTY if target == _NO_ORDERS else Verdict.QUOTE
        return replace(decision, verdict=verdict, bids=target[0], asks=target[1])

    def state(self) -> State:
        """Give what is remembered: mids, last targets and order counts."""
        return {
            "markets": [[*market, m.mids.state(), m.rate.state()] for market, m in sorted(self._markets.items())],
            "bookless": sorted(self._bookless),
        }

    def restore(self, state: State) -> None:
        """Take back what `state` gave."""
        self._markets = {}
        for venue, symbol, mids, rate in state["markets"]:
            market = self._state_of((venue, symbol))
            market.mids.restore(mids)
            market.rate.restore(rate)
        self._bookless = {(venue, symbol) for venue, symbol in state["bookless"]}


def _orders(
    pricing: Pricing, instrument: Instrument, view: BookView, position: int, limit: int, wanted: int
) -> tuple[Target, tuple[DenyReason, ...], tuple[str, ...]]:
    """Turn prices into orders that the venue takes: (target, reasons of missing sides, clamps)."""
    tick, clamps = instrument.tick, []
    highest_bid = (view.asks[0].price - 1) // tick * tick
    lowest_ask = -(-(view.bids[0].price + 1) // tick) * tick
    bid_price = pricing.bid // tick * tick
    ask_price = -(-pricing.ask // tick) * tick
    if bid_price > highest_bid:
        bid_price = highest_bid
        clamps.append("post_only_bid")
    if ask_price < lowest_ask:
        ask_price = lowest_ask
        clamps.append("post_only_ask")

    reasons: list[DenyReason] = []
    sides: list[tuple[QuoteLevel, ...]] = []
    for sign, side_price in ((1, bid_price), (-1, ask_price)):
        room = capacity(position, limit, sign)
        size = min(wanted, room, INT64_MAX) // instrument.lot * instrument.lot
        order = QuoteLevel(price=side_price, size=size)
        if not is_below_minimum(order, instrument) and side_price <= INT64_MAX:
            sides.append((order,))
            if room < wanted:
                clamps.append("position_limit_bid" if sign > 0 else "position_limit_ask")
            continue
        sides.append(())
        if room < wanted:
            reasons.append(DenyReason.POSITION_LIMIT_LONG if sign > 0 else DenyReason.POSITION_LIMIT_SHORT)
        else:
            reasons.append(DenyReason.BELOW_MINIMUM)
    return (sides[0], sides[1]), tuple(reasons), tuple(clamps)


def _in_range(units: int) -> int:
    """Keep a recorded intermediate within what the record can hold; only absurd inputs reach the bound."""
    return max(-INT64_MAX, min(INT64_MAX, units))
