"""Quoting: what a decision asks for, why it asks for less, and that it says what it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from processors.kernel.drift import Reference
from processors.kernel.inventory import Inventory
from processors.kernel.marketbreakers import BreakerLimits
from processors.kernel.names import Names
from processors.kernel.quoting import Published, Quoter
from processors.kernel.quotingconfig import QuotingConfig
from processors.kernel.risk import MarketLimits
from processors.kernel.snapshot import freeze, thaw
from processors.kernel.steps import AlarmStep, GridStep, Step
from schemas.enums import BookState, Flag, Mode, Severity, Side, Verdict
from schemas.errors import ConfigurationError
from schemas.instrument_table import InstrumentTable
from schemas.instruments import Instruments
from schemas.numbers import NOTIONAL_SCALE, PRICE_SCALE, SIZE_SCALE
from schemas.reasons import DenyReason
from schemas.records import Alert, Prediction, QuoteDecision
from tests.kernel_steps import (
    GRID,
    MARKET,
    T0,
    Emitted,
    grid,
    instrument,
    instruments,
    position,
    price,
    quiet,
    size,
    trade,
    view,
)

WARM = 26  # grid points after which volatility is known


def inventory(quantity: str | None = "0") -> Inventory:
    held = Inventory(Mode.PAPER, "demo")
    if quantity is not None:
        held.apply_position(position(quantity))
    return held


def quoter(
    config: QuotingConfig | None = None, known: Instruments | None = None, reference: Reference | None = None
) -> Quoter:
    table = InstrumentTable(instruments() if known is None else known)
    return Quoter(config or QuotingConfig(), Names(), table, "market.ticks", 0, epoch=4, reference=reference)


def decide(
    steps: Sequence[Step | AlarmStep],
    *,
    config: QuotingConfig | None = None,
    known: Instruments | None = None,
    held: Inventory | None = None,
    reference: Reference | None = None,
) -> list[QuoteDecision]:
    emitted = Emitted()
    quoter(config, known, reference).run(steps, emitted, held or inventory())
    return [record for record in emitted.records if isinstance(record, QuoteDecision)]


def last(steps: list[GridStep], **options: object) -> QuoteDecision:
    return decide(list(steps), **options)[-1]  # type: ignore[arg-type]


def moving(points: int) -> list[GridStep]:
    """A mid that goes up and down by a tick."""
    books = ([("0.3998", "1000")], [("0.4003", "1000")]), ([("0.3999", "1000")], [("0.4004", "1000")])
    return [grid(i, view(*books[i % 2], ts_change=T0 + i * GRID, offset=i)) for i in range(points)]


def predicted(step: GridStep, return_bps: float) -> GridStep:
    step.predictions[MARKET] = Prediction(
        venue=MARKET[0],
        symbol=MARKET[1],
        ts_grid=step.ts_grid,
        model_id="m",
        model_hash="beef",
        fingerprint="f",
        horizon_ms=1_000,
        return_bps=return_bps,
        cause_topic="market.ticks",
        cause_partition=0,
        cause_first_offset=0,
        cause_offset=0,
    )
    return step


def test_flat_position_quotes_both_sides_around_the_mid() -> None:
    """Without inventory or signal the quotes are symmetric, on ticks, of whole lots and the value asked for."""
    decision = last(quiet(WARM))

    (bid,), (ask,) = decision.bids, decision.asks
    assert decision.verdict is Verdict.QUOTE
    assert decision.reasons == ()
    assert decision.mid == decision.fair == decision.reservation == price("0.4")
    assert (bid.price, ask.price) == (price("0.3999"), price("0.4001"))
    assert bid.size == ask.size == size("250")  # 100 / 0.4


def test_decision_holds_every_intermediate_of_the_formula() -> None:
    """Reservation and half spread follow from the record's own fields by the paper's formula."""
    steps = moving(60)
    predicted(steps[-1], 1.5)
    limit = 2_000 / 0.40015

    decision = last(steps, held=inventory("1000"))

    assert decision.mid is not None
    assert decision.position == size("1000")
    mid = decision.mid / 10**PRICE_SCALE
    fair = mid * (1 + decision.signal_bps / 1e4)
    q = 1_000 / limit
    variance = decision.sigma**2 * decision.horizon_s
    reservation = fair - q * decision.gamma * variance
    half = decision.gamma * variance / 2 + math.log1p(decision.gamma / decision.kappa) / decision.gamma
    assert decision.sigma == pytest.approx(0.0001 * math.sqrt(5))
    assert decision.signal_bps == 1.5
    assert decision.model_hash == "beef"
    assert decision.fair == pytest.approx(fair * 10**PRICE_SCALE, abs=1)
    assert decision.reservation == pytest.approx(reservation * 10**PRICE_SCALE, rel=1e-6)
    assert decision.half_spread == pytest.approx(half * 10**PRICE_SCALE, rel=1e-6)


def test_long_position_moves_quotes_down_and_short_up() -> None:
    """Inventory skews the reservation price towards getting rid of it."""
    long, flat, short = (last(moving(60), held=inventory(quantity)) for quantity in ("4000", "0", "-4000"))

    assert long.reservation is not None
    assert flat.reservation is not None
    assert short.reservation is not None
    assert long.reservation < flat.reservation < short.reservation
    assert long.asks[0].price <= flat.asks[0].price <= short.asks[0].price
    assert long.bids[0].price <= flat.bids[0].price <= short.bids[0].price


def test_more_volatility_widens() -> None:
    """The half spread rises with the variance."""
    calm, wild = last(quiet(60)), last(moving(60))

    assert calm.half_spread is not None
    assert wild.half_spread is not None
    assert wild.half_spread > calm.half_spread


def test_signal_moves_the_fair_price_up_to_its_limit() -> None:
    """A prediction counts up to max_signal_bps, and the decision says that it was cut."""
    steps = quiet(WARM)
    predicted(steps[-1], 500.0)

    decision = last(steps)

    assert decision.fair == price("0.4") * 10_020 // 10_000
    assert "max_signal_bps" in decision.clamps


def test_never_crosses_the_book() -> None:
    """A strong signal in a tight book leaves the bid a tick below the best ask."""
    steps = quiet(WARM, bids=[("0.3999", "5")], asks=[("0.4000", "5")])
    predicted(steps[-1], 20.0)

    decision = last(steps)

    assert decision.bids[0].price == price("0.3999")
    assert "post_only_bid" in decision.clamps


@pytest.mark.parametrize(
    ("quantity", "side", "reason"),
    [("5000", "bids", DenyReason.POSITION_LIMIT_LONG), ("-5000", "asks", DenyReason.POSITION_LIMIT_SHORT)],
)
def test_one_side_is_off_at_the_position_limit(quantity: str, side: str, reason: DenyReason) -> None:
    """At 2,000 quote units, 5,000 at 0.4, only the side that reduces is quoted."""
    decision = last(quiet(WARM), held=inventory(quantity))

    other = "asks" if side == "bids" else "bids"
    assert decision.verdict is Verdict.QUOTE
    assert getattr(decision, side) == ()
    assert len(getattr(decision, other)) == 1
    assert decision.reasons == (reason,)


def test_order_is_cut_to_what_the_limit_leaves() -> None:
    """Near the limit the order is as large as what may still be added."""
    decision = last(quiet(WARM), held=inventory("4900"))

    assert decision.bids[0].size == size("100")
    assert decision.asks[0].size == size("250")
    assert "position_limit_bid" in decision.clamps


def test_too_small_an_order_leaves_an_empty_decision() -> None:
    """Below the minimum notional nothing is quoted, and the decision says why."""
    decision = last(quiet(WARM), config=QuotingConfig(quote_size_quote=10**NOTIONAL_SCALE // 2))

    assert decision.verdict is Verdict.EMPTY
    assert decision.reasons == (DenyReason.BELOW_MINIMUM,) * 2
    assert (decision.bids, decision.asks) == ((), ())


@pytest.mark.parametrize(
    ("book", "reason"),
    [
        ({"state": BookState.STALE}, DenyReason.BOOK_NOT_LIVE),
        ({"state": BookState.GAPPED}, DenyReason.BOOK_NOT_LIVE),
        ({"state": BookState.SYNCING}, DenyReason.BOOK_NOT_LIVE),
        ({"asks": ()}, DenyReason.BOOK_ONE_SIDED),
        ({"bids": [("0.41", "1")]}, DenyReason.BOOK_CROSSED),
        ({"bids": [("0.4002", "1")]}, DenyReason.BOOK_CROSSED),
        ({"ts_change": T0 + (WARM - 6) * GRID}, DenyReason.STALE_DATA),
    ],
    ids=["stale-state", "gapped", "syncing", "one-sided", "crossed", "locked", "old"],
)
def test_bad_book_is_denied(book: dict[str, object], reason: DenyReason) -> None:
    """The decision is emitted all the same, and asks for no orders."""
    steps = quiet(WARM)
    ts_change = {"ts_change": steps[-1].ts_grid}
    steps.append(grid(WARM, view(**(ts_change | book))))  # type: ignore[arg-type]

    decision = last(steps)

    assert decision.verdict is Verdict.DENIED
    assert decision.reasons == (reason,)
    assert (decision.bids, decision.asks) == ((), ())


def test_exactly_a_second_old_is_not_stale() -> None:
    """The limit is inclusive."""
    steps = quiet(WARM)
    steps.append(grid(WARM, view(ts_change=steps[-1].ts_grid + GRID - 1_000_000)))

    assert last(steps).verdict is Verdict.QUOTE


def test_unknown_position_is_denied() -> None:
    """Without a position record nothing is quoted."""
    decision = last(quiet(WARM), held=inventory(None))

    assert decision.reasons == (DenyReason.POSITION_UNKNOWN,)
    assert decision.position is None
    assert decision.executions_offset is None


def test_unknown_instrument_is_denied() -> None:
    """Without tick, lot and minima nothing is quoted."""
    assert DenyReason.NO_INSTRUMENT in last(quiet(WARM), known=Instruments()).reasons


def test_little_history_is_denied() -> None:
    """Volatility is unknown for the first five seconds."""
    decisions = decide([*quiet(WARM)])

    assert [decision.reasons for decision in decisions[:-1]] == [(DenyReason.VOLATILITY_UNKNOWN,)] * (WARM - 1)
    assert decisions[-1].verdict is Verdict.QUOTE


def test_amm_is_denied_only_where_its_venue_is_quoted() -> None:
    """A market without a book has no decision, unless somebody asks to quote its venue."""
    amm = Instruments([instrument(venue="sim-sei", has_book=False)])
    steps = [trade(Side.BUY, "1", market=("sim-sei", "SEI/USDC")), grid(0)]

    assert decide(steps, known=amm) == []
    (decision,) = decide(steps, known=amm, config=QuotingConfig(venues=frozenset({"sim-sei"})))
    assert decision.verdict is Verdict.DENIED
    assert decision.reasons == (DenyReason.NO_BOOK,)


def test_other_venues_are_not_quoted() -> None:
    """A book of a venue that is not in the setting has no decision."""
    assert decide([*quiet(WARM, market=("binance", "BTC/USDT"))]) == []


def test_order_rate_counts_new_orders_and_lets_unchanged_ones_be() -> None:
    """A target that stays costs nothing; above the limit a decision is denied until a second has passed."""
    # The mid moves by an eighth, which is no matter here.
    calm = BreakerLimits(extreme_move_bps=10_000, extreme_volatility_bps=1e9)
    config = QuotingConfig(max_orders_per_s=2, breakers=calm)
    steps: list[Step] = [*quiet(WARM + 2)]
    moved = [(("0.4498", "9"),), (("0.4502", "9"),)]
    steps += [grid(WARM + 2 + i, view(*moved, ts_change=T0 + (WARM + 2 + i) * GRID)) for i in range(5)]

    verdicts = [(d.verdict, d.reasons) for d in decide(steps, config=config)[WARM - 1 :]]

    quoted, denied = (Verdict.QUOTE, ()), (Verdict.DENIED, (DenyReason.ORDER_RATE,))
    # Two orders at the first; the same two; a new price is denied until the first two are a second old.
    assert verdicts == [quoted, quoted, quoted, denied, denied, quoted, quoted, quoted]


def test_one_hertz_decides_at_every_fifth_point() -> None:
    """The grid of 5 Hz is thinned by absolute time, so that a restart keeps the phase."""
    decisions = decide([*quiet(20)], config=QuotingConfig(frequency_hz=1))

    assert [d.ts_grid for d in decisions] == [T0 + i * 1_000_000 for i in range(4)]


def test_decision_says_who_decided_on_what() -> None:
    """Id, mode, account, epoch, offsets, hash and flags are all in the record."""
    steps = quiet(WARM, flags=Flag.CLOCK_SKEW)
    held = inventory(None)
    held.apply_position(position("7", executions_offset=11))

    decision = last(steps, held=held)

    assert decision.decision_id == f"paper|demo|sim-sei-clob|SEI/USDC|{steps[-1].ts_grid}"
    assert (decision.mode, decision.account, decision.epoch) == (Mode.PAPER, "demo", 4)
    assert (decision.position, decision.executions_offset) == (size("7"), 11)
    assert decision.config_hash == QuotingConfig().config_hash
    assert decision.flags == Flag.CLOCK_SKEW
    assert (decision.cause_first_offset, decision.cause_offset) == (0, WARM - 1)


def test_config_hash_tells_settings_apart() -> None:
    """Another setting is another hash; the order of venues is not a setting."""
    config = QuotingConfig(venues=frozenset({"a", "b"}))

    assert config.config_hash == QuotingConfig(venues=frozenset({"b", "a"})).config_hash
    assert config.config_hash != replace(config, gamma=0.2).config_hash


@pytest.mark.parametrize(
    "wrong", [{"frequency_hz": 2}, {"gamma": 0.0}, {"kappa": math.inf}, {"max_position_quote": 0}, {"gamma": math.nan}]
)
def test_unusable_settings_are_refused(wrong: dict[str, float]) -> None:
    """A configuration that cannot quote is an error when it is made."""
    with pytest.raises(ConfigurationError):
        QuotingConfig(**wrong)  # type: ignore[arg-type]


def test_restored_state_decides_the_same() -> None:
    """A snapshot through JSON in the middle changes no decision."""
    steps: list[Step] = [*moving(60)]
    first, second, emitted = quoter(), quoter(), Emitted()

    first.run(steps[:30], emitted, inventory())
    second.restore(thaw(freeze(first.state())))
    second.run(steps[30:], emitted, inventory())

    assert emitted.records == decide([*moving(60)])


def test_prices_that_no_record_can_hold_do_not_stop_the_worker() -> None:
    """At the end of the range of prices, the side that does not fit is left out."""
    top = str((1 << 63) // 10**PRICE_SCALE)
    steps = quiet(WARM, bids=[(str(int(top) - 2), "5")], asks=[(str(int(top) - 1), "5")])
    known = instruments(min_notional=0, min_size=0, lot=1)
    huge = 10**12 * 10**NOTIONAL_SCALE
    config = QuotingConfig(quote_size_quote=huge, limits=MarketLimits(order_quote=huge))

    decision = last(steps, known=known, config=config)

    largest = (1 << 63) - 1
    assert all(level.price <= largest and level.size <= largest for level in (*decision.bids, *decision.asks))
    assert max(decision.mid or 0, decision.fair or 0, decision.reservation or 0, decision.half_spread or 0) <= largest


def test_sizes_are_in_units() -> None:
    """The tests' own arithmetic: a lot of 1 is 10**8 units."""
    assert size("1") == 10**SIZE_SCALE


