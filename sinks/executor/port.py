"""The one port that every venue adapter fills: what it is asked, and what it can say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum, unique
from typing import Protocol, runtime_checkable

from schemas.enums import Mode, OrderAction
from schemas.instruments import Instrument
from schemas.reasons import OrderReason
from schemas.records import Cause, Market, OrderIntent, Tick
from sinks.executor.blotter import Fill, Listed
from sinks.executor.blotter import Listing as OpenOrders
from sinks.executor.lapse import Lapse
from sinks.executor.orders import Order

__all__ = [
    "Answer",
    "Answered",
    "Filled",
    "Listed",
    "Listing",
    "Listings",
    "Moment",
    "OpenOrders",
    "Orders",
    "RemoteVenue",
    "Request",
    "Venue",
    "VenueEvent",
    "VenueMoney",
    "VenuePositions",
]


@dataclass(frozen=True, slots=True)
class Listing:
    """A market that may be quoted, and the partition of its group.

    Attributes:
        instrument: What is in force now.
        earlier: What was, oldest first.
    """

    instrument: Instrument
    partition: int
    earlier: tuple[Instrument, ...] = ()

    @property
    def market(self) -> Market:
        """The (venue, symbol) pair."""
        return (self.instrument.venue, self.instrument.symbol)

    def at(self, ts_us: int) -> Instrument:
        """Give what is in force by a clock that may be behind; what is known as the oldest where it is far behind."""
        known = (*self.earlier, self.instrument)
        return next((one for one in reversed(known) if one.ts_effective <= ts_us), known[0])


Listings = Mapping[Market, Listing]


@dataclass(frozen=True, slots=True)
class Request:
    """One thing that the venue is asked for, and the record of it in the journal."""

    action: OrderAction
    order: Order
    intent: OrderIntent

    @classmethod
    def of(cls, intent: OrderIntent) -> Request:
        """Give back a request from its record in the journal."""
        order = Order(
            nonce=intent.nonce or 0,
            market=intent.market,
            side=intent.side,
            price=intent.price,
            size=intent.size,
            ts_expire=intent.ts_expire or 0,
            is_reduce_only=intent.reduce_only,
            time_in_force=intent.time_in_force,
        )
        return cls(intent.action, order, intent)

    def effective(self, ts_due: int | None, tick_offset: int | None, reason: OrderReason) -> Request:
        """Say where in the log of ticks it takes effect, and why it cancels where it does; see `OrderIntent`."""
        why = self.intent.reason or (reason if self.action is OrderAction.CANCEL else None)
        return replace(self, intent=replace(self.intent, ts_due=ts_due, tick_offset=tick_offset, reason=why))

    @property
    def cause(self) -> Cause:
        """The record that the request is made for."""
        intent = self.intent
        return Cause(intent.cause_topic, intent.cause_partition, intent.cause_first_offset, intent.cause_offset)


@dataclass(frozen=True, slots=True)
class Orders:
    """Requests that belong together; they are journalled before they are submitted."""

    requests: tuple[Request, ...]

    @property
    def intents(self) -> tuple[OrderIntent, ...]:
        """What the journal gets."""
        return tuple(request.intent for request in self.requests)


@dataclass(frozen=True, slots=True)
class Moment:
    """When a venue said something, on its clock and on ours, and the record that made it.

    Attributes:
        cause: None where nothing in the log did; then what the order was sent for stands in.
    """

    ts_event: int
    ts_recv: int
    cause: Cause | None


@unique
class Answer(StrEnum):
    """What a venue can say of an order, besides its trades."""

    ACCEPTED = "ACCEPTED"
    REFUSED = "REFUSED"
    """Definitely: it is not in the book and never was."""
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    UNANSWERED = "UNANSWERED"
    """Nothing definite: a timeout, a reset, an error of the server, an answer that cannot be read."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer about one order."""

    nonce: int
    answer: Answer
    at: Moment
    venue_order_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Filled:
    """A trade of ours."""

    fill: Fill
    at: Moment


@dataclass(frozen=True, slots=True)
class VenuePositions:
    """All positions as the venue has them; a market that is not named has none.

    Attributes:
        asked_us: When it was asked for: what happened later need not be in it.
        quantities: Signed, in schema units.
        accrued_funding: What a position has earned and not been paid yet, 1e-18; negative is owed.
        entry_values: What was paid for what is held, 1e-18; negative when short.
    """

    asked_us: int
    quantities: Mapping[Market, int]
    accrued_funding: Mapping[Market, int]
    entry_values: Mapping[Market, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueMoney:
    """What the venue holds for the account, in 1e-18; None is not known.

    Attributes:
        asked_us: When it was asked for.
        quantity: Amount of the asset, without the open profit of positions.
        equity: With it.
    """

    asked_us: int
    asset: str
    quantity: int
    equity: int | None
    margin_used: int | None
    margin_available: int | None


VenueEvent = Answered | Filled | OpenOrders | VenuePositions | VenueMoney


class Venue(Protocol):
    """A place that orders go to."""

    @property
    def mode(self) -> Mode:
        """What is written into every record."""

    @property
    def banner(self) -> str:
        """What it is, in words for people; a stand-in says that it is one."""

    @property
    def is_executing(self) -> bool:
        """Whether orders go anywhere; where they do not, nothing that it says is an execution."""

    @property
    def is_on_log(self) -> bool:
        """Whether it lives on `market.ticks`: intents take effect where they say, not when submitted."""

    @property
    def shows_our_orders(self) -> bool:
        """Whether our orders are in the book that its producer reads."""

    def submit(self, orders: Orders, now_us: int) -> Sequence[VenueEvent]:
        """Send journalled orders; give what is known of them at once."""

    def on_tick(self, tick: Tick, cause: Cause, now_us: int) -> Sequence[VenueEvent]:
        """Take the next record of `market.ticks`; give what it did to our orders."""

    def pass_over(self, lapse: Lapse, cause: Cause) -> Sequence[VenueEvent]:
        """Let ticks of other markets pass; give what the time did to our orders."""

    def poll(self, now_us: int) -> Sequence[VenueEvent]:
        """Give what the venue has said since it was last asked; never waits."""


@runtime_checkable
class RemoteVenue(Venue, Protocol):
    """A venue with a memory of its own: orders and positions there outlive this process, and must be read."""

    @property
    def trouble(self) -> str | None:
        """Why it cannot be read or traded at now, in words for people."""

    @property
    def counters(self) -> Mapping[str, int]:
        """Cumulative counts of requests and failures."""

    def open(self, now_us: int) -> None:
        """Take up work: first everything that rests there is cancelled, then it is read, again and again."""

    def withdraw(self, orders: Sequence[Listed], now_us: int) -> None:
        """Cancel orders that are in the book and should not be."""

    def cancel_all(self, now_us: int) -> None:
        """Cancel everything that rests in the listed markets."""

    def hush(self, *, is_silent: bool) -> None:
        """Ask the venue nothing from now on, or ask again."""

    def close(self, timeout_s: float) -> None:
        """End, with what was asked for done if that takes no longer than `timeout_s`."""
