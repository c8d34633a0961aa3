"""Recorded frames of real nodes, understood."""

from __future__ import annotations

import json
from typing import Any

import pytest

from producers.sei.jsonrpc import Ack, Result, RpcError, parse_frame
from producers.sei.tendermint import (
    Encoding,
    Outcome,
    decode_event,
    encoding_by_keys,
    parse_block_results,
    parse_header,
    parse_transaction,
)
from schemas.errors import ProtocolError


def parsed(raw: bytes) -> Ack | Result | RpcError:
    return parse_frame(json.loads(raw))


def test_every_recorded_frame_is_told_apart(tendermint_frames: dict[str, bytes]) -> None:
    """Acks, events, answers to other requests, and the error of a malformed query."""
    assert len(tendermint_frames) > 30
    for name, raw in tendermint_frames.items():
        frame = parsed(raw)
        if name.endswith("malformed.json"):
            assert isinstance(frame, RpcError)
            assert "failed to parse query" in frame.data
        elif name.endswith(("subscribe_txs.json", "subscribe_newblock.json")):
            assert isinstance(frame, Ack)
        else:
            assert isinstance(frame, Result)
            assert ("data" in frame.body and frame.query is not None) != ("broadcast" in name)


@pytest.mark.parametrize(
    ("version", "encoding"), [("kvstore_v0_34", Encoding.BASE64), ("kvstore_v0_38", Encoding.PLAIN)]
)
def test_attributes_are_read_as_the_node_writes_them(
    tendermint_frames: dict[str, bytes], version: str, encoding: Encoding
) -> None:
    """Base64 up to 0.34 and plain from 0.37 on, found out from the flat map, give the same texts."""
    for number in range(5):
        frame = parsed(tendermint_frames[f"{version}/incoming/subscribe_txs_{number}.json"])
        assert isinstance(frame, Result)
        transaction = parse_transaction(frame.body["data"]["value"], frame.body["events"])
        assert transaction.encoding is encoding
        assert transaction.index == 0
        assert transaction.tx_hash == frame.body["events"]["tx.hash"][0]
        first = decode_event(transaction.events[0], encoding)
        assert first.value("creator") == "Cosmoshi Netowoko"
        assert first.value("noindex_key") == "index is working"
        assert first.value("key").startswith("tx")


def test_block_times_are_read_from_both_forms_of_new_block(tendermint_frames: dict[str, bytes]) -> None:
    """RFC 3339 with nanoseconds to microseconds, cut and not rounded."""
    times = {}
    for version in ("kvstore_v0_34", "kvstore_v0_38"):
        frame = parsed(tendermint_frames[f"{version}/incoming/subscribe_newblock_1.json"])
        assert isinstance(frame, Result)
        times[version] = parse_header(frame.body["data"]["value"])
    assert (times["kvstore_v0_34"].height, times["kvstore_v0_34"].time_us) == (71, 1_663_873_079_776_855)
    assert times["kvstore_v0_38"].num_txs == 0
    assert times["kvstore_v0_38"].chain_id == "dockerchain"


def test_the_failed_transactions_of_the_sei_block_are_seen_as_failed(sei_block: bytes) -> None:
    """28 transactions of pacific-1, the first two with code 32."""
    height, transactions = parse_block_results(sei_block)
    assert height == 54_810_790
    assert [t.outcome for t in transactions] == [Outcome.FAILED] * 2 + [Outcome.SUCCEEDED] * 26
    assert [t.index for t in transactions] == list(range(28))


def test_events_of_the_sei_block_decode_by_the_keys_that_they_should_have(sei_block: bytes) -> None:
    """There is no flat map in block_results: the declared keys tell base64 from plain."""
    _, transactions = parse_block_results(sei_block)
    vote = next(event for event in transactions[2].events if event.type == "aggregate_vote")
    encoding = encoding_by_keys(vote, {"voter"})
    assert encoding is Encoding.BASE64
    assert decode_event(vote, encoding).value("voter") == "seivaloper1eqgnd7ey0hnha8rrfukjrsawulhna0zagcg6a4"


def test_null_is_the_empty_text(node: Any) -> None:
    """Sei writes an empty attribute as null."""
    kind, attributes = node.swap()
    frame = json.loads(node.tx(1, 0, [(kind, attributes)]))
    transaction = parse_transaction(frame["result"]["data"]["value"], frame["result"]["events"])
    raw = dict(transaction.events[0].attributes)
    assert None in raw.values()
    assert decode_event(transaction.events[0], Encoding.BASE64).value("commission_amount") == ""


def test_a_contract_cannot_make_its_attributes_look_plain(node: Any) -> None:
    """A key that is the base64 of another is one vote against many."""
    frame = json.loads(node.tx(1, 0, [node.swap(), ("wasm", {"YWN0aW9u": "c3dhcA=="})]))
    transaction = parse_transaction(frame["result"]["data"]["value"], frame["result"]["events"])
    assert transaction.encoding is Encoding.BASE64


@pytest.mark.parametrize(
    ("fields", "log", "outcome"),
    [
        ({"code": 5}, '[{"events":[]}]', Outcome.FAILED),
        ({"code": 0}, None, Outcome.SUCCEEDED),
        ({"codespace": "sdk"}, None, Outcome.FAILED),
        ({}, '[{"events":[]}]', Outcome.SUCCEEDED),
        ({}, "out of gas", Outcome.FAILED),
        ({}, "[not json", Outcome.FAILED),
        ({}, None, Outcome.UNKNOWN),
        ({}, "", Outcome.UNKNOWN),
    ],
)
def test_a_live_transaction_is_judged_by_what_is_there(
    node: Any, fields: dict[str, Any], log: str | None, outcome: Outcome
) -> None:
    """A code where there is one, else the log, else it is not known."""
    frame = json.loads(node.tx(1, 0, [node.swap()], log=log, **fields))
    assert parse_transaction(frame["result"]["data"]["value"], frame["result"]["events"]).outcome is outcome


@pytest.mark.parametrize(("key", "outcome"), [("action", Outcome.SUCCEEDED), ("sender", Outcome.UNKNOWN)])
def test_only_an_action_shows_that_messages_ran(node: Any, key: str, outcome: Outcome) -> None:
    """The ante handler of a failed transaction writes `message` events too, without an action."""
    frame = json.loads(node.tx(1, 0, [("message", {key: "x"})], log=None))
    assert parse_transaction(frame["result"]["data"]["value"], frame["result"]["events"]).outcome is outcome


@pytest.mark.parametrize(
    "document", [[], 1, {"id": 1.5, "result": {}}, {"id": 1}, {"error": "x"}, {"error": {"code": "1"}}]
)
def test_what_is_not_json_rpc_is_refused(document: Any) -> None:
    """Neither ack, event nor error."""
    with pytest.raises(ProtocolError):
        parse_frame(document)
