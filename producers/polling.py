"""The I/O shell of a venue that is polled: make the source's requests, feed it the answers, write its ticks.

One consumer takes answers and the passing of time, so that the source's ticks keep their order. What to ask, when, and
how often after a failure, is the source's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import aiohttp

from infra.runtime.clock import Clock
from infra.runtime.logging import get_logger
from producers.core import Counted, Effects, Fetch, Source
from producers.rest import RestClient
from producers.session import publish_whole

__all__ = ["PollingConfig", "PollingSession"]

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollingConfig:
    """How to reach a venue, and the bounds on it.

    Attributes:
        urls: REST addresses, tried in turn.
        max_bytes: Bound on an answer.
        tick_ms: How often the source is told the time.
    """

    urls: tuple[str, ...]
    max_bytes: int = 4 * 1024 * 1024
    timeout_s: float = 10.0
    tick_ms: int = 50


class PollingSession:
    """Runs one source until it is cancelled.

    Args:
        publish: Writes the effects' ticks and bad frames, in order; what it raises ends the session.
    """

    def __init__(
        self,
        source: Source,
        config: PollingConfig,
        *,
        publish: Callable[[Effects, Source], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._source = source
        self._config = config
        self._publish = publish
        self._clock = clock
        self._rest = RestClient(config.urls, config.max_bytes)
        self._counters: Counter[str] = Counter()
        self._fetches: set[asyncio.Task[None]] = set()

    @property
    def counters(self) -> Mapping[str, int]:
        """Requests and failures, with the source's own counts."""
        own = self._source.counters if isinstance(self._source, Counted) else {}
        return {**self._counters, **own}

    async def run(self) -> None:
        """Ask for ever; on cancellation the source is closed and its last ticks written."""
        timeout = aiohttp.ClientTimeout(total=self._config.timeout_s)
        _log.info("feed polled", source=self._source.name, urls=list(self._config.urls))
        async with aiohttp.ClientSession(timeout=timeout) as http:
            try:
                await self._consume(http)
            finally:
                for task in self._fetches:
                    task.cancel()
                await asyncio.gather(*self._fetches, return_exceptions=True)
                await self._write(self._source.close(self._clock()))

    async def _write(self, effects: Effects) -> None:
        if effects.ticks or effects.bad:
            await publish_whole(self._publish, effects, self._source)

    async def _consume(self, http: aiohttp.ClientSession) -> None:
        # As many answers as the source has requests under way.
        inbox: asyncio.Queue[tuple[str, bytes | None]] = asyncio.Queue()
        effects = self._source.open(self._clock())
        while True:
            await self._write(effects)
            for fetch in effects.fetch:
                task = asyncio.create_task(self._answer(fetch, inbox, http))
                self._fetches.add(task)
                task.add_done_callback(self._fetches.discard)
            try:
                async with asyncio.timeout(self._config.tick_ms / 1e3):
                    tag, body = await inbox.get()
            except TimeoutError:
                effects = self._source.tick(self._clock())
            else:
                effects = self._source.fetched(tag, body, self._clock())

    async def _answer(
        self, fetch: Fetch, inbox: asyncio.Queue[tuple[str, bytes | None]], http: aiohttp.ClientSession
    ) -> None:
        body = await self._rest.get(fetch.path, http)
        self._counters["fetches" if body is not None else "fetch_failures"] += 1
        await inbox.put((fetch.tag, body))