def alarm(after: int, reason: DenyReason = DenyReason.BOOK_NOT_LIVE, market: tuple[str, str] = MARKET) -> AlarmStep:
    """Something that happened 70 ms after a grid point."""
    return AlarmStep(market, 1_000 + after, T0 + after * GRID + 70_000, reason)


def test_a_pull_takes_the_last_decision_back_at_once() -> None:
    """It is of the same grid point, asks for nothing, and names the record that did it as its cause."""
    emitted, one = Emitted(), quoter()
    one.run([*quiet(WARM), alarm(WARM - 1)], emitted, inventory("7"))

    decision, pull = (record for record in emitted.records[-2:] if isinstance(record, QuoteDecision))
    assert decision.verdict is Verdict.QUOTE
    assert pull.decision_id == f"{decision.decision_id}|1"
    assert (pull.ts_grid, pull.sequence, pull.epoch) == (decision.ts_grid, 1, decision.epoch)
    assert (pull.verdict, pull.reasons) == (Verdict.DENIED, (DenyReason.BOOK_NOT_LIVE,))
    assert (pull.bids, pull.asks) == ((), ())
    assert (pull.cause_first_offset, pull.cause_offset) == (1_000 + WARM - 1,) * 2
    assert (pull.position, pull.instrument) == (size("7"), instrument())
    assert emitted.triggers[-1] == T0 + (WARM - 1) * GRID + 70_000


