"""The chain's dialect: acks, errors, limits, eviction, and frames shaped as real ones are."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.simulator.chain import Block
from infra.simulator.chain_frames import rfc3339_nanos
from infra.simulator.faults import Fault, FaultKind
from infra.simulator.tendermint import QUEUE_LIMIT, TendermintNode

Subscribe = Callable[..., str]
TX = "tm.event='Tx'"


class Client:
    """A client without a socket."""

    def __init__(self, node: TendermintNode, client_id: int = 1) -> None:
        self.node = node
        self.id = client_id
        node.hub.connect(client_id)

    def ask(self, text: str | bytes) -> Any:
        """Send one message and give its answer, None where there is none."""
        assert self.node.receive(self.id, text)
        frame = self.node.hub.next_frame(self.id, 0)
        return None if frame is None else json.loads(frame)

    def frames(self, now_us: int = 0) -> list[Any]:
        """Give all frames that are ready."""
        return [json.loads(text) for text in self.texts(now_us)]

    def texts(self, now_us: int = 0) -> list[str]:
        """Give all frames that are ready, as text."""
        return list(iter(lambda: self.node.hub.next_frame(self.id, now_us), None))  # type: ignore[arg-type]


@pytest.fixture
def node() -> TendermintNode:
    """A node without blocks."""
    return TendermintNode("chain-1", keep_blocks=20)


@pytest.fixture
def client(node: TendermintNode) -> Client:
    """One client of it."""
    return Client(node)


def _error(code: int, message: str, data: str, request_id: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message, "data": data}}


def _internal(data: str, request_id: Any = 1) -> dict[str, Any]:
    return _error(-32603, "Internal error", data, request_id)


@pytest.mark.parametrize("request_id", [1, -7, 0, "a-b", ""])
def test_subscribe_is_acknowledged_with_an_empty_result(client: Client, subscribe: Subscribe, request_id: Any) -> None:
    """The ack repeats the id, a text or an integer, and says {}."""
    assert client.ask(subscribe(TX, request_id)) == {"jsonrpc": "2.0", "id": request_id, "result": {}}


def test_parameters_may_be_an_array_and_the_version_absent(client: Client) -> None:
    """Positional parameters and a missing version are accepted."""
    assert client.ask('{"method":"subscribe","id":3,"params":["tm.event=\'Tx\'"]}')["result"] == {}


@pytest.mark.parametrize(
    "text",
    [
        *("", "nope", "[]", '"x"', "null", "{", "[" * 20_000),
        *('{"jsonrpc":"1.0","id":1,"method":"health"}', '{"id":1.5,"method":"health"}'),
        *('{"id":{},"method":"health"}', '{"id":true,"method":"health"}', '{"id":1,"method":5}'),
    ],
)
def test_what_cannot_be_read_is_a_parse_error_without_id(client: Client, text: str) -> None:
    """Bad JSON, a bad version and a bad id are all -32700, and the answer has no id."""
    answer = client.ask(text)
    assert set(answer) == {"jsonrpc", "error"}
    assert (answer["error"]["code"], answer["error"]["message"]) == (-32700, "Parse error")
    assert answer["error"]["data"].startswith("unmarshaling request: ")


def test_a_notification_is_skipped_in_silence(client: Client) -> None:
    """A request without an id is neither answered nor carried out."""
    assert client.ask('{"jsonrpc":"2.0","method":"subscribe","params":{"query":"tm.event=\'Tx\'"}}') is None
    assert client.ask('{"jsonrpc":"2.0","id":null,"method":"foo"}') is None
    assert not client.node.hub.subscriptions(client.id)


def test_errors_of_requests(client: Client, subscribe: Subscribe) -> None:
    """Unknown methods, wrong parameters, bad and long queries, repeated subscriptions: each has its code."""
    assert client.ask('{"id":1,"method":"foo"}') == _error(-32601, "Method not found", "foo")
    assert client.ask('{"id":1,"method":"subscribe"}')["error"]["code"] == -32602
    assert client.ask('{"id":1,"method":"subscribe","params":[1,2]}')["error"]["data"] == "got 2 arguments, want 1"
    assert client.ask('{"id":1,"method":"subscribe","params":{"query":5}}')["error"]["code"] == -32602
    assert client.ask(subscribe("malformed query"))["error"]["data"].startswith("failed to parse query: ")
    assert client.ask(subscribe(f"tm.event='{'x' * 502}'")) == _internal("maximum query length exceeded")
    assert client.ask(subscribe(f"tm.event='{'x' * 501}'"))["result"] == {}
    assert client.ask(subscribe(TX))["result"] == {}
    assert client.ask(subscribe("tm.event = 'Tx'", 2)) == _internal("already subscribed", 2)


def test_a_client_has_five_subscriptions(client: Client, subscribe: Subscribe) -> None:
    """The sixth is refused; unsubscribing makes room."""
    for height in range(5):
        assert client.ask(subscribe(f"tx.height={height}", height))["result"] == {}
    assert client.ask(subscribe(TX, 6)) == _internal("max_subscriptions_per_client 5 reached", 6)
    assert client.ask(subscribe("tx.height = 3", 7, "unsubscribe"))["result"] == {}
    assert client.ask(subscribe(TX, 8))["result"] == {}


def test_a_node_has_a_hundred_subscribers(node: TendermintNode, subscribe: Subscribe) -> None:
    """The 101st client is refused; one that leaves makes room; connections alone do not count."""
    clients = [Client(node, number) for number in range(101)]
    for client in clients[:100]:
        assert client.ask(subscribe(TX))["result"] == {}
    assert clients[100].ask(subscribe(TX)) == _internal("max_subscription_clients 100 reached")
    node.hub.disconnect(0)
    assert clients[100].ask(subscribe(TX))["result"] == {}


def test_unsubscribing(client: Client, subscribe: Subscribe) -> None:
    """Both forms are acknowledged, and refused where there is nothing to remove."""
    everything = '{"id":9,"method":"unsubscribe_all"}'
    assert client.ask(subscribe(TX, 1, "unsubscribe")) == _internal("subscription not found")
    assert client.ask(everything) == _internal("subscription not found", 9)
    client.ask(subscribe(TX))
    assert client.ask(everything) == {"jsonrpc": "2.0", "id": 9, "result": {}}
    assert not client.node.hub.subscriptions(client.id)


def test_a_query_on_an_event_that_the_chain_lacks_is_acknowledged_and_never_matches(
    client: Client, subscribe: Subscribe, blocks: list[Block]
) -> None:
    """A healthy socket with no data: the trap that staleness per subscription is for."""
    assert client.ask(subscribe("tm.event='OrderBookUpdate' AND market_id='SEI/USDC'"))["result"] == {}
    for block in blocks[:5]:
        client.node.publish(block, 0)
    assert client.frames() == []


def test_events_repeat_the_request_and_pair_plain_with_base64(
    client: Client, subscribe: Subscribe, blocks: list[Block]
) -> None:
    """Id and query are the request's own; flat values are plain, those inside are base64, null where empty."""
    raw = "tm.event =  'Tx'"
    client.ask(subscribe(raw, "mine"))
    client.ask(subscribe("tm.event='NewBlockHeader'", 2))
    for block in blocks[:20]:
        client.node.publish(block, 0)
        headers, txs = [], []
        for frame in client.frames():
            (headers if frame["id"] == 2 else txs).append(frame["result"])
        assert [(h["query"], h["data"]["type"]) for h in headers] == [
            ("tm.event='NewBlockHeader'", "tendermint/event/NewBlockHeader")
        ]
        header = headers[0]["data"]["value"]
        assert header["num_txs"] == str(len(txs)) == str(len(block.transactions))
        assert header["header"]["height"] == str(block.height)
        assert header["header"]["time"] == rfc3339_nanos(block.time_ns)
        assert header["header"]["chain_id"] == "chain-1"
        assert {"key": "YW1vdW50", "value": None, "index": True} in header["result_finalize_block"]["events"][0][
            "attributes"
        ]
        for index, (result, tx) in enumerate(zip(txs, block.transactions, strict=True)):
            assert (result["subscription_id"], result["query"]) == ("", raw)
            value = result["data"]["value"]["TxResult"]
            assert ("index" in value) == (index > 0)
            assert value["height"] == str(block.height)
            digest = hashlib.sha256(base64.b64decode(value["tx"])).hexdigest().upper()
            assert result["events"]["tx.hash"] == [digest] == [tx.hash]
            assert "code" not in value["result"]
            assert isinstance(value["result"]["gas_wanted"], str)
            flat: dict[str, list[str]] = {}
            for event in value["result"].get("events", []):
                for attribute in event["attributes"]:
                    key = event["type"] + "." + base64.b64decode(attribute["key"]).decode()
                    flat.setdefault(key, []).append(base64.b64decode(attribute["value"] or "").decode())
            reserved = {"tm.event": ["Tx"], "tx.hash": [digest], "tx.height": [str(block.height)]}
            assert result["events"] == {**flat, **reserved}
            assert list(result["events"]) == sorted(result["events"])


