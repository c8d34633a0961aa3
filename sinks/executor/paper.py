"""The paper venue: a pure, deterministic stand-in for a venue; docs/paper-venue.md has the rules in words.

It sees the market through `market.ticks` alone, in the order of the log. Its clock is the `ts_recv` of the record at
hand; orders reach it when that clock passes their due time, before the record that passes it is looked at.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from schemas.enums import Mode, OrderAction, OrderStatus, Side, TickKind
from schemas.instruments import Instrument
from schemas.numbers import divide_half_even
from schemas.reasons import OrderReason
from schemas.records import Cause, ExecutionReport, Market, OrderIntent, Tick
from sinks.executor.paper_book import DisplayedBook
from sinks.executor.port import Listings, Orders, WorkingOrder

__all__ = ["PaperVenue"]

_TRADES_REMEMBERED = 1_024
_PPM = 1_000_000


@dataclass(slots=True)
class _Order:
    intent: OrderIntent
    queue_ahead: int = 0
    filled: int = 0
    reports: int = 0
    is_cancelling: bool = False

    @property
    def remaining(self) -> int:
        return self.intent.size - self.filled


@dataclass(frozen=True, slots=True)
class _InFlight:
    intent: OrderIntent
    ts_due: int
    reason: OrderReason


@dataclass(frozen=True, slots=True)
class _Now:
    """What a report says of the moment that it describes."""

    ts_event: int
    ts_recv: int
    cause: Cause


@dataclass(slots=True)
class _PaperMarket:
    instrument: Instrument
    book: DisplayedBook = field(default_factory=DisplayedBook)
    clock_us: int = 0
    arriving: deque[_InFlight] = field(default_factory=deque)
    # By order id, in the order of arrival; those on their way are in it too.
    orders: dict[str, _Order] = field(default_factory=dict)
    resting: set[str] = field(default_factory=set)
    seen: OrderedDict[str, None] = field(default_factory=OrderedDict)
    last_print: tuple[int, int, int] = (0, 0, 0)

    def send(self, orders: Orders) -> None:
        for intent in orders.intents:
            if intent.action is OrderAction.PLACE:
                self.orders.setdefault(intent.order_id, _Order(intent))
            elif intent.order_id in self.orders:
                self.orders[intent.order_id].is_cancelling = True
            self.arriving.append(_InFlight(intent, orders.ts_due, orders.reason))

    def arrive(self, clock_us: int, now_us: int, cause: Cause | None) -> list[ExecutionReport]:
        """Let in what is due at `clock_us`; nothing while a message of the book is half applied."""
        reports: list[ExecutionReport] = []
        while self.arriving and self.arriving[0].ts_due <= clock_us and not self.book.is_torn:
            flight = self.arriving.popleft()
            now = _Now(max(flight.ts_due, self.clock_us), now_us, cause or _cause_of(flight.intent))
            order = self.orders.get(flight.intent.order_id)
            if order is None:
                continue  # filled or rejected before its cancel arrived
            if flight.intent.action is OrderAction.PLACE:
                reports.append(self._place(order, now))
            else:
                del self.orders[flight.intent.order_id]
                self.resting.discard(flight.intent.order_id)
                reports.append(_report(order, OrderStatus.CANCELLED, now, flight.reason))
        return reports

    def take(self, tick: Tick, cause: Cause, now_us: int) -> list[ExecutionReport]:
        """Match a print, or move the book."""
        self.book.apply(tick)
        is_print = tick.kind is TickKind.TRADE and tick.price > 0 and tick.size > 0
        if not is_print or not self._is_new(tick):
            return []
        return self._match(tick, _Now(tick.ts_recv, now_us, cause))

    def _place(self, order: _Order, now: _Now) -> ExecutionReport:
        reason = self._refusal(order.intent)
        if reason is not None:
            del self.orders[order.intent.order_id]
            return _report(order, OrderStatus.REJECTED, now, reason)
        order.queue_ahead = self.book.size_at(order.intent.side, order.intent.price)
        self.resting.add(order.intent.order_id)
        return _report(order, OrderStatus.OPEN, now)

    def _refusal(self, intent: OrderIntent) -> OrderReason | None:
        instrument = self.instrument
        if intent.price <= 0 or intent.price % instrument.tick:
            return OrderReason.OFF_TICK
        if intent.size <= 0 or intent.size % instrument.lot:
            return OrderReason.OFF_LOT
        if intent.size < instrument.min_size or intent.price * intent.size < instrument.min_notional:
            return OrderReason.BELOW_MINIMUM
        if not self.book.is_live:
            return OrderReason.BOOK_NOT_LIVE
        bid, ask = self.book.best_bid, self.book.best_ask
        crosses = (
            ask is not None and intent.price >= ask
            if intent.side is Side.BUY
            else bid is not None and intent.price <= bid
        )
        return OrderReason.POST_ONLY_WOULD_CROSS if crosses else None

    def _match(self, tick: Tick, now: _Now) -> list[ExecutionReport]:
        """Share one print among our orders: best price first, and at the print's own price behind the queue."""
        maker = {Side.SELL: Side.BUY, Side.BUY: Side.SELL}.get(tick.side)
        better = 1 if maker is Side.BUY else -1
        ours = [o for o in self.orders.values() if o.intent.order_id in self.resting and o.intent.side is maker]
        ours.sort(key=lambda o: -better * o.intent.price)  # stable: equal prices stay in the order of arrival
        left = tick.size
        reports = []
        for order in ours:
            reach = better * (order.intent.price - tick.price)
            if left == 0 or reach < 0:
                break
            if reach > 0:
                order.queue_ahead = 0  # the market went through our price: nobody is ahead any more
            size = min(order.remaining, max(0, left - order.queue_ahead))
            order.queue_ahead -= min(order.queue_ahead, left)
            if size:
                left -= size
                reports.append(self._fill(order, size, now))
        return reports

    def _fill(self, order: _Order, size: int, now: _Now) -> ExecutionReport:
        order.filled += size
        is_done = order.remaining == 0
        if is_done:
            del self.orders[order.intent.order_id]
            self.resting.discard(order.intent.order_id)
        price = order.intent.price
        fee = divide_half_even(price * size * self.instrument.maker_fee_ppm, _PPM)
        status = OrderStatus.FILLED if is_done else OrderStatus.PARTIAL
        return _report(order, status, now, last_price=price, last_size=size, fee=fee)

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
    banner = "PAPER: a stand-in venue; fills are modelled from market.ticks, no order leaves this process"

    def __init__(self, listings: Listings) -> None:
        self._listings = listings
        self._markets = {market: _PaperMarket(listing.instrument) for market, listing in listings.items()}
        self._partitions: dict[int, list[_PaperMarket]] = {}
        for market, listing in listings.items():
            self._partitions.setdefault(listing.partition, []).append(self._markets[market])

    def working(self, market: Market) -> list[WorkingOrder]:
        """Give the orders of a market that rest or are on their way, and are not being cancelled."""
        return [
            WorkingOrder(o.intent.order_id, o.intent.side, o.intent.price, o.intent.size)
            for o in self._markets[market].orders.values()
            if not o.is_cancelling
        ]

    def submit(self, orders: Orders, now_us: int) -> list[ExecutionReport]:
        """Send orders; those already due on the venue's clock have arrived."""
        reports: list[ExecutionReport] = []
        for market in dict.fromkeys(intent.market for intent in orders.intents):
            paper = self._markets[market]
            mine = tuple(intent for intent in orders.intents if intent.market == market)
            paper.send(Orders(mine, orders.ts_due, orders.reason))
            if orders.ts_due == 0:
                reports += self._cancel_now(paper, now_us)
            else:
                reports += paper.arrive(paper.clock_us, now_us, None)
        return reports

    def on_tick(self, tick: Tick, cause: Cause, now_us: int) -> list[ExecutionReport]:
        """Advance the partition's clock, let in what is due, then match the tick."""
        reports: list[ExecutionReport] = []
        for paper in self._partitions.get(cause.partition, ()):
            if paper.arriving:
                reports += paper.arrive(tick.ts_recv, now_us, cause)
            paper.clock_us = tick.ts_recv
        market = self._markets.get(tick.market)
        if market is not None:
            reports += market.take(tick, cause, now_us)
        return reports

    def forget(self, partition: int) -> None:
        """Drop books and orders of a partition: another executor has it now."""
        for market, listing in self._listings.items():
            if listing.partition == partition:
                self._markets[market] = _PaperMarket(listing.instrument)
        self._partitions[partition] = [
            self._markets[market] for market, listing in self._listings.items() if listing.partition == partition
        ]

    def _cancel_now(self, paper: _PaperMarket, now_us: int) -> list[ExecutionReport]:
        """Carry out cancels without delay, also of orders on their way."""
        due, later = [f for f in paper.arriving if f.ts_due == 0], [f for f in paper.arriving if f.ts_due != 0]
        cancelled = {flight.intent.order_id for flight in due}
        paper.arriving = deque(f for f in later if f.intent.order_id not in cancelled)
        reports = []
        for flight in due:
            order = paper.orders.pop(flight.intent.order_id, None)
            paper.resting.discard(flight.intent.order_id)
            if order is not None:
                now = _Now(paper.clock_us or now_us, now_us, _cause_of(flight.intent))
                reports.append(_report(order, OrderStatus.CANCELLED, now, flight.reason))
        return reports


def _cause_of(intent: OrderIntent) -> Cause:
    return Cause(intent.cause_topic, intent.cause_partition, intent.cause_first_offset, intent.cause_offset)


def _report(
    order: _Order,
    status: OrderStatus,
    now: _Now,
    reason: OrderReason | None = None,
    *,
    last_price: int | None = None,
    last_size: int | None = None,
    fee: int = 0,
) -> ExecutionReport:
    intent = order.intent
    number = order.reports
    order.reports += 1
    return ExecutionReport(
        execution_id=f"{intent.order_id}|{number}",
        order_id=intent.order_id,
        mode=intent.mode,
        account=intent.account,
        venue=intent.venue,
        symbol=intent.symbol,
        status=status,
        side=intent.side,
        price=intent.price,
        size=intent.size,
        filled_size=order.filled,
        last_price=last_price,
        last_size=last_size,
        fee=fee,
        ts_event=now.ts_event,
        ts_recv=now.ts_recv,
        reason=reason,
        cause_topic=now.cause.topic,
        cause_partition=now.cause.partition,
        cause_first_offset=now.cause.first_offset,
        cause_offset=now.cause.offset,
    )
