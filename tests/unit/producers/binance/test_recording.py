"""What a recording of Binance holds, and whose a snapshot in it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from producers.binance.recording import BinanceRecording
from producers.replay.captures import Capture, open_capture
from producers.replay.feed import replay
from schemas.enums import Flag, TickKind
from schemas.errors import CaptureError
from schemas.instruments import Instruments
from schemas.reasons import DeadLetterReason
from schemas.records import Tick

Recorded = Callable[..., Capture]
START_NS = 1_700_000_000 * 10**9


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    """Write a stamped recording of frames, 100 ms apart."""

    def write(*frames: dict[str, object]) -> Capture:
        path = tmp_path / "capture"
        lines = [f"{START_NS + n * 10**8} {json.dumps(frame)}\n" for n, frame in enumerate(frames)]
        path.write_text("".join(lines))
        return open_capture(path)

    return write


def trade(symbol: str, number: int, event: str = "trade") -> dict[str, object]:
    """A raw trade or aggregate."""
    id_key = "t" if event == "trade" else "a"
    return {"e": event, "s": symbol, id_key: number, "p": "1", "q": "1", "T": 1_700_000_000_000, "m": True}


def depth(symbol: str, first_id: int, last_id: int) -> dict[str, object]:
    """A combined depth frame."""
    data = {"e": "depthUpdate", "E": 1_700_000_000_000, "s": symbol, "U": first_id, "u": last_id, "b": [], "a": []}
    return {"stream": f"{symbol.lower()}@depth@100ms", "data": data}


def snapshot(last_id: int, **more: object) -> dict[str, object]:
    """A REST answer; it names no market unless told to."""
    return {"lastUpdateId": last_id, "bids": [["1", "1"]], "asks": [["2", "1"]], **more}


def ticks_of(capture: Capture, **options: str) -> tuple[list[Tick], list[DeadLetterReason]]:
    """What a replay gives."""
    recording = BinanceRecording(capture, Instruments(), **options)  # type: ignore[arg-type]
    moments = list(replay(capture, recording))
    return [t for m in moments for t in m.effects.ticks], [b.reason for m in moments for b in m.effects.bad]


def test_trades_are_preferred_to_aggregates_per_market(recorded: Recorded) -> None:
    """A market without a trade stream is told by its aggregates, whatever its neighbours have."""
    ticks, bad = ticks_of(
        recorded(trade("BTCUSDT", 1, "aggTrade"), trade("BTCUSDT", 7), trade("ETHUSDT", 2, "aggTrade"))
    )

    trades = [(t.symbol, t.trade_id, bool(t.flags & Flag.AGGREGATE)) for t in ticks if t.kind is TickKind.TRADE]
    assert trades == [("BTC/USDT", "7", False), ("ETH/USDT", "a2", True)]
    assert bad == []


def test_a_snapshot_without_a_name_belongs_to_the_only_market(recorded: Recorded) -> None:
    """It is live from then on."""
    ticks, bad = ticks_of(recorded(depth("BTCUSDT", 1, 2), snapshot(1)))

    assert [t.symbol for t in ticks if t.kind is TickKind.CLEAR] == ["BTC/USDT"]
    assert bad == []


@pytest.mark.parametrize("symbol", ["ETHUSDT", "ethusdt", "ETH/USDT"])
def test_a_snapshot_without_a_name_belongs_to_the_market_named(recorded: Recorded, symbol: str) -> None:
    """In any spelling; the other markets are replayed all the same."""
    ticks, _ = ticks_of(recorded(depth("BTCUSDT", 1, 2), depth("ETHUSDT", 1, 2), snapshot(1)), symbol=symbol)

    assert [t.symbol for t in ticks if t.kind is TickKind.CLEAR] == ["ETH/USDT"]
    assert {t.symbol for t in ticks if t.kind is TickKind.STATUS} == {"BTC/USDT", "ETH/USDT"}


def test_a_snapshot_that_could_be_anyones_is_a_dead_letter(recorded: Recorded) -> None:
    """Guessing would make a wrong book; one that names its market is placed."""
    ticks, bad = ticks_of(
        recorded(depth("BTCUSDT", 1, 2), depth("ETHUSDT", 1, 2), snapshot(1), snapshot(1, symbol="BTCUSDT"))
    )

    assert [t.symbol for t in ticks if t.kind is TickKind.CLEAR] == ["BTC/USDT"]
    assert bad == [DeadLetterReason.UNKNOWN_SYMBOL]


def test_without_a_snapshot_only_the_status_of_a_book_is_told(recorded: Recorded) -> None:
    """Trades go on."""
    ticks, _ = ticks_of(recorded(depth("BTCUSDT", 1, 2), trade("BTCUSDT", 1), depth("BTCUSDT", 3, 4)))

    kinds = [t.kind for t in ticks if t.kind is not TickKind.HEARTBEAT]
    assert kinds == [TickKind.STATUS, TickKind.TRADE]


def test_a_symbol_that_nothing_explains_is_a_dead_letter_each_time(recorded: Recorded) -> None:
    """Its neighbours are not held up."""
    ticks, bad = ticks_of(recorded(trade("XYZ", 1), trade("BTCUSDT", 1)))

    assert [t.symbol for t in ticks if t.kind is TickKind.TRADE] == ["BTC/USDT"]
    assert bad == [DeadLetterReason.UNKNOWN_SYMBOL]


def test_subscribed_markets_that_stayed_silent_are_known(tmp_path: Path) -> None:
    """From the address that the recorder connected to."""
    path = tmp_path / "BINANCE.ws.1.0"
    path.write_text("wss://x/stream?streams=btcusdt@depth@100ms/ethbtc@kline_1m <-> 1700000000.0\n1700000001.0: {}\n")
    capture = open_capture(path)

    assert BinanceRecording(capture, Instruments()).source.symbols == [("binance", "BTC/USDT")]


def test_a_recording_of_something_else_is_an_error(recorded: Recorded) -> None:
    """It says what to name instead."""
    with pytest.raises(CaptureError, match="--venue"):
        BinanceRecording(recorded({"channel": "book"}), Instruments())


def test_a_market_that_it_does_not_hold_is_an_error(recorded: Recorded) -> None:
    """It says which ones it holds."""
    with pytest.raises(CaptureError, match="BTCUSDT"):
        BinanceRecording(recorded(trade("BTCUSDT", 1)), Instruments(), symbol="ETHUSDT")


@pytest.mark.parametrize(
    ("url", "tag"),
    [
        ("https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000", "depth:BTCUSDT"),
        ("https://api.binance.com/api/v3/depth?symbol=OTHER", None),
        ("https://api.binance.com/api/v3/exchangeInfo", None),
    ],
)
def test_an_answer_is_placed_by_its_address(recorded: Recorded, url: str, tag: str | None) -> None:
    """Depth of the markets that are there; the rest is not needed."""
    assert BinanceRecording(recorded(trade("BTCUSDT", 1)), Instruments()).answer_tag(url) == tag
