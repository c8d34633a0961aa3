"""The quoting stage: decisions of the quoted markets at grid points, and pulls between them.

A decision is a target: the orders that the market should have from here on. It is made at a grid point, with all that
it rests on; what cannot wait for the next one takes it back at once, by a decision of the same grid point that asks
for nothing. Floats live inside the formula alone; prices are rounded outward to ticks and sizes down to lots, as
integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from processors.kernel.avellaneda_stoikov import price
from processors.kernel.drift import Reference
from processors.kernel.inventory import Inventory
from processors.kernel.names import Names
from processors.kernel.proposing import propose
from processors.kernel.quotedmarket import QuotedMarket
from processors.kernel.quotingconfig import QuotingConfig
from processors.kernel.risk import TARGET_RULES, Facts, denials, first_of
from processors.kernel.steprows import TRADE, StepRows
from processors.kernel.steps import AlarmStep, BookView, Emit, GridStep, State, Step, TradeStep
from schemas.breakers import Transition
from schemas.clock import GRID_US
from schemas.enums import BookState, BreakerState, Severity, Verdict
from schemas.instrument_table import InstrumentTable
from schemas.instruments import Instrument, market_group
from schemas.numbers import INT64_MAX, PRICE_SCALE, divide_half_even
from schemas.reasons import DenyReason
from schemas.records import Alert, Market, Prediction, QuoteDecision

__all__ = ["Published", "Quoter", "QuotingConfig"]

_COMPONENT = "worker"


@dataclass(frozen=True, slots=True)
class Published:
    """The decisions that were published before this worker took the partition over.

    Attributes:
        last: Per market, grid point and sequence of the last one: up to there decisions are made again silently.
        slow: How long the predictions took that were too slow to be used, by market and grid point, in microseconds.
            A clock is not in the log, so what is made again takes what was measured then.
    """

    last: Mapping[Market, tuple[int, int]] = field(default_factory=dict)
    slow: Mapping[tuple[Market, int], int] = field(default_factory=dict)

    def covers(self, market: Market, ts_grid: int, sequence: int = 0) -> bool:
        """Tell whether a decision is one of these."""
        last = self.last.get(market)
        return last is not None and (ts_grid, sequence) <= last


class Quoter:
    """The stage that decides quotes, of one partition.

    Args:
        names: The partition's numbers, which rows of steps are told in.
        instruments: What holds when; whoever owns the table adds to it.
        reference: What the model was trained on; None where there is no model.

    Attributes:
        epoch: Of the decisions that it makes.
        published: What it need not make anew.
    """

    def __init__(
        self,
        config: QuotingConfig,
        names: Names,
        instruments: InstrumentTable,
        topic: str,
        partition: int,
        epoch: int = 0,
        reference: Reference | None = None,
    ) -> None:
        self.epoch = epoch
        self.published = Published()
        self._config = config
        self._config_hash = config.config_hash
        self._parameters = config.parameters
        self._names = names
        self._instruments = instruments
        self._topic = topic
        self._partition = partition
        self._reference = reference
        self._markets: dict[Market, QuotedMarket] = {}
        self._bookless: set[Market] = set()

    def run(self, steps: Sequence[Step | StepRows | AlarmStep], emit: Emit, inventory: Inventory) -> None:
        """Decide at each grid step for every market of the quoted venues, pull at each alarm; emit each decision."""
        for step in steps:
            if isinstance(step, np.ndarray):
                for number in np.unique(step["market"][step["kind"] == TRADE]).tolist():
                    self._notice_bookless(self._names.markets[number])
            elif isinstance(step, TradeStep):
                self._notice_bookless(step.tick.market)
            elif isinstance(step, GridStep):
                self._at_grid(step, emit, inventory)
            elif isinstance(step, AlarmStep):
                self._at_alarm(step, emit, inventory)

    def _notice_bookless(self, market: Market) -> None:
        if market[0] in self._config.venues and market not in self._bookless:
            instrument = self._instruments.last(market)
            if instrument is not None and not instrument.has_book:
                self._bookless.add(market)

    # Decisions

    def _at_grid(self, step: GridStep, emit: Emit, inventory: Inventory) -> None:
        is_due = step.ts_grid // GRID_US % (5 // self._config.frequency_hz) == 0
        markets = {market for market in step.books if market[0] in self._config.venues} | self._bookless
        for market in sorted(markets):
            state = self._state_of(market)
            view = step.books.get(market)
            transitions = state.look(view, step.ts_grid)
            inference_us = self._inference_us(step, market)
            vector = step.features.get(market)
            values = vector.values if vector is not None and vector.is_warm else None
            drift = state.breakers.judge_model(values, inference_us if is_due else None, step.ts_grid)
            for transition in (*transitions, *((drift,) if drift else ())):
                emit(_alert(transition, market), step.ts_trigger)
            if is_due:
                decision = self._decide(step, market, view, state, inventory.position(market))
                decision = replace(decision, breakers=state.breakers.labels, inference_us=inference_us)
                state.rate.record((decision.bids, decision.asks), step.ts_grid)
                state.decided(step.ts_grid, was_live=view is not None and view.state is BookState.LIVE)
                emit(decision, step.ts_trigger)

    def _inference_us(self, step: GridStep, market: Market) -> int | None:
        """Give how long the prediction took; of one that was decided on before, what was measured then."""
        measured = step.inference_us.get(market)
        if measured is not None and self.published.covers(market, step.ts_grid):
            return self.published.slow.get((market, step.ts_grid), 0)
        return measured

    def _state_of(self, market: Market) -> QuotedMarket:
        state = self._markets.get(market)
        if state is None:
            state = self._markets[market] = QuotedMarket(self._config, self._reference)
        return state

    def _decide(
        self,
        step: GridStep,
        market: Market,
        view: BookView | None,
        state: QuotedMarket,
        held: tuple[int, int] | None,
    ) -> QuoteDecision:
        instrument, sigma, breakers = self._instruments.at(market, step.ts_grid), state.sigma, state.breakers
        prediction = None if breakers.is_drifting else step.predictions.get(market)
        decision = replace(
            self._blank(market, step.ts_grid, step.offset, instrument, held),
            orders_offset=step.orders_offset,
            flags=view.flags if view else 0,
            cause_first_offset=view.offset if view else step.offset,
        )
        facts = Facts(
            now_us=step.ts_grid,
            limits=self._config.limits,
            instrument=instrument,
            view=view,
            position=held[0] if held else None,
            sigma=sigma,
            has_model=prediction is not None,
            is_disconnected=breakers.is_disconnected,
            is_extreme=breakers.is_extreme,
        )
        reasons = denials(facts)
        if reasons:
            return replace(decision, verdict=Verdict.DENIED, reasons=reasons)
        assert instrument is not None and view is not None and held is not None and sigma is not None  # noqa: PT018  the gates
        decision = replace(decision, cause_first_offset=min(view.offset, state.mids.first_offset))
        return self._quote(decision, instrument, view, held[0], sigma, prediction, state)

    def _quote(
        self,
        decision: QuoteDecision,
        instrument: Instrument,
        view: BookView,
        position: int,
        sigma: float,
        prediction: Prediction | None,
        state: QuotedMarket,
    ) -> QuoteDecision:
        config = self._config
        mid = divide_half_even(view.bids[0].price + view.asks[0].price, 2)
        most = config.max_position_quote // mid
        signal_bps = prediction.return_bps if prediction else 0.0
        pricing = price(mid, sigma, position / most if most else 0.0, signal_bps, self._parameters)
        proposed = propose(
            pricing,
            instrument,
            view,
            config.limits,
            mid=mid,
            position=position,
            most=most,
            wanted=config.quote_size_quote // mid,
        )
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
            reasons=proposed.reasons,
            clamps=(*pricing.clamps, *proposed.clamps),
        )
        target = proposed.proposal.target
        objection = first_of(rule(proposed.proposal) for rule in TARGET_RULES)
        if objection is None and not state.rate.allows(target, decision.ts_grid):
            objection = DenyReason.ORDER_RATE
        if objection is not None:
            return replace(decision, verdict=Verdict.DENIED, reasons=(*proposed.reasons, objection))
        verdict = Verdict.QUOTE if any(target) else Verdict.EMPTY
        return replace(decision, verdict=verdict, bids=target[0], asks=target[1])

    # Pulls

    def _at_alarm(self, step: AlarmStep, emit: Emit, inventory: Inventory) -> None:
        group = self._group(step.market)
        for market, state in sorted(self._markets.items()):
            is_meant = market == step.market or (step.reason is DenyReason.MARKET_JUMP and self._group(market) == group)
            if not is_meant or state.decided_us is None or state.is_pulled or not state.was_live:
                continue
            state.is_pulled = True
            state.rate.record(((), ()), state.decided_us)
            instrument, held = self._instruments.at(market, state.decided_us), inventory.position(market)
            pull = self._blank(market, state.decided_us, step.offset, instrument, held, sequence=1)
            labels = state.breakers.labels
            emit(replace(pull, verdict=Verdict.DENIED, reasons=(step.reason,), breakers=labels), step.ts_recv)

    def _group(self, market: Market) -> str:
        instrument = self._instruments.last(market)
        return instrument.group if instrument else market_group(market[1])

    def _blank(
        self,
        market: Market,
        ts_grid: int,
        offset: int,
        instrument: Instrument | None,
        held: tuple[int, int] | None,
        sequence: int = 0,
    ) -> QuoteDecision:
        """Make a decision that asks for nothing yet, caused by the record at an offset."""
        config = self._config
        name = f"{config.mode}|{config.account}|{market[0]}|{market[1]}|{ts_grid}"
        return QuoteDecision(
            decision_id=f"{name}|{sequence}" if sequence else name,
            mode=config.mode,
            account=config.account,
            venue=market[0],
            symbol=market[1],
            ts_grid=ts_grid,
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
            sequence=sequence,
            instrument=instrument,
            cause_topic=self._topic,
            cause_partition=self._partition,
            cause_first_offset=offset,
            cause_offset=offset,
        )

    # What is remembered

    def state(self) -> State:
        """Give what is remembered: of each market mids, last target, order counts and breakers."""
        return {
            "markets": [[*market, state.state()] for market, state in sorted(self._markets.items())],
            "bookless": sorted(self._bookless),
        }

    def restore(self, state: State) -> None:
        """Take back what `state` gave."""
        self._markets = {}
        for venue, symbol, saved in state["markets"]:
            self._state_of((venue, symbol)).restore(saved)
        self._bookless = {(venue, symbol) for venue, symbol in state["bookless"]}


def _alert(transition: Transition, market: Market) -> Alert:
    """Tell a person of a breaker; its time is the grid point, by which a restart knows that it was told."""
    is_open = transition.after is BreakerState.OPEN
    return Alert(
        component=_COMPONENT,
        severity=Severity.WARNING if is_open else Severity.INFO,
        code=f"BREAKER_{transition.after}",
        message=f"{transition.kind} of {market[0]} {market[1]} is {transition.after}, was {transition.before}",
        venue=market[0],
        symbol=market[1],
        ts_alert=transition.at_us,
    )


def _in_range(units: int) -> int:
    """Keep a recorded intermediate within what the record can hold; only absurd inputs reach the bound."""
    return max(-INT64_MAX, min(INT64_MAX, units))
