"""The paper venue's rules, one by one: arrival, rejection, queue, prints, cancels, fees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from schemas.enums import Flag, OrderAction, Side, TickKind, TimeInForce
from schemas.numbers import NOTIONAL_SCALE, PRICE_SCALE, SIZE_SCALE, to_units
from schemas.reasons import OrderReason
from schemas.records import Market, Tick
from sinks.executor.paper.venue import PaperVenue
from sinks.executor.port import Answer, Answered, Filled, Listings, Orders, VenueEvent
from tests.venue_events import request, said

MARKET = ("sim-sei-clob", "SEI/USDC")
START_US = 1_700_000_000_000_000
BOOK = ({"9.99": "100", "9.98": "50"}, {"10.01": "80"})


def price(text: str) -> int:
    return to_units(text, PRICE_SCALE)


def reasons(events: list[VenueEvent]) -> list[str | None]:
    return [event.reason for event in events if isinstance(event, Answered)]


def size(text: str) -> int:
    return to_units(text, SIZE_SCALE)


class Trader:
    """Sends orders to the venue under test, due at a millisecond of its clock, or (None) before the next tick."""

    def __init__(self, venue: PaperVenue, feed: Any, market: Market) -> None:
        self.venue = venue
        self.feed = feed
        self._market = market

    def place(
        self,
        name: str,
        side: Side,
        at_price: str,
        of_size: str,
        *,
        due_ms: int | None = None,
        expire_ms: int = 10**9,
        time_in_force: TimeInForce = TimeInForce.POST_ONLY,
    ) -> list[VenueEvent]:
        order = request(
            name,
            OrderAction.PLACE,
            self._market,
            side,
            price(at_price),
            size(of_size),
            ts_expire=START_US + expire_ms * 1_000,
            time_in_force=time_in_force,
            **self._effect(due_ms),
        )
        return self.venue.submit(Orders((order,)), now_us=5)

    def cancel(self, name: str, *, due_ms: int | None) -> list[VenueEvent]:
        one = request(name, OrderAction.CANCEL, self._market, **self._effect(due_ms))
        return self.venue.submit(Orders((one,)), now_us=5)

    def _effect(self, due_ms: int | None) -> dict[str, int]:
        return {"tick_offset": self.feed.offset + 1} if due_ms is None else {"ts_due": START_US + due_ms * 1_000}


@pytest.fixture
def trader(listings: Listings, feed_of: Callable[[PaperVenue], Any]) -> Trader:
    venue = PaperVenue(listings)
    return Trader(venue, feed_of(venue), next(iter(listings)))


def test_an_order_arrives_when_the_clock_passes_its_due_time(trader: Trader) -> None:
    """Not with the record before, and before the record that passes it is matched."""
    trader.feed.snapshot(0, *BOOK)
    assert trader.place("a", Side.BUY, "10.00", "5", due_ms=50) == []

    assert trader.feed.trade(49, Side.SELL, "9.99", "5") == []
    reports = trader.feed.trade(50, Side.SELL, "9.99", "3")

    assert said(reports) == [("a", "ACCEPTED"), ("a", size("3"))]
    assert reports[0].at.ts_event == START_US + 50_000
    assert reports[1].at.cause.topic == "market.ticks"


def test_what_the_wall_clock_causes_takes_effect_at_a_place_in_the_log(trader: Trader) -> None:
    """Before the record at the offset that its intent names, whenever the venue is told of it."""
    trader.feed.snapshot(0, *BOOK)
    place = {"side": Side.BUY, "price": price("10.00"), "size": size("5")}
    late = request("a", OrderAction.PLACE, MARKET, tick_offset=trader.feed.offset + 2, **place)
    assert trader.venue.submit(Orders((late,)), now_us=5) == []

    after = trader.feed.trade(1, Side.SELL, "10.00", "1")
    assert said(after) == [("a", "ACCEPTED")]
    assert after[0].at.ts_event == START_US + 1_000
    assert said(trader.feed.trade(2, Side.SELL, "10.00", "1")) == [("a", size("1"))]


def test_the_queue_ahead_trades_first(trader: Trader) -> None:
    """An order at a displayed price is filled only by what trades there after those before it."""
    trader.feed.snapshot(0, *BOOK)
    trader.place("a", Side.BUY, "9.99", "20")

    assert trader.feed.trade(1, Side.SELL, "9.99", "60") == []
    assert said(trader.feed.trade(2, Side.SELL, "9.99", "50")) == [("a", size("10"))]
    assert said(trader.feed.trade(3, Side.SELL, "9.99", "50")) == [("a", size("10"))]
    assert trader.feed.trade(4, Side.SELL, "9.99", "50") == []


def test_a_print_through_the_price_fills_at_the_price(trader: Trader) -> None:
    """What goes through the price trades with the queue there first, as what trades at it does."""
    trader.feed.snapshot(0, *BOOK)
    trader.place("a", Side.BUY, "9.99", "20")

    through = trader.feed.trade(1, Side.SELL, "9.98", "105")
    assert said(through) == [("a", size("5"))]
    assert through[0].fill.price == price("9.99")
    assert said(trader.feed.trade(2, Side.SELL, "9.99", "5")) == [("a", size("5"))]


def test_prints_of_the_other_side_fill_nothing(trader: Trader) -> None:
    """A buyer who takes trades with asks."""
    trader.feed.snapshot(0, *BOOK)
    trader.place("a", Side.BUY, "10.00", "5")

    assert trader.feed.trade(1, Side.BUY, "9.00", "50") == []


def test_one_print_fills_no_more_than_its_size(trader: Trader) -> None:
    """Best price first, then in the order of arrival; what one order takes is gone for the next."""
    trader.feed.snapshot(0, {"9.90": "1"}, {"10.01": "80"})
    trader.place("low", Side.BUY, "9.95", "10")
    trader.place("first", Side.BUY, "9.97", "10")
    trader.place("second", Side.BUY, "9.97", "10")

    reports = trader.feed.trade(1, Side.SELL, "9.95", "25")

    assert said(reports) == [
        ("first", size("10")),
        ("second", size("10")),
        ("low", size("5")),
    ]


def test_asks_mirror_bids(trader: Trader) -> None:
    """A seller's order is filled by buyers at or above its price."""
    trader.feed.snapshot(0, *BOOK)
    trader.place("a", Side.SELL, "10.01", "10")

    assert trader.feed.trade(1, Side.BUY, "10.01", "80") == []
    assert said(trader.feed.trade(2, Side.BUY, "10.02", "4")) == [("a", size("4"))]


