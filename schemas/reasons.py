"""The closed sets of reason codes: why a frame, a tick or a quote did not go on."""

from __future__ import annotations

from enum import StrEnum, unique

__all__ = ["AccountReason", "DeadLetterReason", "DenyReason", "FlattenReason", "OrderReason", "RejectReason"]


@unique
class DeadLetterReason(StrEnum):
    """Why bytes went to `ops.dead-letters` instead of becoming a record."""

    MALFORMED = "MALFORMED"
    """Not JSON, not Avro, or a required part is missing or of the wrong type."""
    TRUNCATED = "TRUNCATED"
    """The buffer ended before the record did, or went on after it."""
    NOT_FRAMED = "NOT_FRAMED"
    """No Confluent header: neither magic byte nor schema GUID."""
    UNKNOWN_SCHEMA = "UNKNOWN_SCHEMA"
    """A schema id that neither the committed schemas nor the registry know."""
    UNKNOWN_MESSAGE = "UNKNOWN_MESSAGE"
    """A message type that the venue's protocol does not have."""
    UNKNOWN_SIDE = "UNKNOWN_SIDE"
    """A side that is neither a buy nor a sell."""
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
    """A venue symbol that no instrument explains."""
    DOES_NOT_FIT = "DOES_NOT_FIT"
    """A number with more digits than the contract holds; what a venue states is never rounded."""
    TOO_LARGE = "TOO_LARGE"
    """Larger than the bound on input from the network."""
    REFUSED = "REFUSED"
    """The destination of a sink refused the record for good."""


@unique
class RejectReason(StrEnum):
    """Why the normaliser did not accept a record of `market.ticks`."""

    UNDECODABLE = "UNDECODABLE"
    """Not a tick; its bytes are in `ops.dead-letters`."""
    UNKNOWN_KIND = "UNKNOWN_KIND"
    """A kind written by a newer schema."""
    UNKNOWN_SIDE = "UNKNOWN_SIDE"
    """A trade, top or level without a side."""
    INVALID_PRICE = "INVALID_PRICE"
    """A price of a trade, top or level that is not positive."""
    INVALID_SIZE = "INVALID_SIZE"
    """A size that is negative, or zero where only a positive one means something."""
    DUPLICATE = "DUPLICATE"
    """Already applied: same natural key, or not after the last of its session."""
    OUT_OF_ORDER = "OUT_OF_ORDER"
    """An older quote or book message than the one applied."""
    TOO_OLD = "TOO_OLD"
    """Older than the age limit when received."""
    SPIKE = "SPIKE"
    """Away from the last price by more than the threshold, and never confirmed."""
    INCOMPLETE_MESSAGE = "INCOMPLETE_MESSAGE"
    """Part of a message whose end never came, or which was too long."""
    BAD_MESSAGE = "BAD_MESSAGE"
    """Part of a message dropped whole because another part of it was bad."""
    CLOCK_SKEW = "CLOCK_SKEW"
    """Received further ahead of the partition's clock than plausible, and never confirmed."""
    PENDING = "PENDING"
    """Still held (message not ended, spike not confirmed) when the count was taken."""


@unique
class DenyReason(StrEnum):
    """Why a quote decision was denied, or one side of it suppressed."""

    NO_INSTRUMENT = "NO_INSTRUMENT"
    """No instrument record for the market: tick, lot and minima are unknown."""
    NO_BOOK = "NO_BOOK"
    """The market has no order book (an AMM); it is never quoted."""
    BOOK_NOT_LIVE = "BOOK_NOT_LIVE"
    """The book is SYNCING, STALE or GAPPED."""
    BOOK_ONE_SIDED = "BOOK_ONE_SIDED"
    """The book lacks bids or asks, so there is no mid."""
    BOOK_CROSSED = "BOOK_CROSSED"
    """The best bid is not below the best ask."""
    STALE_DATA = "STALE_DATA"
    """The last book change is older than the quoting limit."""
    POSITION_UNKNOWN = "POSITION_UNKNOWN"
    """No position record yet: the executor writes a zero one when it starts."""
    POSITION_LIMIT_LONG = "POSITION_LIMIT_LONG"
    """The position is at its long limit; the bid is suppressed."""
    POSITION_LIMIT_SHORT = "POSITION_LIMIT_SHORT"
    """The position is at its short limit; the ask is suppressed."""
    ORDER_RATE = "ORDER_RATE"
    """More order changes in the last second than allowed."""
    VOLATILITY_UNKNOWN = "VOLATILITY_UNKNOWN"
    """Too little history to estimate volatility."""
    QUOTE_CROSSED = "QUOTE_CROSSED"
    """The computed bid and ask would cross each other or the book after rounding."""
    BELOW_MINIMUM = "BELOW_MINIMUM"
    """The order would be smaller than the instrument's minimum size or notional."""


