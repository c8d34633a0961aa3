"""Orders that take on paper: what is displayed, once, at its own prices, and nothing rests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from schemas.enums import OrderAction, Side, TickKind, TimeInForce
from schemas.numbers import NOTIONAL_SCALE, PRICE_SCALE, SIZE_SCALE, to_units
from schemas.reasons import OrderReason
from schemas.records import Market, Tick
from sinks.executor.paper import PaperVenue
from sinks.executor.port import Filled, Listings, Orders, VenueEvent
from tests.venue_events import request, said

START_US = 1_700_000_000_000_000
BOOK = ({"9.99": "100", "9.98": "50"}, {"10.01": "80"})


def size(text: str) -> int:
    return to_units(text, SIZE_SCALE)


class Taker:
    """Sends orders that take to the venue under test."""

    def __init__(self, venue: PaperVenue, feed: Any, market: Market) -> None:
        self.venue = venue
        self.feed = feed
        self._market = market

    def take(self, name: str, side: Side, at_price: str, of_size: str, *, due_ms: int = 0) -> list[VenueEvent]:
        price = to_units(at_price, PRICE_SCALE)
        one = request(name, OrderAction.PLACE, self._market, side, price, size(of_size))
        one = replace(one, order=replace(one.order, time_in_force=TimeInForce.IOC, is_reduce_only=True))
        return self.venue.submit(Orders((one,), START_US + due_ms * 1_000, OrderReason.FLATTENED), now_us=5)


@pytest.fixture
def taker(listings: Listings, feed_of: Callable[[PaperVenue], Any]) -> Taker:
    venue = PaperVenue(listings)
    return Taker(venue, feed_of(venue), next(iter(listings)))


def test_it_takes_level_by_level_at_their_prices(taker: Taker) -> None:
    """Best first, at the taker's fee; what is not there within its price is cancelled."""
    taker.feed.snapshot(0, *BOOK)

    events = taker.take("a", Side.SELL, "9.98", "200")

    assert said(events) == [("a", "ACCEPTED"), ("a", size("100")), ("a", size("50")), ("a", "CANCELLED")]
    fills = [event.fill for event in events if isinstance(event, Filled)]
    assert [fill.price for fill in fills] == [to_units("9.99", PRICE_SCALE), to_units("9.98", PRICE_SCALE)]
    assert fills[1].fee == to_units("0.2495", NOTIONAL_SCALE, bits=128)  # 5 bps of 499
    assert taker.feed.trade(1, Side.BUY, "9.98", "500") == []


def test_it_reaches_no_further_than_its_price(taker: Taker) -> None:
    """Nothing at all, where nothing is displayed there."""
    taker.feed.snapshot(0, *BOOK)

    assert said(taker.take("a", Side.BUY, "10.01", "5")) == [("a", "ACCEPTED"), ("a", size("5"))]
    events = taker.take("b", Side.BUY, "10.00", "5")
    assert said(events) == [("b", "ACCEPTED"), ("b", "CANCELLED")]


def test_what_was_taken_is_not_taken_again(taker: Taker) -> None:
    """Though the book goes on showing it, in further snapshots too; more that comes, and a level that left, count."""
    taker.feed.snapshot(0, *BOOK)
    taker.take("a", Side.BUY, "10.01", "80")

    taker.feed.snapshot(1, *BOOK)
    assert said(taker.take("b", Side.BUY, "10.01", "5", due_ms=1)) == [("b", "ACCEPTED"), ("b", "CANCELLED")]
    taker.feed.snapshot(2, BOOK[0], {"10.01": "83"})
    assert ("c", size("3")) in said(taker.take("c", Side.BUY, "10.01", "5", due_ms=2))
    taker.feed.snapshot(3, BOOK[0], {"10.02": "80"})
    taker.feed.snapshot(4, *BOOK)
    assert said(taker.take("d", Side.BUY, "10.01", "5", due_ms=4)) == [("d", "ACCEPTED"), ("d", size("5"))]


def test_it_arrives_like_any_order(taker: Taker, make_tick: Callable[..., Tick]) -> None:
    """When the clock passes its due time, on the book of then; not on one that is not known."""
    taker.feed.snapshot(0, *BOOK)
    assert taker.take("a", Side.BUY, "10.01", "5", due_ms=50) == []
    assert said(taker.feed.snapshot(60, {"9.99": "5"}, {})) == [("a", "ACCEPTED"), ("a", size("5"))]

    taker.feed.message(61, make_tick(kind=TickKind.STATUS))
    assert said(taker.take("b", Side.BUY, "10.01", "5", due_ms=61)) == [("b", "REFUSED")]
