"""The paper venue: a pure, deterministic stand-in for a venue; docs/paper-venue.md has the rules in words.

It sees the market through `market.ticks` alone, in the order of the log. Its clock is the `ts_recv` of the record at
hand; orders reach it when that clock passes their due time, before the record that passes it is looked at.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from schemas.enums import Mode, OrderAction, Side, TickKind
from schemas.instruments import Instrument
from schemas.numbers import divide_half_even
from schemas.reasons import OrderReason
from schemas.records import Cause, Market, Tick
from sinks.executor.blotter import Fill
from sinks.executor.orders import Order
from sinks.executor.paper_book import DisplayedBook
from sinks.executor.port import Answer, Answered, Filled, Listings, Moment, Orders, Request, VenueEvent

__all__ = ["PaperVenue"]

_TRADES_REMEMBERED = 1_024
_PPM = 1_000_000


@dataclass(slots=True)
class _Resting:
    order: Order
    queue_ahead: int = 0
    filled: int = 0
    trades: int = 0
    has_arrived: bool = False

    @property
    def remaining(self) -> int:
        return self.order.size - self.filled


@dataclass(frozen=True, slots=True)
class _InFlight:
    request: Request
    ts_due: int
    reason: OrderReason


@dataclass(slots=True)
class _PaperMarket:
    market: Market
    listings: Listings
    book: DisplayedBook = field(default_factory=DisplayedBook)
    clock_us: int = 0
    arriving: deque[_InFlight] = field(default_factory=deque)
    # By nonce, in the order of sending: those on their way are in it too.
    orders: dict[int, _Resting] = field(default_factory=dict)
    seen: OrderedDict[str, None] = field(default_factory=OrderedDict)
    last_print: tuple[int, int, int] = (0, 0, 0)

    @property
    def instrument(self) -> Instrument:
        """What is in force now."""
        return self.listings[self.market].instrument

    def send(self, orders: Orders) -> None:
        for request in orders.requests:
            if request.action is OrderAction.PLACE:
                self.orders.setdefault(request.order.nonce, _Resting(request.order))
            self.arriving.append(_InFlight(request, orders.ts_due, orders.reason))

    def arrive(self, clock_us: int, now_us: int, cause: Cause | None) -> list[VenueEvent]:
        """Let in what is due at `clock_us`; nothing while a message of the book is half applied."""
        events: list[VenueEvent] = []
        while self.arriving and self.arriving[0].ts_due <= clock_us and not self.book.is_torn:
            flight = self.arriving.popleft()
            at = Moment(max(flight.ts_due, self.clock_us), now_us, cause or flight.request.cause)
            resting = self.orders.get(flight.request.order.nonce)
            if resting is None:
                continue  # filled or refused before its cancel arrived
            if flight.request.action is OrderAction.PLACE:
                events.append(self._place(resting, at))
            else:
                events.append(self.end(resting, Answer.CANCELLED, at, flight.reason))
        return events

    def expire(self, at: Moment) -> list[VenueEvent]:
        """Let out what is past its expiry."""
        past = [r for r in self.orders.values() if r.has_arrived and r.order.ts_expire < at.ts_event]
        return [self.end(resting, Answer.EXPIRED, at, OrderReason.EXPIRED) for resting in past]

    def take(self, tick: Tick, cause: Cause, now_us: int) -> list[VenueEvent]:
        """Match a print, or move the book."""
        self.book.apply(tick)
        is_print = tick.kind is TickKind.TRADE and tick.price > 0 and tick.size > 0
        if not is_print or not self._is_new(tick):
            return []
        return self._match(tick, Moment(tick.ts_recv, now_us, cause))

    def _place(self, resting: _Resting, at: Moment) -> VenueEvent:
        order = resting.order
        reason = self._refusal(order)
        if reason is not None:
            return self.end(resting, Answer.REFUSED, at, reason)
        resting.queue_ahead = self.book.size_at(order.side, order.price)
        resting.has_arrived = True
        return Answered(order.nonce, Answer.ACCEPTED, at, venue_order_id=_name(order))

    def end(self, resting: _Resting, answer: Answer, at: Moment, reason: OrderReason) -> VenueEvent:
        """Take an order out of the book."""
        del self.orders[resting.order.nonce]
        return Answered(resting.order.nonce, answer, at, reason=reason)

    def _refusal(self, order: Order) -> OrderReason | None:
        instrument = self.instrument
        if order.price <= 0 or order.price % instrument.tick:
            return OrderReason.OFF_TICK
        if order.size <= 0 or order.size % instrument.lot:
            return OrderReason.OFF_LOT
        if order.size < instrument.min_size or order.price * order.size < instrument.min_notional:
            return OrderReason.BELOW_MINIMUM
        if not self.book.is_live:
            return OrderReason.BOOK_NOT_LIVE
        bid, ask = self.book.best_bid, self.book.best_ask
        crosses = (
            ask is not None and order.price >= ask if order.side is Side.BUY else bid is not None and order.price <= bid
        )
        return OrderReason.POST_ONLY_WOULD_CROSS if crosses else None

    def _match(self, tick: Tick, at: Moment) -> list[VenueEvent]:
        """Share one print among our orders: best price first, and at the print's own price behind the queue."""
        maker = {Side.SELL: Side.BUY, Side.BUY: Side.SELL}.get(tick.side)
        better = 1 if maker is Side.BUY else -1
        ours = [resting for resting in self.orders.values() if resting.has_arrived and resting.order.side is maker]
        ours.sort(key=lambda resting: -better * resting.order.price)  # stable: equal prices stay in order of arrival
        left = tick.size
        events: list[VenueEvent] = []
        for resting in ours:
            reach = better * (resting.order.price - tick.price)
            if left == 0 or reach < 0:
                break
            if reach > 0:
                resting.queue_ahead = 0  # the market went through our price: nobody is ahead any more
            size = min(resting.remaining, max(0, left - resting.queue_ahead))
            resting.queue_ahead -= min(resting.queue_ahead, left)
            if size:
                left -= size
                events.append(self._fill(resting, size, at))
        return events

    def _fill(self, resting: _Resting, size: int, at: Moment) -> VenueEvent:
        order = resting.order
        resting.filled += size
        resting.trades += 1
        if resting.remaining == 0:
            del self.orders[order.nonce]
        fill = Fill(
            trade_id=f"{_name(order)}-{resting.trades}",
            venue_order_id=_name(order),
            market=order.market,
            side=order.side,
            price=order.price,
            size=size,
            fee=divide_half_even(order.price * size * self.instrument.maker_fee_ppm, _PPM),
            ts_event=at.ts_event,
        )
        return Filled(fill, at)

    def _is_new(self, tick: Tick) -> bool:
        """Tell a print from one that was delivered before: by its id, else by its place in the session."""
        if tick.trade_id is None:
            place = (tick.session, tick.message, tick.ordinal)
            is_new = place > self.last_print
            self.last_print = max(self.last_print, place)
            return is_new
        if tick.trade_id in self.seen:
            return False
        self.seen[tick.trade_id] = None
        if len(self.seen) > _TRADES_REMEMBERED:
            self.seen.popitem(last=False)
        return True


