"""The simulated node on real sockets: round trips, faults, limits, the control endpoint."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websocket_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from infra.simulator.clob import BOOK_EVENT, TRADE_EVENT, subscribe_query
from infra.simulator.faults import Dialect, Fault, FaultKind
from infra.simulator.node import CHAIN_ID, SimulatedNode
from schemas.errors import ConfigurationError

Subscribe = Callable[..., str]
START_US = 1_767_225_600_000_000
BOOKS = subscribe_query(BOOK_EVENT, "SEI/USDC")


def connect(url: str) -> websocket_connect:
    """Connect; frames that a test leaves unread must not hold up the closing handshake."""
    return websocket_connect(url, max_queue=None)


class Hands:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now_us = START_US

    def __call__(self) -> int:
        return self.now_us

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now_us += round(seconds * 1e6)


@pytest.fixture
def hands() -> Hands:
    """The clock of the node."""
    return Hands()


@pytest.fixture
async def node(hands: Hands) -> AsyncIterator[SimulatedNode]:
    """A running node whose time stands still until the test moves it."""
    async with SimulatedNode(seed=7, clock=hands) as running:
        yield running


async def _receive(socket: ClientConnection, count: int) -> list[Any]:
    async with asyncio.timeout(10):
        return [json.loads(await socket.recv()) for _ in range(count)]


async def _http(url: str, body: object = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()

    def call() -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    return await asyncio.to_thread(call)


async def test_a_client_of_the_chain_sees_blocks_and_their_results(
    node: SimulatedNode, hands: Hands, subscribe: Subscribe
) -> None:
    """Ack, then header and transactions of each block; block_results over HTTP agrees with them."""
    async with connect(node.ws_url) as socket:
        await socket.send(subscribe("tm.event='NewBlockHeader'", "h"))
        await socket.send(subscribe("tm.event='Tx'", "t"))
        assert [frame["result"] for frame in await _receive(socket, 2)] == [{}, {}]
        hands.forward(0.41)
        (header,) = await _receive(socket, 1)
        value = header["result"]["data"]["value"]
        txs = await _receive(socket, int(value["num_txs"]))
    assert (header["id"], value["header"]["chain_id"]) == ("h", CHAIN_ID)
    assert {frame["id"] for frame in txs} <= {"t"}
    status, answer = await _http(f"{node.rpc_url}/block_results?height={value['header']['height']}")
    assert (status, answer["id"]) == (200, -1)
    logs = [frame["result"]["data"]["value"]["TxResult"]["result"]["log"] for frame in txs]
    assert logs == [result["log"] for result in answer["result"]["txs_results"] or []]


async def test_a_client_of_the_book_feed_sees_the_market_of_the_seed(hands: Hands, subscribe: Subscribe) -> None:
    """Two nodes of one seed and time send the same frames, however their clocks jitter."""
    async with SimulatedNode(seed=3, clock=hands) as one, SimulatedNode(seed=3, clock=hands) as two:
        received = []
        async with connect(one.clob_url) as first, connect(two.clob_url) as second:
            for socket in (first, second):
                await socket.send(subscribe(BOOKS, "b"))
                await socket.send(subscribe(subscribe_query(TRADE_EVENT, "SEI/USDC"), "t"))
                await _receive(socket, 3)
            hands.forward(1.0)
            await _receive(first, 3)
            hands.forward(4.003)
            received = [await _receive(first, 20), await _receive(second, 23)]
        assert received[0] == received[1][3:]


async def test_books_at_connect_begin_at_the_present_sequence(
    node: SimulatedNode, hands: Hands, subscribe: Subscribe
) -> None:
    """A second client starts where the first one is."""
    async with connect(node.clob_url) as first, connect(node.clob_url) as second:
        await first.send(subscribe(BOOKS))
        hands.forward(2)
        frames = await _receive(first, 15)
        await second.send(subscribe(BOOKS))
        _, snapshot = await _receive(second, 2)
        assert _sequence(snapshot) >= _sequence(frames[-1])


async def test_drop_cuts_the_sockets_of_one_dialect(node: SimulatedNode, subscribe: Subscribe) -> None:
    """The chain's clients lose their connection without a handshake, the feed's stay."""
    async with connect(node.ws_url) as chain, connect(node.clob_url) as feed:
        await chain.send(subscribe("tm.event='Tx'"))
        await _receive(chain, 1)
        node.inject(Fault(FaultKind.DROP, Dialect.CHAIN))
        with pytest.raises(ConnectionClosed):
            await _receive(chain, 1)
        await feed.send(subscribe(BOOKS))
        assert (await _receive(feed, 1))[0]["result"] == {}


async def test_eviction_and_silence_leave_the_socket_open(
    node: SimulatedNode, hands: Hands, subscribe: Subscribe
) -> None:
    """One subscription ends with its error, another goes quiet without a word, the third goes on."""
    async with connect(node.ws_url) as socket:
        for query, request_id in (("Tx", "t"), ("NewBlock", "b"), ("NewBlockHeader", "h")):
            await socket.send(subscribe(f"tm.event='{query}'", request_id))
        await _receive(socket, 3)
        node.inject(Fault(FaultKind.EVICT, query="'Tx'"))
        (ended,) = await _receive(socket, 1)
        assert (ended["id"], ended["error"]["data"]) == ("t", "subscription terminated by publisher")
        node.inject(Fault(FaultKind.SILENT, query="'NewBlock'"))
        hands.forward(1.3)
        assert [frame["id"] for frame in await _receive(socket, 3)] == ["h"] * 3


async def test_stall_and_gap_by_http(node: SimulatedNode, hands: Hands, subscribe: Subscribe) -> None:
    """Told over HTTP, the feed loses sequences, then holds everything back, then sends it."""
    control = f"{node.rpc_url}/control/fault"
    async with connect(node.clob_url) as socket:
        await socket.send(subscribe(BOOKS))
        before = _sequence((await _receive(socket, 2))[1])
        assert await _http(control, {"kind": "gap", "count": 3}) == (200, {"injected": "gap"})
        hands.forward(2)
        assert _sequence((await _receive(socket, 1))[0]) == before + 4
        await _http(control, {"kind": "stall", "query": "SEI", "seconds": 60})
        hands.forward(2)
        await socket.send(subscribe("tm.event='Trade' AND market_id='SEI/USDC'", "t"))
        others = await _until(socket, lambda frame: frame["id"] == "t" and frame["result"] == {})
        assert all(frame["id"] == 1 for frame in others)
        await _http(control, {"kind": "heal"})
        assert (await _until(socket, lambda frame: frame["id"] == 1)) is not None


async def test_the_control_endpoint_refuses_what_it_does_not_know(node: SimulatedNode) -> None:
    """Wrong faults, methods and paths are refused with a reason; the banner says what this is."""
    status, answer = await _http(f"{node.rpc_url}/control/fault", {"kind": "explode"})
    assert status == 400
    assert "kinds are" in answer["error"]
    assert (await _http(f"{node.rpc_url}/control/fault"))[0] == 405
    assert (await _http(f"{node.rpc_url}/status", {}))[0] == 405
    assert (await _http(f"{node.rpc_url}/nothing"))[0] == 404
    status, answer = await _http(node.rpc_url)
    assert (status, answer["simulated"]) == (200, True)
    assert "SIMULATED" in answer["banner"]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /control/fault HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", 431),
    ],
)
async def test_malformed_http_is_refused(node: SimulatedNode, request_bytes: bytes, status: int) -> None:
    """Input from the network is bounded and checked."""
    host, port = node.rpc_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request_bytes)
    async with asyncio.timeout(10):
        line = await reader.readline()
    writer.close()
    assert line.startswith(f"HTTP/1.1 {status} ".encode())


async def test_a_frame_above_a_million_bytes_closes_the_socket(node: SimulatedNode) -> None:
    """The node reads at most 1,000,000 bytes of a message."""
    async with connect(node.ws_url) as socket:
        await socket.send("x" * 1_000_000)
        assert (await _receive(socket, 1))[0]["error"]["code"] == -32700
        await socket.send("x" * 1_000_001)
        with pytest.raises(ConnectionClosed) as closed:
            await _receive(socket, 1)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_the_node_pings_and_drops_who_never_answers(hands: Hands) -> None:
    """A client that answers pings stays; one that reads nothing at all is dropped after the read wait."""
    async with SimulatedNode(clock=hands, ping_interval_s=0.05, read_wait_s=0.2) as node:
        host, port = node.ws_url.removeprefix("ws://").removesuffix("/websocket").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"GET /websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        async with connect(node.ws_url) as alive, asyncio.timeout(10):
            received = await reader.read()
            writer.close()
            await alive.send('{"id":1,"method":"health"}')
            assert (await _receive(alive, 1))[0]["result"] == {}
    assert b"\x89\x04" in received  # a ping frame of four bytes


async def test_other_paths_and_taken_ports_are_refused(node: SimulatedNode) -> None:
    """Only the two paths are WebSockets; a port in use is a configuration error that names the option."""
    with pytest.raises(InvalidStatus):
        async with connect(node.ws_url.replace("/websocket", "/other")):
            pass
    port = int(node.rpc_url.rpartition(":")[2])
    for option, arguments in (("ws-port", {"ws_port": port}), ("rpc-port", {"rpc_port": port})):
        with pytest.raises(ConfigurationError, match=f"{option}.*{port}"):
            async with SimulatedNode(**arguments):
                pass


async def _until(socket: ClientConnection, wanted: Callable[[Any], bool]) -> list[Any]:
    """Give what came before the wanted frame."""
    seen: list[Any] = []
    while True:
        (frame,) = await _receive(socket, 1)
        if wanted(frame):
            return seen
        seen.append(frame)


def _sequence(frame: Any) -> int:
    attributes = frame["result"]["events"][0]["attributes"]
    return int({pair["key"]: pair["value"] for pair in attributes}["sequence"])
