"""What the venue says becomes a fact about an order, and a report of it for the log. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from schemas.enums import Mode, OrderStatus
from schemas.records import ExecutionReport
from sinks.executor.blotter import Blotter
from sinks.executor.orders import Order, OrderState
from sinks.executor.port import Answer, Answered, Filled, Moment, VenueEvent

__all__ = ["Facts", "order_id"]

_STATUSES = {OrderState(status): status for status in OrderStatus}


def order_id(account: str, nonce: int) -> str:
    """Give the id of an order in all records."""
    return f"{account}|{nonce}"


class Facts:
    """Takes what a venue says into the blotter, and makes the reports.

    Args:
        counts: Where reports, fills and oddities are counted.
        is_executing: Whether the venue executes; where it does not, nothing is reported.
    """

    def __init__(self, mode: Mode, account: str, blotter: Blotter, counts: Counter[str], *, is_executing: bool) -> None:
        self._mode = mode
        self._account = account
        self._blotter = blotter
        self._counts = counts
        self._is_executing = is_executing
        # Reports made of each order: part of their ids.
        self._numbers: Counter[int] = Counter()

    def take(self, events: Iterable[VenueEvent]) -> list[ExecutionReport]:
        """Take what the venue says; give a report of each change."""
        reports = []
        for event in events:
            if isinstance(event, Answered):
                report = self._answered(event)
            elif isinstance(event, Filled):
                report = self._filled(event)
            else:
                continue
            if report is not None and self._is_executing:
                self._counts[f"reports_{report.status.lower()}"] += 1
                self._counts["fills"] += bool(report.last_size)
                reports.append(report)
        return reports

    def tidy(self) -> None:
        """Forget the reports of orders that the blotter has forgotten."""
        for nonce in [nonce for nonce in self._numbers if nonce not in self._blotter]:
            del self._numbers[nonce]

    def _answered(self, event: Answered) -> ExecutionReport | None:
        before, blotter = self._blotter[event.nonce], self._blotter
        match event.answer:
            case Answer.ACCEPTED:
                order = blotter.accepted(event.nonce, event.venue_order_id or "", event.at.ts_recv)
            case Answer.REFUSED:
                order = blotter.refused(event.nonce)
            case Answer.CANCELLED:
                order = blotter.cancelled(event.nonce)
            case Answer.EXPIRED:
                order = blotter.expired(event.nonce)
            case Answer.UNANSWERED:
                order = blotter.unanswered(event.nonce)
        return self._report(order, event.at, reason=event.reason) if order.state is not before.state else None

    def _filled(self, event: Filled) -> ExecutionReport | None:
        fill = event.fill
        if not self._blotter.fill(fill):
            self._counts["repeated_fills"] += 1
            return None
        order = self._blotter.order_of(fill.venue_order_id)
        if order is None:
            self._counts["unmatched_fills"] += 1
            return None
        return self._report(order, event.at, event)

    def _report(
        self, order: Order, at: Moment, filled: Filled | None = None, reason: str | None = None
    ) -> ExecutionReport:
        name = order_id(self._account, order.nonce)
        number = self._numbers[order.nonce]
        self._numbers[order.nonce] += 1
        return ExecutionReport(
            execution_id=f"{name}|{number}",
            order_id=name,
            venue_order_id=order.venue_order_id,
            trade_id=filled.fill.trade_id if filled else None,
            mode=self._mode,
            account=self._account,
            venue=order.market[0],
            symbol=order.market[1],
            status=_STATUSES[order.state],
            side=order.side,
            price=order.price,
            size=order.size,
            filled_size=order.filled,
            last_price=filled.fill.price if filled else None,
            last_size=filled.fill.size if filled else None,
            fee=filled.fill.fee if filled else 0,
            ts_event=at.ts_event,
            ts_recv=at.ts_recv,
            reason=reason,
            cause_topic=at.cause.topic,
            cause_partition=at.cause.partition,
            cause_first_offset=at.cause.first_offset,
            cause_offset=at.cause.offset,
        )
