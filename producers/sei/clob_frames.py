"""The order book feed's events: `OrderBookUpdate` (a full snapshot with a `sequence`) and `Trade`. Parsing only.

Attributes are a list of {key, value} or an object; levels are in `data`, or as JSON texts in the attributes; an event
may come without its `result` wrapper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from producers.wire import rfc3339_us
from schemas.enums import Side
from schemas.errors import ProtocolError
from schemas.numbers import PRICE_SCALE, SIZE_SCALE, to_units
from schemas.reasons import DeadLetterReason
from schemas.wire import long_of, parse_json, short_text

__all__ = [
    "BookUpdate",
    "ClobEvent",
    "MarketOf",
    "TradePrint",
    "events_of",
    "parse_book",
    "parse_event",
    "parse_sequence",
    "parse_trade",
    "side_of",
]

MAX_LEVELS = 5_000
"""Bound on the levels of one side."""

_SIDES = {
    **dict.fromkeys(("buy", "bid", "b", "long"), Side.BUY),
    **dict.fromkeys(("sell", "ask", "s", "short"), Side.SELL),
}

MarketOf: TypeAlias = Callable[[str], str]
"""Gives the canonical symbol of the feed's own; raises ProtocolError UNKNOWN_SYMBOL."""


@dataclass(frozen=True, slots=True)
class ClobEvent:
    """An event whose parts are not read yet."""

    type: str
    attributes: Mapping[str, Any]
    data: Mapping[str, Any]

    def symbol(self, market_of: MarketOf) -> str:
        """Give the canonical symbol of its market."""
        return market_of(short_text(self.attributes.get("market_id"), "market_id"))


@dataclass(frozen=True, slots=True)
class BookUpdate:
    """A full book: (price, size) in schema units, in the feed's order."""

    sequence: int
    ts_event: int | None
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TradePrint:
    """A trade, price and size in schema units."""

    side: Side
    price: int
    size: int
    trade_id: str | None
    ts_event: int | None


def events_of(document: Mapping[str, Any]) -> list[Any]:
    """Give the events of a frame, of its result, or the frame itself where it is a bare event.

    Raises:
        ProtocolError: UNKNOWN_MESSAGE, where there are none.
    """
    result = document.get("result")
    for holder in (result, document):
        if isinstance(holder, dict):
            if isinstance(holder.get("events"), list):
                return list(holder["events"])
            if isinstance(holder.get("type"), str):
                return [holder]
    raise ProtocolError(DeadLetterReason.UNKNOWN_MESSAGE, "neither an event, an ack nor an error")


def parse_event(item: object) -> ClobEvent:
    """Parse an event down to its attributes.

    Raises:
        ProtocolError: MALFORMED.
    """
    if not isinstance(item, dict):
        raise ProtocolError(DeadLetterReason.MALFORMED, "an event must be an object")
    data = item.get("data")
    return ClobEvent(
        type=short_text(item.get("type"), "event type"),
        attributes=_attributes(item.get("attributes")),
        data=data if isinstance(data, dict) else {},
    )


def parse_sequence(event: ClobEvent) -> int:
    """Read a book's sequence.

    Raises:
        ProtocolError: MALFORMED.
    """
    return long_of(event.attributes.get("sequence"), "sequence")


def parse_book(event: ClobEvent) -> BookUpdate:
    """Parse an OrderBookUpdate: one bad level makes all of it bad.

    Raises:
        ProtocolError: a part is missing or not what it should be.
        DoesNotFit: a price or a size with more digits than the contract holds.
    """
    return BookUpdate(
        sequence=parse_sequence(event),
        ts_event=_time(event),
        bids=_levels(event, "bids"),
        asks=_levels(event, "asks"),
    )


def parse_trade(event: ClobEvent) -> TradePrint:
    """Parse a Trade.

    Raises:
        ProtocolError: UNKNOWN_SIDE, or a part is missing or not what it should be.
        DoesNotFit: a price or a size with more digits than the contract holds.
    """
    trade_id = event.attributes.get("trade_id")
    if isinstance(trade_id, int) and not isinstance(trade_id, bool):
        trade_id = str(trade_id)
    return TradePrint(
        side=side_of(event.attributes.get("side")),
        price=_number(event.attributes.get("price"), PRICE_SCALE, "price", least=1),
        size=_number(event.attributes.get("size"), SIZE_SCALE, "size", least=1),
        trade_id=None if trade_id is None else short_text(trade_id, "trade_id"),
        ts_event=_time(event),
    )


def side_of(value: object) -> Side:
    """Read a taker's side.

    Raises:
        ProtocolError: UNKNOWN_SIDE; never a guess.
    """
    side = _SIDES.get(value.strip().lower()) if isinstance(value, str) else None
    if side is None:
        raise ProtocolError(DeadLetterReason.UNKNOWN_SIDE, f"side {str(value)[:64]!r}")
    return side


def _attributes(value: object) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    attributes: dict[str, Any] = {}
    entries = value if isinstance(value, list) else [None]
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
            raise ProtocolError(DeadLetterReason.MALFORMED, "attributes must be {key, value} pairs or an object")
        key = entry["key"]
        if key in attributes:
            raise ProtocolError(DeadLetterReason.MALFORMED, f"attribute {key[:64]!r} is repeated")
        attributes[key] = entry.get("value")
    return attributes


def _time(event: ClobEvent) -> int | None:
    value = event.attributes.get("timestamp")
    return None if value is None else rfc3339_us(value)


def _levels(event: ClobEvent, name: str) -> tuple[tuple[int, int], ...]:
    rows = event.data.get(name, event.attributes.get(name))
    if isinstance(rows, str):
        rows = parse_json(rows)
    if not isinstance(rows, list):
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{name} must be a list of [price, size]")
    if len(rows) > MAX_LEVELS:
        raise ProtocolError(DeadLetterReason.TOO_LARGE, f"{len(rows)} {name}, more than {MAX_LEVELS}")
    levels: dict[int, int] = {}
    for row in rows:
        if not isinstance(row, list) or len(row) != 2:
            raise ProtocolError(DeadLetterReason.MALFORMED, f"a level of {name} must be [price, size]")
        price = _number(row[0], PRICE_SCALE, "price", least=1)
        if price in levels:
            raise ProtocolError(DeadLetterReason.MALFORMED, f"{name} have a price twice: {str(row[0])[:64]!r}")
        levels[price] = _number(row[1], SIZE_SCALE, "size", least=0)
    return tuple(levels.items())


def _number(value: object, scale: int, what: str, *, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{what} must be a decimal, was {str(value)[:64]!r}")
    units = to_units(value, scale)
    if units < least:
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{what} must be positive, was {str(value)[:64]!r}")
    return units
