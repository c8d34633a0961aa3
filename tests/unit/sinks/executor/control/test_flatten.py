"""One slice of closing a position: within the price cap, within the displayed size, never through nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from schemas.enums import Side, TickKind
from schemas.errors import ConfigurationError
from schemas.instruments import Instrument
from schemas.numbers import PRICE_SCALE, SIZE_SCALE, to_units
from schemas.reasons import FlattenReason
from schemas.records import Cause, Tick
from sinks.executor.control.flatten import DisplayedBooks, FlattenLimits, Slice, slice_of
from sinks.executor.paper.book import DisplayedBook
from sinks.executor.port import Listings

MARKET = ("sim-sei-clob", "SEI/USDC")
GRID_US = 1_700_000_000_000_000
LIMITS = FlattenLimits(
    price_bps=50, participation_pct=25, order_notional=10**21, interval_us=1_000_000, book_age_us=2_000_000
)
MID = to_units("10.00", PRICE_SCALE)


def size(text: str) -> int:
    return to_units(text, SIZE_SCALE)


@pytest.fixture
def instrument(listings: Listings) -> Instrument:
    return listings[MARKET].instrument


class Market:
    """Books fed by ticks."""

    def __init__(self, feed_of: Callable[[Any], Any]) -> None:
        self.books = DisplayedBooks([MARKET])
        self.feed = feed_of(self)

    def on_tick(self, tick: Tick, cause: Cause, now_us: int) -> list[Any]:
        self.books.take(tick)
        return []

    def book(self, bids: dict[str, str], asks: dict[str, str]) -> DisplayedBook:
        self.feed.snapshot(0, bids, asks)
        book = self.books.get(MARKET, GRID_US, 0)
        assert book is not None
        return book


@pytest.fixture
def market(feed_of: Callable[[Any], Any]) -> Market:
    return Market(feed_of)


def test_a_part_of_what_is_displayed_within_the_cap(market: Market, instrument: Instrument) -> None:
    """Long: a sell at 50 bps below the mid, for a quarter of the bids down to there; short the other way round."""
    book = market.book({"9.99": "100", "9.95": "60", "9.94": "900"}, {"10.01": "100", "10.05": "20", "10.06": "900"})

    assert slice_of(size("500"), 0, book, instrument, LIMITS) == Slice(
        Side.SELL, to_units("9.95", PRICE_SCALE), size("40"), MID
    )
    assert slice_of(-size("500"), 0, book, instrument, LIMITS) == Slice(
        Side.BUY, to_units("10.05", PRICE_SCALE), size("30"), MID
    )


def test_the_cap_holds_after_rounding(market: Market, instrument: Instrument) -> None:
    """The tick is rounded towards the mid."""
    book = market.book({"9.98": "100"}, {"10.01": "100"})  # the mid is 9.995, half a percent below it 9.945025

    found = slice_of(size("5"), 0, book, instrument, LIMITS)

    assert isinstance(found, Slice)
    assert found.price == to_units("9.95", PRICE_SCALE)


def test_no_more_than_is_held_over_the_target(market: Market, instrument: Instrument) -> None:
    """In whole lots, to the target or just beyond it, never through nothing; none where it is there."""
    book = market.book({"9.99": "1000"}, {"10.01": "1000"})

    def closing(position: str, target: str) -> Any:
        return slice_of(size(position), size(target), book, instrument, LIMITS)

    assert closing("7", "0").size == size("7")
    assert closing("7", "2.5").size == size("5")
    assert closing("7.5", "0").size == size("7")
    assert closing("7", "7") is None
    assert closing("0", "0") is None


def test_no_order_is_larger_than_one_may_be(market: Market, instrument: Instrument) -> None:
    """The same limit as for every other order."""
    book = market.book({"9.99": "1000"}, {"10.01": "1000"})
    limits = replace(LIMITS, order_notional=to_units("9.95", PRICE_SCALE) * size("3") + 1)

    found = slice_of(size("100"), 0, book, instrument, limits)

    assert isinstance(found, Slice)
    assert found.size == size("3")


@pytest.mark.parametrize(
    ("position", "bids", "asks", "why"),
    [
        ("100", {}, {"10.01": "5"}, FlattenReason.BOOK_UNKNOWN),
        ("100", {"10.02": "5"}, {"10.01": "5"}, FlattenReason.BOOK_UNKNOWN),
        ("100", {"9.00": "500"}, {"11.00": "500"}, FlattenReason.NO_LIQUIDITY),
        ("100", {"9.99": "3"}, {"10.01": "500"}, FlattenReason.NO_LIQUIDITY),
        ("0.4", {"9.99": "500"}, {"10.01": "500"}, FlattenReason.BELOW_MINIMUM),
    ],
)
def test_why_nothing_can_be_closed(
    market: Market, instrument: Instrument, position: str, bids: Any, asks: Any, why: FlattenReason
) -> None:
    """No mid, nothing near it, too little of it, or too little to close."""
    assert slice_of(size(position), 0, market.book(bids, asks), instrument, LIMITS) is why


def test_a_book_that_is_not_heard_of_is_none(market: Market, make_tick: Callable[..., Tick]) -> None:
    """A tick of the market, or a heartbeat of its venue, keeps it; a STATUS ends it."""
    market.book({"9.99": "5"}, {"10.01": "5"})

    assert market.books.get(MARKET, GRID_US + 2_000_000, 2_000_000) is not None
    assert market.books.get(MARKET, GRID_US + 2_000_001, 2_000_000) is None
    beat = replace(make_tick(kind=TickKind.HEARTBEAT), symbol="", ts_recv=GRID_US + 1_000_000)
    market.books.take(beat)
    assert market.books.get(MARKET, GRID_US + 3_000_000, 2_000_000) is not None
    market.feed.message(3_000, make_tick(kind=TickKind.STATUS))
    assert market.books.get(MARKET, GRID_US + 3_000_000, 2_000_000) is None


def test_slices_are_a_grid_step_apart() -> None:
    """Two of one step would have one name."""
    with pytest.raises(ConfigurationError, match="FLASHMM_FLATTEN_INTERVAL_MS"):
        replace(LIMITS, interval_us=199_999)