def test_a_filter_on_attributes_selects_transactions(client: Client, subscribe: Subscribe, blocks: list[Block]) -> None:
    """Conditions on attributes are matched against the flat map."""
    client.ask(subscribe("tm.event='Tx' AND wasm.action='swap'"))
    for block in blocks[:40]:
        client.node.publish(block, 0)
        swaps = [tx for tx in block.transactions if any(kind == "wasm" for kind, _ in tx.events)]
        assert [f["result"]["events"]["tx.hash"] for f in client.frames()] == [[tx.hash] for tx in swaps]


def test_a_slow_consumer_loses_one_subscription_and_keeps_the_socket(
    client: Client, subscribe: Subscribe, blocks: list[Block]
) -> None:
    """With 100 frames unread the next one evicts: the queue is delivered, then the error; the other goes on."""
    client.ask(subscribe(TX, "slow"))
    client.ask(subscribe("tm.event='NewBlockHeader'", "headers"))
    published = 0
    for block in blocks:
        client.node.publish(block, 0)
        published += 1
        if client.node.hub.evictions:
            break
    frames = client.frames()
    slow = [frame for frame in frames if frame["id"] == "slow"]
    assert len(slow) == QUEUE_LIMIT + 1
    assert slow[-1] == _internal("subscription terminated by publisher", "slow")
    assert sum(frame["id"] == "headers" for frame in frames) == published
    client.node.publish(blocks[-1], 0)
    assert [frame["id"] for frame in client.frames()] == ["headers"]
    assert client.ask(subscribe(TX, "again"))["result"] == {}


