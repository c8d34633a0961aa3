"""A partition of the paper venue run again over the log, from a checkpoint on: what happened while nobody looked. Pure.

The venue is a function of the ticks and the journal, so what it says now is what it said then, in the same reports of
the same ids. Those that the log has are dropped, the others are given out to be written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from schemas.enums import OrderAction
from schemas.records import Cause, ExecutionReport, OrderIntent, Tick
from sinks.executor.blotter import Fill
from sinks.executor.desk import Desk
from sinks.executor.lapse import Lapse
from sinks.executor.orders import OrderState
from sinks.executor.paper.market import Resting, paper_name
from sinks.executor.paper.venue import PaperPartition
from sinks.executor.recovery import RecoveredOrder

__all__ = ["Replay", "recovered"]


class Replay:
    """One partition, after its venue has been given a checkpoint and before anything new is decided.

    Args:
        desk: Counts reports that contradict the log, or are missing from it, as `replay_differences`.
        logged: Executions of the log that the checkpoint does not include.
    """

    def __init__(self, desk: Desk, logged: Iterable[ExecutionReport]) -> None:
        self._desk = desk
        self._differences = 0
        self._logged = {report.execution_id: report for report in logged}

    def begin(self, intents: Sequence[OrderIntent]) -> list[ExecutionReport]:
        """Take the journal's intents that the checkpoint does not include; gives what is new."""
        return self._new(self._desk.resume(intents))

    def on_tick(self, tick: Tick, cause: Cause) -> list[ExecutionReport]:
        """Apply the next tick; gives what is new."""
        return self._new(self._desk.on_tick(tick, cause, tick.ts_recv))

    def pass_over(self, lapse: Lapse, cause: Cause) -> list[ExecutionReport]:
        """Let ticks of other markets pass; gives what is new."""
        return self._new(self._desk.pass_over(lapse, cause))

    def end(self) -> int:
        """Give how many executions the log has otherwise, or the venue has not said again."""
        self._differences += len(self._logged)
        self._desk.counts["replay_differences"] += self._differences
        return self._differences

    def _new(self, reports: Iterable[ExecutionReport]) -> list[ExecutionReport]:
        new = []
        for report in reports:
            logged = self._logged.pop(report.execution_id, None)
            if logged is None:
                new.append(report)
            else:
                self._desk.counts["replayed_reports"] += 1
                self._differences += logged != report
        return new


def recovered(partition: PaperPartition) -> list[RecoveredOrder]:
    """Give the orders of a partition as the desk knew them when the venue stood there."""
    cancelling = {r.order.nonce for r in partition.arriving if r.action is OrderAction.CANCEL}
    return [_recovered(resting, is_cancelling=resting.order.nonce in cancelling) for resting in partition.orders]


def _recovered(resting: Resting, *, is_cancelling: bool) -> RecoveredOrder:
    order, intent = resting.order, resting.intent
    in_book = OrderState.PARTIAL if resting.filled else OrderState.OPEN
    state = in_book if resting.has_arrived else OrderState.SENT
    name = paper_name(order) if resting.has_arrived else None
    # One trade stands for all: their prices and fees are booked.
    fills = [
        Fill(
            trade_id=f"{name}-1",
            venue_order_id=name,
            market=order.market,
            side=order.side,
            price=order.price,
            size=resting.filled,
            fee=0,
            ts_event=intent.ts_intent,
        )
        for name in ([name] if name is not None and resting.filled else [])
    ]
    known = replace(order, state=state, filled=resting.filled, venue_order_id=name, is_cancelling=is_cancelling)
    reports = int(resting.has_arrived) + resting.trades
    return RecoveredOrder(known, intent.ts_intent, resting.request.cause, reports, tuple(fills))
