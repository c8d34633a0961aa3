"""The order book feed: full books with a sequence, trades, and what is wrong with either."""

from __future__ import annotations

import json
from typing import Any

import pytest

from producers.core import Effects
from producers.sei.clob import SeiClobSource
from producers.sei.clob_frames import side_of
from schemas.enums import Flag, Side, TickKind
from schemas.errors import ConfigurationError, ProtocolError
from schemas.instruments import Instruments
from schemas.reasons import DeadLetterReason

T0 = 1_700_000_000_000_000
S = 1_000_000
BOOK = {"bids": [["0.042", "1000"], ["0.041", "500"]], "asks": [["0.043", "1500"]]}
NEW_YEAR_US = 1_704_067_200_000_000


def book(sequence: object = 12345, data: Any = BOOK, time: str = "2024-01-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    attributes = {"market_id": "SEI/USDC", "sequence": str(sequence), "timestamp": time} | more
    listed = [{"key": key, "value": value} for key, value in attributes.items() if value is not None]
    return {"type": "OrderBookUpdate", "attributes": listed, "data": data}


def trade(**changes: Any) -> dict[str, Any]:
    attributes = {
        "market_id": "SEI/USDC",
        "price": "0.0425",
        "size": "1000",
        "side": "buy",
        "trade_id": "67890",
        "timestamp": "2024-01-01T00:01:00Z",
    } | changes
    listed = [{"key": key, "value": value} for key, value in attributes.items() if value is not None]
    return {"type": "Trade", "attributes": listed}


def frame(*events: dict[str, Any]) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": "subscription_id", "result": {"events": list(events)}})


def kinds(effects: Effects) -> list[TickKind]:
    return [tick.kind for tick in effects.ticks]


def statuses(effects: Effects) -> list[Flag]:
    return [Flag(tick.flags) for tick in effects.ticks if tick.kind is TickKind.STATUS]


def reasons(effects: Effects) -> list[DeadLetterReason]:
    return [bad.reason for bad in effects.bad]


def test_it_subscribes_to_books_and_trades_of_each_market() -> None:
    """By the venue's own symbol, four subscriptions for two markets: never more than a node takes."""
    symbols = ["SEI/USDC", "WETH/USDC"]
    source = SeiClobSource(venue="sei-clob", symbols=symbols, instruments=Instruments.load())
    sent = [json.loads(text) for text in source.open(T0).send]
    assert [request["id"] for request in sent] == [
        "orderbook_SEI/USDC",
        "trade_SEI/USDC",
        "orderbook_wETH/USDC",
        "trade_wETH/USDC",
    ]
    assert sent[0]["params"] == {"query": "tm.event='OrderBookUpdate' AND market_id='SEI/USDC'"}
    assert source.symbols == (("sei-clob", "SEI/USDC"), ("sei-clob", "WETH/USDC"))


def test_more_markets_than_a_socket_takes_are_refused() -> None:
    """Three would be six subscriptions."""
    with pytest.raises(ConfigurationError, match="1 to 2 per connection"):
        SeiClobSource(venue="sei-clob", symbols=["A/B", "C/D", "E/F"], instruments=Instruments())


def test_a_book_is_one_message_that_clears_and_sets_every_level(clob: Any) -> None:
    """A full snapshot: CLEAR, then the levels, first to last, all with its sequence and time."""
    ticks = clob().receive(frame(book()), T0).ticks
    assert [(t.kind, t.side, t.price, t.size) for t in ticks] == [
        (TickKind.CLEAR, Side.NONE, 0, 0),
        (TickKind.LEVEL, Side.BUY, 42_000_000, 100_000_000_000),
        (TickKind.LEVEL, Side.BUY, 41_000_000, 50_000_000_000),
        (TickKind.LEVEL, Side.SELL, 43_000_000, 150_000_000_000),
    ]
    assert {(t.sequence, t.ts_event, t.flags, t.message) for t in ticks} == {
        (12345, NEW_YEAR_US, int(Flag.SNAPSHOT), ticks[0].message)
    }
    assert [t.ordinal for t in ticks] == [0, 1, 2, 3]
    assert [t.first for t in ticks] == [True, False, False, False]
    assert [t.last for t in ticks] == [False, False, False, True]


def test_a_trade_is_exact(clob: Any) -> None:
    """The side is the taker's."""
    (tick,) = clob().receive(frame(trade()), T0).ticks
    assert (tick.kind, tick.side, tick.price, tick.size) == (TickKind.TRADE, Side.BUY, 42_500_000, 100_000_000_000)
    assert (tick.trade_id, tick.ts_event, tick.ts_recv) == ("67890", NEW_YEAR_US + 60 * S, T0)
    assert tick.first
    assert tick.last


@pytest.mark.parametrize("own", ["SEI/USDC", "sei-usdc", "SEI_USDC", "sei.usdc"])
def test_a_symbol_has_aliases(clob: Any, own: str) -> None:
    """All of them are SEI/USDC."""
    (tick,) = clob().receive(frame(trade(market_id=own)), T0).ticks
    assert tick.symbol == "SEI/USDC"


@pytest.mark.parametrize(
    ("alias", "side"),
    [
        *((alias, Side.BUY) for alias in ("buy", "BID", "b", "Long")),
        *((alias, Side.SELL) for alias in ("sell", "ask", "S", "short")),
    ],
)
def test_a_side_has_aliases(alias: str, side: Side) -> None:
    """Whatever their case."""
    assert side_of(alias) is side


@pytest.mark.parametrize("value", ["", "buyer", "none", None, 1, "0"])
def test_an_unknown_side_is_never_a_buy(clob: Any, value: Any) -> None:
    """It is an error, and a dead letter."""
    with pytest.raises(ProtocolError):
        side_of(value)
    effects = clob().receive(frame(trade(side=value)), T0)
    assert (effects.ticks, reasons(effects)) == ([], [DeadLetterReason.UNKNOWN_SIDE])


def test_attributes_may_be_an_object_and_levels_texts_in_it(clob: Any) -> None:
    """The other form of the feed's description."""
    attributes = {
        "market_id": "SEI/USDC",
        "sequence": 1,
        "bids": json.dumps(BOOK["bids"]),
        "asks": json.dumps(BOOK["asks"]),
    }
    effects = clob().receive(frame({"type": "OrderBookUpdate", "attributes": attributes}), T0)
    assert kinds(effects) == [TickKind.CLEAR] + [TickKind.LEVEL] * 3
    assert effects.ticks[0].ts_event is None


@pytest.mark.parametrize("wrap", [lambda event: event, lambda event: {"events": [event]}])
def test_a_bare_event_is_taken(clob: Any, wrap: Any) -> None:
    """Without a result around it."""
    assert kinds(clob().receive(json.dumps(wrap(trade())), T0)) == [TickKind.TRADE]


def test_json_numbers_keep_their_digits(clob: Any) -> None:
    """They never pass through a float."""
    text = frame(book(data={"bids": [["P", 1]], "asks": []})).replace('"P"', "0.123456789")
    assert clob().receive(text, T0).ticks[1].price == 123_456_789


def test_a_sequence_gap_is_said_and_healed_by_the_book_that_shows_it(clob: Any) -> None:
    """Each book is whole, so nothing is asked for again."""
    source = clob()
    source.receive(frame(book(1)), T0)
    assert statuses(source.receive(frame(book(2)), T0)) == []
    effects = source.receive(frame(book(4)), T0)
    assert kinds(effects)[:2] == [TickKind.STATUS, TickKind.CLEAR]
    assert statuses(effects) == [Flag.GAPPED]
    assert (effects.send, effects.fetch, effects.reconnect) == ([], [], None)


def test_an_old_book_is_left_out_and_counted(clob: Any) -> None:
    """A lower sequence whose time is not later."""
    source = clob()
    source.receive(frame(book(5)), T0)
    for sequence in (5, 4):
        assert source.receive(frame(book(sequence)), T0).ticks == []
    assert source.counters["old_books"] == 2


def test_a_sequence_that_starts_anew_does_not_lock_the_market_out(clob: Any) -> None:
    """A lower sequence with a later time is a venue that restarted."""
    source = clob()
    source.receive(frame(book(5)), T0)
    effects = source.receive(frame(book(1, time="2024-01-01T00:00:01Z")), T0)
    assert statuses(effects) == [Flag.GAPPED]
    assert TickKind.LEVEL in kinds(effects)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"bids": [["0.042", "1000"], ["x", "1"]], "asks": []}, DeadLetterReason.DOES_NOT_FIT),
        ({"bids": [["0.0420000001", "1"]], "asks": []}, DeadLetterReason.DOES_NOT_FIT),
        ({"bids": [["0.042", "-1"]], "asks": []}, DeadLetterReason.MALFORMED),
        ({"bids": [["0", "1"]], "asks": []}, DeadLetterReason.MALFORMED),
        ({"bids": [["0.042"]], "asks": []}, DeadLetterReason.MALFORMED),
        ({"bids": [["0.042", "1"], ["0.0420", "2"]], "asks": []}, DeadLetterReason.MALFORMED),
        ({"bids": [[True, "1"]], "asks": []}, DeadLetterReason.MALFORMED),
        ({"bids": []}, DeadLetterReason.MALFORMED),
        ({"bids": [["1", "1"]] * 5_001, "asks": []}, DeadLetterReason.TOO_LARGE),
    ],
)
def test_one_bad_level_spoils_its_book_and_nothing_else(clob: Any, data: Any, reason: DeadLetterReason) -> None:
    """The market is GAPPED until the next book; the trade in the same frame goes on."""
    source = clob()
    source.receive(frame(book(1)), T0)
    effects = source.receive(frame(book(2, data), trade()), T0)
    assert kinds(effects) == [TickKind.STATUS, TickKind.TRADE]
    assert statuses(effects) == [Flag.GAPPED]
    assert reasons(effects) == [reason]
    assert kinds(source.receive(frame(book(3)), T0))[0] is TickKind.CLEAR


