"""The simulated Sei node on sockets: carries frames between clients and the pure parts, on the clock it is given."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from types import TracebackType
from typing import Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from infra.runtime.clock import Clock, wall_clock_us
from infra.simulator.chain import Block
from infra.simulator.clob import ClobFeed
from infra.simulator.faults import Dialect, Fault
from infra.simulator.http import Answer, HTTPRequest, serve_http
from infra.simulator.hub import ClientId
from infra.simulator.market import STEP_US, Market
from infra.simulator.tendermint import TendermintNode
from schemas.errors import ConfigurationError, ProtocolError

__all__ = ["CHAIN_ID", "SimulatedNode"]

CHAIN_ID = "flashmm-sim-1"
"""Chain id of the simulation: no real chain has it."""

_HOST = "127.0.0.1"
_MAX_BODY_BYTES = 1_000_000
_PING_INTERVAL_S = 27.0
_READ_WAIT_S = 30.0
_WRITE_WAIT_S = 10.0
_CATCH_UP_US = 50_000
_BREATH_S = 0.001
_PATHS = {"/websocket": Dialect.CHAIN, "/clob": Dialect.CLOB}


@dataclass(slots=True, eq=False)
class _Peer:
    id: ClientId
    dialect: Dialect
    connection: ServerConnection
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class SimulatedNode:
    """A SIMULATED Sei node on 127.0.0.1, an async context manager.

    Args:
        seed: Of the market; the same seed gives the same market.
        rate: Multiplies the arrivals of orders and swaps.
        ws_port: Port of the WebSockets; 0 takes a free one.
        rpc_port: Port of the HTTP side (`block_results`, `status`, `control/fault`); 0 takes a free one.
        clock: Drives the market.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        rate: float = 1.0,
        ws_port: int = 0,
        rpc_port: int = 0,
        clock: Clock = wall_clock_us,
        ping_interval_s: float = _PING_INTERVAL_S,
        read_wait_s: float = _READ_WAIT_S,
    ) -> None:
        self._clock = clock
        self._ports = (ws_port, rpc_port)
        self._keepalive = (ping_interval_s, read_wait_s - ping_interval_s)
        self.market = Market(seed, start_us=clock() // STEP_US * STEP_US, rate=rate)
        self.chain = TendermintNode(CHAIN_ID)
        self.clob = ClobFeed(self.market.symbols)
        self._sides: dict[Dialect, TendermintNode | ClobFeed] = {Dialect.CHAIN: self.chain, Dialect.CLOB: self.clob}
        self._peers: dict[ClientId, _Peer] = {}
        self._ids = count(1)
        self._server: Server | None = None
        self._http: asyncio.Server | None = None
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Bind the ports and start the market.

        Raises:
            ConfigurationError: a port is in use or not allowed.
        """
        ws_port, rpc_port = self._ports
        for clob in self.market.clobs.values():
            self.clob.publish(clob.snapshot(self.market.now_us), self.market.now_us)
        interval, timeout = self._keepalive
        try:
            self._http = await serve_http(self._route, _HOST, rpc_port)
        except OSError as error:
            raise _cannot_bind("rpc-port", rpc_port, error) from error
        try:
            self._server = await serve(
                self._handle,
                _HOST,
                ws_port,
                process_request=_refuse_other_paths,
                compression=None,
                max_size=_MAX_BODY_BYTES,
                ping_interval=interval,
                ping_timeout=timeout,
                close_timeout=1,
                server_header="flashmm SIMULATED Sei node",
            )
        except OSError as error:
            self._http.close()
            raise _cannot_bind("ws-port", ws_port, error) from error
        self._running = asyncio.create_task(self._run(), name="simulated market")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._running is not None
        assert self._server is not None
        assert self._http is not None
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        self._http.close()
        self._server.close()
        await self._server.wait_closed()

    @property
    def ws_url(self) -> str:
        """WebSocket of the chain."""
        return f"ws://{_HOST}:{_port(self._server)}/websocket"

    @property
    def clob_url(self) -> str:
        """WebSocket of the order-book feed."""
        return f"ws://{_HOST}:{_port(self._server)}/clob"

    @property
    def rpc_url(self) -> str:
        """HTTP address of the chain's RPC."""
        return f"http://{_HOST}:{_port(self._http)}"

    @property
    def banner(self) -> str:
        """What the node says about itself."""
        return f"SIMULATED Sei node, chain {CHAIN_ID}, seed {self.market.seed}: no real market, no real money"

    async def wait(self) -> None:
        """Wait until the market ends, which it does only by failing."""
        assert self._running is not None
        await asyncio.shield(self._running)

    def inject(self, fault: Fault) -> None:
        """Misbehave as told."""
        for dialect, side in self._sides.items():
            if fault.dialect in (None, dialect):
                for client in side.apply(fault, self._clock()):
                    self._peers[client].connection.transport.abort()
        self._wake()

    async def _run(self) -> None:
        while True:
            now_us = self._clock()
            while self.market.now_us + STEP_US <= now_us:
                published = False
                # After a pause of the machine the market catches up in portions, so that clients are served between.
                for event in self.market.advance(min(now_us, self.market.now_us + _CATCH_UP_US)):
                    published = True
                    if isinstance(event, Block):
                        self.chain.publish(event, now_us)
                    else:
                        self.clob.publish(event, now_us)
                if published:
                    self._wake()
                await asyncio.sleep(_BREATH_S)
            await asyncio.sleep(STEP_US / 1e6)

    def _wake(self) -> None:
        for peer in self._peers.values():
            peer.wake.set()

    async def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        peer = _Peer(next(self._ids), _PATHS[_path(connection.request)], connection)
        side = self._sides[peer.dialect]
        side.hub.connect(peer.id)
        self._peers[peer.id] = peer
        writer = asyncio.create_task(self._write(peer))
        try:
            async for message in connection:
                accepted = side.receive(peer.id, message)
                peer.wake.set()
                if not accepted:
                    connection.transport.abort()
        except ConnectionClosed:
            pass  # a client may leave without a closing handshake
        finally:
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer
            side.hub.disconnect(peer.id)
            del self._peers[peer.id]

    async def _write(self, peer: _Peer) -> None:
        hub = self._sides[peer.dialect].hub
        while True:
            frame = hub.next_frame(peer.id, self._clock())
            if frame is None:
                peer.wake.clear()
                await peer.wake.wait()
                continue
            try:
                async with asyncio.timeout(_WRITE_WAIT_S):
                    await peer.connection.send(frame)
            except ConnectionClosed:
                return
            except TimeoutError:
                peer.connection.transport.abort()
                return

    def _route(self, request: HTTPRequest) -> Answer:
        if request.path == "/control/fault":
            return self._control(request)
        if request.method != "GET":
            return HTTPStatus.METHOD_NOT_ALLOWED, '{"error":"Method Not Allowed"}'
        if request.path == "/":
            return HTTPStatus.OK, json.dumps({"simulated": True, "banner": self.banner})
        body = self.chain.get(request.path.removeprefix("/"), request.query)
        return (HTTPStatus.OK, body) if body is not None else (HTTPStatus.NOT_FOUND, '{"error":"Not Found"}')

    def _control(self, request: HTTPRequest) -> Answer:
        if request.method != "POST":
            return HTTPStatus.METHOD_NOT_ALLOWED, '{"error":"Method Not Allowed"}'
        try:
            fault = Fault.from_json(json.loads(request.body))
        except (ValueError, RecursionError, ProtocolError) as error:
            return HTTPStatus.BAD_REQUEST, json.dumps({"error": str(error)})
        self.inject(fault)
        return HTTPStatus.OK, json.dumps({"injected": fault.kind})


def _refuse_other_paths(connection: ServerConnection, request: Request) -> Response | None:
    if _path(request) in _PATHS:
        return None
    return connection.respond(HTTPStatus.NOT_FOUND, f"paths are {', '.join(_PATHS)}\n")


def _path(request: Request) -> str:
    return request.path.partition("?")[0]


def _port(server: Server | asyncio.Server | None) -> int:
    assert server is not None, "the node is not running: use it as an async context manager"
    sockets: Sequence[object] = tuple(server.sockets)
    port: int = sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    return port


def _cannot_bind(setting: str, port: int, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        setting, f"cannot listen on {_HOST}:{port}: {error.strerror or error}", "Choose another port, or 0 for any"
    )
