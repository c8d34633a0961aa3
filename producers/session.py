"""The I/O shell that every live WebSocket venue shares: connect, feed the source, carry out its effects.

All that happens to a source goes through one bounded queue and one consumer, so that its ticks keep their order. While
Kafka takes nothing the queue fills, and then the socket is not read, so that the venue has to wait or to hang up. A
feed never stops reconnecting: when a connection is lost, refused or silent, the next address is tried after a back-off.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import aiohttp
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from infra.runtime.clock import Clock
from infra.runtime.logging import get_logger
from producers.backoff import Backoff
from producers.connection import Connection, too_large
from producers.core import Counted, Effects, Fetch, Source
from producers.inbox import Answer, Closed, Frame, Inbox
from producers.rest import RestClient
from schemas.enums import TickKind
from schemas.errors import ConfigurationError

__all__ = ["Session", "SessionConfig", "publish_whole"]

_log = get_logger(__name__)
_OWN_KINDS = frozenset({TickKind.HEARTBEAT, TickKind.STATUS})
"""Ticks that a source writes by itself: they do not show that the venue delivers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig:
    """How to reach a venue, and the bounds on it.

    Attributes:
        urls: WebSocket addresses, tried in turn.
        rest_urls: REST addresses for `Fetch`, tried in turn; empty where the source makes none.
        silence_ms: A socket from which nothing comes for so long, not even a pong, is dropped.
        max_frame_bytes: Bound on a frame and on a REST answer.
        tick_ms: How often the source is told the time.
        inbox, inbox_bytes: What may wait for the source; when full, the socket is not read.
    """

    urls: tuple[str, ...]
    rest_urls: tuple[str, ...] = ()
    silence_ms: int = 30_000
    max_frame_bytes: int = 4 * 1024 * 1024
    open_timeout_s: float = 10.0
    fetch_timeout_s: float = 10.0
    max_fetches: int = 4
    tick_ms: int = 100
    inbox: int = 1_024
    inbox_bytes: int = 16 * 1024 * 1024