def test_a_book_without_a_sequence_is_bad(clob: Any) -> None:
    """Whether it is the next one cannot be told."""
    effects = clob().receive(frame(book("first")), T0)
    assert statuses(effects) == [Flag.GAPPED]
    assert reasons(effects) == [DeadLetterReason.MALFORMED]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (trade(price="0"), DeadLetterReason.MALFORMED),
        (trade(price=None), DeadLetterReason.MALFORMED),
        (trade(size="NaN"), DeadLetterReason.DOES_NOT_FIT),
        (trade(price="1e-10"), DeadLetterReason.DOES_NOT_FIT),
        (trade(timestamp="2024-01-01T00:00:00"), DeadLetterReason.MALFORMED),
        (trade(timestamp="2024-13-01T00:00:00Z"), DeadLetterReason.MALFORMED),
        (trade(trade_id="\ud800"), DeadLetterReason.MALFORMED),
        (trade(market_id="NOTHING"), DeadLetterReason.UNKNOWN_SYMBOL),
        ({"type": "Trade", "attributes": [{"key": "price", "value": "1"}] * 2}, DeadLetterReason.MALFORMED),
        ({"type": "Liquidation", "attributes": {}}, DeadLetterReason.UNKNOWN_MESSAGE),
        ({"type": "Trade", "attributes": 7}, DeadLetterReason.MALFORMED),
        ({"attributes": []}, DeadLetterReason.MALFORMED),
    ],
)
def test_what_cannot_be_read_is_a_dead_letter(clob: Any, event: dict[str, Any], reason: DeadLetterReason) -> None:
    """With its reason; the rest of the frame goes on."""
    effects = clob().receive(frame(event, trade()), T0)
    assert reasons(effects) == [reason]
    assert kinds(effects) == [TickKind.TRADE]


