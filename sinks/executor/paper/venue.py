"""The paper venue: a pure, deterministic stand-in for a venue; docs/paper-venue.md has the rules in words.

It sees the market through `market.ticks` alone, in the order of the log, and is a function of that log and of the
intents: each takes effect where its record in the journal says, when the partition's clock passes `ts_due`, or before
the record at `tick_offset`, never when it is handed over. So the same journal over the same ticks fills the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from schemas.enums import Mode
from schemas.records import Cause, Instrument, Market, Tick
from sinks.executor.lapse import Lapse
from sinks.executor.paper.book import DisplayedBook
from sinks.executor.paper.market import FAR_US, PaperMarket, Resting
from sinks.executor.port import Listings, Moment, Orders, Request, VenueEvent

__all__ = ["PaperPartition", "PaperVenue"]


@dataclass(slots=True)
class PaperPartition:
    """The markets that share a log.

    Attributes:
        clock_us: The greatest `ts_recv` of the ticks applied.
        offset: Of the last tick applied.
        arriving: Requests that have not taken effect, in the order of the journal.
    """

    markets: dict[Market, PaperMarket] = field(default_factory=dict)
    clock_us: int = 0
    offset: int = -1
    arriving: list[Request] = field(default_factory=list)

    @property
    def orders(self) -> list[Resting]:
        """Orders on their way and in the book, in the order of sending within a market."""
        return [resting for market in self.markets.values() for resting in market.orders.values()]

    def lose_books(self) -> None:
        """Note that ticks are left out from here on: no book is known until its next snapshot."""
        for market in self.markets.values():
            market.book = DisplayedBook()

    def submit(self, request: Request) -> None:
        """Take a journalled request."""
        self.markets[request.order.market].send(request)
        self.arriving.append(request)

    def at_once(self, next_offset: int) -> Iterator[VenueEvent]:
        """Let in what takes effect before the record at `next_offset`."""
        for request in self._leave(lambda r: r.intent.ts_due is None and (r.intent.tick_offset or 0) <= next_offset):
            at_us = self.clock_us or request.intent.ts_intent
            yield from self._of(request).arrive(request, Moment(at_us, at_us, request.cause))

    def advance(self, tick: Tick, cause: Cause) -> Iterator[VenueEvent]:
        """Let in what is due and out what has expired, then match the tick."""
        yield from self._move(max(self.clock_us, tick.ts_recv), cause)
        market = self.markets.get(tick.market)
        if market is not None:
            yield from market.take(tick, Moment(self.clock_us, self.clock_us, cause))
        if self.arriving:
            yield from self.at_once(cause.offset + 1)

    def pass_over(self, lapse: Lapse, cause: Cause) -> Iterator[VenueEvent]:
        """Do at each of the ticks of other markets what `advance` does; of most, nothing waits for them."""
        at = 0
        while at < len(lapse):
            uneventful = self._uneventful(lapse)
            if uneventful > at:
                at = uneventful
                self.offset, self.clock_us = int(lapse.offsets[at - 1]), int(lapse.clocks[at - 1])
                continue
            offset = int(lapse.offsets[at])
            yield from self._move(int(lapse.clocks[at]), replace(cause, first_offset=offset, offset=offset))
            if self.arriving:
                yield from self.at_once(offset + 1)
            at += 1

    def _uneventful(self, lapse: Lapse) -> int:
        """Count the first ticks at which nothing can happen; none where something may at any."""
        if any(request.intent.ts_due is None for request in self.arriving):
            return 0
        due = min((request.intent.ts_due or 0 for request in self.arriving), default=FAR_US)
        expiry = min((market.next_expiry_us for market in self.markets.values()), default=FAR_US)
        return int(np.searchsorted(lapse.clocks, min(due, expiry + 1)))

    def _move(self, clock_us: int, cause: Cause) -> Iterator[VenueEvent]:
        """Go on to a tick: what is due comes in, what has expired goes."""
        if self.arriving:
            yield from self.at_once(cause.offset)
        before_us = self.clock_us
        self.clock_us, self.offset = clock_us, cause.offset
        if self.arriving:
            yield from self._due(before_us, cause)
        now = Moment(clock_us, clock_us, cause)
        for market in self.markets.values():
            yield from market.expire(now)

    def _due(self, before_us: int, cause: Cause) -> Iterator[VenueEvent]:
        for request in self._leave(lambda r: r.intent.ts_due is not None and r.intent.ts_due <= self.clock_us):
            at_us = max(request.intent.ts_due or 0, before_us)
            yield from self._of(request).arrive(request, Moment(at_us, at_us, cause))

    def _leave(self, is_wanted: Callable[[Request], bool]) -> list[Request]:
        """Take what is wanted, and can take effect, out of what arrives."""
        leaving: list[Request] = []
        staying: list[Request] = []
        for request in self.arriving:
            is_leaving = is_wanted(request) and self._of(request).is_ready_for(request)
            (leaving if is_leaving else staying).append(request)
        self.arriving = staying
        return leaving

    def _of(self, request: Request) -> PaperMarket:
        return self.markets[request.order.market]


class PaperVenue:
    """Fill orders on paper from the prints of the markets that they are quoted in."""

    mode = Mode.PAPER
    is_executing = True
    is_on_log = True
    shows_our_orders = False
    banner = "PAPER: a stand-in venue; fills are modelled from market.ticks, no order leaves this process"

    def __init__(self, listings: Listings) -> None:
        self._listings = listings
        numbers = {listing.partition for listing in listings.values()}
        self._partitions = {number: self.new_partition(number) for number in numbers}

    def partition(self, number: int) -> PaperPartition:
        """Give a partition, empty where no market is in it."""
        found = self._partitions.get(number)
        if found is None:
            found = self._partitions[number] = PaperPartition()
        return found

    def replace(self, number: int, partition: PaperPartition) -> None:
        """Take a partition as it was before a restart."""
        self._partitions[number] = partition

    def new_partition(self, number: int) -> PaperPartition:
        """Make a partition that has seen nothing."""
        markets = (market for market, listing in self._listings.items() if listing.partition == number)
        return PaperPartition({market: PaperMarket(partial(self._instrument_at, market)) for market in markets})

    def submit(self, orders: Orders, now_us: int) -> list[VenueEvent]:
        """Take journalled requests; those that take effect before the next tick do."""
        touched: dict[int, PaperPartition] = {}
        for request in orders.requests:
            number = self._listings[request.order.market].partition
            touched[number] = self._partitions[number]
            touched[number].submit(request)
        return [event for partition in touched.values() for event in partition.at_once(partition.offset + 1)]

    def on_tick(self, tick: Tick, cause: Cause, now_us: int) -> list[VenueEvent]:
        """Apply the next record of `market.ticks`."""
        return list(self.partition(cause.partition).advance(tick, cause))

    def pass_over(self, lapse: Lapse, cause: Cause) -> list[VenueEvent]:
        """Let ticks of other markets pass."""
        return list(self.partition(cause.partition).pass_over(lapse, cause))

    def _instrument_at(self, market: Market, ts_us: int) -> Instrument:
        return self._listings[market].at(ts_us)

    def poll(self, now_us: int) -> list[VenueEvent]:
        """Say nothing by itself: only ticks and orders move it."""
        return []
