"""The wire of the Citrex adapter: a thread makes the core's requests, so that the executor never waits for them."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

import aiohttp

from infra.runtime.clock import Clock
from infra.runtime.logging import get_logger
from schemas.errors import StateError
from schemas.venues.citrex.requests import Request
from sinks.executor.citrex.calls import Answer, Call, Lost, Reply
from sinks.executor.citrex.core import CitrexCore
from sinks.executor.port import VenueEvent

__all__ = ["CitrexLink", "ask"]

log = get_logger(__name__)

_TURN_S = 0.02
_MAX_BYTES = 4 * 1024 * 1024
_CHUNK = 65_536
_CONNECTIONS = 64
_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_END_S = 5.0


class CitrexLink:
    """Runs a core in a thread of its own.

    Args:
        url: The venue's REST address.
        timeout_s: After this a request has no answer.
    """

    def __init__(self, core: CitrexCore, url: str, *, timeout_s: float, clock: Clock) -> None:
        self._core = core
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._clock = clock
        self._events: deque[VenueEvent] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._is_ending = False
        self._end_s = 0.0
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="citrex", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to ask."""
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def tell(self, action: Callable[[], None]) -> None:
        """Let something be done to the core, in its thread.

        Raises:
            StateError: the thread has failed, or was never started.
        """
        self._check()
        if self._loop is None:
            raise StateError("the adapter of the venue is not open")
        self._loop.call_soon_threadsafe(self._act, action)

    def take(self) -> list[VenueEvent]:
        """Give what was learned since last asked.

        Raises:
            StateError: the thread has failed.
        """
        self._check()
        events: list[VenueEvent] = []
        while self._events:
            events.append(self._events.popleft())
        return events

    def close(self, timeout_s: float) -> None:
        """End when everything asked for is done, or after `timeout_s`."""
        if self._loop is None or not self._thread.is_alive():
            return
        deadline_s = self._loop.time() + timeout_s

        def end() -> None:
            self._is_ending = True
            self._end_s = deadline_s

        self._loop.call_soon_threadsafe(self._act, end)
        self._thread.join(timeout_s + _END_S)

    def _check(self) -> None:
        if self._failure is not None:
            raise StateError(f"the adapter of the venue has failed: {self._failure!r}") from self._failure

    def _act(self, action: Callable[[], None]) -> None:
        action()
        self._wake.set()

    def _main(self) -> None:
        assert self._loop is not None
        try:
            self._loop.run_until_complete(self._run(self._loop))
        except BaseException as failure:  # noqa: BLE001  told to the executor, which ends with it
            self._failure = failure
        finally:
            self._loop.close()

    async def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
            while not self._is_over(loop):
                self._wake.clear()
                for call in self._core.due(self._clock()):
                    task = loop.create_task(self._answer(call, http))
                    self._tasks.add(task)
                    task.add_done_callback(self._ended)
                self._events.extend(self._core.take())
                try:
                    async with asyncio.timeout(_TURN_S):
                        await self._wake.wait()
                except TimeoutError:
                    continue
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._events.extend(self._core.take())

    def _is_over(self, loop: asyncio.AbstractEventLoop) -> bool:
        if self._failure is not None:
            raise self._failure
        return self._is_ending and (self._core.is_idle or loop.time() >= self._end_s)

    async def _answer(self, call: Call, http: aiohttp.ClientSession) -> None:
        answer = await ask(http, self._url, call.request)
        self._core.answered(call.number, answer, self._clock())
        self._wake.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self._wake.set()


async def ask(http: aiohttp.ClientSession, url: str, request: Request) -> Answer:
    """Make one request; its query and body hold signatures, so only its path is logged."""
    try:
        async with http.request(
            request.method,
            f"{url}/{request.path}",
            params=request.query or None,
            data=request.body,
            headers={"Content-Type": "application/json"} if request.body else None,
            # A request that is sent on by somebody else would be sent twice.
            allow_redirects=False,
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                body += chunk
                if len(body) > _MAX_BYTES:
                    log.warning("answer_too_large", path=request.path, limit=_MAX_BYTES)
                    return Lost.NO_ANSWER
            return Reply(response.status, bytes(body))
    except _NOT_SENT as error:
        log.warning("request_not_sent", path=request.path, because=type(error).__name__)
        return Lost.NOT_SENT
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        log.warning("request_unanswered", path=request.path, because=type(error).__name__)
        return Lost.NO_ANSWER
