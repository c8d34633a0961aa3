"""What the venue says becomes a fact about an order, and a report of it for the log. Pure.

A venue that tells its open orders and positions is compared with what we know at the same time: see `Reconciliation`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from schemas.enums import Mode, OrderStatus, Side
from schemas.records import Cause, ExecutionReport
from sinks.executor.blotter import Blotter, Fill, Listed
from sinks.executor.orders import Order, OrderState
from sinks.executor.port import (
    Answer,
    Answered,
    Filled,
    Moment,
    OpenOrders,
    Request,
    VenueEvent,
    VenueMoney,
    VenuePositions,
)
from sinks.executor.reconciliation import Reconciliation
from sinks.executor.recovery import RecoveredOrder

__all__ = ["Facts", "order_id"]

_SKEW_US = 5_000_000
"""What the venue's clock and ours may differ."""
_STATUSES = {OrderState(status): status for status in OrderStatus}


def order_id(account: str, nonce: int) -> str:
    """Give the id of an order in all records."""
    return f"{account}|{nonce}"


class Facts:
    """Takes what a venue says into the blotter, and makes the reports.

    Args:
        counts: Where reports, fills and oddities are counted.
        is_executing: Whether the venue executes; where it does not, nothing is reported.
        reconciliation: Of a venue with a memory of its own.
    """

    def __init__(
        self,
        mode: Mode,
        account: str,
        blotter: Blotter,
        counts: Counter[str],
        *,
        is_executing: bool,
        reconciliation: Reconciliation | None = None,
    ) -> None:
        self._mode = mode
        self._account = account
        self._blotter = blotter
        self._counts = counts
        self._is_executing = is_executing
        self.reconciliation = reconciliation
        # Reports made of each order: part of their ids.
        self._numbers: Counter[int] = Counter()
        # What each order was sent for: where nothing in the log made a venue speak, its reports name that.
        self._causes: dict[int, Cause] = {}
        self._strays: list[Listed] = []
        self._since_us = 0

    def take(self, events: Iterable[VenueEvent]) -> list[ExecutionReport]:
        """Take what the venue says; give a report of each change."""
        reports: list[ExecutionReport] = []
        for event in events:
            match event:
                case Answered():
                    reports += self._answered(event)
                case Filled():
                    reports += self._filled(event)
                case OpenOrders():
                    reports += self._listed(event)
                case VenuePositions():
                    reports += self._compared(event)
                case VenueMoney():
                    if self.reconciliation is not None:
                        self.reconciliation.take_money(event)
        for report in reports:
            self._counts[f"reports_{report.status.lower()}"] += 1
            self._counts["fills"] += bool(report.last_size)
        return reports if self._is_executing else []

    def strays(self) -> list[Listed]:
        """Give the orders found in the venue's book since last asked that should not be there."""
        strays, self._strays = self._strays, []
        return strays

    def restore(self, recovered: Sequence[RecoveredOrder], now_us: int) -> None:
        """Take the orders that the log holds.

        Trades of before them, and of before now, that are of none of them, are none of this log's.
        """
        first_us = min([one.sent_us for one in recovered if one.order.is_live] + [now_us])
        self._since_us = min(self._since_us or first_us, first_us - _SKEW_US)
        for one in recovered:
            self._numbers[one.order.nonce] = one.reports
            self._causes[one.order.nonce] = one.cause
            self._blotter.restore(one.order, one.sent_us, one.fills)

    def sent(self, request: Request) -> None:
        """Note what an order is sent for."""
        self._causes[request.order.nonce] = request.cause

    def tidy(self) -> None:
        """Forget the reports of orders that the blotter has forgotten."""
        for nonce in [nonce for nonce in self._causes if nonce not in self._blotter]:
            del self._causes[nonce]
            self._numbers.pop(nonce, None)

    def _answered(self, event: Answered) -> list[ExecutionReport]:
        blotter = self._blotter
        if event.nonce not in blotter:
            self._counts["answers_too_late"] += 1
            return []
        before = blotter[event.nonce]
        match event.answer:
            case Answer.ACCEPTED:
                order = blotter.accepted(event.nonce, event.venue_order_id or "", event.at.ts_recv)
            case Answer.REFUSED:
                order = blotter.refused(event.nonce, event.at.ts_recv)
            case Answer.CANCELLED:
                order = blotter.cancelled(event.nonce, event.at.ts_recv)
            case Answer.EXPIRED:
                order = blotter.expired(event.nonce, event.at.ts_recv)
            case Answer.UNANSWERED:
                order = blotter.unanswered(event.nonce, event.at.ts_recv)
        claimed = self._claimed(event.at)
        if claimed or order.state is before.state:
            return claimed
        return [self._report(order, event.at, reason=event.reason)]

    def _filled(self, event: Filled) -> list[ExecutionReport]:
        fill = event.fill
        if fill.ts_event < self._since_us and self._blotter.order_of(fill.venue_order_id) is None:
            self._counts["earlier_trades"] += 1
            return []
        if not self._blotter.fill(fill, event.at.ts_recv):
            self._counts["repeated_fills"] += 1
            return []
        order = self._blotter.order_of(fill.venue_order_id)
        if order is None:
            self._counts["unmatched_fills"] += 1
            return []
        return [self._report(order, event.at, fill)]

    def _listed(self, event: OpenOrders) -> list[ExecutionReport]:
        before = {order.nonce: order.state for order in self._blotter if order.is_live}
        strays = self._blotter.take_listing(event)
        self._counts["strays"] += len(strays)
        self._strays += strays
        at = Moment(event.asked_us, event.asked_us, None)
        reports = self._claimed(at)
        told = {report.order_id for report in reports}
        for nonce, state in before.items():
            order = self._blotter[nonce]
            if order.state is not state and order_id(self._account, nonce) not in told:
                reports.append(self._report(order, at))
        return reports

    def _compared(self, event: VenuePositions) -> list[ExecutionReport]:
        if self.reconciliation is None:
            return []
        at = Moment(event.asked_us, event.asked_us, None)
        ended = self._blotter.settle(self.reconciliation.compare(event), event.asked_us)
        return self._claimed(at) + [self._report(order, at) for order in ended]

    def _claimed(self, at: Moment) -> list[ExecutionReport]:
        """Report the trades whose order has become known."""
        claimed = self._blotter.claim()
        self._counts["unmatched_fills"] -= len(claimed)
        return [self._report(order, replace(at, ts_event=fill.ts_event), fill) for order, fill in claimed]

    def _report(self, order: Order, at: Moment, fill: Fill | None = None, reason: str | None = None) -> ExecutionReport:
        if fill is not None and self.reconciliation is not None:
            self.reconciliation.filled(order.market, fill.size if fill.side is Side.BUY else -fill.size)
        cause = at.cause or self._causes[order.nonce]
        name = order_id(self._account, order.nonce)
        number = self._numbers[order.nonce]
        self._numbers[order.nonce] += 1
        return ExecutionReport(
            execution_id=f"{name}|{number}",
            order_id=name,
            venue_order_id=order.venue_order_id,
            trade_id=fill.trade_id if fill else None,
            mode=self._mode,
            account=self._account,
            venue=order.market[0],
            symbol=order.market[1],
            status=_STATUSES[order.state],
            side=order.side,
            price=order.price,
            size=order.size,
            filled_size=order.filled,
            last_price=fill.price if fill else None,
            last_size=fill.size if fill else None,
            fee=fill.fee if fill else 0,
            ts_event=at.ts_event,
            ts_recv=at.ts_recv,
            reason=reason,
            flags=fill.flags if fill else 0,
            cause_topic=cause.topic,
            cause_partition=cause.partition,
            cause_first_offset=cause.first_offset,
            cause_offset=cause.offset,
        )