def test_one_pull_is_enough_until_the_next_grid_point() -> None:
    """What asks for nothing cannot ask for less; after the next decision there may be another."""
    steps: list[Step | AlarmStep] = [*quiet(WARM + 1)]
    steps[WARM:WARM] = [alarm(WARM - 1), alarm(WARM - 1, DenyReason.MARKET_JUMP), alarm(WARM - 1)]

    decisions = decide([*steps, alarm(WARM)])

    assert [d.sequence for d in decisions[WARM - 1 :]] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("reason", "market", "is_pulled"),
    [
        (DenyReason.BOOK_NOT_LIVE, MARKET, True),
        (DenyReason.MARKET_JUMP, MARKET, True),
        (DenyReason.MARKET_JUMP, ("binance", "SEI/USDT"), True),
        (DenyReason.BOOK_NOT_LIVE, ("binance", "SEI/USDT"), False),
        (DenyReason.MARKET_JUMP, ("binance", "BTC/USDT"), False),
    ],
)
def test_a_pull_is_for_ones_own_book_and_for_the_mids_of_the_group(
    reason: DenyReason, market: tuple[str, str], is_pulled: bool
) -> None:
    """Another venue's book of the same asset is a reference for the price, not for whether ours is known."""
    decisions = decide([*quiet(WARM), alarm(WARM - 1, reason, market)])

    assert (decisions[-1].sequence == 1) is is_pulled


