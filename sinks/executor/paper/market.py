"""One market of the paper venue: our orders in it, and what prints and displayed sizes fill of them. Pure.

docs/paper-venue.md has the rules in words.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from schemas.enums import OrderAction, Side, TickKind, TimeInForce
from schemas.instruments import Instrument
from schemas.numbers import divide_half_even
from schemas.reasons import OrderReason
from schemas.records import OrderIntent, Tick
from sinks.executor.blotter import Fill
from sinks.executor.orders import Order
from sinks.executor.paper.book import DisplayedBook
from sinks.executor.port import Answer, Answered, Filled, Moment, Request, VenueEvent

__all__ = ["FAR_US", "PaperMarket", "Resting", "paper_name"]

_TRADES_REMEMBERED = 1_024
_PPM = 1_000_000
FAR_US = 1 << 62
"""No time ever."""


@dataclass(slots=True)
class Resting:
    """An order of ours: on its way, or in the book.

    Attributes:
        queue_ahead: What must trade at its price, or through it, before it does.
        filled: Size that traded, in so many trades.
    """

    request: Request
    queue_ahead: int = 0
    filled: int = 0
    trades: int = 0
    has_arrived: bool = False

    @property
    def order(self) -> Order:
        """The order as it was asked for."""
        return self.request.order

    @property
    def intent(self) -> OrderIntent:
        """Its record in the journal."""
        return self.request.intent

    @property
    def remaining(self) -> int:
        """Size that has not traded."""
        return self.order.size - self.filled


@dataclass(slots=True)
class PaperMarket:
    """The orders of a market, and what fills them.

    Attributes:
        instrument_at: What is in force at a time of the partition's clock.
        orders: By nonce, in the order of sending: those on their way are in it too.
        seen: Trades taken, by id, the last ones; `last_print` is the place of the last one without an id.
        next_expiry_us: Nothing in the book expires before that.
    """

    instrument_at: Callable[[int], Instrument]
    book: DisplayedBook = field(default_factory=DisplayedBook)
    orders: dict[int, Resting] = field(default_factory=dict)
    seen: OrderedDict[str, None] = field(default_factory=OrderedDict)
    last_print: tuple[int, int, int] = (0, 0, 0)
    next_expiry_us: int = FAR_US

    def send(self, request: Request) -> None:
        """Note an order that is on its way; a cancel that overtakes it finds it."""
        if request.action is OrderAction.PLACE:
            self.orders.setdefault(request.order.nonce, Resting(request))

    def is_ready_for(self, request: Request) -> bool:
        """Whether a request can take effect: no order arrives in the middle of a message of the book."""
        return request.action is OrderAction.CANCEL or not self.book.is_torn

    def arrive(self, request: Request, at: Moment) -> Iterator[VenueEvent]:
        """Let a request take effect; a cancel that finds nothing says nothing."""
        resting = self.orders.get(request.order.nonce)
        if resting is None:
            return
        if request.action is OrderAction.CANCEL:
            yield self._end(resting, Answer.CANCELLED, at, request.intent.reason)
        elif not resting.has_arrived:
            yield from self._place(resting, at)

    def expire(self, at: Moment) -> Iterator[VenueEvent]:
        """Let out what is past its expiry."""
        if at.ts_event <= self.next_expiry_us:
            return
        arrived = [resting for resting in self.orders.values() if resting.has_arrived]
        for resting in arrived:
            if resting.order.ts_expire < at.ts_event:
                yield self._end(resting, Answer.EXPIRED, at, OrderReason.EXPIRED)
        left = (resting.order.ts_expire for resting in self.orders.values() if resting.has_arrived)
        self.next_expiry_us = min(left, default=FAR_US)

    def take(self, tick: Tick, at: Moment) -> Iterator[VenueEvent]:
        """Match a print, or move the book."""
        self.book.apply(tick)
        is_print = tick.kind is TickKind.TRADE and tick.price > 0 and tick.size > 0
        if is_print and self._is_new(tick):
            yield from self._match(tick, at)

    def _place(self, resting: Resting, at: Moment) -> Iterator[VenueEvent]:
        order, time_in_force = resting.order, resting.intent.time_in_force
        reason = self._refusal(order, time_in_force, self.instrument_at(at.ts_event))
        if reason is not None:
            yield self._end(resting, Answer.REFUSED, at, reason)
            return
        resting.has_arrived = True
        yield Answered(order.nonce, Answer.ACCEPTED, at, venue_order_id=paper_name(order))
        if time_in_force is not TimeInForce.POST_ONLY:
            yield from self._take_displayed(resting, at)
        if resting.remaining and time_in_force is TimeInForce.IOC:
            yield self._end(resting, Answer.CANCELLED, at, OrderReason.NOT_FILLED_AT_ONCE)
        elif resting.remaining:
            resting.queue_ahead = self.book.size_at(order.side, order.price)
            self.next_expiry_us = min(self.next_expiry_us, order.ts_expire)

    def _end(self, resting: Resting, answer: Answer, at: Moment, reason: str | None) -> VenueEvent:
        del self.orders[resting.order.nonce]
        return Answered(resting.order.nonce, answer, at, reason=reason)

    def _refusal(self, order: Order, time_in_force: TimeInForce, instrument: Instrument) -> OrderReason | None:
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
        is_taker = time_in_force is not TimeInForce.POST_ONLY
        return OrderReason.POST_ONLY_WOULD_CROSS if crosses and not is_taker else None

    def _take_displayed(self, resting: Resting, at: Moment) -> Iterator[VenueEvent]:
        """Fill an order that takes from what is displayed, best price first; none of it is there a second time."""
        side, limit = resting.order.side.opposite, resting.order.price
        for price, _ in self.book.reachable(side, limit):
            size = min(resting.remaining, self.book.available_at(side, price))
            if size:
                self.book.consume(side, price, size)
                yield self._fill(resting, price, size, self.instrument_at(at.ts_event).taker_fee_ppm, at)
            if not resting.remaining:
                return

    def _match(self, tick: Tick, at: Moment) -> Iterator[VenueEvent]:
        """Share one print among our orders, best price first, behind the queue of each."""
        maker = tick.side.opposite
        better = 1 if maker is Side.BUY else -1
        ours = [resting for resting in self.orders.values() if resting.has_arrived and resting.order.side is maker]
        ours.sort(key=lambda resting: -better * resting.order.price)  # stable: equal prices stay in order of arrival
        left = tick.size
        for resting in ours:
            if left == 0 or better * (resting.order.price - tick.price) < 0:
                return
            size = min(resting.remaining, max(0, left - resting.queue_ahead))
            resting.queue_ahead -= min(resting.queue_ahead, left)
            if size:
                left -= size
                fee_ppm = self.instrument_at(at.ts_event).maker_fee_ppm
                yield self._fill(resting, resting.order.price, size, fee_ppm, at)

    def _fill(self, resting: Resting, price: int, size: int, fee_ppm: int, at: Moment) -> VenueEvent:
        order = resting.order
        resting.filled += size
        resting.trades += 1
        if resting.remaining == 0:
            del self.orders[order.nonce]
        fill = Fill(
            trade_id=f"{paper_name(order)}-{resting.trades}",
            venue_order_id=paper_name(order),
            market=order.market,
            side=order.side,
            price=price,
            size=size,
            fee=divide_half_even(price * size * fee_ppm, _PPM),
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


def paper_name(order: Order) -> str:
    """Give the venue's name of an order."""
    return f"paper-{order.nonce}"