class PaperVenue:
    """Fill orders on paper from the prints of the markets that they are quoted in."""

    mode = Mode.PAPER
    is_executing = True
    shows_our_orders = False
    banner = "PAPER: a stand-in venue; fills are modelled from market.ticks, no order leaves this process"

    def __init__(self, listings: Listings) -> None:
        self._markets = {market: _PaperMarket(market, listings) for market in listings}
        self._partitions: dict[int, list[_PaperMarket]] = {}
        for market, listing in listings.items():
            self._partitions.setdefault(listing.partition, []).append(self._markets[market])

    def submit(self, orders: Orders, now_us: int) -> list[VenueEvent]:
        """Send orders; those already due on the venue's clock have arrived."""
        events: list[VenueEvent] = []
        for market in dict.fromkeys(request.order.market for request in orders.requests):
            paper = self._markets[market]
            mine = tuple(request for request in orders.requests if request.order.market == market)
            paper.send(Orders(mine, orders.ts_due, orders.reason))
            if orders.ts_due == 0:
                events += self._cancel_now(paper, now_us)
            else:
                events += paper.arrive(paper.clock_us, now_us, None)
        return events

    def on_tick(self, tick: Tick, cause: Cause, now_us: int) -> list[VenueEvent]:
        """Advance the partition's clock, let in what is due and out what has expired, then match the tick."""
        events: list[VenueEvent] = []
        for paper in self._partitions.get(cause.partition, ()):
            if paper.arriving:
                events += paper.arrive(tick.ts_recv, now_us, cause)
            paper.clock_us = tick.ts_recv
            if paper.orders:
                events += paper.expire(Moment(tick.ts_recv, now_us, cause))
        market = self._markets.get(tick.market)
        if market is not None:
            events += market.take(tick, cause, now_us)
        return events

    def poll(self, now_us: int) -> list[VenueEvent]:
        """Say nothing by itself: only ticks and orders move it."""
        return []

    def _cancel_now(self, paper: _PaperMarket, now_us: int) -> list[VenueEvent]:
        """Carry out cancels without delay, also of orders on their way."""
        due, later = [f for f in paper.arriving if f.ts_due == 0], [f for f in paper.arriving if f.ts_due != 0]
        cancelled = {flight.request.order.nonce for flight in due}
        paper.arriving = deque(f for f in later if f.request.order.nonce not in cancelled)
        events: list[VenueEvent] = []
        for flight in due:
            resting = paper.orders.get(flight.request.order.nonce)
            if resting is not None:
                at = Moment(paper.clock_us or now_us, now_us, flight.request.cause)
                events.append(paper.end(resting, Answer.CANCELLED, at, flight.reason))
        return events


def _name(order: Order) -> str:
    return f"paper-{order.nonce}"
