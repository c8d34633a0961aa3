"""A paper order is never filled with more than what traded for it, counted independently of the venue."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from schemas.enums import OrderAction, Side, TickKind
from schemas.instruments import Instrument
from schemas.records import Cause, Tick
from sinks.executor.paper.venue import PaperVenue
from sinks.executor.port import Filled, Listing, Orders
from tests.venue_events import name_of, request, said

MARKET = ("v", "A/B")
INSTRUMENT = Instrument(
    venue="v",
    symbol="A/B",
    venue_symbol="A/B",
    group="A",
    has_book=True,
    tick=1,
    lot=1,
    min_size=1,
    min_notional=0,
    maker_fee_ppm=100,
    taker_fee_ppm=100,
)
PRICES = st.integers(1, 8)
SIZES = st.integers(1, 12)
LEVELS = st.dictionaries(PRICES, SIZES, max_size=4)
ORDERS = st.lists(st.tuples(st.sampled_from([Side.BUY, Side.SELL]), PRICES, SIZES), min_size=1, max_size=6)
PRINTS = st.lists(st.tuples(st.sampled_from([Side.BUY, Side.SELL]), PRICES, SIZES), max_size=30)


class Market:
    """Feeds a venue and keeps what it reported."""

    def __init__(self) -> None:
        self.venue = PaperVenue({MARKET: Listing(INSTRUMENT, 0)})
        self.offset = 0

    def tick(
        self, kind: TickKind, side: Side = Side.NONE, price: int = 0, size: int = 0, **place: bool
    ) -> Counter[str]:
        self.offset += 1
        record = Tick(
            venue="v",
            source="s",
            symbol="A/B",
            kind=kind,
            side=side,
            price=price,
            size=size,
            ts_recv=self.offset,
            session=1,
            message=self.offset,
            ordinal=0,
            first=place.get("first", True),
            last=place.get("last", True),
        )
        events = self.venue.on_tick(record, Cause("market.ticks", 0, self.offset, self.offset), 0)
        return Counter({name_of(event): event.fill.size for event in events if isinstance(event, Filled)})

    def snapshot(self, bids: dict[int, int], asks: dict[int, int]) -> None:
        self.tick(TickKind.CLEAR, last=False)
        for side, levels in ((Side.BUY, bids), (Side.SELL, asks)):
            for price, size in levels.items():
                self.tick(TickKind.LEVEL, side, price, size, first=False, last=False)
        self.tick(TickKind.LEVEL, Side.BUY, 10**9, 0, first=False)

    def place(self, order_id: str, side: Side, price: int, size: int) -> bool:
        order = request(order_id, OrderAction.PLACE, MARKET, side, price, size, tick_offset=self.offset + 1)
        (event,) = self.venue.submit(Orders((order,)), 0)
        return said([event]) == [(order_id, "ACCEPTED")]


@given(LEVELS, LEVELS, ORDERS, PRINTS)
def test_fills_never_exceed_what_traded_for_the_order(
    bids: dict[int, int],
    asks: dict[int, int],
    orders: list[tuple[Side, int, int]],
    prints: list[tuple[Side, int, int]],
) -> None:
    """At most what traded at its price or through it less the queue, its size, and in all each print's size."""
    market = Market()
    market.snapshot(bids, asks)
    resting = {str(n): order for n, order in enumerate(orders) if market.place(str(n), *order)}
    filled: Counter[str] = Counter()
    for side, price, size in prints:
        fills = market.tick(TickKind.TRADE, side, price, size)
        assert fills.total() <= size
        filled += fills

    for name, (side, price, size) in resting.items():
        queue = (bids if side is Side.BUY else asks).get(price, 0)
        assert filled[name] <= min(size, available(side, price, queue, prints))
    assert set(filled) <= set(resting)


@given(LEVELS, st.tuples(PRICES, SIZES), PRINTS)
def test_an_order_alone_gets_exactly_what_traded_for_it(
    bids: dict[int, int], order: tuple[int, int], prints: list[tuple[Side, int, int]]
) -> None:
    """With no other order of ours in the way, the bound is reached."""
    market = Market()
    market.snapshot(bids, {})
    price, size = order
    assert market.place("o", Side.BUY, price, size)

    filled = sum(market.tick(TickKind.TRADE, *each)["o"] for each in prints)

    assert filled == min(size, available(Side.BUY, price, bids.get(price, 0), prints))


def available(side: Side, price: int, queue: int, prints: list[tuple[Side, int, int]]) -> int:
    """What traded at a price or through it, less the queue."""
    taker = Side.SELL if side is Side.BUY else Side.BUY
    sign = 1 if side is Side.BUY else -1
    return max(0, sum(size for who, at, size in prints if who is taker and sign * (price - at) >= 0) - queue)