def test_events_of_markets_that_nobody_asked_for_are_counted(clob: Any) -> None:
    """They are not ours to publish."""
    source = clob()
    effects = source.receive(frame(trade(market_id="ATOM/USDC")), T0)
    assert (effects.ticks, effects.bad) == ([], [])
    assert source.counters["events_of_other_markets"] == 1


def test_an_evicted_subscription_is_asked_for_again_and_its_loss_said(clob: Any) -> None:
    """The error carries the id; the book that is sent on subscribing may be the one that we had."""
    source = clob()
    source.receive(frame(book(5)), T0)
    error = {"id": "orderbook_SEI/USDC", "error": {"code": -32000, "message": "Subscription failed"}}
    effects = source.receive(json.dumps(error), T0)
    assert [json.loads(text)["id"] for text in effects.send] == ["orderbook_SEI/USDC"]
    assert statuses(effects) == [Flag.GAPPED]
    assert TickKind.LEVEL in kinds(source.receive(frame(book(5)), T0))


def test_a_silent_book_is_stale_though_trades_flow(clob: Any) -> None:
    """Staleness is a subscription's, not the socket's."""
    source = clob(stale_us=10 * S)
    source.receive(frame(book(1)), T0)
    source.receive(frame(trade()), T0 + 9 * S)
    assert statuses(source.tick(T0 + 10 * S)) == []
    effects = source.tick(T0 + 11 * S)
    assert statuses(effects) == [Flag.STALE]
    assert kinds(source.receive(frame(book(2)), T0 + 12 * S))[0] is TickKind.CLEAR


