"""Binance's market-data frames, read into typed messages: what they say, not yet what to do about it.

Facts from Binance's "WebSocket Streams" reference: a frame is raw (`{"e":"trade",…}`) or combined
(`{"stream":…,"data":…}`); prices and sizes are texts; `m` says that the buyer was the maker, so the taker sold; spot
bookTickers carry no time; the changes of a depthUpdate are the ids U to u, and on futures begin after `pu`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from producers.splice import Level
from schemas.enums import Side
from schemas.errors import ProtocolError
from schemas.numbers import INT64_MAX, PRICE_SCALE, SIZE_SCALE, to_units
from schemas.reasons import DeadLetterReason
from schemas.wire import parse_json

__all__ = [
    "Ack",
    "BookTicker",
    "DepthSnapshot",
    "DepthUpdate",
    "Ignored",
    "Message",
    "Refusal",
    "Shutdown",
    "Trade",
    "book_levels",
    "parse_frame",
    "parse_snapshot",
    "subscribe_frame",
]

_IGNORED_EVENTS = frozenset(
    {
        "1dTicker",
        "1hTicker",
        "24hrMiniTicker",
        "24hrTicker",
        "4hTicker",
        "assetIndexUpdate",
        "avgPrice",
        "compositeIndex",
        "continuous_kline",
        "contractInfo",
        "forceOrder",
        "indexPriceUpdate",
        "kline",
        "markPriceUpdate",
        "referencePrice",
    }
)

# Milliseconds reach this in the year 5138; a greater number is the microseconds that `timeUnit=MICROSECOND` asks for.
_FIRST_MICROS = 10**14


@dataclass(frozen=True, slots=True)
class Trade:
    """A print. Prices and sizes of all messages here are the venue's texts; times are microseconds."""

    symbol: str
    trade_id: int
    price: str
    size: str
    side: Side
    ts_event: int
    is_aggregate: bool


@dataclass(frozen=True, slots=True)
class BookTicker:
    """The best bid and ask as of update `update_id`; `ts_event` is None on spot."""

    symbol: str
    update_id: int
    bid: tuple[str, str]
    ask: tuple[str, str]
    ts_event: int | None


@dataclass(frozen=True, slots=True)
class DepthUpdate:
    """A change of the book: the updates after `after_id` up to `last_id`."""

    symbol: str
    after_id: int
    last_id: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    ts_event: int


@dataclass(frozen=True, slots=True)
class DepthSnapshot:
    """The REST answer: the book as of update `last_id`; `ts_event` and `symbol` are None on spot."""

    last_id: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    ts_event: int | None
    symbol: str | None


@dataclass(frozen=True, slots=True)
class Ack:
    """A request was accepted."""

    request_id: int | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request was refused."""

    request_id: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The server is about to close the connection."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message that Binance has and this platform does not use."""

    event: str


Message: TypeAlias = Trade | BookTicker | DepthUpdate | Ack | Refusal | Shutdown | Ignored


def subscribe_frame(streams: list[str], request_id: int) -> str:
    """Give the frame that subscribes to streams such as `btcusdt@trade`."""
    return json.dumps({"method": "SUBSCRIBE", "params": streams, "id": request_id}, separators=(",", ":"))


def parse_frame(frame: str | bytes) -> Message:
    """Read one frame of the socket.

    Raises:
        ProtocolError: MALFORMED, or UNKNOWN_MESSAGE for an event that Binance does not document.
    """
    document = parse_json(frame)
    if isinstance(document, dict):
        if "stream" in document and "data" in document:
            return _parse_event(document["data"])
        if "e" not in document and ("result" in document or "error" in document or "code" in document):
            return _parse_answer(document)
    return _parse_event(document)


def parse_snapshot(body: str | bytes) -> DepthSnapshot:
    """Read the answer of `/api/v3/depth`.

    Raises:
        ProtocolError: MALFORMED, with what the venue said where it answered with an error.
    """
    document = parse_json(body)
    if not isinstance(document, dict):
        raise _malformed("a depth snapshot must be an object")
    if "lastUpdateId" not in document and "code" in document:
        raise _malformed(f"no depth snapshot but error {_show(document['code'])}: {_show(document.get('msg'))}")
    return DepthSnapshot(
        _whole(document, "lastUpdateId"),
        _pairs(document, "bids"),
        _pairs(document, "asks"),
        _time(document, "T") if "T" in document else None,
        _text(document, "symbol").upper() if "symbol" in document else None,
    )


