"""The order-book dialect: acks, errors, snapshots with a sequence, trades; and its offline form."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.simulator.clob import BOOK_EVENT, QUEUE_LIMIT, TRADE_EVENT, ClobFeed, subscribe_query
from infra.simulator.faults import Dialect, Fault, FaultKind
from infra.simulator.flow import BookChanged, Traded
from infra.simulator.market import MarketEvent
from infra.simulator.offline import DEFAULT_START_US, frames
from schemas.enums import Side
from schemas.errors import ProtocolError

Subscribe = Callable[..., str]
BOOK = BookChanged(
    "SEI/USDC", 1_704_067_200_000_001, 12345, ((42_000_000, 100_000_000_000),), ((43_000_000, 150_000_000_000),)
)
TRADE = Traded("SEI/USDC", 1_704_067_260_000_000, 67890, 42_500_000, 100_000_000_000, Side.BUY)


@pytest.fixture
def feed() -> ClobFeed:
    """A feed with one client, 1."""
    feed = ClobFeed(("SEI/USDC", "wETH/USDC"))
    feed.hub.connect(1)
    return feed


def _ask(feed: ClobFeed, text: str) -> list[Any]:
    assert feed.receive(1, text)
    return _frames(feed)


def _frames(feed: ClobFeed) -> list[Any]:
    return [json.loads(text) for text in iter(lambda: feed.hub.next_frame(1, 0), None)]


def _failed(request_id: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": -32000, "message": "Subscription failed"}}


def test_frames_are_exactly_as_specified(feed: ClobFeed, subscribe: Subscribe) -> None:
    """A book is a full snapshot with its sequence, a trade a list of attributes; all numbers are decimal texts."""
    assert _ask(feed, subscribe(subscribe_query(BOOK_EVENT, "SEI/USDC"), "subscription_id")) == [
        {"jsonrpc": "2.0", "id": "subscription_id", "result": {}}
    ]
    assert _ask(feed, subscribe(subscribe_query(TRADE_EVENT, "SEI/USDC"), "trades"))[0]["result"] == {}
    feed.publish(BOOK, 0)
    feed.publish(TRADE, 0)
    book, trade = _frames(feed)
    assert book == {
        "jsonrpc": "2.0",
        "id": "subscription_id",
        "result": {
            "events": [
                {
                    "type": "OrderBookUpdate",
                    "attributes": [
                        {"key": "market_id", "value": "SEI/USDC"},
                        {"key": "sequence", "value": "12345"},
                        {"key": "timestamp", "value": "2024-01-01T00:00:00.000001Z"},
                    ],
                    "data": {"bids": [["0.042", "1000"]], "asks": [["0.043", "1500"]]},
                }
            ]
        },
    }
    assert trade == {
        "jsonrpc": "2.0",
        "id": "trades",
        "result": {
            "events": [
                {
                    "type": "Trade",
                    "attributes": [
                        {"key": "market_id", "value": "SEI/USDC"},
                        {"key": "price", "value": "0.0425"},
                        {"key": "size", "value": "1000"},
                        {"key": "side", "value": "buy"},
                        {"key": "trade_id", "value": "67890"},
                        {"key": "timestamp", "value": "2024-01-01T00:01:00.000000Z"},
                    ],
                }
            ]
        },
    }


@pytest.mark.parametrize(
    "query",
    [
        *("", "x", "tm.event='Tx'", "market_id='SEI/USDC'", "tm.event='Trade' AND market_id='DOGE/USDC'"),
        *("tm.event='Trade' AND price > 1", f"tm.event='Trade' AND market_id='{'x' * 512}'"),
    ],
)
def test_what_cannot_be_subscribed_to_fails(feed: ClobFeed, subscribe: Subscribe, query: str) -> None:
    """Unknown events, markets and conditions are refused, each with the request's id."""
    assert _ask(feed, subscribe(query, "q")) == [_failed("q")]


def test_other_requests(feed: ClobFeed, subscribe: Subscribe) -> None:
    """Bad JSON and methods fail, a repeated subscription too; unsubscribing works once; no id, no answer."""
    assert _ask(feed, "nope") == [_failed(None)]
    assert _ask(feed, subscribe("tm.event='Trade'", 1, "publish")) == [_failed(1)]
    assert _ask(feed, '{"method":"subscribe","params":{"query":"tm.event=\'Trade\'"}}') == []
    assert _ask(feed, subscribe("tm.event='Trade' AND market_id='weth/usdc'", 2))[0]["result"] == {}
    assert _ask(feed, subscribe("tm.event='Trade' AND market_id='wETH/USDC'", 3)) == [_failed(3)]
    assert _ask(feed, subscribe("tm.event='Trade' AND market_id='WETH/USDC'", 4, "unsubscribe"))[0]["result"] == {}
    assert _ask(feed, subscribe("tm.event='Trade' AND market_id='WETH/USDC'", 5, "unsubscribe")) == [_failed(5)]
    assert _ask(feed, '{"id":6,"method":"unsubscribe_all"}')[0]["result"] == {}


def test_a_late_subscriber_gets_the_present_book_first(
    feed: ClobFeed, subscribe: Subscribe, minute: tuple[MarketEvent, ...]
) -> None:
    """The last snapshot comes at once, the next one has the next sequence; markets do not mix."""
    books = [event for event in minute if isinstance(event, BookChanged)]
    for book in books[:50]:
        feed.publish(book, 0)
    _, *first = _ask(feed, subscribe(subscribe_query(BOOK_EVENT, "SEI/USDC")))
    for book in books[50:90]:
        feed.publish(book, 0)
    sequences = [int(_attributes(frame)["sequence"]) for frame in [*first, *_frames(feed)]]
    mine = [book.sequence for book in books[:90] if book.symbol == "SEI/USDC"]
    assert sequences == mine[-len(sequences) :]
    assert len(sequences) > 2


