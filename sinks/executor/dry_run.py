"""Dry run: everything is decided and journalled, nothing is sent, nothing is ever filled. Pure."""

from __future__ import annotations

from schemas.enums import Mode, OrderAction
from schemas.records import Cause, ExecutionReport, Market, Tick
from sinks.executor.port import Listings, Orders, WorkingOrder

__all__ = ["DryRunVenue"]


class DryRunVenue:
    """Hold the orders that would rest, so that targets are compared with something; report nothing."""

    mode = Mode.DRY_RUN
    banner = "DRY RUN: orders are journalled and go nowhere; there are no executions"

    def __init__(self, listings: Listings) -> None:
        self._listings = listings
        self._orders: dict[Market, dict[str, WorkingOrder]] = {market: {} for market in listings}

    def working(self, market: Market) -> list[WorkingOrder]:
        """Give the orders that would rest."""
        return list(self._orders[market].values())

    def submit(self, orders: Orders, now_us: int) -> list[ExecutionReport]:
        """Note the orders as if they had been sent."""
        for intent in orders.intents:
            if intent.action is OrderAction.PLACE:
                order = WorkingOrder(intent.order_id, intent.side, intent.price, intent.size)
                self._orders[intent.market][intent.order_id] = order
            else:
                self._orders[intent.market].pop(intent.order_id, None)
        return []

    def on_tick(self, tick: Tick, cause: Cause, now_us: int) -> list[ExecutionReport]:
        """Do nothing: nothing rests anywhere."""
        return []

    def forget(self, partition: int) -> None:
        """Drop the orders of a partition."""
        for market, listing in self._listings.items():
            if listing.partition == partition:
                self._orders[market] = {}
