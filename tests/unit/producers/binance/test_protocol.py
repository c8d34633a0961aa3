"""Binance's frames: what each says, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from producers.binance.protocol import (
    Ack,
    BookTicker,
    DepthUpdate,
    Ignored,
    Refusal,
    Shutdown,
    Trade,
    book_levels,
    parse_frame,
    parse_snapshot,
    subscribe_frame,
)
from schemas.enums import Side
from schemas.errors import DoesNotFit, ProtocolError
from schemas.reasons import DeadLetterReason

TRADE: dict[str, Any] = {"e": "trade", "E": 2, "s": "BNBBTC", "t": 12345, "p": "0.001", "q": "100", "T": 1, "m": True}
TICKER: dict[str, Any] = {"u": 400, "s": "BNBUSDT", "b": "25.35", "B": "31.21", "a": "25.36", "A": "40.66"}
DEPTH: dict[str, Any] = {
    "e": "depthUpdate",
    "E": 3,
    "s": "BNBBTC",
    "U": 157,
    "u": 160,
    "b": [["0.0024", "10"]],
    "a": [["0.0026", "0"]],
}


def combined(stream: str, data: object) -> str:
    """A frame of the combined stream."""
    return json.dumps({"stream": stream, "data": data})


def reason_of(frame: str | bytes) -> DeadLetterReason:
    """Why a frame is refused."""
    with pytest.raises(ProtocolError) as caught:
        parse_frame(frame)
    return caught.value.reason


def test_a_trade_of_a_buying_maker_was_sold_into() -> None:
    """m=true: the buyer waited in the book, the taker sold; times come in milliseconds."""
    assert parse_frame(json.dumps(TRADE)) == Trade("BNBBTC", 12345, "0.001", "100", Side.SELL, 1_000, False)


def test_a_trade_of_a_selling_maker_was_bought() -> None:
    """m=false: the taker bought."""
    trade = parse_frame(json.dumps({**TRADE, "m": False}))

    assert isinstance(trade, Trade)
    assert trade.side is Side.BUY


def test_a_combined_frame_says_what_its_data_says() -> None:
    """The stream's name adds nothing that the data lacks."""
    assert parse_frame(combined("bnbbtc@trade", TRADE)) == parse_frame(json.dumps(TRADE).encode())


def test_times_in_microseconds_are_told_by_their_size() -> None:
    """`timeUnit=MICROSECOND` makes all times of a connection microseconds."""
    trade = parse_frame(json.dumps({**TRADE, "T": 1_723_161_255_342_123}))

    assert isinstance(trade, Trade)
    assert trade.ts_event == 1_723_161_255_342_123


def test_an_aggregate_trade_has_ids_of_its_own() -> None:
    """`a` numbers the aggregates, apart from the trades."""
    data = {**TRADE, "e": "aggTrade", "a": 7, "f": 12345, "l": 12346}

    assert parse_frame(json.dumps(data)) == Trade("BNBBTC", 7, "0.001", "100", Side.SELL, 1_000, True)


def test_a_spot_book_ticker_has_no_event_name_and_no_time() -> None:
    """It is known by its keys."""
    assert parse_frame(json.dumps(TICKER)) == BookTicker("BNBUSDT", 400, ("25.35", "31.21"), ("25.36", "40.66"), None)


def test_a_depth_update_covers_the_ids_after_the_one_before_it() -> None:
    """U to u, inclusive."""
    expected = DepthUpdate("BNBBTC", 156, 160, [("0.0024", "10")], [("0.0026", "0")], 3_000)

    assert parse_frame(json.dumps(DEPTH)) == expected


