"""Binance as a source: from frames and snapshots to ticks, requests and dead letters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from producers.binance.source import BinanceSource
from producers.core import Counted, Effects, Source
from schemas.enums import Flag, Side, TickKind
from schemas.errors import ProtocolError
from schemas.instruments import Instruments
from schemas.reasons import DeadLetterReason
from schemas.records import Tick

NOW_MS = 1_700_000_000_000
NOW_US = NOW_MS * 1_000


@pytest.fixture
def source() -> BinanceSource:
    """A source of two markets, connected."""
    source = BinanceSource(["BTCUSDT", "ethusdt"], Instruments())
    source.open(NOW_US)
    return source


def trade(**changes: Any) -> str:
    """A trade frame."""
    data = {"e": "trade", "E": NOW_MS, "s": "BTCUSDT", "t": 5, "p": "61837.63", "q": "0.02", "T": NOW_MS, "m": False}
    return json.dumps({"stream": "btcusdt@trade", "data": {**data, **changes}})


def depth(first_id: int, last_id: int, **changes: Any) -> str:
    """A depth frame with one bid."""
    data = {"e": "depthUpdate", "E": NOW_MS, "s": "BTCUSDT", "U": first_id, "u": last_id, "b": [["10", "1"]], "a": []}
    return json.dumps({**data, **changes})


def snapshot(last_id: int, price: str = "9") -> bytes:
    """A depth snapshot of one bid and one ask."""
    return json.dumps({"lastUpdateId": last_id, "bids": [[price, "2"]], "asks": [["11", "3"]]}).encode()


def data_of(effects: Effects) -> list[Tick]:
    """The ticks besides heartbeats."""
    return [tick for tick in effects.ticks if tick.kind is not TickKind.HEARTBEAT]


def kinds(effects: Effects) -> list[TickKind]:
    """Their kinds."""
    return [tick.kind for tick in data_of(effects)]


def test_it_is_a_source_that_counts() -> None:
    """The shell relies on both protocols."""
    source: Source = BinanceSource(["BTCUSDT"], Instruments())

    assert isinstance(source, Counted)
    assert (source.name, source.symbols) == ("binance", [("binance", "BTC/USDT")])


def test_a_symbol_that_nothing_explains_is_refused_at_once() -> None:
    """Rather than at its first frame."""
    with pytest.raises(ProtocolError):
        BinanceSource(["XYZ"], Instruments())


def test_opening_subscribes_and_says_that_books_are_synchronising() -> None:
    """One STATUS without flags for each market, a heartbeat, and all streams in few requests."""
    effects = BinanceSource(["BTCUSDT", "ETHUSDT"], Instruments()).open(NOW_US)

    assert [(t.kind, t.symbol, t.flags) for t in effects.ticks] == [
        (TickKind.STATUS, "BTC/USDT", 0),
        (TickKind.STATUS, "ETH/USDT", 0),
        (TickKind.HEARTBEAT, "", 0),
    ]
    assert {t.session for t in effects.ticks} == {NOW_US}
    assert [json.loads(text)["params"] for text in effects.send] == [
        [f"{s}@{stream}" for s in ("btcusdt", "ethusdt") for stream in ("trade", "bookTicker", "depth@100ms")]
    ]


def test_many_streams_are_subscribed_in_several_requests() -> None:
    """Each request is bounded."""
    effects = BinanceSource([f"C{n}USDT" for n in range(100)], Instruments()).open(NOW_US)

    assert [len(json.loads(text)["params"]) for text in effects.send] == [200, 100]


def test_a_trade_is_one_tick(source: BinanceSource) -> None:
    """Exact, with the venue's id and time."""
    [tick] = data_of(source.receive(trade(), NOW_US + 7))

    assert (tick.kind, tick.symbol, tick.side, tick.price, tick.size) == (
        TickKind.TRADE,
        "BTC/USDT",
        Side.BUY,
        61_837_630_000_000,
        2_000_000,
    )
    assert (tick.trade_id, tick.sequence, tick.ts_event, tick.ts_recv) == ("5", 5, NOW_US, NOW_US + 7)
    assert (tick.first, tick.last, tick.flags) == (True, True, 0)


def test_a_missing_trade_id_flags_the_next_trade(source: BinanceSource) -> None:
    """Trade ids are consecutive: a jump is data lost, also over a reconnection."""
    source.receive(trade(t=5), NOW_US)
    source.receive(trade(t=6), NOW_US)
    source.close(NOW_US)
    source.open(NOW_US)

    [tick] = data_of(source.receive(trade(t=8), NOW_US))
    assert tick.flags == Flag.GAPPED