def test_a_quiet_market_without_trades_is_not_stale(clob: Any) -> None:
    """It is asked for again after a while; a refusal says that the node still has it, an ack that it was lost."""
    source = clob(stale_us=10 * S)
    error = {"id": "trade_SEI/USDC", "error": {"code": -32000, "message": "Subscription failed"}}
    for second in range(61):
        source.receive(frame(book(second + 1)), T0 + second * S)
        assert source.tick(T0 + second * S).send == []
    source.receive(frame(book(62)), T0 + 61 * S)
    probe = source.tick(T0 + 61 * S)
    assert [json.loads(text)["id"] for text in probe.send] == ["trade_SEI/USDC"]
    assert statuses(probe) == []
    answer = source.receive(json.dumps(error), T0 + 61 * S)
    assert (answer.send, answer.ticks, answer.reconnect) == ([], [], None)


def test_a_probe_that_is_acknowledged_shows_a_loss(clob: Any, node: Any) -> None:
    """The node had forgotten the subscription without a word."""
    source = clob(stale_us=10 * S)
    source.receive(frame(book(1)), T0)
    source.tick(T0 + 11 * S)
    assert statuses(source.receive(node.ack("orderbook_SEI/USDC"), T0 + 11 * S)) == [Flag.GAPPED]


def test_the_watermark_follows_books_and_trades(clob: Any) -> None:
    """The greatest event time less the lateness; a time far in our future is not believed."""
    source = clob(lateness_us=S)
    now = NEW_YEAR_US + 60 * S
    beat = source.tick(now).ticks[-1]
    assert (beat.kind, beat.symbol, beat.watermark) == (TickKind.HEARTBEAT, "", None)
    source.receive(frame(trade()), now)
    source.receive(frame(book(1)), now)
    source.receive(frame(trade(timestamp="2030-01-01T00:00:00Z")), now)
    (beat,) = source.tick(now + S).ticks
    assert beat.watermark == NEW_YEAR_US + 59 * S


def test_a_session_starts_gapped_and_ends_stale(clob: Any) -> None:
    """What was traded while we were away is not known; nobody quotes on a book that is not fed."""
    source = clob()
    source.receive(frame(book(5)), T0)
    assert statuses(source.close(T0 + S)) == [Flag.STALE]
    assert source.tick(T0 + 2 * S).ticks == []
    effects = source.open(T0 + 2 * S)
    assert statuses(effects) == [Flag.GAPPED]
    assert effects.ticks[0].session == T0 + 2 * S
    assert kinds(source.receive(frame(book(3)), T0 + 2 * S))[0] is TickKind.CLEAR
