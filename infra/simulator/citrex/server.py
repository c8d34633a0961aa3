"""The simulated venue on a socket: carries requests to the pure parts, and the faults that are a matter of wires."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from http import HTTPStatus
from types import TracebackType
from typing import Self

from aiohttp import web

from infra.runtime.clock import Clock, wall_clock_us
from infra.simulator.citrex.api import ApiRequest, Reply, answer, operation_of
from infra.simulator.citrex.control import control
from infra.simulator.citrex.crowd import STEP_US
from infra.simulator.citrex.faults import Fault, FaultKind
from infra.simulator.citrex.venue import Venue, VenueConfig
from schemas.errors import ConfigurationError

__all__ = ["SimulatedCitrex"]

_HOST = "127.0.0.1"
_MAX_BODY = 64 * 1024
_CATCH_UP_US = 50_000
_BREATH_S = 0.001
_REFUSED = Reply(HTTPStatus.BAD_REQUEST, {"error": "refused by a fault", "success": False})
_LIMITED = Reply(HTTPStatus.TOO_MANY_REQUESTS, {"error": "rate limit exceeded", "success": False})
_UNAVAILABLE = Reply(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "service unavailable", "success": False})
_BAD_GATEWAY = Reply(HTTPStatus.BAD_GATEWAY, {"error": "bad gateway", "success": False})


class SimulatedCitrex:
    """A SIMULATED Citrex on 127.0.0.1, an async context manager.

    Args:
        port: 0 takes a free one.
        clock: The venue's time; what a client may see of it is `time`.
    """

    def __init__(self, config: VenueConfig | None = None, *, port: int = 0, clock: Clock = wall_clock_us) -> None:
        self._clock = clock
        self._port = port
        self.venue = Venue(config or VenueConfig(), clock())
        self._runner: web.AppRunner | None = None
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Bind the port and open the market.

        Raises:
            ConfigurationError: the port is in use or not allowed.
        """
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_get("/", self._about)
        app.router.add_route("*", "/v1/{path:.+}", self._api)
        app.router.add_route("*", "/control/{path:.+}", self._control)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, _HOST, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            problem = f"cannot listen on {_HOST}:{self._port}: {error.strerror or error}"
            raise ConfigurationError("--port", problem, "Choose another port, or 0 for any") from error
        self._running = asyncio.create_task(self._run(), name="simulated venue")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._running is not None
        assert self._runner is not None
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """REST address of the venue."""
        return f"{self._base}/v1"

    @property
    def control_url(self) -> str:
        """Address of the control endpoints."""
        return f"{self._base}/control"

    @property
    def banner(self) -> str:
        """What the venue says about itself."""
        config = self.venue.config
        chain = config.network.domain.chain_id
        return f"SIMULATED Citrex, chain id {chain}, seed {config.seed}: no real venue, no real market, no real money"

    async def wait(self) -> None:
        """Wait until the market ends, which it does only by failing."""
        assert self._running is not None
        await asyncio.shield(self._running)

    @property
    def _base(self) -> str:
        assert self._runner is not None, "the venue is not running: use it as an async context manager"
        host, port, *_ = self._runner.addresses[0]
        return f"http://{host}:{port}"

    async def _run(self) -> None:
        while True:
            now_us = self._clock()
            while self.venue.crowd.now_us + STEP_US <= now_us:
                # After a pause of the machine the market catches up in portions, so that clients are served between.
                self.venue.advance(min(now_us, self.venue.crowd.now_us + _CATCH_UP_US))
                await asyncio.sleep(_BREATH_S)
            await asyncio.sleep(STEP_US / 1e6)

    async def _about(self, _request: web.Request) -> web.Response:
        return web.json_response({"simulated": True, "banner": self.banner})

    async def _control(self, request: web.Request) -> web.Response:
        return _response(control(self.venue, await _read(request), self._clock()))

    async def _api(self, request: web.Request) -> web.Response:
        asked = await _read(request)
        fault = self.venue.faults.take(operation_of(asked))
        if fault is None:
            return _response(answer(self.venue, asked, self._clock()))
        self.venue.counters[f"fault_{fault.kind}"] += 1
        # Whether or not the client still waits, what the fault says happens.
        return await asyncio.shield(asyncio.ensure_future(self._misbehave(fault, asked, request)))

    async def _misbehave(self, fault: Fault, asked: ApiRequest, request: web.Request) -> web.Response:
        before = _INSTEAD.get(fault.kind)
        if before is not None:
            return _response(before)
        if fault.kind is FaultKind.LOSE_REQUEST:
            return _cut(request)
        if fault.kind is FaultKind.DELAY_REQUEST:
            await asyncio.sleep(fault.delay_ms / 1e3)
        reply = answer(self.venue, asked, self._clock())
        match fault.kind:
            case FaultKind.LOSE_REPLY:
                return _cut(request)
            case FaultKind.FILL_LOSE_REPLY:
                self.venue.fill(reply.order_id or "", self._clock())
                return _cut(request)
            case FaultKind.DELAY_REPLY:
                await asyncio.sleep(fault.delay_ms / 1e3)
            case FaultKind.DUPLICATE:
                reply = answer(self.venue, asked, self._clock())
            case FaultKind.ERROR_AFTER:
                reply = _BAD_GATEWAY
            case FaultKind.MALFORMED:
                text = json.dumps(reply.document)
                return web.Response(text=text[: len(text) // 2], content_type="application/json")
        return _response(reply)


_INSTEAD = {FaultKind.ERROR: _UNAVAILABLE, FaultKind.REFUSE: _REFUSED, FaultKind.RATE_LIMIT: _LIMITED}


async def _read(request: web.Request) -> ApiRequest:
    body = await request.read()
    path = request.match_info["path"]
    return ApiRequest(request.method, path, dict(request.query), body, request.remote or "")


def _response(reply: Reply) -> web.Response:
    return web.json_response(reply.document, status=reply.status)


def _cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    # Nobody reads it: the connection is gone.
    return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)