def test_nothing_is_pulled_where_nothing_could_be_asked_for() -> None:
    """Before the first decision, and while the book was not LIVE at its grid point."""
    dead = grid(0, view(state=BookState.SYNCING))

    assert decide([alarm(0)]) == []
    assert [d.sequence for d in decide([dead, alarm(0)])] == [0]


def test_orders_that_come_back_after_a_pull_count_as_new() -> None:
    """A pull is a target of no orders."""
    config = QuotingConfig(max_orders_per_s=2)
    steps: list[Step | AlarmStep] = [*quiet(WARM + 1)]
    steps.insert(WARM, alarm(WARM - 1))

    assert decide(steps, config=config)[-1].reasons == (DenyReason.ORDER_RATE,)


def test_the_instrument_in_force_is_in_the_decision_from_the_next_grid_point() -> None:
    """What is loaded later holds from its time on; a decision shows what it went by."""
    known = InstrumentTable([instrument()])
    one, emitted = quoter(), Emitted()
    one = Quoter(QuotingConfig(), Names(), known, "market.ticks", 0)
    one.run([*quiet(WARM)], emitted, inventory())
    coarse = instrument(tick=price("0.001"), ts_effective=T0 + WARM * GRID - 1)
    known.take(coarse)

    steps = [grid(WARM, view(ts_change=T0 + WARM * GRID))]
    one.run([alarm(WARM - 1), *steps], emitted, inventory())

    before, pull, after = (record for record in emitted.records[-3:] if isinstance(record, QuoteDecision))
    assert before.instrument == pull.instrument == instrument()
    assert after.instrument == coarse
    assert after.bids[0].price % price("0.001") == 0