def book_levels(bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> tuple[Level, ...]:
    """Convert levels to schema units, bids first.

    Raises:
        DoesNotFit: a price or size with more digits than the contract holds.
    """
    return tuple(
        (side, to_units(price, PRICE_SCALE), to_units(size, SIZE_SCALE))
        for side, pairs in ((Side.BUY, bids), (Side.SELL, asks))
        for price, size in pairs
    )


def _parse_event(data: object) -> Message:
    if isinstance(data, list) and data:
        # The all-market streams send lists; none of those is used.
        data = data[0]
        event = data.get("e") if isinstance(data, dict) else None
        if isinstance(event, str) and event in _IGNORED_EVENTS:
            return Ignored(event)
        raise ProtocolError(DeadLetterReason.UNKNOWN_MESSAGE, f"a list of {_show(event)}")
    if not isinstance(data, dict):
        raise _malformed("a frame must be an object")
    event = data.get("e")
    if event is None:
        if {"u", "s", "b", "B", "a", "A"} <= data.keys():
            return _book_ticker(data)
        if {"lastUpdateId", "bids", "asks"} <= data.keys():
            return Ignored("partialDepth")
    elif isinstance(event, str):
        parser = _PARSERS.get(event)
        if parser is not None:
            return parser(data)
        if event in _IGNORED_EVENTS:
            return Ignored(event)
    raise ProtocolError(DeadLetterReason.UNKNOWN_MESSAGE, f"event {_show(event)}")


def _parse_answer(document: Mapping[str, Any]) -> Ack | Refusal:
    number = document.get("id")
    request_id = number if isinstance(number, int) else None
    error = document.get("error", document if "code" in document else None)
    if error is not None:
        parts = (error.get("code"), error.get("msg")) if isinstance(error, dict) else (error,)
        detail = " ".join(map(_show, parts))
        return Refusal(request_id, detail)
    return Ack(request_id)


def _trade(data: Mapping[str, Any]) -> Trade:
    return _print(data, "t", is_aggregate=False)


def _aggregate_trade(data: Mapping[str, Any]) -> Trade:
    return _print(data, "a", is_aggregate=True)


def _print(data: Mapping[str, Any], id_key: str, *, is_aggregate: bool) -> Trade:
    buyer_is_maker = data.get("m")
    if not isinstance(buyer_is_maker, bool):
        raise ProtocolError(DeadLetterReason.UNKNOWN_SIDE, f"m must be true or false, was {_show(buyer_is_maker)}")
    return Trade(
        symbol=_text(data, "s"),
        trade_id=_whole(data, id_key),
        price=_text(data, "p"),
        size=_text(data, "q"),
        side=Side.SELL if buyer_is_maker else Side.BUY,
        ts_event=_time(data, "T"),
        is_aggregate=is_aggregate,
    )


def _book_ticker(data: Mapping[str, Any]) -> BookTicker:
    return BookTicker(
        symbol=_text(data, "s"),
        update_id=_whole(data, "u"),
        bid=(_text(data, "b"), _text(data, "B")),
        ask=(_text(data, "a"), _text(data, "A")),
        ts_event=_time(data, "T") if "T" in data else None,
    )


def _depth_update(data: Mapping[str, Any]) -> DepthUpdate:
    first_id, last_id = _whole(data, "U"), _whole(data, "u")
    # Futures number with holes and say after which event this one comes.
    after_id = _whole(data, "pu") if "pu" in data else first_id - 1
    if first_id > last_id or after_id >= last_id:
        raise _malformed(f"update ids {first_id} to {last_id} run backwards")
    return DepthUpdate(
        _text(data, "s"),
        after_id,
        last_id,
        _pairs(data, "b"),
        _pairs(data, "a"),
        _time(data, "T" if "T" in data else "E"),
    )


def _shutdown(_: Mapping[str, Any]) -> Shutdown:
    return Shutdown()


_PARSERS: dict[str, Callable[[Mapping[str, Any]], Message]] = {
    "trade": _trade,
    "aggTrade": _aggregate_trade,
    "bookTicker": _book_ticker,
    "depthUpdate": _depth_update,
    "serverShutdown": _shutdown,
}


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str):
        raise _malformed(f"{key} must be a text, was {_show(value)}")
    return value


def _whole(data: Mapping[str, Any], key: str) -> int:
    value = data.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= INT64_MAX:
        raise _malformed(f"{key} must be a whole number of 63 bits, was {_show(value)}")
    return value


def _time(data: Mapping[str, Any], key: str) -> int:
    value = _whole(data, key)
    return value * 1_000 if value < _FIRST_MICROS else value


def _pairs(data: Mapping[str, Any], key: str) -> list[tuple[str, str]]:
    value = data.get(key)
    if not isinstance(value, list):
        raise _malformed(f"{key} must be a list of levels, was {_show(value)}")
    pairs: list[tuple[str, str]] = []
    for level in value:
        # Old recordings have a third, empty member.
        if (
            not isinstance(level, list)
            or len(level) < 2
            or not isinstance(level[0], str)
            or not isinstance(level[1], str)
        ):
            raise _malformed(f"a level of {key} must be [price, size], was {_show(level)}")
        pairs.append((level[0], level[1]))
    return pairs


def _show(value: object) -> str:
    # Of a nested value the type says enough, and its text could be deep or long.
    return type(value).__name__ if isinstance(value, (dict, list)) else f"{value!r:.120}"


def _malformed(detail: str) -> ProtocolError:
    return ProtocolError(DeadLetterReason.MALFORMED, detail)
