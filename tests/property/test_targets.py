"""Targets: after acting, live orders are what is asked for; and nothing moves without a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.enums import Mode, Side, Verdict
from schemas.records import QuoteDecision, QuoteLevel
from sinks.executor.orders import Order, OrderState
from sinks.executor.targets import Tolerance, changes, refusal, targets_of

MARKET = ("v", "A/B")
T0 = 1_700_000_000_000_000
GRID_US = 200_000
EXPIRY_US = 60_000_000

levels = st.lists(st.builds(QuoteLevel, price=st.integers(9_990, 10_010), size=st.integers(1, 9)), max_size=3)
tolerances = st.builds(
    Tolerance, price_bps=st.integers(0, 12), open_pct=st.integers(1, 100), max_age_us=st.just(45_000_000)
)


def decision(point: int, bids: Sequence[QuoteLevel], asks: Sequence[QuoteLevel], **changed: Any) -> QuoteDecision:
    facts: dict[str, Any] = {
        "decision_id": f"{point}",
        "mode": Mode.PAPER,
        "account": "demo",
        "venue": MARKET[0],
        "symbol": MARKET[1],
        "ts_grid": T0 + point * GRID_US,
        "epoch": 1,
        "verdict": Verdict.QUOTE if bids or asks else Verdict.EMPTY,
        "reasons": (),
        "bids": tuple(bids),
        "asks": tuple(asks),
        "sigma": 0.0,
        "gamma": 0.0,
        "kappa": 0.0,
        "horizon_s": 10.0,
        "signal_bps": 0.0,
        "clamps": (),
        "config_hash": "",
        "cause_topic": "market.ticks",
        "cause_partition": 0,
        "cause_first_offset": 0,
        "cause_offset": 0,
    }
    return QuoteDecision(**(facts | changed))


@st.composite
def orders(draw: st.DrawFn) -> list[Order]:
    """Live orders of any age, some partly filled."""
    found = []
    for nonce in range(draw(st.integers(0, 5))):
        of_size = draw(st.integers(1, 9))
        found.append(
            Order(
                nonce=nonce,
                market=MARKET,
                side=draw(st.sampled_from((Side.BUY, Side.SELL))),
                price=draw(st.integers(9_990, 10_010)),
                size=of_size,
                filled=draw(st.integers(0, of_size - 1)),
                ts_expire=T0 - draw(st.integers(0, 59)) * 1_000_000 + EXPIRY_US,
                state=OrderState.OPEN,
            )
        )
    return found


def acted(working: list[Order], asked: QuoteDecision, tolerance: Tolerance) -> list[Order]:
    """Give the live orders after everything that was asked of the venue is done."""
    change = changes(working, asked, tolerance, EXPIRY_US)
    placed = [
        Order(
            nonce=asked.ts_grid + at,
            market=MARKET,
            side=target.side,
            price=target.level.price,
            size=target.level.size,
            ts_expire=asked.ts_grid + EXPIRY_US,
            state=OrderState.OPEN,
        )
        for at, target in enumerate(change.places)
    ]
    return [order for order in working if order not in change.cancels] + placed


@settings(max_examples=200, deadline=None)
@given(orders(), levels, levels, tolerances)
def test_live_orders_become_the_target(
    working: list[Order], bids: list[QuoteLevel], asks: list[QuoteLevel], tolerance: Tolerance
) -> None:
    """One order for each target, near it, young, open for enough and never for more; and no other."""
    asked = decision(0, bids, asks)

    live = acted(working, asked, tolerance)

    assert len(live) == len(bids) + len(asks)
    for side, wanted in ((Side.BUY, bids), (Side.SELL, asks)):
        mine = [order for order in live if order.side is side]
        assert len(mine) == len(wanted)
        assert sum(order.open_size for order in mine) <= sum(level.size for level in wanted)
    for order in live:
        assert asked.ts_grid - (order.ts_expire - EXPIRY_US) < tolerance.max_age_us
        assert any(
            target.side is order.side
            and abs(order.price - target.level.price) * 10_000 <= tolerance.price_bps * target.level.price
            and order.open_size <= target.level.size
            and order.open_size * 100 >= tolerance.open_pct * target.level.size
            for target in targets_of(asked)
        )


@settings(max_examples=200, deadline=None)
@given(orders(), levels, levels, tolerances, st.integers(0, 5))
def test_nothing_moves_when_nothing_changed(
    working: list[Order], bids: list[QuoteLevel], asks: list[QuoteLevel], tolerance: Tolerance, points: int
) -> None:
    """The same target a moment later asks the venue for nothing, unless an order came of age meanwhile."""
    live = acted(working, decision(0, bids, asks), replace(tolerance, max_age_us=45_000_000 - points * GRID_US))

    change = changes(live, decision(points, bids, asks), tolerance, EXPIRY_US)

    assert (change.cancels, change.places) == ((), ())


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(1, 3), st.sampled_from(Verdict)),
        min_size=1,
        max_size=12,
    )
)
def test_the_decision_that_holds_only_goes_forward(arrivals: list[tuple[int, int, int, Verdict]]) -> None:
    """Delivered again, out of order, or of a worker that was replaced: nothing of it is acted on."""
    held: QuoteDecision | None = None
    places = []
    for point, sequence, epoch, verdict in arrivals:
        one = decision(point, (), (), sequence=sequence, epoch=epoch, verdict=verdict)
        if refusal(one, held, clock_us=0, stale_us=2_000_000, is_mine=True, is_listed=True) is None:
            held = one
            places.append((point, sequence, epoch))
            again = refusal(one, held, clock_us=0, stale_us=2_000_000, is_mine=True, is_listed=True)
            assert again is not None

    assert places[0] == arrivals[0][:3]
    assert [place[:2] for place in places] == sorted({place[:2] for place in places})
    assert [place[2] for place in places] == sorted(place[2] for place in places)
