"""What a restraint leaves of resting orders and of targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.enums import Side, TradingState
from schemas.records import QuoteDecision, QuoteLevel
from sinks.executor.control.restraint import Restraint, strictest, surplus, widened
from sinks.executor.orders import Order, OrderState
from sinks.executor.port import Listings

MARKET = ("sim-sei-clob", "SEI/USDC")
OTHER = ("sim-sei-clob", "ETH/USDC")
TICK = 10_000_000  # 0.01


def order(nonce: int, side: Side, price: int, size: int, *, is_cancelling: bool = False) -> Order:
    return Order(
        nonce=nonce,
        market=MARKET,
        side=side,
        price=price,
        size=size,
        ts_expire=0,
        state=OrderState.OPEN,
        is_cancelling=is_cancelling,
    )


def test_active_lets_everything_rest_and_halted_nothing() -> None:
    """Except that what is being cancelled is not cancelled again."""
    orders = [order(1, Side.BUY, 9, 5), order(2, Side.SELL, 11, 5, is_cancelling=True)]

    assert surplus(TradingState.ACTIVE, orders, 100) == []
    assert surplus(TradingState.HALTED, orders, 100) == orders[:1]


def test_reducing_keeps_what_closes_best_price_first() -> None:
    """Long 10: of sells of 6, 6 and 4 the best and what still fits; buys go."""
    orders = [
        order(1, Side.SELL, 12, 6),
        order(2, Side.SELL, 11, 6),
        order(3, Side.SELL, 13, 4),
        order(4, Side.BUY, 9, 1),
    ]

    assert surplus(TradingState.REDUCING, orders, 10) == [orders[3], orders[0]]
    assert surplus(TradingState.REDUCING, orders, None) == orders


def test_an_order_that_is_being_cancelled_may_still_fill() -> None:
    """It counts against what may rest."""
    orders = [order(1, Side.SELL, 11, 6, is_cancelling=True), order(2, Side.SELL, 12, 5)]

    assert surplus(TradingState.REDUCING, orders, 10) == [orders[1]]


@given(
    st.lists(st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 9), st.integers(1, 9)), max_size=8),
    st.integers(-20, 20),
)
def test_what_stays_when_reducing_can_only_make_the_position_smaller(
    rows: list[tuple[Side, int, int]], position: int
) -> None:
    """Whatever of it fills."""
    orders = [order(number, *row) for number, row in enumerate(rows)]
    gone = surplus(TradingState.REDUCING, orders, position)
    stays = [one for one in orders if one not in gone]

    bought = sum(one.size for one in stays if one.side is Side.BUY)
    sold = sum(one.size for one in stays if one.side is Side.SELL)
    assert max(abs(position + bought), abs(position - sold)) <= abs(position)


def test_the_strictest_state_holds_in_a_market() -> None:
    """That of the account or of the market; where a position is being closed, nothing else rests."""
    one = Restraint(state=TradingState.REDUCING, markets={MARKET: TradingState.HALTED}, flattening=frozenset({OTHER}))

    assert one.state_in(MARKET) is TradingState.HALTED
    assert one.state_in(OTHER) is TradingState.HALTED
    assert one.state_in(("v", "x")) is TradingState.REDUCING
    assert strictest(TradingState.ACTIVE, TradingState.REDUCING) is TradingState.REDUCING


def test_twice_as_far_from_the_fair_price(make_decision: Callable[..., QuoteDecision], listings: Listings) -> None:
    """0.013 below a fair price of 10.003 becomes 0.026 below, rounded away from it; the size stays."""
    decision = replace(make_decision(0, (("9.99", "5"),), (("10.01", "5"),)), fair=10_003_000_000)

    wide = widened(decision, 200, listings[MARKET].instrument)

    assert [level.price for level in wide.bids] == [9_970_000_000]
    assert [level.price for level in wide.asks] == [10_020_000_000]
    assert [level.size for level in (*wide.bids, *wide.asks)] == [500_000_000] * 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fair=st.integers(1, 40).map(lambda ticks: ticks * TICK // 2),
    bid=st.integers(1, 20),
    ask=st.integers(1, 20),
    percent=st.integers(100, 1_000),
)
def test_no_quote_moves_inward(
    make_decision: Callable[..., QuoteDecision], listings: Listings, fair: int, bid: int, ask: int, percent: int
) -> None:
    """Also one that inventory has pushed to the wrong side of the fair price; prices stay on the tick."""
    levels = (QuoteLevel(price=bid * TICK, size=1),), (QuoteLevel(price=ask * TICK, size=1),)
    decision = replace(make_decision(), bids=levels[0], asks=levels[1], fair=fair)

    wide = widened(decision, percent, replace(listings[MARKET].instrument, min_notional=0))

    assert all(level.price <= bid * TICK and level.price % TICK == 0 and level.price > 0 for level in wide.bids)
    assert all(level.price >= ask * TICK and level.price % TICK == 0 for level in wide.asks)


def test_without_a_price_to_measure_from_nothing_is_quoted(
    make_decision: Callable[..., QuoteDecision], listings: Listings
) -> None:
    """Unknown is no quote; nor is one that the market would refuse as too small."""
    instrument = listings[MARKET].instrument
    decision = make_decision(0, (("0.30", "5"),), (("10.01", "5"),))

    assert widened(replace(decision, mid=None), 200, instrument).bids == ()
    far = widened(replace(decision, mid=400_000_000), 200, instrument)  # 0.20 times 5 is worth the minimum of 1
    assert [level.price for level in far.bids] == [200_000_000]
    assert widened(replace(decision, mid=400_000_000), 201, instrument).bids == ()