class Session:
    """Runs one source on live connections until it is cancelled.

    Args:
        publish: Writes the effects' ticks and bad frames, in order; what it raises ends the session.
        backoff: The waits between connections.
    """

    def __init__(
        self,
        source: Source,
        config: SessionConfig,
        *,
        publish: Callable[[Effects, Source], Awaitable[None]],
        clock: Clock,
        backoff: Backoff,
    ) -> None:
        if not config.urls:
            raise _wrong_address(source, "is not given")
        self._source = source
        self._config = config
        self._publish = publish
        self._clock = clock
        self._backoff = backoff
        self._counters: Counter[str] = Counter()
        self._fetch_slots = asyncio.Semaphore(config.max_fetches)
        self._fetches: set[asyncio.Task[None]] = set()
        self._rest = RestClient(config.rest_urls, config.max_frame_bytes)
        self._heard_us = 0
        self._blocked_us = 0
        self._writing_us = 0

    @property
    def counters(self) -> Mapping[str, int]:
        """Connections, frames, failures and milliseconds spent in writing, with the source's own counts."""
        own = self._source.counters if isinstance(self._source, Counted) else {}
        return {**self._counters, "writing_ms": self._writing_us // 1_000, **own}

    async def run(self) -> None:
        """Connect, serve and reconnect for ever; on cancellation the source is closed and its last ticks written.

        Raises:
            ConfigurationError: an address is not a WebSocket address.
        """
        attempt = 0
        timeout = aiohttp.ClientTimeout(total=self._config.fetch_timeout_s)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            while True:
                url = self._config.urls[attempt % len(self._config.urls)]
                reason = await self._serve(url, http)
                wait_s = self._backoff.next_s()
                self._counters["reconnects"] += 1
                _log.warning("feed lost", source=self._source.name, url=url, reason=reason, retry_s=round(wait_s, 3))
                await asyncio.sleep(wait_s)
                attempt += 1

    async def _serve(self, url: str, http: aiohttp.ClientSession) -> str:
        """Serve one connection; give the reason for which it ended."""
        try:
            socket = await connect(
                url,
                open_timeout=self._config.open_timeout_s,
                close_timeout=1,
                ping_interval=None,  # _ping watches for silence of any kind, pongs included
                max_size=self._config.max_frame_bytes,
                max_queue=16,
                compression=None,  # costs time, and would hide how large a frame is
                create_connection=Connection,
            )
            assert isinstance(socket, Connection)
        except InvalidURI as error:
            raise _wrong_address(self._source, f"{url!r} is not one") from error
        except (OSError, TimeoutError, InvalidHandshake, EOFError) as error:
            self._counters["connect_failures"] += 1
            return f"cannot connect: {str(error) or type(error).__name__}"
        self._counters["connections"] += 1
        _log.info("feed connected", source=self._source.name, url=url)
        inbox = Inbox(self._config.inbox, self._config.inbox_bytes)
        self._hear(self._clock())
        helpers = [asyncio.create_task(self._read(socket, inbox)), asyncio.create_task(self._ping(socket))]
        try:
            return await self._consume(socket, inbox, http)
        finally:
            for task in (*helpers, *self._fetches):
                task.cancel()
            await asyncio.gather(*helpers, *self._fetches, return_exceptions=True)
            if left := inbox.frames_left():
                self._counters["frames_dropped"] += left
            await self._write(self._source.close(self._clock()))
            await socket.close()

    async def _consume(self, socket: Connection, inbox: Inbox, http: aiohttp.ClientSession) -> str:
        effects = self._source.open(self._clock())
        tick_us = self._config.tick_ms * 1_000
        next_tick_us = 0
        while True:
            await self._write(effects)
            for text in effects.send:
                with contextlib.suppress(ConnectionClosed):  # what was received before is taken first, then Closed
                    await socket.send(text)
            for fetch in effects.fetch:
                task = asyncio.create_task(self._answer(fetch, inbox, http))
                self._fetches.add(task)
                task.add_done_callback(self._fetches.discard)
            if effects.reconnect is not None:
                return effects.reconnect
            now_us = self._clock()
            silent_us = now_us - self._heard_us - self._blocked_us
            if inbox.empty() and silent_us > self._config.silence_ms * 1_000:
                return f"silent for {silent_us / 1e6:.1f} s"
            if not next_tick_us - tick_us <= now_us < next_tick_us:
                next_tick_us = now_us + tick_us
                effects = self._source.tick(now_us)
                continue
            try:
                async with asyncio.timeout((next_tick_us - now_us) / 1e6):
                    item = await inbox.get()
            except TimeoutError:
                effects = Effects()
                continue
            if isinstance(item, Closed):
                await self._write(Effects(bad=[item.bad] if item.bad else []))
                return item.reason
            effects = self._take(item)

    async def _write(self, effects: Effects) -> None:
        if not (effects.ticks or effects.bad):
            return
        began_us = self._clock()
        await publish_whole(self._publish, effects, self._source)
        took_us = max(self._clock() - began_us, 0)
        self._blocked_us += took_us
        self._writing_us += took_us

    def _hear(self, now_us: int) -> None:
        self._heard_us, self._blocked_us = now_us, 0

    def _take(self, item: Frame | Answer) -> Effects:
        if isinstance(item, Answer):
            return self._source.fetched(item.tag, item.body, self._clock())
        self._counters["frames"] += 1
        effects = self._source.receive(item.data, item.now_us)
        if any(tick.kind not in _OWN_KINDS for tick in effects.ticks):
            self._backoff.reset()
        return effects

    async def _read(self, socket: Connection, inbox: Inbox) -> None:
        try:
            async for data in socket:
                now_us = self._clock()
                self._hear(now_us)
                try:
                    await inbox.put(Frame(data, now_us))
                except asyncio.CancelledError:
                    self._counters["frames_dropped"] += 1
                    raise
        except ConnectionClosed as error:
            await inbox.put(Closed(str(error), too_large(socket, error)))
        else:
            await inbox.put(Closed("closed by the venue"))

    async def _ping(self, socket: Connection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(self._config.silence_ms / 3_000)
                await (await socket.ping())
                self._hear(self._clock())

    async def _answer(self, fetch: Fetch, inbox: Inbox, http: aiohttp.ClientSession) -> None:
        async with self._fetch_slots:
            body = await self._rest.get(fetch.path, http)
        self._counters["fetches" if body is not None else "fetch_failures"] += 1
        await inbox.put(Answer(fetch.tag, body))


async def publish_whole(
    publish: Callable[[Effects, Source], Awaitable[None]], effects: Effects, source: Source
) -> None:
    """Write all of the effects even when cancelled half-way: a message applies whole or not at all."""
    writing = asyncio.ensure_future(publish(effects, source))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await writing
        raise


def _wrong_address(source: Source, problem: str) -> ConfigurationError:
    fix = "Write ws://host:port/path or wss://… with --url or in the venue's setting"
    return ConfigurationError(f"WebSocket address of {source.name}", problem, fix)