def test_block_results_has_what_the_socket_does_not(node: TendermintNode, blocks: list[Block]) -> None:
    """Codes are there, in an envelope with id -1; old, future and senseless heights are errors."""
    assert json.loads(node.get("block_results", {}) or "")["error"]["code"] == -32600
    for block in blocks[:30]:
        node.publish(block, 0)
    failed = next(block for block in blocks[10:30] if any(tx.code for tx in block.transactions))
    answer = json.loads(node.get("block_results", {"height": str(failed.height)}) or "")
    assert (answer["id"], answer["result"]["height"]) == (-1, str(failed.height))
    assert [tx.get("code", 0) for tx in answer["result"]["txs_results"]] == [tx.code for tx in failed.transactions]
    last = json.loads(node.get("block_results", {}) or "")["result"]
    assert last["height"] == str(blocks[29].height)
    quoted = json.loads(node.get("block_results", {"height": f'"{failed.height}"'}) or "")
    assert quoted == answer
    for height, code, start in (
        ("0", -32600, "height must be greater than zero"),
        ("-5", -32600, "height must be greater than zero"),
        (str(blocks[29].height + 1), -32603, "height must be less than or equal to the head"),
        (str(blocks[9].height), -32603, "height is not available"),
        ("x", -32602, "invalid height"),
    ):
        error = json.loads(node.get("block_results", {"height": height}) or "")["error"]
        assert (error["code"], error["data"].startswith(start)) == (code, True)


