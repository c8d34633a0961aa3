"""The blotter: one case each of what the property test mixes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.enums import Side
from sinks.executor.blotter import Blotter, Exposure, Fill, Listed, Listing
from sinks.executor.orders import Order, OrderState

MARKET = ("citrex", "SEI/USDC-PERP")
EXPIRE_US = 60_000_000


def order(nonce: int = 1, side: Side = Side.BUY, price: int = 100, size: int = 5) -> Order:
    return Order(nonce=nonce, market=MARKET, side=side, price=price, size=size, ts_expire=EXPIRE_US)


def fill(trade_id: str, name: str, size: int, price: int = 100, side: Side = Side.BUY) -> Fill:
    return Fill(
        trade_id=trade_id, venue_order_id=name, market=MARKET, side=side, price=price, size=size, fee=0, ts_event=0
    )


@pytest.fixture
def blotter() -> Blotter:
    """One order of 5, sent at 10 and accepted as `v1`."""
    blotter = Blotter(arrival_us=1_000)
    blotter.add(order())
    blotter.send(1, 10)
    blotter.accepted(1, "v1", 11)
    return blotter


def unanswered(*orders: Order) -> Blotter:
    blotter = Blotter(arrival_us=1_000)
    for one in orders:
        blotter.add(one)
        blotter.send(one.nonce, 10)
        blotter.unanswered(one.nonce)
    return blotter


def test_a_known_nonce_is_not_taken_again(blotter: Blotter) -> None:
    """Whatever it asks for: it was sent, or will be."""
    assert not blotter.add(order(size=7))
    assert blotter[1].size == 5


def test_a_timeout_is_not_a_rejection() -> None:
    """The order counts whole, and its market takes nothing new."""
    blotter = unanswered(order())

    assert blotter[1].state is OrderState.UNKNOWN
    assert blotter.unknown() == {MARKET}
    assert blotter.exposure(MARKET) == Exposure(buy=5)


def test_a_listing_finds_an_unknown_order() -> None:
    """By its nonce; it is open, and named from then on."""
    blotter = unanswered(order())

    assert blotter.take_listing(Listing(20, (Listed(1, "v1", MARKET),))) == []
    assert (blotter[1].state, blotter[1].venue_order_id) == (OrderState.OPEN, "v1")
    assert blotter.unknown() == frozenset()


def test_a_trade_finds_an_unknown_order_when_positions_are_compared() -> None:
    """The oldest that it can be of: side, limit and size fit."""
    dear, small, fitting = order(1, price=99), order(2, size=1), order(3)
    blotter = unanswered(dear, small, fitting)

    assert blotter.fill(fill("t1", "v9", 5))
    blotter.settle({}, 30)

    assert [(o.nonce, o.state) for o in blotter] == [
        (1, OrderState.UNKNOWN),
        (2, OrderState.UNKNOWN),
        (3, OrderState.FILLED),
    ]


@pytest.mark.parametrize(
    ("asked_us", "is_equal", "state"),
    [
        (EXPIRE_US + 1_000, True, OrderState.UNKNOWN),
        (EXPIRE_US + 1_001, False, OrderState.UNKNOWN),
        (EXPIRE_US + 1_001, True, OrderState.EXPIRED),
    ],
)
def test_an_order_that_never_came_to_light_ends_after_its_expiry(
    asked_us: int, is_equal: bool, state: OrderState
) -> None:
    """Not listed when it could not arrive any more, and the venue's position is the sum of our fills."""
    blotter = unanswered(order())

    blotter.take_listing(Listing(asked_us, ()))
    blotter.settle({MARKET: is_equal}, asked_us)

    assert blotter[1].state is state


@pytest.mark.parametrize(("is_equal", "state"), [(False, OrderState.OPEN), (True, OrderState.CANCELLED)])
def test_an_order_that_left_the_book_ends_when_nothing_of_it_traded_unseen(
    blotter: Blotter, is_equal: bool, state: OrderState
) -> None:
    """Until the positions are equal it may have filled, and counts as open."""
    blotter.take_listing(Listing(20, ()))
    blotter.settle({MARKET: is_equal}, 21)

    assert blotter[1].state is state


def test_a_listing_older_than_the_order_says_nothing_of_it(blotter: Blotter) -> None:
    """It was asked for before the order was sent."""
    blotter.take_listing(Listing(10, ()))
    blotter.settle({MARKET: True}, 21)

    assert blotter[1].state is OrderState.OPEN


def test_a_listing_older_than_the_name_says_nothing_of_it() -> None:
    """An order that a trade brought to light may have arrived after the listing was asked for."""
    blotter = unanswered(order())
    blotter.fill(fill("t1", "v1", 2))
    blotter.settle({}, 30)

    blotter.take_listing(Listing(29, ()))
    blotter.settle({MARKET: True}, 31)

    assert (blotter[1].state, blotter[1].venue_order_id) == (OrderState.PARTIAL, "v1")