def test_an_aggregate_is_left_out_where_trades_are_subscribed(source: BinanceSource) -> None:
    """The same prints would count twice."""
    effects = source.receive(trade(e="aggTrade", a=1), NOW_US)

    assert data_of(effects) == []
    assert source.counters == {"ignored_aggTrade": 1}


def test_an_aggregate_stands_in_where_a_market_has_no_trades() -> None:
    """Flagged, with an id that cannot be taken for a trade's."""
    source = BinanceSource(["BTCUSDT"], Instruments(), aggregated=["BTCUSDT"])
    source.open(NOW_US)

    [tick] = data_of(source.receive(trade(e="aggTrade", a=77), NOW_US))
    assert (tick.trade_id, tick.flags) == ("a77", Flag.AGGREGATE)


def test_a_book_ticker_is_a_message_of_two_tops(source: BinanceSource) -> None:
    """Bid, then ask; spot gives no time."""
    frame = json.dumps({"u": 9, "s": "ETHUSDT", "b": "1", "B": "2", "a": "3", "A": "4"})

    bid, ask = data_of(source.receive(frame, NOW_US))
    assert [(t.kind, t.side, t.sequence, t.ts_event) for t in (bid, ask)] == [
        (TickKind.TOP, Side.BUY, 9, None),
        (TickKind.TOP, Side.SELL, 9, None),
    ]
    assert (bid.message, bid.ordinal, bid.first, bid.last) == (ask.message, 0, True, False)
    assert (ask.ordinal, ask.first, ask.last) == (1, False, True)


def test_changes_ask_for_a_snapshot_and_wait(source: BinanceSource) -> None:
    """Asked for once, not at every change."""
    effects = source.receive(depth(1, 2), NOW_US)

    assert data_of(effects) == []
    [fetch] = effects.fetch
    assert (fetch.tag, fetch.path) == ("depth:BTCUSDT", "/api/v3/depth?symbol=BTCUSDT&limit=1000")
    assert source.receive(depth(3, 4), NOW_US).fetch == []


