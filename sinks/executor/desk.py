"""What the executor decides: which decisions count, and how live orders become what they ask for. Pure.

A decision is a target for its market, not a command: the newest one that was accepted holds, and everything that it
does not ask for is cancelled. What is refused changes nothing and is counted by its reason.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.clock import GRID_US
from schemas.enums import Mode, OrderAction, TimeInForce, TradingState
from schemas.reasons import OrderReason
from schemas.records import Cause, ExecutionReport, Market, OrderIntent, Position, QuoteDecision, Tick
from sinks.executor.account_rules import AccountLimits, AccountView, MarketView, SendRate, denial
from sinks.executor.blotter import Blotter
from sinks.executor.facts import Facts, order_id
from sinks.executor.identity import ATTEMPTS, Slot, nonce_of
from sinks.executor.orders import Order
from sinks.executor.port import Listings, Orders, Request, Venue, VenueEvent
from sinks.executor.positions import apply_fill
from sinks.executor.targets import Ignored, Target, Tolerance, changes, refusal

__all__ = ["Desk"]

_GRID_POINTS_KEPT = 256


@dataclass(frozen=True, slots=True)
class _Held:
    decision: QuoteDecision
    cause: Cause
    ts_cause: int
    arrived_us: int


class Desk:
    """The orders and positions of one (mode, account).

    Args:
        latency_us: From a decision's grid point to its orders' arrival at the venue.
        stale_us: A decision further behind the clock of its partition is not acted on.
        silence_us: A market without a decision for so long has its orders cancelled.
        expiry_us: Every order ends by itself so long after its grid point, whatever becomes of us.
        tolerance: How far an order may be from its target and stay.

    Attributes:
        trading_state: What the account may do; cancels pass in every state.
    """

    def __init__(
        self,
        venue: Venue,
        listings: Listings,
        account: str,
        limits: AccountLimits,
        *,
        latency_us: int = 50_000,
        stale_us: int = 2_000_000,
        silence_us: int = 2_000_000,
        expiry_us: int = 60_000_000,
        tolerance: Tolerance | None = None,
    ) -> None:
        self.venue = venue
        self.listings = listings
        self.account = account
        self.positions: dict[Market, Position] = {}
        self.counts: Counter[str] = Counter()
        self._latency_us = latency_us
        self._stale_us = stale_us
        self._silence_us = silence_us
        self._expiry_us = expiry_us
        self._tolerance = tolerance or Tolerance()
        self.trading_state = TradingState.ACTIVE
        self.blotter = Blotter()
        self._facts = Facts(venue.mode, account, self.blotter, self.counts, is_executing=venue.is_executing)
        self._limits = limits
        self._rate = SendRate()
        self._marks: dict[Market, int] = {}
        self._numbers = {market: number for number, market in enumerate(sorted(listings))}
        # Nonces that the journal holds from before this executor started.
        self._journalled: set[int] = set()
        self._held: dict[Market, _Held] = {}
        self._clock: dict[int, int] = {}
        self._offset: dict[int, int] = {}
        # ts_recv of the records that crossed a grid point, by offset: decisions name them as their cause.
        self._crossed: dict[int, OrderedDict[int, int]] = {}

    @property
    def mode(self) -> Mode:
        """Where the orders go."""
        return self.venue.mode

    def markets_of(self, partition: int) -> list[Market]:
        """List the markets that may be quoted in a partition."""
        return sorted(market for market, listing in self.listings.items() if listing.partition == partition)

    def decide(self, decision: QuoteDecision, cause: Cause, now_us: int) -> Orders | None:
        """Take a decision; give the orders that make its market what it asks for, None where nothing changes.

        Args:
            cause: Its own place on `trading.quotes`.
        """
        self.counts["decisions"] += 1
        ignored = self._refusal(decision)
        if ignored is not None:
            self.counts[f"ignored_{ignored}"] += 1
            return None
        held = _Held(decision, cause, self._ts_cause(decision), now_us)
        market = decision.market
        self._held[market] = held
        if decision.mid is not None:
            self._marks[market] = decision.mid
        change = changes(self.working(market), decision, self._tolerance, self._expiry_us)
        requests = [self._cancel(held, order, now_us) for order in change.cancels]
        for target in change.places:
            requests += self._place(held, target, now_us)
        return self._orders(requests, decision.ts_grid + self._latency_us, OrderReason.TARGET_CHANGED)

    def submit(self, orders: Orders, now_us: int) -> list[ExecutionReport]:
        """Send orders whose intents are journalled."""
        for request in orders.requests:
            if request.action is OrderAction.PLACE:
                self.counts["orders"] += 1
                self.blotter.send(request.order.nonce, now_us)
            else:
                self.counts["cancels"] += 1
        return self.take(self.venue.submit(orders, now_us))

    def working(self, market: Market) -> list[Order]:
        """Give the orders that targets are compared with: live, and not being cancelled."""
        return [order for order in self.blotter.live(market) if not order.is_cancelling]

    def take(self, events: Iterable[VenueEvent]) -> list[ExecutionReport]:
        """Take what the venue says; give a report of each change."""
        return self._facts.take(events)

    def remember(self, nonces: Iterable[int]) -> None:
        """Take the nonces of the journal: orders of these names are never sent again."""
        self._journalled.update(nonces)

    def tidy(self, now_us: int) -> None:
        """Drop what is too old for anything to be told of it."""
        before = now_us - 10 * self._expiry_us
        self.blotter.forget(before)
        self._journalled = {nonce for nonce in self._journalled if nonce >= before}
        self._facts.tidy()

    def on_tick(self, tick: Tick, cause: Cause, now_us: int) -> list[ExecutionReport]:
        """Take the next record of `market.ticks`; one that was delivered before changes nothing."""
        partition, offset = cause.partition, cause.offset
        if offset <= self._offset.get(partition, -1):
            return []
        self._offset[partition] = offset
        before_us = self._clock.get(partition, 0)
        self._clock[partition] = tick.ts_recv
        if tick.ts_recv // GRID_US > before_us // GRID_US:
            crossed = self._crossed.setdefault(partition, OrderedDict())
            crossed[offset] = tick.ts_recv
            if len(crossed) > _GRID_POINTS_KEPT:
                crossed.popitem(last=False)
        return self.take(self.venue.on_tick(tick, cause, now_us))

    def silenced(self, now_us: int) -> Orders | None:
        """Give the cancels of markets whose decisions have stopped coming."""
        silent = [m for m, held in self._held.items() if now_us - held.arrived_us > self._silence_us]
        return self._cancels(silent, OrderReason.TARGETS_SILENT, now_us)

    def cancel_all(self, now_us: int) -> Orders | None:
        """Give the cancels of everything: this executor ends."""
        return self._cancels(self._held, OrderReason.EXECUTOR_STOPPED, now_us)

    def booked(self, reports: Sequence[tuple[ExecutionReport, int]], now_us: int) -> list[Position]:
        """Book reports at their offsets on `trading.executions`; give the positions that changed."""
        changed: dict[Market, Position] = {}
        for report, offset in reports:
            if report.last_size:
                position = apply_fill(self.positions[report.market], report, offset, now_us)
                self.positions[report.market] = changed[report.market] = position
        return list(changed.values())

    def _refusal(self, decision: QuoteDecision) -> Ignored | None:
        listing, held = self.listings.get(decision.market), self._held.get(decision.market)
        return refusal(
            decision,
            held.decision if held else None,
            clock_us=self._clock.get(listing.partition, 0) if listing else 0,
            stale_us=self._stale_us,
            is_mine=(decision.mode, decision.account) == (self.mode, self.account),
            is_listed=listing is not None,
        )

    def _ts_cause(self, decision: QuoteDecision) -> int:
        crossed = self._crossed.get(decision.cause_partition)
        # Before its tick has been read here, the grid point stands in: never later than the tick.
        return crossed.get(decision.cause_offset, decision.ts_grid) if crossed else decision.ts_grid

    def _cancels(self, markets: Iterable[Market], reason: OrderReason, now_us: int) -> Orders | None:
        requests = [
            self._cancel(self._held[market], order, now_us)
            for market in sorted(markets)
            for order in self.working(market)
        ]
        return self._orders(requests, 0, reason)

    def _place(self, held: _Held, target: Target, now_us: int) -> list[Request]:
        """Give the request for a target; none where it has no free name, or a rule of the account objects."""
        decision = held.decision
        nonce = self._free_nonce(decision, target)
        if nonce is None:
            self.counts["repeated_orders"] += 1
            return []
        order = Order(
            nonce=nonce,
            market=decision.market,
            side=target.side,
            price=target.level.price,
            size=target.level.size,
            ts_expire=decision.ts_grid + self._expiry_us,
        )
        reason = denial(self._limits, self._account(now_us), order)
        if reason is not None:
            self.counts[f"denied_{reason.lower()}"] += 1
            return []
        self._rate.note(now_us)
        self.blotter.add(order)
        return [Request(OrderAction.PLACE, order, self._intent(held, OrderAction.PLACE, order, now_us))]

    def _free_nonce(self, decision: QuoteDecision, target: Target) -> int | None:
        """Name an order as nobody has before; None where a restart lies between: it was decided, perhaps sent."""
        for attempt in range(ATTEMPTS):
            nonce = nonce_of(
                decision.ts_grid, Slot(self._numbers[decision.market], target.side, target.number, attempt)
            )
            if nonce in self._journalled:
                return None
            if nonce not in self.blotter:
                return nonce
        return None

    def _account(self, now_us: int) -> AccountView:
        return AccountView(
            state=self.trading_state,
            markets={
                market: MarketView(
                    position=self.positions[market].quantity if market in self.positions else None,
                    mark=self._marks.get(market),
                    exposure=self.blotter.exposure(market),
                )
                for market in self.listings
            },
            open_orders=self.blotter.live_count,
            sends=self._rate.within(now_us),
            unknown=self.blotter.unknown(),
        )

    def _cancel(self, held: _Held, order: Order, now_us: int) -> Request:
        self._rate.note(now_us)
        order = self.blotter.cancel(order.nonce, now_us)
        return Request(OrderAction.CANCEL, order, self._intent(held, OrderAction.CANCEL, order, now_us))

    def _orders(self, requests: Sequence[Request], ts_due: int, reason: OrderReason) -> Orders | None:
        """Say where in the log of ticks requests take effect: at `ts_due`, or 0: before the next record."""
        if not requests:
            return None
        return Orders(
            tuple(
                request.effective(ts_due, None, reason)
                if ts_due
                else request.effective(None, self._next_offset(request.order.market), reason)
                for request in requests
            )
        )

    def _next_offset(self, market: Market) -> int:
        return self._offset.get(self.listings[market].partition, -1) + 1

    def _intent(self, held: _Held, action: OrderAction, order: Order, now_us: int) -> OrderIntent:
        decision, cause = held.decision, held.cause
        return OrderIntent(
            order_id=order_id(self.account, order.nonce),
            decision_id=decision.decision_id,
            action=action,
            mode=self.mode,
            account=self.account,
            venue=decision.venue,
            symbol=decision.symbol,
            side=order.side,
            price=order.price,
            size=order.size,
            time_in_force=TimeInForce.POST_ONLY,
            reduce_only=order.is_reduce_only,
            nonce=order.nonce,
            ts_expire=order.ts_expire,
            ts_intent=now_us,
            ts_cause=held.ts_cause,
            flags=decision.flags,
            cause_topic=cause.topic,
            cause_partition=cause.partition,
            cause_first_offset=cause.first_offset,
            cause_offset=cause.offset,
        )
