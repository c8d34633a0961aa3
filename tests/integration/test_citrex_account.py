"""The money of an account at the simulated exchange, against its ledger: funding, fees, cash and what was paid in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from infra.runtime.clock import wall_clock_us
from schemas.enums import OrderStatus
from schemas.records import Balance
from sinks.executor.account.positions import with_instrument
from sinks.executor.port import VenueMoney, VenuePositions
from tests.citrex_process import ONE, CitrexProcess, citrex_process
from tests.integration.test_citrex_adapter import MARKET, Trader, best


@pytest.fixture(scope="module")
def exchange() -> Iterator[CitrexProcess]:
    """An exchange that moves its funding rate every second, and whose crowd rests."""
    with citrex_process("--rate", "0", "--funding-s", "1") as process:
        yield process


class Holder(Trader):
    """A trader whose money is counted from what the venue tells."""

    def __init__(self, exchange: CitrexProcess, sub_account: int, **changes: Any) -> None:
        super().__init__(exchange, sub_account, **changes)
        self.desk.positions[MARKET] = with_instrument(
            self.desk.positions[MARKET], self.desk.listings[MARKET].instrument
        )
        self.money = self.desk.count_money(None)
        self.balance: Balance | None = None

    def turn(self) -> None:
        now_us = wall_clock_us()
        events = self.venue.poll(now_us)
        self._book(self.desk.take(events))
        for event in events:
            if isinstance(event, VenueMoney | VenuePositions):
                self.desk.positions.update({p.market: p for p in self.money.take(event, now_us)})
        for balance in self.money.balances(now_us):
            self.balance = balance
        self.desk.review(now_us)

    def is_counted(self) -> bool:
        """Whether all of it is what the exchange's ledger has."""
        ledger = self.exchange.account(self.venue.account, self.sub_account)
        (row,) = (row for row in ledger["positions"] if row["productSymbol"] == "seiperp")
        position = self.desk.positions[MARKET]
        ours = (position.quantity * 10**10, position.cash * 10, position.fees * 10, position.funding)
        theirs = tuple(int(row[name]) for name in ("quantity", "cash", "fees", "funding"))
        if self.balance is None or ours != theirs:
            return False
        return (str(self.balance.quantity), str(self.balance.deposits)) == (ledger["balance"], ledger["deposits"])


def test_funding_and_deposits_equal_the_ledger_to_the_unit(exchange: CitrexProcess) -> None:
    """While the rate moves, between fills that open, reduce and turn a position, with money paid in and out."""
    holder = Holder(exchange, 0)
    try:
        ask = best(exchange, "asks")
        holder.placed(asks=((ask, "250"),))
        holder.until(lambda: holder.statuses == [OrderStatus.OPEN])
        for _ in range(3):
            exchange.take(50_000, is_buy=True)
        holder.until(holder.is_counted)

        accrued: set[int | None] = set()

        def has_moved() -> bool:
            accrued.add(holder.desk.positions[MARKET].accrued_funding)
            return len(accrued) > 3

        holder.until(has_moved)
        who = {"account": holder.venue.account, "subAccountId": 0}
        exchange.control("deposit", **who, quantity=str(123 * ONE + 1))
        holder.until(holder.is_counted)
        exchange.control("deposit", **who, quantity=str(-23 * ONE))
        holder.until(holder.is_counted)

        bid = best(exchange, "bids")
        for _ in range(2):
            before = holder.desk.positions[MARKET].fill_count
            holder.placed((bid, "200"))
            holder.until(lambda: holder.open_orders)
            for _ in range(3):
                exchange.take(50_000, is_buy=False)
            holder.until(lambda before=before: holder.desk.positions[MARKET].fill_count > before)
            holder.until(holder.is_counted)
        assert holder.desk.positions[MARKET].funding != 0
    finally:
        holder.venue.close(2)