def test_gap_skips_sequences_of_the_named_market_only(feed: ClobFeed, subscribe: Subscribe) -> None:
    """The skipped numbers are used up; the other market goes on."""
    _ask(feed, subscribe("tm.event='OrderBookUpdate'"))
    feed.apply(Fault(FaultKind.GAP, query="SEI", count=2), 0)
    for sequence in range(1, 5):
        for symbol in ("SEI/USDC", "wETH/USDC"):
            feed.publish(BookChanged(symbol, 0, sequence, BOOK.bids, BOOK.asks), 0)
    seen = [(a["market_id"], int(a["sequence"])) for a in map(_attributes, _frames(feed))]
    assert [n for market, n in seen if market == "SEI/USDC"] == [3, 4]
    assert [n for market, n in seen if market == "wETH/USDC"] == [1, 2, 3, 4]


def test_overflow_ends_the_subscription_with_an_error(feed: ClobFeed, subscribe: Subscribe) -> None:
    """The queue is bounded: what is in it is delivered, then the error."""
    _ask(feed, subscribe("tm.event='Trade'", "t"))
    for _ in range(QUEUE_LIMIT + 5):
        feed.publish(TRADE, 0)
    got = _frames(feed)
    assert (len(got), got[-1]) == (QUEUE_LIMIT + 1, _failed("t"))


def test_a_client_that_reads_no_answers_is_dropped(feed: ClobFeed) -> None:
    """Answers are bounded too: the shell is told to cut the socket."""
    assert not all(feed.receive(1, "nope") for _ in range(2_000))


def test_offline_frames_are_reproducible_and_complete() -> None:
    """The same arguments give the same frames: first a snapshot of each market, in order of time, sequences whole."""
    once, again = (list(frames(9, 5)) for _ in range(2))
    assert once == again
    assert once != list(frames(10, 5))
    last_us, sequences = 0, {"SEI/USDC": -1, "wETH/USDC": -1}
    for now_us, text in once:
        assert DEFAULT_START_US <= now_us < DEFAULT_START_US + 5_000_000
        assert now_us >= last_us
        last_us = now_us
        attributes = _attributes(json.loads(text))
        stamp = datetime.fromisoformat(attributes["timestamp"])
        assert round(stamp.timestamp() * 1e6) == now_us
        if "sequence" in attributes:
            sequences[attributes["market_id"]] += 1
            assert int(attributes["sequence"]) == sequences[attributes["market_id"]]
        else:
            assert Decimal(attributes["price"]) > 0
            assert attributes["side"] in {"buy", "sell"}
    assert min(sequences.values()) > 10
    assert {_attributes(json.loads(text))["market_id"] for _, text in once[:2]} == set(sequences)


def test_offline_start_shifts_only_times_and_the_first_trade_id() -> None:
    """Another start gives the same market at other times, exactly."""
    start_us = 1_999_999_999_999_990
    moved = [(now_us - start_us, _content(text, start_us)) for now_us, text in frames(9, 20, start_us=start_us)]
    assert moved == [(now_us, _content(text, 0)) for now_us, text in frames(9, 20, start_us=0)]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "not an object"),
        ({"kind": "explode"}, "kinds are drop"),
        ({}, "kinds are drop"),
        ({"kind": "drop", "dialect": "x"}, "dialects chain, clob"),
        ({"kind": "drop", "x": 1}, "unknown key 'x'"),
        ({"kind": "gap", "count": 0}, "count"),
        ({"kind": "gap", "count": True}, "count"),
        ({"kind": "stall", "seconds": -1}, "seconds"),
        ({"kind": "stall", "seconds": "1"}, "seconds"),
        ({"kind": "stall", "query": 1}, "query"),
    ],
)
def test_a_wrong_fault_is_refused(document: object, problem: str) -> None:
    """Each wrong part is named."""
    with pytest.raises(ProtocolError, match=problem):
        Fault.from_json(document)


def test_a_fault_is_read_from_json() -> None:
    """All parts are taken over."""
    document = {"kind": "stall", "dialect": "clob", "query": "SEI", "count": 3, "seconds": 2}
    assert Fault.from_json(document) == Fault(FaultKind.STALL, Dialect.CLOB, "SEI", 3, 2.0)


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60)))
def test_no_message_breaks_the_feed(message: str | bytes) -> None:
    """Whatever a client sends is answered with JSON or skipped."""
    feed = ClobFeed(("SEI/USDC",))
    feed.hub.connect(1)
    assert feed.receive(1, message)
    assert all("jsonrpc" in frame for frame in _frames(feed))


def _attributes(frame: Any) -> dict[str, str]:
    return {pair["key"]: pair["value"] for pair in frame["result"]["events"][0]["attributes"]}


def _content(text: str, start_us: int) -> tuple[dict[str, str], Any]:
    frame = json.loads(text)
    attributes = _attributes(frame) | {"timestamp": ""}
    if "trade_id" in attributes:
        attributes["trade_id"] = str(int(attributes["trade_id"]) - start_us // 1_000)
    return attributes, frame["result"]["events"][0].get("data")