@pytest.mark.parametrize(
    ("side", "at_price", "of_size", "reason"),
    [
        (Side.BUY, "10.01", "5", OrderReason.POST_ONLY_WOULD_CROSS),
        (Side.BUY, "10.02", "5", OrderReason.POST_ONLY_WOULD_CROSS),
        (Side.SELL, "9.99", "5", OrderReason.POST_ONLY_WOULD_CROSS),
        (Side.BUY, "9.985", "5", OrderReason.OFF_TICK),
        (Side.BUY, "9.98", "5.5", OrderReason.OFF_LOT),
        (Side.BUY, "0.01", "5", OrderReason.BELOW_MINIMUM),
    ],
)
def test_orders_that_a_venue_would_refuse_are_rejected(
    trader: Trader, side: Side, at_price: str, of_size: str, reason: OrderReason
) -> None:
    """Post-only never takes, and prices, sizes and minima are the instrument's."""
    trader.feed.snapshot(0, *BOOK)

    reports = trader.place("a", side, at_price, of_size)

    assert [(r.answer, r.reason) for r in reports if isinstance(r, Answered)] == [(Answer.REFUSED, reason)]
    assert trader.feed.trade(1, Side.SELL, "0.01", "1000") == []


def test_nothing_rests_on_a_book_that_is_not_known(trader: Trader, make_tick: Callable[..., Tick]) -> None:
    """Before the first snapshot, and after a gap until the next one."""
    trader.feed.message(0, make_tick(kind=TickKind.LEVEL, side=Side.BUY, price=price("9"), size=size("1")))
    assert reasons(trader.place("a", Side.BUY, "9.99", "5")) == [OrderReason.BOOK_NOT_LIVE]

    trader.feed.snapshot(1, *BOOK)
    assert said(trader.place("b", Side.BUY, "9.99", "5")) == [("b", "ACCEPTED")]

    trader.feed.message(2, make_tick(kind=TickKind.STATUS, flags=int(Flag.GAPPED)))
    assert reasons(trader.place("c", Side.BUY, "9.99", "5")) == [OrderReason.BOOK_NOT_LIVE]


def test_orders_wait_for_the_end_of_a_message(trader: Trader, make_tick: Callable[..., Tick]) -> None:
    """A half-applied snapshot shows no queue."""
    trader.feed.snapshot(0, *BOOK)
    level = make_tick(kind=TickKind.LEVEL, side=Side.BUY, price=price("9.99"), size=size("30"))
    trader.feed.raw(replace(make_tick(kind=TickKind.CLEAR), message=9, last=False))

    assert trader.place("a", Side.BUY, "9.99", "5") == []

    assert said(trader.feed.raw(replace(level, message=9, ordinal=1, first=False))) == [("a", "ACCEPTED")]
    assert said(trader.feed.trade(1, Side.SELL, "9.99", "35")) == [("a", size("5"))]


def test_a_broken_message_makes_the_book_unknown(trader: Trader, make_tick: Callable[..., Tick]) -> None:
    """A new message before the end of the last one: something is missing."""
    trader.feed.snapshot(0, *BOOK)
    trader.feed.raw(replace(make_tick(kind=TickKind.LEVEL, side=Side.BUY, price=price("9")), message=9, last=False))
    trader.feed.message(1, make_tick(kind=TickKind.LEVEL, side=Side.BUY, price=price("9")))

    assert reasons(trader.place("a", Side.BUY, "9.99", "5")) == [OrderReason.BOOK_NOT_LIVE]


