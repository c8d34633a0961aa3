"""The shell of polled venues: requests, answers, time, fail-over, a clean end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from infra.runtime.clock import wall_clock_us
from producers.core import Effects, Fetch, Source
from producers.numbering import TickFactory
from producers.polling import PollingConfig, PollingSession
from schemas.errors import ServiceUnavailable
from schemas.records import Tick


class Curious:
    """Asks three things at once, then nothing; each answer becomes a STATUS."""

    name = "curious"
    symbols = (("curious", "A/B"),)

    def __init__(self) -> None:
        self.factory = TickFactory("curious", "curious")
        self.counters = {"own": 1}
        self.answers: dict[str, bytes | None] = {}
        self.ticked = 0

    def open(self, now_us: int) -> Effects:
        self.factory.open(now_us)
        return Effects(fetch=[Fetch(path, path) for path in ("good", "missing", "large")])

    def receive(self, frame: str | bytes, now_us: int) -> Effects:
        raise AssertionError("there is no socket")

    def fetched(self, tag: str, body: bytes | None, now_us: int) -> Effects:
        self.answers[tag] = body
        return Effects(ticks=self.factory.status(now_us, "A/B"))

    def tick(self, now_us: int) -> Effects:
        self.ticked += 1
        return Effects()

    def close(self, now_us: int) -> Effects:
        return Effects(ticks=self.factory.status(now_us, "closed"))


@asynccontextmanager
async def venue() -> AsyncIterator[str]:
    """An HTTP server with one good answer and one that is too large; gives its address."""

    async def good(_: web.Request) -> web.Response:
        return web.Response(body=b"yes")

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 5_000)

    app = web.Application()
    app.router.add_get("/v1/good", good)
    app.router.add_get("/v1/large", large)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/v1"
    finally:
        await runner.cleanup()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_answers_come_back_by_their_tags_and_failures_as_none() -> None:
    """What is missing or too large is a failure; time goes on; cancelled, the source is closed, its ticks written."""
    source, written = Curious(), list[Tick]()

    async def publish(effects: Effects, _: Source) -> None:
        await asyncio.sleep(0)
        written.extend(effects.ticks)

    async with venue() as url:
        session = PollingSession(
            source,
            PollingConfig(urls=(url,), max_bytes=1_000, tick_ms=5),
            publish=publish,
            clock=wall_clock_us,
        )
        running = asyncio.create_task(session.run())
        await until(lambda: len(source.answers) == 3 and source.ticked > 3)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    assert source.answers == {"good": b"yes", "missing": None, "large": None}
    assert [tick.symbol for tick in written] == ["A/B", "A/B", "A/B", "closed"]
    assert session.counters == {"fetches": 1, "fetch_failures": 2, "own": 1}


async def test_a_failed_write_ends_it() -> None:
    """What follows must not be written past what was lost."""

    async def publish(effects: Effects, _: Source) -> None:
        raise ServiceUnavailable("Kafka", "here", "gone")

    async with venue() as url:
        session = PollingSession(Curious(), PollingConfig(urls=(url,), tick_ms=5), publish=publish, clock=wall_clock_us)
        with pytest.raises(ServiceUnavailable):
            await asyncio.wait_for(session.run(), 10)
