"""What the executor journals: intents, executions, and the positions and the money that these make."""

from __future__ import annotations

from collections.abc import Sequence

from infra.runtime.clock import Clock
from schemas.records import ExecutionReport, OrderIntent, Position
from sinks.executor.account.money import AccountMoney
from sinks.executor.desk import Desk
from sinks.executor.journal import Journal
from sinks.executor.port import Orders, VenueEvent, VenueMoney, VenuePositions
from sinks.ops import Outgoing

__all__ = ["Bookkeeping"]

_MOST_WAITING = 500


class Bookkeeping:
    """Writes the records of an account's desk; each returns when the broker has acknowledged them."""

    def __init__(self, journal: Journal, desk: Desk, money: AccountMoney, clock: Clock) -> None:
        self._journal = journal
        self._desk = desk
        self._money = money
        self._clock = clock
        self._waiting: list[ExecutionReport] = []

    def intents(self, orders: Orders) -> None:
        """Write what is about to be asked of the venue, and the fills that it stands on."""
        with self._journal.together():
            self.book()
            self._journal.write([self._outgoing(intent) for intent in orders.intents])

    def add(self, reports: Sequence[ExecutionReport]) -> None:
        """Take executions to write; until they are written, positions are those from before them."""
        self._waiting += reports
        if len(self._waiting) >= _MOST_WAITING:
            self.flush()

    def book(self) -> None:
        """Write the executions that wait if there is a fill among them: decisions stand on what is booked."""
        if any(report.last_size for report in self._waiting):
            self.flush()

    def flush(self) -> None:
        """Write the executions that wait, with the positions and the money that they change."""
        reports, self._waiting = self._waiting, []

        def positions(offsets: list[int]) -> list[Outgoing]:
            now_us = self._clock()
            changed = self._desk.booked(list(zip(reports, offsets, strict=True)), now_us)
            return self._of_money(changed, now_us) if changed else []

        self._journal.write([self._outgoing(report) for report in reports], positions)

    def reports(self, reports: Sequence[ExecutionReport]) -> None:
        """Write executions, and what waits, at once."""
        self.add(reports)
        self.flush()

    def settle(self, events: Sequence[VenueEvent], now_us: int) -> None:
        """Take what the venue says of money, when the fills that it told before are booked."""
        for event in events:
            if isinstance(event, VenueMoney | VenuePositions):
                self.money(self._money.take(event, now_us), now_us)

    def money(self, positions: Sequence[Position], now_us: int) -> None:
        """Write positions that were valued anew, and the money where it has changed."""
        self._desk.positions.update({position.market: position for position in positions})
        self._journal.write(self._of_money(positions, now_us))

    def positions(self, positions: Sequence[Position]) -> None:
        """Write positions."""
        self._journal.write([self._of_position(position) for position in positions])

    def _outgoing(self, record: OrderIntent | ExecutionReport) -> Outgoing:
        listing = self._desk.listings[record.market]
        return Outgoing(record, listing.instrument.group, listing.partition)

    def _of_money(self, positions: Sequence[Position], now_us: int) -> list[Outgoing]:
        balances = self._money.balances(now_us)
        keys = [f"{b.mode}|{b.account}|{b.venue}|{b.asset}" for b in balances]
        return [
            *(self._of_position(position) for position in positions),
            *(Outgoing(balance, key) for balance, key in zip(balances, keys, strict=True)),
        ]

    def _of_position(self, position: Position) -> Outgoing:
        key = f"{position.mode}|{position.account}|{position.venue}|{position.symbol}"
        return Outgoing(position, key, self._desk.listings[position.market].partition)
