"""Whatever happens, what is quoted is legal: it never takes, never crosses itself, and fits lots and limits."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.kernel.inventory import Inventory
from processors.kernel.marketbreakers import BreakerLimits
from processors.kernel.names import Names
from processors.kernel.quoting import Quoter
from processors.kernel.quotingconfig import QuotingConfig
from processors.kernel.risk import MarketLimits
from processors.kernel.snapshot import freeze, thaw
from processors.kernel.steps import BookView, GridStep
from schemas.enums import BookState, Mode, Verdict
from schemas.instrument_table import InstrumentTable
from schemas.instruments import Instrument
from schemas.numbers import NOTIONAL_SCALE
from schemas.records import BookLevel, Prediction, QuoteDecision
from tests.kernel_steps import GRID, MARKET, T0, Emitted, instrument, position

LARGEST = (1 << 63) - 1

# Half of what is drawn is ordinary, so that much of it is quoted; half is wild.
prices = st.one_of(st.just(400_000_000), st.just(3_200_000_000_000), st.integers(1, 10**12), st.integers(1, LARGEST))
sizes = st.integers(1, 10**15)
config = st.builds(
    QuotingConfig,
    max_position_quote=st.sampled_from([1, 10, 2_000, 10**6]).map(lambda value: value * 10**NOTIONAL_SCALE),
    quote_size_quote=st.one_of(st.just(100 * 10**NOTIONAL_SCALE), st.integers(1, 10**5 * 10**NOTIONAL_SCALE)),
    gamma=st.one_of(st.just(0.1), st.floats(1e-6, 1e3)),
    kappa=st.one_of(st.just(0.5), st.floats(1e-6, 1e3)),
    horizon_s=st.one_of(st.just(10.0), st.floats(0.1, 1e5)),
    max_orders_per_s=st.integers(1, 12),
    volatility_min_us=st.sampled_from([1, GRID]),
    limits=st.builds(
        MarketLimits,
        band_bps=st.sampled_from([5, 500]),
        min_spread_bps=st.sampled_from([0, 1, 8]),
        max_spread_bps=st.sampled_from([10, 1_000]),
        order_quote=st.sampled_from([100, 500, 10**7]).map(lambda value: value * 10**NOTIONAL_SCALE),
    ),
    breakers=st.builds(
        BreakerLimits,
        extreme_move_bps=st.sampled_from([200, 10**6]),
        extreme_volatility_bps=st.sampled_from([50.0, 1e9]),
        disconnect_rest_us=st.sampled_from([0, 2_000_000]),
    ),
)
traded = st.one_of(
    st.builds(instrument),
    st.builds(
        instrument,
        tick=st.sampled_from([1, 7, 100_000, 10_000_000]),
        lot=st.sampled_from([1, 3, 10_000, 10**8]),
        min_size=st.sampled_from([0, 1, 10**8]),
        min_notional=st.sampled_from([0, 1, 10**NOTIONAL_SCALE]),
    ),
)
positions = st.one_of(st.just(0), st.integers(-(10**12), 10**12), st.integers(-(10**15), 10**15))


@st.composite
def grids(draw: st.DrawFn) -> list[GridStep]:
    """Points with any book: wild mids, crossed, one-sided, old, in any state, with any prediction."""
    steps = []
    index, base = 0, draw(prices)
    for offset in range(draw(st.integers(1, 40))):
        index += draw(st.sampled_from([1] * 12 + [3, 30]))
        ts = T0 + index * GRID
        bid = (
            max(1, min(LARGEST, base + draw(st.sampled_from([-(10**5), -3, 0, 0, 2, 10**5]))))
            if draw(st.integers(0, 9))
            else draw(prices)
        )
        ask = min(LARGEST, max(1, bid + draw(st.sampled_from([1, 2, 10, 10**5, 10**5, 10**6, 10**6, 0, -1]))))
        bids = (BookLevel(price=bid, size=draw(sizes)),) if draw(st.integers(0, 19)) else ()
        state = draw(st.sampled_from([BookState.LIVE] * 9 + [BookState.STALE]))
        age = draw(st.sampled_from([0, 0, 0, 900_000, 1_100_000]))
        view = BookView(MARKET, state, bids, (BookLevel(price=ask, size=draw(sizes)),), ts - age, None, None, 0, offset)
        step = GridStep(ts, offset, ts, {MARKET: view})
        if draw(st.booleans()):
            step.predictions[MARKET] = _prediction(ts, draw(st.floats(-1e6, 1e6)))
        steps.append(step)
    return steps


def _prediction(ts: int, return_bps: float) -> Prediction:
    return Prediction(
        venue=MARKET[0],
        symbol=MARKET[1],
        ts_grid=ts,
        model_id="m",
        model_hash="h",
        fingerprint="f",
        horizon_ms=1_000,
        return_bps=return_bps,
        cause_topic="market.ticks",
        cause_partition=0,
        cause_first_offset=0,
        cause_offset=0,
    )


def holding(units: int) -> Inventory:
    held = Inventory(Mode.PAPER, "demo")
    held.apply_position(replace(position("0"), quantity=units))
    return held


def quoter(settings_: QuotingConfig, market: Instrument) -> Quoter:
    return Quoter(settings_, Names(), InstrumentTable([market]), "market.ticks", 0, 0)


@settings(max_examples=150, deadline=None)
@given(grids(), config, traded, positions)
def test_every_quote_is_legal(steps: list[GridStep], rules: QuotingConfig, market: Instrument, held: int) -> None:
    """Post-only, on ticks and lots, above the minima, within the position limit, one decision a point."""
    emitted = Emitted()
    quoter(rules, market).run(steps, emitted, holding(held))

    decisions = [record for record in emitted.records if isinstance(record, QuoteDecision)]
    assert len(decisions) == len(steps)
    for step, decision in zip(steps, decisions, strict=True):
        assert (decision.verdict is Verdict.QUOTE) == bool(decision.bids or decision.asks)
        assert (decision.verdict is Verdict.QUOTE) or decision.reasons
        if decision.verdict is Verdict.QUOTE:
            _check(decision, step.books[MARKET], rules, market, held)


def _check(decision: QuoteDecision, view: BookView, rules: QuotingConfig, market: Instrument, held: int) -> None:
    assert decision.mid is not None
    limit = rules.max_position_quote // decision.mid
    for sign, side in ((1, decision.bids), (-1, decision.asks)):
        for order in side:
            assert 0 < order.price <= LARGEST
            assert order.price % market.tick == 0
            assert 0 < order.size <= LARGEST
            assert order.size % market.lot == 0
            assert order.size >= market.min_size
            assert order.price * order.size >= market.min_notional
            assert sign * held + order.size <= limit
            assert order.price * order.size <= rules.limits.order_quote
            assert abs(order.price - decision.mid) * 10_000 <= rules.limits.band_bps * decision.mid
    assert all(bid.price < view.asks[0].price for bid in decision.bids)
    assert all(ask.price > view.bids[0].price for ask in decision.asks)
    assert all(bid.price < ask.price for bid in decision.bids for ask in decision.asks)
    for bid, ask in zip(decision.bids, decision.asks, strict=False):
        spread = (ask.price - bid.price) * 10_000
        assert rules.limits.min_spread_bps * decision.mid <= spread <= rules.limits.max_spread_bps * decision.mid
    assert not any(label.endswith(":OPEN") for label in decision.breakers)


@settings(max_examples=60, deadline=None)
@given(grids(), config, st.data())
def test_cut_and_restore_anywhere(steps: list[GridStep], rules: QuotingConfig, data: st.DataObject) -> None:
    """A batch boundary, or a restart from a snapshot, changes no decision."""
    end = data.draw(st.integers(0, len(steps)))
    whole, cut = Emitted(), Emitted()
    first, second = quoter(rules, instrument()), quoter(rules, instrument())

    quoter(rules, instrument()).run(steps, whole, holding(0))
    first.run(steps[:end], cut, holding(0))
    second.restore(thaw(freeze(first.state())))
    second.run(steps[end:], cut, holding(0))

    assert cut.records == whole.records