def states(decisions: Sequence[QuoteDecision]) -> list[str]:
    """Give what each decision says of the breakers, short: without repetitions."""
    labels = [",".join(decision.breakers) for decision in decisions]
    return [label for at, label in enumerate(labels) if at == 0 or label != labels[at - 1]]


def test_a_book_that_was_gone_is_quoted_again_after_a_while() -> None:
    """DISCONNECT: open while it is not LIVE and two seconds after, then tried, then closed."""
    steps = quiet(WARM + 80)
    for at in (WARM, WARM + 1):
        steps[at] = grid(at, view(state=BookState.STALE, ts_change=T0 + at * GRID))

    decisions = decide(steps)[WARM - 1 :]

    assert states(decisions) == ["", "DISCONNECT:OPEN", "DISCONNECT:HALF_OPEN", ""]
    assert [d.reasons for d in decisions[:4]] == [
        (),
        *[(DenyReason.BOOK_NOT_LIVE,)] * 2,
        (DenyReason.DISCONNECTED,),
    ]
    assert [d.verdict is Verdict.QUOTE for d in decisions[:13]] == [True, *[False] * 11, True]


def test_a_market_that_moves_too_far_is_not_quoted_until_it_calms_down() -> None:
    """EXTREME_MARKET: 2 % within five seconds; a person is told of each change."""
    steps = quiet(WARM)
    away = ((("0.4082", "9"),), (("0.4086", "9"),))
    steps += [grid(WARM + i, view(*away, ts_change=T0 + (WARM + i) * GRID)) for i in range(240)]
    emitted = Emitted()
    quoter(QuotingConfig(breakers=BreakerLimits(extreme_volatility_bps=1e9))).run(steps, emitted, inventory())

    decisions = [record for record in emitted.records if isinstance(record, QuoteDecision)]
    assert decisions[WARM].reasons == (DenyReason.EXTREME_MARKET,)
    assert states(decisions) == ["", "EXTREME_MARKET:OPEN", "EXTREME_MARKET:HALF_OPEN", ""]
    alerts = [record for record in emitted.records if isinstance(record, Alert)]
    assert [(alert.code, alert.severity, alert.ts_alert) for alert in alerts] == [
        ("BREAKER_OPEN", Severity.WARNING, T0 + WARM * GRID),
        ("BREAKER_HALF_OPEN", Severity.INFO, decisions[WARM + 174].ts_grid),
        ("BREAKER_CLOSED", Severity.INFO, decisions[WARM + 224].ts_grid),
    ]
    assert {(alert.venue, alert.symbol) for alert in alerts} == {MARKET}


