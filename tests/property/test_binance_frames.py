"""Nothing that a network can send makes the Binance source raise, or lose its count of messages."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from producers.binance.source import BinanceSource
from schemas.enums import TickKind
from schemas.instruments import Instruments
from schemas.records import Tick

NOW_US = 1_700_000_000_000_000

FRAMES: list[dict[str, Any]] = [
    {"e": "trade", "E": 1, "s": "BTCUSDT", "t": 1, "p": "1.5", "q": "2", "T": 1, "m": True, "M": True},
    {"e": "aggTrade", "E": 1, "s": "BTCUSDT", "a": 1, "p": "1.5", "q": "2", "f": 1, "l": 1, "T": 1, "m": True},
    {"u": 400, "s": "BTCUSDT", "b": "25.3", "B": "31.2", "a": "25.4", "A": "40.6"},
    {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 1, "u": 2, "b": [["1", "2"]], "a": [["3", "4"], ["5", "0"]]},
    {"lastUpdateId": 2, "bids": [["1", "2"]], "asks": [["3", "4"]]},
    {"stream": "btcusdt@kline_1m", "data": {"e": "kline"}},
    {"result": None, "id": 1},
    {"code": 2, "msg": "Invalid request", "id": 1},
    {"error": {"code": 2, "msg": "Invalid request"}, "id": 1},
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["BTCUSDT", "NaN", "1e400", "-1", "0.123456789123", "1_0", "trade", "\ud800"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real frame with parts taken out or put in, then perhaps cut, doubled or with bytes changed."""
    frame = dict(draw(st.sampled_from(FRAMES)))
    for key in draw(st.lists(st.sampled_from([*frame, "e", "stream", "data", "pu", "symbol"]), max_size=3)):
        if draw(st.booleans()):
            frame[key] = draw(values)
        else:
            frame.pop(key, None)
    document: object = {"stream": draw(scalars), "data": frame} if draw(st.booleans()) else frame
    raw = json.dumps(document).encode()
    for at in draw(st.lists(st.integers(0, len(raw) - 1), max_size=3)):
        raw = raw[:at] + draw(st.binary(max_size=3)) + raw[at + draw(st.integers(0, 3)) :]
    return raw


def check_messages(ticks: list[Tick]) -> None:
    """Each message is whole: consecutive ordinals, first and last where they belong."""
    open_message: tuple[int, int] | None = None
    for tick in ticks:
        assert tick.first == (open_message is None)
        assert open_message in (None, (tick.message, tick.ordinal))
        open_message = None if tick.last else (tick.message, tick.ordinal + 1)
    assert open_message is None


@given(st.lists(st.tuples(st.booleans(), mutated()), max_size=8))
def test_any_frames_give_whole_messages_or_dead_letters(frames: list[tuple[bool, bytes]]) -> None:
    """Each is understood, ignored or a dead letter with its own bytes; no exception leaves the source."""
    source = BinanceSource(["BTCUSDT"], Instruments())
    ticks = source.open(NOW_US).ticks
    for number, (is_answer, frame) in enumerate(frames):
        now_us = NOW_US + number
        effects = source.fetched("depth:BTCUSDT", frame, now_us) if is_answer else source.receive(frame, now_us)

        assert all(bad.payload == frame for bad in effects.bad)
        assert all(tick.kind in (TickKind.STATUS, TickKind.HEARTBEAT) for tick in effects.ticks) or not effects.bad
        ticks += effects.ticks
    check_messages(ticks)


@given(st.text(max_size=40) | st.binary(max_size=40))
def test_any_text_or_bytes_are_survived(frame: str | bytes) -> None:
    """Also texts that have no encoding."""
    source = BinanceSource(["BTCUSDT"], Instruments())
    source.open(NOW_US)

    assert len(source.receive(frame, NOW_US).bad) <= 1