def test_a_lost_cancel_is_seen_in_the_listing(blotter: Blotter) -> None:
    """The order is open and not being cancelled: it can be asked again."""
    blotter.cancel(1, 20)
    blotter.unanswered(1)
    blotter.take_listing(Listing(30, (Listed(1, "v1", MARKET),)))

    assert (blotter[1].state, blotter[1].is_cancelling) == (OrderState.OPEN, False)


def test_a_trade_told_twice_counts_once(blotter: Blotter) -> None:
    """By its id."""
    assert blotter.fill(fill("t1", "v1", 2))
    assert not blotter.fill(fill("t1", "v1", 2))
    assert (blotter[1].state, blotter[1].filled) == (OrderState.PARTIAL, 2)


def test_a_late_trade_counts_after_the_end(blotter: Blotter) -> None:
    """It traded before it was cancelled; that it was cancelled stays true."""
    blotter.cancelled(1)

    assert blotter.fill(fill("t1", "v1", 2))
    assert (blotter[1].state, blotter[1].filled) == (OrderState.CANCELLED, 2)


def test_a_refusal_of_an_acknowledged_order_is_no_fact(blotter: Blotter) -> None:
    """The venue contradicts itself: until it is asked, nobody knows."""
    assert blotter.refused(1).state is OrderState.UNKNOWN


def test_what_nobody_journalled_is_told(blotter: Blotter) -> None:
    """An order at the venue that is not ours to know, or is over as far as we know: it should be cancelled."""
    blotter.cancelled(1)
    known, stranger = Listed(1, "v1", MARKET), Listed(9, "v9", MARKET)

    assert blotter.take_listing(Listing(20, (known, stranger))) == [known, stranger]


def test_old_orders_are_forgotten_and_their_trades_are_not(blotter: Blotter) -> None:
    """Live orders stay, however old; a venue tells a trade again long after its order has ended."""
    blotter.add(order(2))
    blotter.fill(fill("t1", "v1", 5))

    blotter.forget(before_nonce=3)

    assert [one.nonce for one in blotter] == [2]
    assert not blotter.fill(fill("t1", "v1", 5))


def test_a_trade_from_before_an_order_was_sent_is_not_of_it() -> None:
    """Somebody else's, or an old one of ours that the venue tells for the first time."""
    blotter = unanswered(order())
    blotter.send(1, 10_000)

    blotter.fill(fill("t1", "v9", 5))
    blotter.settle({}, 10_001)

    assert blotter[1].state is OrderState.UNKNOWN
    assert blotter.claim() == []


def test_a_trade_told_before_its_order_is_named_is_claimed_when_it_is() -> None:
    """Once, with the order as each trade left it."""
    blotter = unanswered(order())
    blotter.fill(fill("t1", "v1", 2))
    blotter.fill(fill("t2", "v1", 3))
    assert blotter.claim() == []

    blotter.accepted(1, "v1", 20)

    claimed = [(one.trade_id, of.filled, of.state) for of, one in blotter.claim()]
    assert claimed == [("t1", 2, OrderState.PARTIAL), ("t2", 5, OrderState.FILLED)]
    assert blotter.claim() == []


@pytest.mark.parametrize("asked_us", [25, 30])
def test_a_listing_asked_for_before_an_order_ended_does_not_make_it_a_stray(blotter: Blotter, asked_us: int) -> None:
    """By its cancel, or by a trade; it is told after that all the same, as a round is told in one go."""
    blotter.add(order(2))
    blotter.accepted(2, "v2", 11)
    blotter.cancelled(1, 30)
    blotter.fill(fill("t1", "v2", 5), 30)

    listed = (Listed(1, "v1", MARKET), Listed(2, "v2", MARKET))
    assert blotter.take_listing(Listing(asked_us, listed)) == []
    assert blotter.take_listing(Listing(31, listed)) == list(listed)


def test_a_listing_says_nothing_of_what_was_under_way(blotter: Blotter) -> None:
    """The answer to a cancel is still to come, though the listing shows the order."""
    blotter.cancel(1, 20)

    blotter.take_listing(Listing(30, (Listed(1, "v1", MARKET),), frozenset({1})))

    assert blotter[1].is_cancelling


def test_a_restored_order_goes_on_with_its_trades(blotter: Blotter) -> None:
    """Those that are booked are not told again; the next one adds to them."""
    blotter.know(["t1"])
    blotter.restore(
        replace(order(7), state=OrderState.PARTIAL, filled=2, venue_order_id="v7"), 20, [fill("t1", "v7", 2)]
    )

    assert not blotter.fill(fill("t1", "v7", 2))
    assert blotter.fill(fill("t2", "v7", 3))
    assert blotter[7].state is OrderState.FILLED