def test_status_names_the_chain_and_says_simulated(node: TendermintNode, blocks: list[Block]) -> None:
    """Status works before and after the first block; subscriptions have no path."""
    assert json.loads(node.get("status", {}) or "")["result"]["sync_info"]["latest_block_height"] == "0"
    for block in blocks[:3]:
        node.publish(block, 0)
    status = json.loads(node.get("status", {}) or "")["result"]
    assert (status["node_info"]["network"], status["node_info"]["moniker"]) == ("chain-1", "SIMULATED")
    sync = status["sync_info"]
    assert (sync["earliest_block_height"], sync["latest_block_height"]) == (
        str(blocks[0].height),
        str(blocks[2].height),
    )
    assert node.get("subscribe", {}) is None
    assert node.get("nothing", {}) is None


def test_faults_on_subscriptions(client: Client, subscribe: Subscribe, blocks: list[Block]) -> None:
    """Stall holds back, silence loses, malformed cuts, evict ends; a text selects; heal ends what lasts."""
    node, headers = client.node, "tm.event='NewBlockHeader'"
    client.ask(subscribe(headers))
    node.apply(Fault(FaultKind.STALL, seconds=1.0), 0)
    node.publish(blocks[0], 0)
    assert client.frames(999_999) == []
    assert len(client.frames(1_000_000)) == 1
    node.apply(Fault(FaultKind.HEAL), 0)
    node.apply(Fault(FaultKind.SILENT, query="Tx"), 0)
    node.publish(blocks[1], 0)
    assert len(client.frames()) == 1
    node.apply(Fault(FaultKind.SILENT), 0)
    node.publish(blocks[2], 0)
    node.apply(Fault(FaultKind.HEAL), 0)
    node.publish(blocks[3], 0)
    assert [f["result"]["data"]["value"]["header"]["height"] for f in client.frames()] == [str(blocks[3].height)]
    node.apply(Fault(FaultKind.MALFORMED), 0)
    node.publish(blocks[4], 0)
    node.publish(blocks[5], 0)
    bad, good = client.texts()
    with pytest.raises(ValueError):
        json.loads(bad)
    json.loads(good)
    node.apply(Fault(FaultKind.EVICT), 0)
    assert client.frames() == [_internal("subscription terminated by publisher")]
    assert node.apply(Fault(FaultKind.DROP), 0) == [client.id]
    assert node.apply(Fault(FaultKind.DROP, query="Tx"), 0) == []


def test_a_gap_loses_transactions_that_block_results_has(
    client: Client, subscribe: Subscribe, blocks: list[Block]
) -> None:
    """The headers go on; the skipped heights' Tx frames come from block_results only."""
    client.ask(subscribe(TX, 1))
    client.ask(subscribe("tm.event='NewBlockHeader'", 2))
    full = [block for block in blocks if block.transactions][:3]
    client.node.apply(Fault(FaultKind.GAP, count=2), 0)
    for block in full:
        client.node.publish(block, 0)
    frames = client.frames()
    assert sum(frame["id"] == 2 for frame in frames) == 3
    assert {f["result"]["events"]["tx.height"][0] for f in frames if f["id"] == 1} == {str(full[2].height)}
    answer = json.loads(client.node.get("block_results", {"height": str(full[0].height)}) or "")
    assert len(answer["result"]["txs_results"]) == len(full[0].transactions)


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (1_663_872_779_776_855_373, "2022-09-22T18:52:59.776855373Z"),
        (1_000_000_010, "1970-01-01T00:00:01.00000001Z"),
    ],
)
def test_times_are_written_as_go_writes_them(time_ns: int, text: str) -> None:
    """Nanoseconds without trailing zeros."""
    assert rfc3339_nanos(time_ns) == text


@given(st.one_of(st.binary(max_size=80), st.text(max_size=80)))
def test_no_message_breaks_the_node(message: str | bytes) -> None:
    """Whatever a client sends is answered with JSON or skipped."""
    client = Client(TendermintNode("chain-1"))
    answer = client.ask(message)
    assert answer is None or answer["jsonrpc"] == "2.0"


