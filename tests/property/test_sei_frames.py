"""Whatever a node sends, a source answers with ticks and dead letters, never with an exception."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producers.core import Effects
from producers.sei.chain import SeiChainSource
from producers.sei.clob import SeiClobSource
from producers.sei.mapping import EventMapping
from schemas.codec import Codec
from schemas.instruments import Instruments
from schemas.records import Tick

T0 = 1_700_000_000_000_000
MAPPING = EventMapping.load()
INSTRUMENTS = Instruments.load()
CODEC = Codec(Tick, 1)
POOL = next(iter(MAPPING.pools.values()))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
SWAP = {
    "_contract_address": POOL.contract,
    "action": "swap",
    "offer_asset": POOL.base.denom,
    "offer_amount": "1000000",
    "ask_asset": POOL.quote.denom,
    "return_amount": "50000",
}
TX = {
    "id": "tx",
    "result": {
        "query": "tm.event='Tx'",
        "data": {
            "type": "tendermint/event/Tx",
            "value": {
                "TxResult": {
                    "height": "7",
                    "index": 1,
                    "tx": "dHg=",
                    "result": {
                        "log": "[]",
                        "events": [
                            {"type": "wasm", "attributes": [{"key": k, "value": v} for k, v in SWAP.items()]},
                        ],
                    },
                }
            },
        },
        "events": {"tx.hash": ["AB"], **{f"wasm.{key}": [value] for key, value in SWAP.items()}},
    },
}
HEADER = {
    "id": "header",
    "result": {
        "data": {
            "type": "tendermint/event/NewBlockHeader",
            "value": {"num_txs": "2", "header": {"height": "7", "time": "2023-11-14T22:13:20.1Z", "chain_id": "c"}},
        }
    },
}
BOOK = {
    "id": "orderbook_SEI/USDC",
    "result": {
        "events": [
            {
                "type": "OrderBookUpdate",
                "attributes": [
                    {"key": "market_id", "value": "SEI/USDC"},
                    {"key": "sequence", "value": "2"},
                    {"key": "timestamp", "value": "2024-01-01T00:00:00Z"},
                ],
                "data": {"bids": [["0.042", "1000"]], "asks": [["0.043", "1500"]]},
            },
            {
                "type": "Trade",
                "attributes": {"market_id": "SEI/USDC", "price": "0.04", "size": "1", "side": "buy", "trade_id": "1"},
            },
        ]
    },
}
ERROR = {"id": "tx", "error": {"code": -32603, "message": "Internal error", "data": "already subscribed"}}


def chain() -> SeiChainSource:
    source = SeiChainSource(venue="sei", mapping=MAPPING)
    source.open(T0)
    return source


def clob() -> SeiClobSource:
    source = SeiClobSource(venue="sei-clob", symbols=["SEI/USDC"], instruments=INSTRUMENTS)
    source.open(T0)
    return source


def paths(document: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    places = [prefix]
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        places += paths(value, (*prefix, key))
    return places


@st.composite
def mutated(draw: st.DrawFn, documents: list[Any]) -> str:
    """A frame with a few of its parts removed, or replaced by anything."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from([path for path in paths(document) if path] or [("x",)]))
        holder = document
        for key in parents:
            holder = holder[key]
        if draw(st.booleans()) and isinstance(holder, dict):
            holder.pop(last, None)
        else:
            holder[last] = draw(JSON)
    return json.dumps(document)


def assert_writable(effects: Effects) -> None:
    """What came out can be written as it stands."""
    for tick in effects.ticks:
        assert CODEC.decode(CODEC.encode(tick)) == tick
    for bad in effects.bad:
        assert isinstance(bad.payload, bytes)
        bad.detail.encode()


@pytest.mark.parametrize("make", [chain, clob])
@given(st.lists(st.one_of(st.text(), st.binary(), JSON.map(json.dumps), JSON.map(lambda v: json.dumps({"result": v})))))
def test_anything_at_all_is_survived(make: Any, frames: list[str | bytes]) -> None:
    """Text, bytes and JSON of every form."""
    source = make()
    for number, frame in enumerate(frames):
        assert_writable(source.receive(frame, T0 + number))
    assert_writable(source.tick(T0 + 60_000_000))


@given(st.lists(mutated([TX, HEADER, ERROR]), max_size=6))
def test_mutated_frames_of_the_chain_are_survived(frames: list[str]) -> None:
    """Each part missing or something else."""
    source = chain()
    for frame in (json.dumps(HEADER), *frames, json.dumps(TX)):
        assert_writable(source.receive(frame, T0))
    assert_writable(source.tick(T0 + 3_000_000))


@given(st.lists(mutated([BOOK]), max_size=6))
def test_mutated_frames_of_the_book_feed_are_survived(frames: list[str]) -> None:
    """Each part missing or something else; a whole message comes out or none of it."""
    source = clob()
    for frame in frames:
        effects = source.receive(frame, T0)
        assert_writable(effects)
        for before, after in zip(effects.ticks, effects.ticks[1:], strict=False):
            assert before.last == after.first


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.data())
def test_mutated_recorded_frames_are_survived(sample_data: Path, data: st.DataObject) -> None:
    """Real frames of 0.34 and 0.38 nodes, and a real block of pacific-1."""
    folder = sample_data / "tendermint"
    files = sorted(folder.glob("*/incoming/*.json"))
    frame = data.draw(mutated([json.loads(path.read_bytes()) for path in files]))
    source = chain()
    assert_writable(source.receive(frame, T0))


@given(st.binary() | JSON.map(lambda v: json.dumps({"result": v}).encode()) | st.none(), st.text(max_size=30))
def test_any_answer_to_a_fetch_is_survived(body: bytes | None, tag: str) -> None:
    """The HTTP side of a node is no more to be trusted than its socket."""
    source = chain()
    for height in (7, 9):
        source.receive(json.dumps(HEADER).replace('"7"', f'"{height}"'), T0)
    for name in (tag, "block:8", "block_results:8"):
        assert_writable(source.fetched(name, body, T0))
