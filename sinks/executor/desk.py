"""What the executor decides: which decisions count, and how live orders become what they ask for. Pure.

A decision is a target for its market, not a command: the newest one that was accepted holds, and everything that it
does not ask for is cancelled. What is refused changes nothing and is counted by its reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from schemas.enums import Mode, OrderAction, Side, TickKind, Verdict
from schemas.reasons import AccountReason, OrderReason
from schemas.records import Cause, ExecutionReport, Market, OrderIntent, Position, QuoteDecision, Tick
from sinks.executor.account.money import AccountMoney
from sinks.executor.account.money_rules import loss_reason
from sinks.executor.account.positions import apply_fill, marked
from sinks.executor.account.rules import SendRate, denial
from sinks.executor.account.view import AccountLimits, AccountView, MarketView
from sinks.executor.blotter import Blotter, Listed
from sinks.executor.control.restraint import FREE, PERCENT, Restraint, surplus, widened
from sinks.executor.facts import Facts, order_id
from sinks.executor.identity import ATTEMPTS, FLATTEN_LEVEL, Slot, nonce_of
from sinks.executor.intents import Why, request_of
from sinks.executor.lapse import Lapse
from sinks.executor.notice import Notice
from sinks.executor.orders import Order
from sinks.executor.port import Listings, Orders, RemoteVenue, Request, Venue, VenueEvent
from sinks.executor.reconciliation import Reconciliation
from sinks.executor.recovery import RecoveredOrder
from sinks.executor.targets import Change, Ignored, Target, Tolerance, changes, refusal
from sinks.executor.trail import Trail

__all__ = ["Desk"]


class Desk:
    """The orders and positions of one (mode, account).

    Args:
        latency_us: From the tick that a decision names to its orders' arrival at the venue, on the partition's clock.
        stale_us: A decision further behind the clock of its partition is not acted on.
        expiry_us: Every order ends by itself so long after its grid point, whatever becomes of us.
        tolerance: How far an order may be from its target and stay.

    Attributes:
        expiry_us: From an order's grid point to its end.
        money: The account's money; None where nobody counts it.
        restraint: What the ladder and the breakers leave of trading; cancels pass whatever it says.
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
        self.expiry_us = expiry_us
        self._tolerance = tolerance or Tolerance()
        self.restraint = FREE
        # The widening that resting orders were last compared with.
        self._widened_pct = FREE.widen_pct
        self.blotter = Blotter()
        # Only what outlives this process can differ from what it knows.
        self._reconciliation = Reconciliation() if isinstance(venue, RemoteVenue) else None
        self._facts = Facts(
            venue.mode,
            account,
            self.blotter,
            self.counts,
            is_executing=venue.is_executing,
            reconciliation=self._reconciliation,
        )
        self._limits = limits
        self._rate = SendRate()
        self._marks: dict[Market, int] = {}
        self._last_trades: dict[Market, int] = {}
        self.money: AccountMoney | None = None
        self._numbers = {market: number for number, market in enumerate(sorted(listings))}
        # Nonces that the journal holds from before this executor started.
        self._journalled: set[int] = set()
        self._held: dict[Market, QuoteDecision] = {}
        self._whys: dict[Market, Why] = {}
        self._trails: defaultdict[int, Trail] = defaultdict(Trail)

    @property
    def mode(self) -> Mode:
        """Where the orders go."""
        return self.venue.mode

    def mark(self, market: Market) -> int | None:
        """Give the price that a position is valued at; None is not known."""
        return self._marks.get(market)

    def value(self, market: Market, mark: int) -> None:
        """Value a position at a price from now on."""
        self._marks[market] = mark

    def count_money(self, starting: Mapping[str, int] | None) -> AccountMoney:
        """Count the account's money from now on; `starting` is what a paper account begins with, by asset."""
        parts = (self.listings, self._limits, self.positions, self._marks, starting)
        self.money = AccountMoney(self.mode, self.account, *parts)
        return self.money

    def loss(self) -> AccountReason | None:
        """Give the limit of loss that holds trading back to reductions; None where none does."""
        return loss_reason(self._limits, self.money.money()) if self.money is not None else None

    def due_us(self, market: Market) -> int:
        """Give when what is sent now reaches the venue, on the clock of the market's partition."""
        return self._trail(market).clock_us + self._latency_us

    def is_mine(self, decision: QuoteDecision) -> bool:
        """Tell whether a decision is of this account and of a market that it may quote."""
        owner = (decision.mode, decision.account)
        return owner == (self.mode, self.account) and decision.market in self.listings

    def knows(self, name: str) -> bool:
        """Tell whether an order of this id is live, or ended since this executor started."""
        return any(order_id(self.account, order.nonce) == name for order in self.blotter)

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
        market = decision.market
        ts_cause = self._ts_cause(decision)
        ts_due = ts_cause + self._latency_us
        is_late = self.venue.is_on_log and ts_due <= self._trail(market).clock_us
        if is_late and decision.verdict is Verdict.QUOTE:
            self.counts[f"ignored_{Ignored.LATE}"] += 1
            return None
        why = Why(decision.decision_id, cause, ts_cause, decision.flags)
        self._held[market], self._whys[market] = decision, why
        if decision.mid is not None:
            self._marks[market] = decision.mid
        change = self._change(decision)
        requests = [self.cancel(why, order, now_us) for order in change.cancels]
        for target in change.places:
            requests += self._place(decision, why, target, now_us)
        return self.bundle(requests, 0 if is_late else ts_due, OrderReason.TARGET_CHANGED)

    def submit(self, orders: Orders, now_us: int) -> list[ExecutionReport]:
        """Send orders whose intents are journalled."""
        for request in orders.requests:
            if request.action is OrderAction.PLACE:
                self.counts["orders"] += 1
                self.blotter.send(request.order.nonce, now_us)
                self._facts.sent(request)
            else:
                self.counts["cancels"] += 1
                self.blotter.cancel(request.order.nonce, now_us)
        return self.take(self.venue.submit(orders, now_us))

    def working(self, market: Market) -> list[Order]:
        """Give the orders that targets are compared with: resting, and not being cancelled."""
        return [order for order in self.blotter.live(market) if not order.is_cancelling and not order.is_taker]

    def restrain(self, restraint: Restraint, why_of: Callable[[Market], Why], now_us: int) -> Orders | None:
        """Be held back from now on; give the cancels of what no longer may rest.

        To be asked again whenever something may have changed: positions shrink, and orders come to light.
        """
        is_wider = restraint.widen_pct > self._widened_pct
        self.restraint, self._widened_pct = restraint, restraint.widen_pct
        if restraint.is_free and not is_wider:
            return None
        requests = []
        for market in self.listings:
            live = self.blotter.live(market)
            if not live:
                continue
            position = self.positions.get(market)
            gone = surplus(restraint.state_in(market), live, position.quantity if position is not None else None)
            if is_wider and market in self._held:
                too_near = self._change(self._held[market]).cancels
                gone += [order for order in too_near if order not in gone]
            is_flattening = market in restraint.flattening
            gone = [order for order in gone if not (is_flattening and order.is_taker)]
            requests += [self.cancel(why_of(market), order, now_us) for order in gone]
        return self.bundle(requests, 0, OrderReason.TRADING_HALTED)

    def take(self, events: Iterable[VenueEvent]) -> list[ExecutionReport]:
        """Take what the venue says; give a report of each change."""
        return self._facts.take(events)

    def remember(self, nonces: Iterable[int]) -> None:
        """Take the nonces of the journal: orders of these names are never sent again."""
        self._journalled.update(nonces)

    def resume(self, intents: Sequence[OrderIntent]) -> list[ExecutionReport]:
        """Hand to the venue once more what the journal says was handed to it before a restart."""
        requests = [Request.of(intent) for intent in intents if intent.market in self.listings]
        for request in requests:
            self._note_why(request.intent)
            if request.action is OrderAction.PLACE:
                self.blotter.add(request.order)
                self.blotter.send(request.order.nonce, request.intent.ts_intent)
                self._facts.sent(request)
            elif request.order.nonce in self.blotter:
                self.blotter.cancel(request.order.nonce, request.intent.ts_intent)
        return self.take(self.venue.submit(Orders(tuple(requests)), 0))

    def begin(self, partition: int, offset: int, clock_us: int, placed: Iterable[OrderIntent]) -> None:
        """Note how far a partition was read before a restart, and what was placed in it and is live."""
        self._trails[partition].advance(offset, clock_us)
        for intent in placed:
            self._note_why(intent)

    def _note_why(self, intent: OrderIntent) -> None:
        self._whys[intent.market] = Why(intent.decision_id, Request.of(intent).cause, intent.ts_cause, intent.flags)

    def recover(self, orders: Sequence[RecoveredOrder], trade_ids: Iterable[str], now_us: int) -> None:
        """Take the orders and trades that the log holds; positions have been restored before."""
        self.blotter.know(trade_ids)
        self._facts.restore(orders, now_us)
        if self._reconciliation is not None:
            self._reconciliation.restore({market: one.quantity for market, one in self.positions.items()})

    def strays(self) -> list[Listed]:
        """Give the orders found in the venue's book since last asked that should not be there."""
        return self._facts.strays()

    def review(self, now_us: int) -> Iterable[Notice]:
        """Give what people should know of the venue since they were last told."""
        return self._reconciliation.review(now_us) if self._reconciliation is not None else ()

    def tidy(self, now_us: int) -> None:
        """Drop what is too old for anything to be told of it."""
        before = now_us - 10 * self.expiry_us
        self.blotter.forget(before)
        self._journalled = {nonce for nonce in self._journalled if nonce >= before}
        self._facts.tidy()

    def on_tick(self, tick: Tick, cause: Cause, now_us: int) -> list[ExecutionReport]:
        """Take the next record of `market.ticks`; one that was delivered before changes nothing."""
        if not self._trails[cause.partition].advance(cause.offset, tick.ts_recv):
            return []
        if tick.kind is TickKind.TRADE and tick.price > 0 and tick.market in self.listings:
            self._last_trades[tick.market] = tick.price
        return self.take(self.venue.on_tick(tick, cause, now_us))

    def pass_over(self, lapse: Lapse, cause: Cause) -> list[ExecutionReport]:
        """Let ticks of other markets pass: for ours, they are time."""
        self._trails[cause.partition].pass_over(lapse)
        return self.take(self.venue.pass_over(lapse, cause))

    def silenced(self, markets: Iterable[Market], now_us: int) -> Orders | None:
        """Give the cancels of markets whose decisions have stopped coming."""
        return self._cancels(markets, OrderReason.TARGETS_SILENT, now_us)

    def cancel_all(self, now_us: int) -> Orders | None:
        """Give the cancels of everything: this executor ends."""
        return self._cancels(self._whys, OrderReason.EXECUTOR_STOPPED, now_us)

    def booked(self, reports: Sequence[tuple[ExecutionReport, int]], now_us: int) -> list[Position]:
        """Book reports at their offsets on `trading.executions`; give the positions that changed."""
        changed: dict[Market, Position] = {}
        for report, offset in reports:
            if report.last_size:
                position = apply_fill(self.positions[report.market], report, offset, now_us)
                position = marked(position, self._marks.get(report.market, position.mark), now_us)
                self.positions[report.market] = changed[report.market] = position
        if changed and self.money is not None:
            self.money.observe(now_us)
        return list(changed.values())

    def _refusal(self, decision: QuoteDecision) -> Ignored | None:
        listing, held = self.listings.get(decision.market), self._held.get(decision.market)
        return refusal(
            decision,
            held,
            clock_us=self._trails[listing.partition].clock_us if listing else 0,
            stale_us=self._stale_us,
            is_mine=(decision.mode, decision.account) == (self.mode, self.account),
            is_listed=listing is not None,
        )

    def _ts_cause(self, decision: QuoteDecision) -> int:
        # Where that is not known, the grid point stands in: never later than the tick.
        at_us = self._trails[decision.cause_partition].at(decision.cause_offset)
        return decision.ts_grid if at_us is None else max(at_us, decision.ts_grid)

    def _cancels(self, markets: Iterable[Market], reason: OrderReason, now_us: int) -> Orders | None:
        requests = [
            self.cancel(self._whys[market], order, now_us)
            for market in sorted(markets)
            for order in self.working(market)
        ]
        return self.bundle(requests, 0, reason)

    def _change(self, decision: QuoteDecision) -> Change:
        instrument = self.listings[decision.market].instrument
        target = widened(decision, self.restraint.widen_pct, instrument)
        return changes(self.working(decision.market), target, self._tolerance, self.expiry_us)

    def _place(self, decision: QuoteDecision, why: Why, target: Target, now_us: int) -> list[Request]:
        """Give the request for a target; none where it has no free name, or a rule of the account objects."""
        if target.number >= FLATTEN_LEVEL:
            self.counts["levels_beyond"] += 1
            return []
        nonce = self.free_nonce(decision.market, target.side, target.number, decision.ts_grid)
        if nonce is None:
            self.counts["repeated_orders"] += 1
            return []
        order = Order(
            nonce=nonce,
            market=decision.market,
            side=target.side,
            price=target.level.price,
            size=target.level.size,
            ts_expire=decision.ts_grid + self.expiry_us,
        )
        is_wide = self.restraint.widen_pct > PERCENT
        request = self.place(replace(why, reason=OrderReason.WIDENED) if is_wide else why, order, now_us)
        return [request] if isinstance(request, Request) else []

    def place(self, why: Why, order: Order, now_us: int) -> Request | AccountReason:
        """Give the request for an order, or the rule of the account that objects."""
        reason = denial(self._limits, self._account(now_us, order.market), order)
        if reason is not None:
            self.counts[f"denied_{reason.lower()}"] += 1
            return reason
        self._rate.note(now_us)
        self.blotter.add(order)
        return request_of(self.mode, self.account, OrderAction.PLACE, order, why, now_us)

    def cancel(self, why: Why, order: Order, now_us: int) -> Request:
        """Give the request for an order's cancel: nothing objects to it."""
        self._rate.note(now_us)
        order = self.blotter.cancel(order.nonce, now_us)
        return request_of(self.mode, self.account, OrderAction.CANCEL, order, why, now_us)

    def free_nonce(self, market: Market, side: Side, level: int, ts_grid: int) -> int | None:
        """Name an order as nobody has before; None where a restart lies between: it was decided, perhaps sent."""
        for attempt in range(ATTEMPTS):
            nonce = nonce_of(ts_grid, Slot(self._numbers[market], side, level, attempt))
            if nonce in self._journalled:
                return None
            if nonce not in self.blotter:
                return nonce
        return None

    def _account(self, now_us: int, market: Market) -> AccountView:
        return AccountView(
            state=self.restraint.state_in(market),
            may_flatten=market in self.restraint.flattening,
            markets={
                market: MarketView(
                    position=self.positions[market].quantity if market in self.positions else None,
                    mark=self._marks.get(market),
                    exposure=self.blotter.exposure(market),
                    instrument=self.listings[market].instrument,
                    last_trade=self._last_trades.get(market),
                )
                for market in self.listings
            },
            open_orders=self.blotter.live_count,
            sends=self._rate.within(now_us),
            unknown=self.blotter.unknown(),
            unreconciled=self._reconciliation.blocked(now_us) if self._reconciliation is not None else frozenset(),
            money=self.money.money() if self.money is not None else None,
        )

    def bundle(self, requests: Sequence[Request], ts_due: int, reason: OrderReason) -> Orders | None:
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
        return self._trail(market).offset + 1

    def _trail(self, market: Market) -> Trail:
        return self._trails[self.listings[market].partition]
