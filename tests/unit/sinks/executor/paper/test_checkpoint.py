"""Checkpoints of the paper venue: nothing is forgotten, and what is none is refused."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from schemas.enums import OrderAction, Side
from schemas.errors import StateError
from schemas.numbers import PRICE_SCALE, SIZE_SCALE, to_units
from sinks.executor.paper.checkpoint import load, pack, unpack
from sinks.executor.paper.venue import PaperVenue
from sinks.executor.port import Listings, Orders
from tests.venue_events import request

MARKET, PARTITION = ("sim-sei-clob", "SEI/USDC"), 2


@pytest.fixture
def venue(listings: Listings, feed_of: Callable[[PaperVenue], Any]) -> PaperVenue:
    """One that has a book, an order that is partly filled, one on its way and a cancel on its way."""
    venue = PaperVenue(listings)
    feed = feed_of(venue)
    feed.snapshot(0, {"9.99": "100"}, {"10.01": "80"})
    price, size = to_units("10.00", PRICE_SCALE), to_units("5", SIZE_SCALE)
    here = {"side": Side.BUY, "price": price, "size": size}
    venue.submit(Orders((request("a", OrderAction.PLACE, MARKET, tick_offset=feed.offset + 1, **here),)), 0)
    feed.trade(1, Side.SELL, "10.00", "2", trade_id="t1")
    later = {"ts_due": 1 << 60}
    venue.submit(Orders((request("b", OrderAction.PLACE, MARKET, **here, **later),)), 0)
    venue.submit(Orders((request("a", OrderAction.CANCEL, MARKET, **later),)), 0)
    return venue


def test_what_is_taken_up_is_what_was_left(venue: PaperVenue, listings: Listings) -> None:
    """Another venue that loads it says the same of itself."""
    value = pack(venue.partition(PARTITION), 7, 9)
    checkpoint = unpack(value)
    other = PaperVenue(listings).new_partition(PARTITION)
    load(checkpoint, other)

    assert (checkpoint.intents_end, checkpoint.executions_end) == (7, 9)
    assert checkpoint.tick_offset == venue.partition(PARTITION).offset == other.offset
    assert [(r.filled, r.has_arrived) for r in other.orders] == [(to_units("2", SIZE_SCALE), True), (0, False)]
    assert pack(other, 7, 9) == value


def test_a_market_that_is_not_listed_any_more_is_left_out(venue: PaperVenue) -> None:
    """With its orders."""
    other = PaperVenue({}).new_partition(PARTITION)
    load(unpack(pack(venue.partition(PARTITION), 0, 0)), other)

    assert (other.orders, other.arriving) == ([], [])


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"junk",
        zlib.compress(b"[1]"),
        zlib.compress(b"{}"),
        zlib.compress(json.dumps({"version": 2}).encode()),
        zlib.compress(json.dumps({"version": 1, "tick_offset": "x"}).encode()),
    ],
)
def test_what_is_no_checkpoint_is_refused(value: bytes) -> None:
    """So is one that was cut off, or of a later version."""
    with pytest.raises(StateError):
        unpack(value)


def test_a_checkpoint_that_lacks_something_is_refused(listings: Listings) -> None:
    """Nothing is made up."""
    head = {"version": 1, "tick_offset": 1, "intents_end": 0, "executions_end": 0}
    checkpoint = unpack(zlib.compress(json.dumps(head | {"venue": {"clock_us": 1, "markets": []}}).encode()))

    with pytest.raises(StateError):
        load(checkpoint, PaperVenue(listings).new_partition(PARTITION))