def test_a_futures_depth_update_names_the_one_before_it() -> None:
    """Its ids have holes; `pu` is where the last one ended, `T` when the match was."""
    update = parse_frame(json.dumps({**DEPTH, "pu": 149, "T": 2}))

    assert isinstance(update, DepthUpdate)
    assert (update.after_id, update.last_id, update.ts_event) == (149, 160, 2_000)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"result": None, "id": 1}, Ack(1)),
        ({"code": 2, "msg": "Invalid request", "id": 3}, Refusal(3, "2 'Invalid request'")),
        ({"error": {"code": 2, "msg": "Invalid request"}, "id": None}, Refusal(None, "2 'Invalid request'")),
        ({"error": "no", "id": 4}, Refusal(4, "'no'")),
        ({"e": "serverShutdown", "E": 1}, Shutdown()),
        ({"e": "kline", "E": 1, "s": "BNBBTC", "k": {}}, Ignored("kline")),
        ([{"e": "24hrTicker"}], Ignored("24hrTicker")),
        ({"stream": "btcusdt@depth20", "data": {"lastUpdateId": 1, "bids": [], "asks": []}}, Ignored("partialDepth")),
    ],
)
def test_answers_and_unused_events_are_told_apart(frame: object, message: object) -> None:
    """An answer is no event, and an event that is not used is no error."""
    assert parse_frame(json.dumps(frame)) == message


@pytest.mark.parametrize(
    "frame",
    [b"", b"null", b"[]", b"7", b'"trade"', b"{", b"\xff\xfe", b"[" * 100_000, b'{"stream": "x", "data": 1}'],
)
def test_what_is_no_event_is_malformed(frame: bytes) -> None:
    """Of whatever form it is."""
    assert reason_of(frame) is DeadLetterReason.MALFORMED


@pytest.mark.parametrize("frame", ['{"e": "earthquake"}', "{}", '{"e": 5}', '[{"e": "trade"}]', '{"e": {"e": []}}'])
def test_an_event_that_binance_does_not_have_is_unknown(frame: str) -> None:
    """Its name is in the reason."""
    assert reason_of(frame) is DeadLetterReason.UNKNOWN_MESSAGE


@pytest.mark.parametrize(
    "change",
    [
        {"t": "1"},
        {"t": True},
        {"t": -1},
        {"t": 1 << 63},
        {"p": 7},
        {"p": 0.5},
        {"p": None},
        {"q": []},
        {"T": 1.5},
        {"s": 1},
    ],
)
def test_a_trade_with_a_wrong_part_is_malformed(change: dict[str, object]) -> None:
    """Each part must be of its type."""
    assert reason_of(json.dumps({**TRADE, **change})) is DeadLetterReason.MALFORMED


@pytest.mark.parametrize("maker", [None, 1, "true"])
def test_an_unknown_side_is_an_error(maker: object) -> None:
    """Never a buy."""
    assert reason_of(json.dumps({**TRADE, "m": maker})) is DeadLetterReason.UNKNOWN_SIDE


@pytest.mark.parametrize(
    "change", [{"U": 161}, {"pu": 160}, {"b": {}}, {"b": [["1"]]}, {"a": [[1, "1"]]}, {"a": ["12"]}, {"u": None}]
)
def test_a_depth_update_with_a_wrong_part_is_malformed(change: dict[str, object]) -> None:
    """Ids run forwards and levels are pairs of texts."""
    assert reason_of(json.dumps({**DEPTH, **change})) is DeadLetterReason.MALFORMED


def test_a_snapshot_is_read_with_its_market_where_it_names_one() -> None:
    """Old answers have a third member in each level."""
    found = parse_snapshot(b'{"lastUpdateId": 9, "bids": [["1", "2", []]], "asks": [], "symbol": "btcusd_perp"}')

    assert (found.last_id, found.bids, found.asks, found.symbol) == (9, [("1", "2")], [], "BTCUSD_PERP")


@pytest.mark.parametrize(
    "body", [b"[]", b'{"code": -1121, "msg": "Invalid symbol."}', b'{"lastUpdateId": 1}', b"<html>"]
)
def test_an_answer_that_is_no_snapshot_is_malformed(body: bytes) -> None:
    """Also an error of the venue's."""
    with pytest.raises(ProtocolError) as caught:
        parse_snapshot(body)

    assert caught.value.reason is DeadLetterReason.MALFORMED


def test_levels_are_exact_or_refused() -> None:
    """A price has 9 decimals, a size 8."""
    assert book_levels([("0.000000001", "0.00000001")], [("2", "0")]) == (
        (Side.BUY, 1, 1),
        (Side.SELL, 2_000_000_000, 0),
    )
    with pytest.raises(DoesNotFit):
        book_levels([("1", "0.000000001")], [])


def test_a_subscription_names_its_streams() -> None:
    """As the venue documents it."""
    frame = json.loads(subscribe_frame(["btcusdt@trade"], 7))

    assert frame == {"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 7}