ANY = Reference(edges=((),), shares=((1.0,),))


def test_a_slow_prediction_is_not_used() -> None:
    """DRIFT: prices do without the model until it was fast for ten seconds; the decision says how long it took."""
    steps = [predicted(step, 2.0) for step in quiet(WARM + 110)]
    for at, step in enumerate(steps):
        step.inference_us[MARKET] = 6_000 if at == WARM else 900

    decisions = decide(steps, reference=ANY)[WARM - 1 :]

    before, slow, after = decisions[0], decisions[1], decisions[51]
    assert (before.signal_bps, before.model_hash, before.inference_us) == (2.0, "beef", 900)
    assert (slow.verdict, slow.signal_bps, slow.model_hash, slow.inference_us) == (Verdict.QUOTE, 0.0, None, 6_000)
    assert states(decisions) == ["", "DRIFT:OPEN", "DRIFT:HALF_OPEN", ""]
    assert (after.breakers, after.signal_bps) == (("DRIFT:HALF_OPEN",), 2.0)


def test_a_required_model_that_drifts_is_denied() -> None:
    """Where prices may not do without it."""
    steps = [predicted(step, 2.0) for step in quiet(WARM)]
    steps[-1].inference_us[MARKET] = 6_000
    config = QuotingConfig(limits=MarketLimits(is_model_required=True))

    assert last(steps, config=config, reference=ANY).reasons == (DenyReason.MODEL_UNAVAILABLE,)
    assert last(steps[:-1], config=config, reference=ANY).reasons == (DenyReason.VOLATILITY_UNKNOWN,)


def test_what_is_decided_again_takes_what_was_measured_then() -> None:
    """A clock is not in the log: up to the last published decision the recorded times hold, and then one's own."""
    steps = [predicted(step, 2.0) for step in quiet(WARM + 2)]
    for step in steps:
        step.inference_us[MARKET] = 9_000
    grid_us = steps[WARM].ts_grid
    calm = BreakerLimits(drift_rest_us=0, trial_us=0)
    one, emitted = quoter(QuotingConfig(breakers=calm), reference=ANY), Emitted()
    one.published = Published({MARKET: (grid_us, 1)}, {(MARKET, grid_us): 7_000})
    one.run(steps, emitted, inventory())

    decisions = [record for record in emitted.records if isinstance(record, QuoteDecision)]
    assert [decision.inference_us for decision in decisions[WARM - 1 :]] == [0, 7_000, 9_000]
    assert [decision.signal_bps for decision in decisions[WARM - 1 :]] == [2.0, 0.0, 0.0]
