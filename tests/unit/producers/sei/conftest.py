"""Frames of a Sei node, as the tests need them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from producers.sei.chain import SeiChainSource
from producers.sei.clob import SeiClobSource
from producers.sei.mapping import EventMapping
from schemas.instruments import Instruments

POOL = "sei1ltr0r989uds8y0gahfl6uqec5rqulks06fyugpre0syml8ul0jtsjgv69c"
USDC = "ibc/CA6FBFAF399474A06263E10D0CE5AEBBE15189D6D4B2DD9ADE61007E68EB9DB0"
T0 = 1_700_000_000_000_000
LOG = '[{"events":[]}]'


class Node:
    """Writes what a node of Sei's fork writes: base64 attributes, plain flat map, no code, index 0 left out."""

    base64 = True

    @staticmethod
    def swap(**changes: str | None) -> tuple[str, dict[str, str]]:
        """A wasm swap: 2 USDC offered, 40 SEI returned, unless changed; None leaves an attribute out."""
        attributes = {
            "_contract_address": POOL,
            "action": "swap",
            "offer_asset": USDC,
            "ask_asset": "usei",
            "offer_amount": "2000000",
            "return_amount": "40000000",
            "spread_amount": "1",
            "commission_amount": "",
        } | changes
        return "wasm", {key: value for key, value in attributes.items() if value is not None}

    def attributes(self, attributes: Mapping[str, str]) -> list[dict[str, Any]]:
        def written(text: str) -> str | None:
            if not self.base64:
                return text
            return base64.b64encode(text.encode()).decode() if text else None

        return [{"key": written(key), "value": written(value), "index": True} for key, value in attributes.items()]

    def result(self, events: Sequence[tuple[str, dict[str, str]]], **fields: Any) -> dict[str, Any]:
        written = [{"type": kind, "attributes": self.attributes(attributes)} for kind, attributes in events]
        return {"events": written, **fields}

    def tx(
        self,
        height: int,
        index: int,
        events: Sequence[tuple[str, dict[str, str]]],
        *,
        log: str | None = LOG,
        frame_id: str = "tx",
        **fields: Any,
    ) -> str:
        flat: dict[str, list[str]] = {"tm.event": ["Tx"], "tx.hash": [f"{height:032X}{index:032X}"]}
        for kind, attributes in events:
            for key, value in attributes.items():
                flat.setdefault(f"{kind}.{key}", []).append(value)
        result = self.result(events, **({} if log is None else {"log": log}), **fields)
        tx = {"height": str(height), **({"index": index} if index else {}), "tx": "dHg=", "result": result}
        body = {
            "subscription_id": "",
            "query": "tm.event='Tx'",
            "data": {"type": "tendermint/event/Tx", "value": {"TxResult": tx}},
            "events": flat,
        }
        return json.dumps({"jsonrpc": "2.0", "id": frame_id, "result": body})

    @staticmethod
    def time(height: int) -> int:
        """The time of a block: one every 400 ms."""
        return T0 + height * 400_000

    @classmethod
    def header_fields(cls, height: int, chain_id: str = "pacific-1") -> dict[str, str]:
        time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=cls.time(height))
        return {"chain_id": chain_id, "height": str(height), "time": f"{time:%Y-%m-%dT%H:%M:%S.%f}789Z"}

    def header(self, height: int, num_txs: int | None = 0, **fields: str) -> str:
        value: dict[str, Any] = {"header": self.header_fields(height, **fields)}
        if num_txs is not None:
            value["num_txs"] = str(num_txs)
        data = {"type": "tendermint/event/NewBlockHeader", "value": value}
        body = {"query": "tm.event='NewBlockHeader'", "data": data, "events": {"tm.event": ["NewBlockHeader"]}}
        return json.dumps({"jsonrpc": "2.0", "id": "header", "result": body})

    @staticmethod
    def ack(frame_id: str) -> str:
        return json.dumps({"jsonrpc": "2.0", "id": frame_id, "result": {}})

    @staticmethod
    def error(frame_id: str | None, data: str) -> str:
        error = {"code": -32603, "message": "Internal error", "data": data}
        return json.dumps({"jsonrpc": "2.0", **({"id": frame_id} if frame_id else {}), "error": error})

    def block_results(self, height: int, results: Sequence[dict[str, Any]] | None) -> bytes:
        result = {"height": str(height), "txs_results": results}
        return json.dumps({"jsonrpc": "2.0", "id": -1, "result": result}).encode()

    def block(self, height: int, count: int) -> bytes:
        block = {"header": self.header_fields(height), "data": {"txs": ["dHg="] * count}}
        return json.dumps({"jsonrpc": "2.0", "id": -1, "result": {"block": block}}).encode()


@pytest.fixture
def node() -> Node:
    """A node that writes as Sei's does."""
    return Node()


@pytest.fixture
def chain() -> Callable[..., SeiChainSource]:
    """Makes a chain source with the committed mapping, opened, its subscriptions acknowledged."""

    def make(**arguments: Any) -> SeiChainSource:
        source = SeiChainSource(venue="sei", mapping=EventMapping.load(), **arguments)
        source.open(T0)
        for frame_id in ("tx", "header"):
            source.receive(Node.ack(frame_id), T0)
        return source

    return make


@pytest.fixture
def clob() -> Callable[..., SeiClobSource]:
    """Makes a clob source of SEI/USDC, opened, its subscriptions acknowledged."""

    def make(**arguments: Any) -> SeiClobSource:
        instruments = Instruments.load()
        source = SeiClobSource(venue="sei-clob", symbols=["SEI/USDC"], instruments=instruments, **arguments)
        source.open(T0)
        for frame_id in ("orderbook_SEI/USDC", "trade_SEI/USDC"):
            source.receive(Node.ack(frame_id), T0)
        return source

    return make


@pytest.fixture
def tendermint_frames(sample_data: Path) -> dict[str, bytes]:
    """Every recorded frame that a node sent, by its path."""
    folder = sample_data / "tendermint"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("*/incoming/*.json"))}


@pytest.fixture
def sei_block(sample_data: Path) -> bytes:
    """The recorded `block_results` of pacific-1."""
    return (sample_data / "tendermint" / "sei_block_results_54810790.json").read_bytes()
