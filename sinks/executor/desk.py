"""What the executor decides: which decisions count, and how live orders become what they ask for. Pure.

A decision is a target for its market, not a command: the newest one that was accepted holds, and everything that it
does not ask for is cancelled. What is refused changes nothing and is counted by its reason.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique

from schemas.enums import Mode, OrderAction, Side, TimeInForce, Verdict
from schemas.reasons import OrderReason
from schemas.records import Cause, ExecutionReport, Market, OrderIntent, Position, QuoteDecision, Tick
from sinks.executor.port import Listings, Orders, Venue, WorkingOrder
from sinks.executor.positions import apply_fill

__all__ = ["Desk", "Ignored"]

_GRID_US = 200_000
_GRID_POINTS_KEPT = 256


@unique
class Ignored(StrEnum):
    """Why a decision changed nothing; counted as `ignored_<name>`."""

    FOREIGN = "foreign"
    """Of another mode or account."""
    UNLISTED = "unlisted"
    """Of a market without an instrument, without a book, or not among the quoted venues."""
    OLD_EPOCH = "old_epoch"
    """Of a worker that has been replaced."""
    OLD_GRID = "old_grid"
    """Not after the one that holds: older, or delivered again."""
    STALE = "stale"
    """Too far behind the market's clock to act on."""


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
    """

    def __init__(
        self,
        venue: Venue,
        listings: Listings,
        account: str,
        *,
        latency_us: int = 50_000,
        stale_us: int = 2_000_000,
        silence_us: int = 2_000_000,
    ) -> None:
        self.venue = venue
        self.listings = listings
        self.account = account
        self.positions: dict[Market, Position] = {}
        self.counts: Counter[str] = Counter()
        self._latency_us = latency_us
        self._stale_us = stale_us
        self._silence_us = silence_us
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
        self._held[decision.market] = held
        cancels, places = _difference(self.venue.working(decision.market), decision)
        intents = [self._intent(held, OrderAction.CANCEL, order, now_us) for order in cancels]
        intents += [self._intent(held, OrderAction.PLACE, order, now_us) for order in places]
        return self._orders(intents, decision.ts_grid + self._latency_us, OrderReason.TARGET_CHANGED)

    def submit(self, orders: Orders, now_us: int) -> list[ExecutionReport]:
        """Send orders whose intents are journalled."""
        for intent in orders.intents:
            self.counts["orders" if intent.action is OrderAction.PLACE else "cancels"] += 1
        return self._counted(self.venue.submit(orders, now_us))

    def on_tick(self, tick: Tick, cause: Cause, now_us: int) -> list[ExecutionReport]:
        """Take the next record of `market.ticks`; one that was delivered before changes nothing."""
        partition, offset = cause.partition, cause.offset
        if offset <= self._offset.get(partition, -1):
            return []
        self._offset[partition] = offset
        before_us = self._clock.get(partition, 0)
        self._clock[partition] = tick.ts_recv
        if tick.ts_recv // _GRID_US > before_us // _GRID_US:
            crossed = self._crossed.setdefault(partition, OrderedDict())
            crossed[offset] = tick.ts_recv
            if len(crossed) > _GRID_POINTS_KEPT:
                crossed.popitem(last=False)
        return self._counted(self.venue.on_tick(tick, cause, now_us))

    def silenced(self, now_us: int) -> Orders | None:
        """Give the cancels of markets whose decisions have stopped coming."""
        silent = [m for m, held in self._held.items() if now_us - held.arrived_us > self._silence_us]
        return self._cancels(silent, OrderReason.TARGETS_SILENT, now_us)

    def cancel_all(self, partitions: Iterable[int], now_us: int) -> Orders | None:
        """Give the cancels of everything in partitions that this executor leaves."""
        left = set(partitions)
        markets = [m for m in self._held if self.listings[m].partition in left]
        return self._cancels(markets, OrderReason.EXECUTOR_STOPPED, now_us)

    def booked(self, reports: Sequence[tuple[ExecutionReport, int]], now_us: int) -> list[Position]:
        """Book reports at their offsets on `trading.executions`; give the positions that changed."""
        changed: dict[Market, Position] = {}
        for report, offset in reports:
            if report.last_size:
                position = apply_fill(self.positions[report.market], report, offset, now_us)
                self.positions[report.market] = changed[report.market] = position
        return list(changed.values())

    def forget(self, partition: int) -> None:
        """Drop everything about a partition: another executor has it now."""
        for market in self.markets_of(partition):
            self._held.pop(market, None)
            self.positions.pop(market, None)
        for of_partition in (self._clock, self._offset, self._crossed):
            of_partition.pop(partition, None)
        self.venue.forget(partition)

    def _refusal(self, decision: QuoteDecision) -> Ignored | None:
        if (decision.mode, decision.account) != (self.mode, self.account):
            return Ignored.FOREIGN
        listing = self.listings.get(decision.market)
        if listing is None:
            return Ignored.UNLISTED
        held = self._held.get(decision.market)
        if held is not None and decision.epoch < held.decision.epoch:
            return Ignored.OLD_EPOCH
        if held is not None and decision.ts_grid <= held.decision.ts_grid:
            return Ignored.OLD_GRID
        if decision.ts_grid + self._stale_us < self._clock.get(listing.partition, 0):
            return Ignored.STALE
        return None

    def _ts_cause(self, decision: QuoteDecision) -> int:
        crossed = self._crossed.get(decision.cause_partition)
        # Before its tick has been read here, the grid point stands in: never later than the tick.
        return crossed.get(decision.cause_offset, decision.ts_grid) if crossed else decision.ts_grid

    def _cancels(self, markets: Iterable[Market], reason: OrderReason, now_us: int) -> Orders | None:
        intents = [
            self._intent(self._held[market], OrderAction.CANCEL, order, now_us)
            for market in sorted(markets)
            for order in self.venue.working(market)
        ]
        return self._orders(intents, 0, reason)

    def _orders(self, intents: Sequence[OrderIntent], ts_due: int, reason: OrderReason) -> Orders | None:
        return Orders(tuple(intents), ts_due, reason) if intents else None

    def _intent(self, held: _Held, action: OrderAction, order: WorkingOrder, now_us: int) -> OrderIntent:
        decision, cause = held.decision, held.cause
        return OrderIntent(
            order_id=order.order_id,
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
            ts_intent=now_us,
            ts_cause=held.ts_cause,
            flags=decision.flags,
            cause_topic=cause.topic,
            cause_partition=cause.partition,
            cause_first_offset=cause.first_offset,
            cause_offset=cause.offset,
        )

    def _counted(self, reports: list[ExecutionReport]) -> list[ExecutionReport]:
        for report in reports:
            self.counts[f"reports_{report.status.lower()}"] += 1
            self.counts["fills"] += bool(report.last_size)
        return reports


def _difference(
    working: Sequence[WorkingOrder], decision: QuoteDecision
) -> tuple[list[WorkingOrder], list[WorkingOrder]]:
    """Give what to cancel and what to place; what is wanted and there stays, with its place in the queue."""
    cancels, places = list(working), []
    for wanted in _targets(decision):
        same = next((o for o in cancels if (o.side, o.price, o.size) == (wanted.side, wanted.price, wanted.size)), None)
        if same is not None:
            cancels.remove(same)
        else:
            places.append(wanted)
    return cancels, places


def _targets(decision: QuoteDecision) -> Iterable[WorkingOrder]:
    if decision.verdict is not Verdict.QUOTE:
        return
    for side, levels in ((Side.BUY, decision.bids), (Side.SELL, decision.asks)):
        for slot, level in enumerate(levels):
            yield WorkingOrder(f"{decision.decision_id}|{side}|{slot}", side, level.price, level.size)
