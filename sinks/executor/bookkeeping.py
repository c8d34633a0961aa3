"""What the executor journals: intents, executions, and the positions that these make."""

from __future__ import annotations

from collections.abc import Sequence

from infra.runtime.clock import Clock
from schemas.records import ExecutionReport, OrderIntent, Position
from sinks.executor.desk import Desk
from sinks.executor.journal import Journal
from sinks.executor.port import Orders
from sinks.ops import Outgoing

__all__ = ["Bookkeeping"]


class Bookkeeping:
    """Writes the records of an account's desk; each returns when the broker has acknowledged them."""

    def __init__(self, journal: Journal, desk: Desk, clock: Clock) -> None:
        self._journal = journal
        self._desk = desk
        self._clock = clock

    def intents(self, orders: Orders) -> None:
        """Write what is about to be asked of the venue."""
        self._journal.write([self._outgoing(intent) for intent in orders.intents])

    def reports(self, reports: Sequence[ExecutionReport]) -> None:
        """Write executions with the positions that they change."""

        def positions(offsets: list[int]) -> list[Outgoing]:
            changed = self._desk.booked(list(zip(reports, offsets, strict=True)), self._clock())
            return [self._of_position(position) for position in changed]

        self._journal.write([self._outgoing(report) for report in reports], positions)

    def positions(self, positions: Sequence[Position]) -> None:
        """Write positions."""
        self._journal.write([self._of_position(position) for position in positions])

    def _outgoing(self, record: OrderIntent | ExecutionReport) -> Outgoing:
        listing = self._desk.listings[record.market]
        return Outgoing(record, listing.instrument.group, listing.partition)

    def _of_position(self, position: Position) -> Outgoing:
        key = f"{position.mode}|{position.account}|{position.venue}|{position.symbol}"
        return Outgoing(position, key, self._desk.listings[position.market].partition)