def test_a_cancel_takes_effect_when_it_arrives(trader: Trader) -> None:
    """Until then the order can be filled; a cancel that finds nothing says nothing."""
    trader.feed.snapshot(0, *BOOK)
    trader.place("a", Side.BUY, "10.00", "5")
    trader.place("b", Side.BUY, "9.99", "5")
    trader.cancel("a", due_ms=50)
    trader.cancel("b", due_ms=50)
    assert said(trader.feed.trade(49, Side.SELL, "10.00", "5")) == [("a", size("5"))]
    assert said(trader.feed.trade(50, Side.SELL, "9.98", "5")) == [("b", "CANCELLED")]


def test_a_cancel_at_once_also_ends_an_order_on_its_way(trader: Trader) -> None:
    """It never arrives, and its end is reported."""
    trader.feed.snapshot(0, *BOOK)
    trader.place("a", Side.BUY, "10.00", "5", due_ms=50)

    assert said(trader.cancel("a", due_ms=None)) == [("a", "CANCELLED")]
    assert trader.feed.trade(60, Side.SELL, "9.99", "5") == []


def test_a_trade_that_is_delivered_twice_fills_once(trader: Trader) -> None:
    """By its id, where the venue gives one."""
    trader.feed.snapshot(0, *BOOK)
    trader.place("a", Side.BUY, "10.00", "9")

    assert len(trader.feed.trade(1, Side.SELL, "10.00", "3", trade_id="t1")) == 1
    assert trader.feed.trade(2, Side.SELL, "10.00", "3", trade_id="t1") == []
    assert len(trader.feed.trade(3, Side.SELL, "10.00", "3", trade_id="t2")) == 1


def test_a_fill_pays_the_maker_fee_exactly(trader: Trader) -> None:
    """2 bps of the notional, in 1e-17."""
    trader.feed.snapshot(0, *BOOK)
    trader.place("a", Side.BUY, "10.00", "5")

    (filled,) = trader.feed.trade(1, Side.SELL, "10.00", "5")

    assert filled.fill.fee == to_units("0.01", NOTIONAL_SCALE, bits=128)
    assert filled.fill.size == size("5")


def test_an_order_ends_by_itself_at_its_expiry(trader: Trader) -> None:
    """Whatever becomes of whoever sent it; at the very microsecond it may still fill."""
    trader.feed.snapshot(0, *BOOK)
    trader.place("a", Side.BUY, "10.00", "5", expire_ms=60)

    assert said(trader.feed.trade(60, Side.SELL, "10.00", "2")) == [("a", size("2"))]
    assert said(trader.feed.trade(61, Side.SELL, "10.00", "2")) == [("a", "EXPIRED")]


IOC = {"time_in_force": TimeInForce.IOC}


def fills(events: list[VenueEvent]) -> list[tuple[int, int]]:
    return [(event.fill.price, event.fill.size) for event in events if isinstance(event, Filled)]


def test_an_order_that_takes_trades_with_what_is_displayed(trader: Trader) -> None:
    """Best price first, up to its limit, for the taker's fee; what is left of it is cancelled."""
    trader.feed.snapshot(0, {"9.99": "100", "9.98": "50", "9.97": "10"}, {"10.01": "80"})

    events = trader.place("a", Side.SELL, "9.98", "160", **IOC)

    assert fills(events) == [(price("9.99"), size("100")), (price("9.98"), size("50"))]
    assert isinstance(events[1], Filled)
    assert events[1].fill.fee == to_units("0.4995", NOTIONAL_SCALE, bits=128)
    assert isinstance(events[-1], Answered)
    assert (events[-1].answer, events[-1].reason) == (Answer.CANCELLED, OrderReason.NOT_FILLED_AT_ONCE)
    assert trader.feed.trade(1, Side.BUY, "9.98", "5") == []


def test_displayed_size_is_consumed_once(trader: Trader, make_tick: Callable[..., Tick]) -> None:
    """What was taken of a level is gone until the level shrinks below it and grows anew, in a snapshot too."""
    level = {"kind": TickKind.LEVEL, "side": Side.BUY, "price": price("9.99")}
    trader.feed.snapshot(0, *BOOK)
    assert fills(trader.place("a", Side.SELL, "9.99", "60", **IOC)) == [(price("9.99"), size("60"))]
    assert fills(trader.place("b", Side.SELL, "9.99", "60", **IOC)) == [(price("9.99"), size("40"))]
    assert fills(trader.place("c", Side.SELL, "9.99", "60", **IOC)) == []

    trader.feed.snapshot(1, {"9.99": "110"}, {"10.01": "80"})
    assert fills(trader.place("d", Side.SELL, "9.99", "60", **IOC)) == [(price("9.99"), size("10"))]
    trader.feed.message(2, make_tick(**level, size=size("70")))
    trader.feed.message(3, make_tick(**level, size=size("90")))
    assert fills(trader.place("e", Side.SELL, "9.99", "60", **IOC)) == [(price("9.99"), size("20"))]
    trader.feed.message(4, make_tick(**level))
    trader.feed.message(5, make_tick(**level, size=size("30")))
    assert fills(trader.place("f", Side.SELL, "9.99", "60", **IOC)) == [(price("9.99"), size("30"))]