def _shape(value: Any, path: str = "") -> set[str]:
    if isinstance(value, dict):
        return {path + "{}"}.union(*(_shape(item, f"{path}.{key}") for key, item in value.items()))
    if isinstance(value, list):
        return {path + "[]"}.union(*(_shape(item, path + "[]") for item in value))
    return {f"{path}:{type(value).__name__}"}


def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _without(frame: Any, *paths: tuple[str, ...]) -> Any:
    for path in paths:
        inner = frame
        for key in path[:-1]:
            inner = inner[key]
        inner.pop(path[-1], None)
    return frame


def test_tx_frames_have_the_shape_of_real_ones(
    client: Client, subscribe: Subscribe, blocks: list[Block], sample_data: Path
) -> None:
    """Every field of a recorded Tx frame is in ours with its type, and ours adds only what Sei's fork adds."""
    client.ask(subscribe(TX, "a"))
    frames = []
    for block in blocks[:40]:
        client.node.publish(block, 0)
        frames += client.frames()
    later = next(f for f in frames if "index" in f["result"]["data"]["value"]["TxResult"] and "wasm.action" in str(f))
    ours = _shape(_without(later, ("result", "events")))
    folder = sample_data / "tendermint" / "kvstore_v0_34" / "incoming"
    real = _shape(_without(_load(folder / "subscribe_txs_1.json"), ("result", "events")))
    assert real <= ours
    added = ".result.data.value.TxResult"
    assert ours - real == {
        ".result.subscription_id:str",
        f"{added}.index:int",
        *(f"{added}.result.{name}:str" for name in ("log", "gas_wanted", "gas_used")),
    }


def test_ack_and_errors_have_the_shape_of_real_ones(client: Client, subscribe: Subscribe, sample_data: Path) -> None:
    """The recorded ack and error frames, with our ids put in, are ours; only the parser's own words differ."""
    folder = sample_data / "tendermint" / "kvstore_v0_34" / "incoming"
    assert client.ask(subscribe(TX, "x")) == {**_load(folder / "subscribe_txs.json"), "id": "x"}
    real = {**_load(folder / "subscribe_malformed.json"), "id": "y"}
    ours = client.ask(subscribe("malformed query", "y"))
    for frame in (real, ours):
        assert frame["error"].pop("data").startswith("failed to parse query: ")
    assert ours == real


def test_new_block_frames_have_the_shape_of_real_ones(
    client: Client, subscribe: Subscribe, blocks: list[Block], sample_data: Path
) -> None:
    """Every field of a recorded NewBlock frame but the validators' signatures is in ours with its type."""
    client.ask(subscribe("tm.event='NewBlock'", "a"))
    for block in blocks[:5]:
        client.node.publish(block, 0)
    ours = set().union(*map(_shape, client.frames()))
    folder = sample_data / "tendermint" / "kvstore_v0_34" / "incoming"
    real = _shape(_load(folder / "subscribe_newblock_1.json"))
    missing = {path for path in real - ours if "last_commit.signatures" not in path}
    # The recorder's chain has a plain transfer in its begin block, ours rewards: the attributes' types are the same.
    assert missing == set()


def test_block_results_has_the_shape_of_a_real_sei_block(
    node: TendermintNode, blocks: list[Block], sample_data: Path
) -> None:
    """Over some blocks the answers have every field of the recorded one; more only where gas is not zero."""
    real = _load(sample_data / "tendermint" / "sei_block_results_54810790.json")
    ours: set[str] = set()
    for block in blocks[:60]:
        node.publish(block, 0)
        answer = json.loads(node.get("block_results", {}) or "")
        if answer["result"]["txs_results"]:
            ours |= _shape({**answer, "id": "-1"})
    recorded = _shape({**real, "id": "-1"})
    assert recorded <= ours
    assert ours - recorded == {f".result.txs_results[].{name}:str" for name in ("gas_wanted", "gas_used")}
    event_types = {e["type"] for tx in real["result"]["txs_results"] for e in tx.get("events", [])}
    assert event_types <= {kind for block in blocks for tx in block.transactions for kind, _ in tx.events}
