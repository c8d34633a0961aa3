"""The one port that every venue adapter fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.enums import Mode, Side
from schemas.instruments import Instrument
from schemas.reasons import OrderReason
from schemas.records import Cause, ExecutionReport, Market, OrderIntent, Tick

__all__ = ["Listing", "Listings", "Orders", "Venue", "WorkingOrder"]


@dataclass(frozen=True, slots=True)
class Listing:
    """A market that may be quoted, and the partition of its group."""

    instrument: Instrument
    partition: int

    @property
    def market(self) -> Market:
        """The (venue, symbol) pair."""
        return (self.instrument.venue, self.instrument.symbol)


Listings = Mapping[Market, Listing]


@dataclass(frozen=True, slots=True)
class WorkingOrder:
    """An order that rests or is on its way, and is not being cancelled; `size` is what was asked for."""

    order_id: str
    side: Side
    price: int
    size: int


@dataclass(frozen=True, slots=True)
class Orders:
    """Intents that belong together; they are journalled before they are submitted.

    Attributes:
        ts_due: When they reach the venue, on its clock; 0 is at once.
        reason: Why those that cancel do.
    """

    intents: tuple[OrderIntent, ...]
    ts_due: int
    reason: OrderReason


class Venue(Protocol):
    """A place that orders go to."""

    @property
    def mode(self) -> Mode:
        """What is written into every record."""

    @property
    def banner(self) -> str:
        """What it is, in words for people; a stand-in says that it is one."""

    def working(self, market: Market) -> Sequence[WorkingOrder]:
        """Give the orders of a market that targets are compared with."""

    def submit(self, orders: Orders, now_us: int) -> list[ExecutionReport]:
        """Send journalled orders; give what is known of them at once."""

    def on_tick(self, tick: Tick, cause: Cause, now_us: int) -> list[ExecutionReport]:
        """Take the next record of `market.ticks`; give what it did to our orders."""

    def forget(self, partition: int) -> None:
        """Drop what is known of a partition's markets."""