@unique
class AccountReason(StrEnum):
    """Why the executor did not send an order that a decision asked for."""

    TRADING_HALTED = "TRADING_HALTED"
    """The account is HALTED."""
    TRADING_REDUCING = "TRADING_REDUCING"
    """The account is REDUCING, and the order could make the position larger."""
    ORDER_UNKNOWN = "ORDER_UNKNOWN"
    """The fate of another order of the market is not known yet."""
    NOT_RECONCILED = "NOT_RECONCILED"
    """What the venue holds has not been read lately, or its position is not the sum of our fills."""
    POSITION_UNKNOWN = "POSITION_UNKNOWN"
    """The position of the market is not known."""
    MARK_UNKNOWN = "MARK_UNKNOWN"
    """There is no price to value a position or its orders at."""
    ORDER_NOTIONAL = "ORDER_NOTIONAL"
    """The order alone is larger than one order may be."""
    GROSS_NOTIONAL = "GROSS_NOTIONAL"
    """All markets together could become larger than the account may be."""
    OPEN_ORDERS = "OPEN_ORDERS"
    """As many orders are open as may be."""
    SEND_RATE = "SEND_RATE"
    """More requests in the last second than allowed; the rest is kept for cancels."""


@unique
class FlattenReason(StrEnum):
    """Why a position that is to be closed is not closed now; an order that is refused by a rule has the rule's code."""

    ORDERS_LIVE = "ORDERS_LIVE"
    """Orders of the market may still fill: it waits until all are gone."""
    POSITION_UNKNOWN = "POSITION_UNKNOWN"
    """The position of the market is not known."""
    BOOK_UNKNOWN = "BOOK_UNKNOWN"
    """The displayed book is not live, stale, one-sided or crossed, so there is no price to measure from."""
    NO_LIQUIDITY = "NO_LIQUIDITY"
    """Too little is displayed within the price cap for the part of it that may be taken to make an order."""
    BELOW_MINIMUM = "BELOW_MINIMUM"
    """What is left is smaller than the smallest order of the market: it stays."""


@unique
class OrderReason(StrEnum):
    """Why an order was rejected or cancelled, or placed for anything besides its target."""

    TARGET_CHANGED = "TARGET_CHANGED"
    """The newest decision does not ask for it any more."""
    TARGETS_SILENT = "TARGETS_SILENT"
    """No decision came for longer than the limit."""
    EXECUTOR_STOPPED = "EXECUTOR_STOPPED"
    """The executor ends, or hands the market to another one."""
    EXECUTOR_RESTARTED = "EXECUTOR_RESTARTED"
    """Found open after a crash, without a checkpoint of the paper venue that fits the log."""
    NOT_SENT = "NOT_SENT"
    """Its cancel came before it was sent to the venue: it never was."""
    NOT_SENT_IN_TIME = "NOT_SENT_IN_TIME"
    """The budget of requests did not let it out in time: it never was sent."""
    VENUE_REFUSED = "VENUE_REFUSED"
    """The venue refused it; its words follow."""
    TRADING_HALTED = "TRADING_HALTED"
    """A halt or a breaker does not let it rest."""
    WIDENED = "WIDENED"
    """Placed, at a price further from the fair one than its decision asked for."""
    FLATTENED = "FLATTENED"
    """Placed, to close a position: it takes, and only reduces."""
    EXPIRED = "EXPIRED"
    """Its expiry passed: the venue forgot it by itself."""
    NOT_FILLED_AT_ONCE = "NOT_FILLED_AT_ONCE"
    """An IOC order: what could not trade when it arrived."""
    POST_ONLY_WOULD_CROSS = "POST_ONLY_WOULD_CROSS"
    """It would have taken when it arrived."""
    BOOK_NOT_LIVE = "BOOK_NOT_LIVE"
    """The paper venue does not know the book, so neither a crossing nor the queue ahead."""
    OFF_TICK = "OFF_TICK"
    """The price is not a positive multiple of the tick."""
    OFF_LOT = "OFF_LOT"
    """The size is not a positive multiple of the lot."""
    BELOW_MINIMUM = "BELOW_MINIMUM"
    """Smaller than the instrument's minimum size or notional."""
