"""The closed sets that records carry. Values equal the Avro symbols; flags are bits of `flags`."""

from __future__ import annotations

from enum import IntFlag, StrEnum, unique

__all__ = [
    "BarState",
    "BookState",
    "BreakerKind",
    "BreakerState",
    "ContractKind",
    "ControlAction",
    "ControlLevel",
    "Flag",
    "InstrumentSource",
    "Mode",
    "OrderAction",
    "OrderStatus",
    "Severity",
    "Side",
    "TickKind",
    "TimeInForce",
    "Timeframe",
    "TradingState",
    "Verdict",
]


@unique
class TickKind(StrEnum):
    """What a record of `market.ticks` says."""

    UNKNOWN = "UNKNOWN"
    """A kind of a newer schema; never written."""
    TRADE = "TRADE"
    """A print; `side` is the taker's."""
    TOP = "TOP"
    """The best level of a side; side BUY is the bid. A size of 0 says that the side is empty."""
    LEVEL = "LEVEL"
    """The absolute size at a price; 0 deletes the level."""
    CLEAR = "CLEAR"
    """Forget the book: a snapshot follows in the same message."""
    HEARTBEAT = "HEARTBEAT"
    """The source is alive; `watermark` is its promise about event times. `symbol` is empty."""
    BLOCK = "BLOCK"
    """A chain's new block; `symbol` is empty."""
    STATUS = "STATUS"
    """The feed's state in `flags`: GAPPED, STALE, or none when it is (re)synchronising."""


@unique
class Side(StrEnum):
    """A taker's or an order's side; of TOP and LEVEL, BUY is the bid side."""

    NONE = "NONE"
    """The kind has no side. Never a stand-in for a side that could not be read."""
    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> Side:
        """The side that trades with this one; NONE has none."""
        return {Side.BUY: Side.SELL, Side.SELL: Side.BUY}.get(self, Side.NONE)


class Flag(IntFlag):
    """Quality and provenance marks, bits of the `flags` field of every market record."""

    NONE = 0
    GAPPED = 1
    """Data is missing before or inside this record."""
    LATE = 2
    """Arrived after its interval was final."""
    STALE = 4
    """The feed was silent for longer than its limit."""
    OUT_OF_ORDER = 8
    """Its event time is before that of an earlier record of the same market and kind."""
    SPIKE = 16
    """Moved further than the threshold, and was confirmed at the new level."""
    CLOCK_SKEW = 32
    """Our clock and the venue's, or two of ours, disagree."""
    DERIVED = 64
    """Computed and rounded here, not stated by the venue."""
    OWN_BOOK_UNKNOWN = 128
    """The venue's book may hold our own orders, and which is not known."""
    AGGREGATE = 256
    """Several fills of one taker order in one print."""
    NO_EVENT_TIME = 512
    """The venue gave no time; our receive time stands in where a time is needed."""
    SNAPSHOT = 1024
    """Part of a full state, not of a change."""
    REPLAYED = 2048
    """Read from a recording, or filled in after a gap, not from the live stream."""


@unique
class BookState(StrEnum):
    """Whether a book may be trusted. Nobody quotes on one that is not LIVE."""

    SYNCING = "SYNCING"
    LIVE = "LIVE"
    STALE = "STALE"
    GAPPED = "GAPPED"


@unique
class ContractKind(StrEnum):
    """What a trade gives its parties."""

    SPOT = "spot"
    """The base asset against the quote asset."""
    PERPETUAL = "perpetual"
    """A position without an end, held on margin in the quote asset and paid funding."""


@unique
class InstrumentSource(StrEnum):
    """Where an instrument was read."""

    FILE = "FILE"
    VENUE = "VENUE"
    """The venue's own listing."""


@unique
class Timeframe(StrEnum):
    """The bar intervals, epoch-aligned in UTC."""

    M1 = "M1"
    M5 = "M5"
    M15 = "M15"
    H1 = "H1"
    H4 = "H4"
    D1 = "D1"

    @property
    def micros(self) -> int:
        """The interval's length in microseconds."""
        return _TIMEFRAME_MINUTES[self.value] * 60_000_000


_TIMEFRAME_MINUTES = {"M1": 1, "M5": 5, "M15": 15, "H1": 60, "H4": 240, "D1": 1440}


@unique
class BarState(StrEnum):
    """How far a bar can be trusted to stay as it is."""

    PARTIAL = "PARTIAL"
    """Still open."""
    FINAL = "FINAL"
    """The watermark passed its end."""
    CORRECTED = "CORRECTED"
    """A late trade changed it after it was final; the revision rose."""


@unique
class Verdict(StrEnum):
    """What a quote decision asks for. Each is a target: EMPTY and DENIED ask for no orders."""

    QUOTE = "QUOTE"
    EMPTY = "EMPTY"
    DENIED = "DENIED"


@unique
class Mode(StrEnum):
    """Where orders go. In every trading record, key and banner; never changes silently."""

    PAPER = "paper"
    DRY_RUN = "dry_run"
    CITREX = "citrex"


@unique
class OrderAction(StrEnum):
    """What an order intent asks the venue for."""

    PLACE = "PLACE"
    CANCEL = "CANCEL"


@unique
class TimeInForce(StrEnum):
    """How long an order rests. POST_ONLY is good till cancelled and never takes."""

    POST_ONLY = "POST_ONLY"
    GTC = "GTC"
    IOC = "IOC"


@unique
class OrderStatus(StrEnum):
    """An order's state after an execution report."""

    OPEN = "OPEN"
    PARTIAL = "PARTIAL"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"
    """The outcome is not known; blocks new exposure until resolved."""


@unique
class TradingState(StrEnum):
    """What an account may do. Cancels pass in every state."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    """Only what makes a position smaller."""
    HALTED = "HALTED"
    """Nothing new."""


@unique
class BreakerKind(StrEnum):
    """What can go wrong by itself, and what it does to trading until it is over."""

    DISCONNECT = "DISCONNECT"
    """A feed is gone: quoting pauses."""
    DRIFT = "DRIFT"
    """The model's inputs or its speed are not what they were: prices do without it."""
    LATENCY = "LATENCY"
    """Orders arrive late: quotes widen."""
    INVENTORY = "INVENTORY"
    """A position is past its limit: it is flattened."""
    EXTREME_MARKET = "EXTREME_MARKET"
    """The market moves as it never should: quoting stops."""


@unique
class BreakerState(StrEnum):
    """Where a breaker is; see `schemas.breakers`."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


@unique
class ControlAction(StrEnum):
    """What a command to an executor asks for."""

    HALT = "HALT"
    """Go to a rung of the ladder; it holds until a RESUME, over restarts."""
    RESUME = "RESUME"
    """Leave the ladder."""


@unique
class ControlLevel(StrEnum):
    """Rungs of the kill ladder, mildest first: each does what those above it do, and more."""

    WIDEN = "WIDEN"
    """Quotes move away from the fair price."""
    STOP_NEW = "STOP_NEW"
    """No order that could make a position larger."""
    CANCEL_ALL = "CANCEL_ALL"
    """Nothing rests anywhere."""
    FLATTEN = "FLATTEN"
    """Positions are closed, within limits on price and participation."""
    DISCONNECT = "DISCONNECT"
    """Everything is cancelled, and the venue is not spoken to any more."""


@unique
class Severity(StrEnum):
    """An alert's urgency."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"