def test_a_snapshot_is_one_message_and_the_changes_follow(source: BinanceSource) -> None:
    """CLEAR and the levels belong together; each buffered change keeps the time when it came."""
    source.receive(depth(1, 2), NOW_US)
    source.receive(depth(3, 4), NOW_US + 1)
    ticks = data_of(source.fetched("depth:BTCUSDT", snapshot(2), NOW_US + 2))

    assert [(t.kind, t.side, t.price // 10**9, t.first, t.last, t.sequence) for t in ticks] == [
        (TickKind.CLEAR, Side.NONE, 0, True, False, 2),
        (TickKind.LEVEL, Side.BUY, 9, False, False, 2),
        (TickKind.LEVEL, Side.SELL, 11, False, True, 2),
        (TickKind.LEVEL, Side.BUY, 10, True, True, 4),
    ]
    assert [t.flags for t in ticks] == [Flag.SNAPSHOT] * 3 + [0]
    assert [t.ts_recv - NOW_US for t in ticks] == [2, 2, 2, 1]


def test_a_snapshot_that_is_too_old_is_asked_for_again(source: BinanceSource) -> None:
    """Not at once: the venue limits requests; the wait doubles."""
    source.receive(depth(10, 12), NOW_US)

    assert source.fetched("depth:BTCUSDT", snapshot(8), NOW_US + 1).fetch == []
    assert source.tick(NOW_US + 999_999).fetch == []
    assert len(source.tick(NOW_US + 1_000_000).fetch) == 1
    source.fetched("depth:BTCUSDT", None, NOW_US + 1_000_001)
    assert source.tick(NOW_US + 2_999_999).fetch == []
    assert len(source.tick(NOW_US + 3_000_000).fetch) == 1


def test_a_request_that_is_never_answered_is_made_again(source: BinanceSource) -> None:
    """After its time is over."""
    source.receive(depth(1, 2), NOW_US)

    assert source.tick(NOW_US + 9_999_999).fetch == []
    assert len(source.tick(NOW_US + 10_000_000).fetch) == 1


def live(source: BinanceSource) -> None:
    source.receive(depth(1, 2), NOW_US)
    source.fetched("depth:BTCUSDT", snapshot(1), NOW_US)


def test_a_gap_starts_that_market_anew_and_no_other(source: BinanceSource) -> None:
    """STATUS GAPPED once, a new snapshot asked for, other markets untouched."""
    live(source)
    later = NOW_US + 5_000_000
    effects = source.receive(depth(5, 6), later)

    assert [(t.kind, t.symbol, t.flags) for t in data_of(effects)] == [(TickKind.STATUS, "BTC/USDT", Flag.GAPPED)]
    assert [f.tag for f in effects.fetch] == ["depth:BTCUSDT"]
    assert kinds(source.receive(depth(9, 9), later)) == []
    assert kinds(source.fetched("depth:BTCUSDT", snapshot(8), later))[0] is TickKind.CLEAR


def test_a_level_that_does_not_fit_drops_its_whole_message(source: BinanceSource) -> None:
    """A dead letter, a GAPPED book and a resync; a book without the level would look right and be wrong."""
    live(source)
    effects = source.receive(depth(3, 4, b=[["10", "1"], ["9", "0.123456789"]]), NOW_US)

    assert [(t.kind, t.flags) for t in data_of(effects)] == [(TickKind.STATUS, Flag.GAPPED)]
    assert [b.reason for b in effects.bad] == [DeadLetterReason.DOES_NOT_FIT]
    assert kinds(source.receive(depth(5, 6), NOW_US)) == []


def test_a_trade_that_does_not_fit_is_a_dead_letter(source: BinanceSource) -> None:
    """What a venue states is never rounded; the frame is kept as it came."""
    frame = trade(p="1.0000000001")
    effects = source.receive(frame, NOW_US)

    assert data_of(effects) == []
    assert [(b.reason, b.payload) for b in effects.bad] == [(DeadLetterReason.DOES_NOT_FIT, frame.encode())]


def test_a_malformed_frame_stops_nothing(source: BinanceSource) -> None:
    """It is a dead letter, and the next frame a tick."""
    assert [b.reason for b in source.receive(b"\xff{", NOW_US).bad] == [DeadLetterReason.MALFORMED]
    assert kinds(source.receive(trade(), NOW_US)) == [TickKind.TRADE]


def test_a_frame_of_a_market_not_served_is_a_dead_letter(source: BinanceSource) -> None:
    """It has no place in the log."""
    assert [b.reason for b in source.receive(trade(s="BNBBTC"), NOW_US).bad] == [DeadLetterReason.UNKNOWN_SYMBOL]


def test_a_malformed_snapshot_is_a_dead_letter_and_asked_for_again(source: BinanceSource) -> None:
    """The book stays synchronising meanwhile."""
    source.receive(depth(1, 2), NOW_US)

    assert [b.reason for b in source.fetched("depth:BTCUSDT", b"<html>", NOW_US).bad] == [DeadLetterReason.MALFORMED]
    assert len(source.tick(NOW_US + 1_000_000).fetch) == 1


def test_a_clock_behind_the_venues_is_a_flag(source: BinanceSource) -> None:
    """Not a reject: the recorder's clock may be wrong by seconds."""
    [tick] = data_of(source.receive(trade(T=NOW_MS + 1_250), NOW_US))

    assert tick.flags == Flag.CLOCK_SKEW


def test_heartbeats_carry_the_watermark(source: BinanceSource) -> None:
    """The greatest event time less the lateness, every second at most."""
    source.receive(trade(), NOW_US)
    beats = [t for n in range(1, 9) for t in source.tick(NOW_US + n * 250_000).ticks]

    assert [t.watermark for t in beats] == [NOW_US - 1_000_000] * 2


def test_closing_makes_every_market_stale(source: BinanceSource) -> None:
    """Until the next session."""
    live(source)
    effects = source.close(NOW_US)

    assert [(t.symbol, t.flags) for t in effects.ticks] == [("BTC/USDT", Flag.STALE), ("ETH/USDT", Flag.STALE)]
    assert kinds(source.open(NOW_US + 1)) == [TickKind.STATUS, TickKind.STATUS]
    assert kinds(source.receive(depth(3, 4), NOW_US + 1)) == []


@pytest.mark.parametrize("frame", ['{"code": 2, "msg": "no", "id": 1}', '{"e": "serverShutdown", "E": 1}'])
def test_a_refusal_or_a_shutdown_connects_anew(source: BinanceSource, frame: str) -> None:
    """Waiting for data that will not come is no feed."""
    assert source.receive(frame, NOW_US).reconnect


def test_a_subscription_never_acknowledged_connects_anew(source: BinanceSource) -> None:
    """Once, after ten seconds."""
    assert source.tick(NOW_US + 9_999_999).reconnect is None
    assert source.tick(NOW_US + 10_000_000).reconnect
    assert source.tick(NOW_US + 10_000_001).reconnect is None


def test_an_acknowledged_subscription_stays(source: BinanceSource) -> None:
    """The acknowledgement gives no ticks."""
    assert data_of(source.receive('{"result": null, "id": 1}', NOW_US)) == []
    assert source.tick(NOW_US + 60_000_000).reconnect is None


def test_unused_events_are_counted(source: BinanceSource) -> None:
    """Known and left out is neither lost nor bad."""
    effects = source.receive('{"e": "kline"}', NOW_US)

    assert effects.bad == []
    assert source.counters == {"ignored_kline": 1}
