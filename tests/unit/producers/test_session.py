"""The shell of live sockets: fail-over, silence, order, fetches, a clean end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve

from infra.runtime.clock import wall_clock_us
from producers.backoff import Backoff
from producers.core import Effects, Fetch, Source
from producers.numbering import TickFactory, TickFields
from producers.session import Session, SessionConfig
from schemas.enums import TickKind
from schemas.errors import ConfigurationError, ServiceUnavailable
from schemas.reasons import DeadLetterReason


class Echo:
    """A source that turns each frame into a trade and remembers what it was told."""

    name = "echo"
    symbols = (("echo", "A/B"),)

    def __init__(self) -> None:
        self.factory = TickFactory("echo", "echo")
        self.calls: list[str] = []
        self.answers: list[tuple[str, bytes | None]] = []

    @property
    def counters(self) -> dict[str, int]:
        return {"own": 1}

    def open(self, now_us: int) -> Effects:
        self.factory.open(now_us)
        self.calls.append("open")
        return Effects(send=["subscribe"])

    def receive(self, frame: str | bytes, now_us: int) -> Effects:
        text = frame if isinstance(frame, str) else frame.decode()
        if text.startswith("fetch "):
            return Effects(fetch=[Fetch("tag", text.removeprefix("fetch "))])
        if text == "leave":
            return Effects(reconnect="asked to")
        return Effects(
            ticks=self.factory.message(now_us, [TickFields(symbol="A/B", kind=TickKind.TRADE, trade_id=text)])
        )

    def fetched(self, tag: str, body: bytes | None, now_us: int) -> Effects:
        self.answers.append((tag, body))
        return Effects()

    def tick(self, now_us: int) -> Effects:
        self.calls.append("tick")
        return Effects()

    def close(self, now_us: int) -> Effects:
        self.calls.append("close")
        return Effects(ticks=self.factory.status(now_us, "A/B"))


class Log:
    """Keeps what was published."""

    def __init__(self) -> None:
        self.effects = Effects()

    async def publish(self, effects: Effects, source: Source) -> None:
        await asyncio.sleep(0)
        self.effects.extend(effects)

    @property
    def trades(self) -> list[str | None]:
        return [tick.trade_id for tick in self.effects.ticks if tick.kind is TickKind.TRADE]


Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def venue(handler: Handler) -> AsyncIterator[str]:
    """A WebSocket server; gives its address."""
    async with serve(handler, "127.0.0.1", 0, close_timeout=1) as server:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        yield f"ws://{host}:{port}"


@asynccontextmanager
async def running(source: Source, log: Log, *urls: str, **config: object) -> AsyncIterator[Session]:
    """A session, cancelled at the end."""
    session = Session(
        source,
        SessionConfig(urls=urls, **config),  # type: ignore[arg-type]
        publish=log.publish,
        clock=wall_clock_us,
        backoff=Backoff(1, 1, lambda: 0.0),
    )
    task = asyncio.create_task(session.run())
    try:
        yield session
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; the test's own time-out bounds it."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def sender(*frames: str) -> Handler:
    """A venue that awaits the subscription, sends frames and stays."""

    async def handle(connection: ServerConnection) -> None:
        assert await connection.recv() == "subscribe"
        for frame in frames:
            await connection.send(frame)
        await connection.wait_closed()

    return handle


async def test_frames_become_ticks_in_order() -> None:
    """The source opens first, and hears the time."""
    source, log = Echo(), Log()
    frames = [str(n) for n in range(200)]
    async with venue(sender(*frames)) as url, running(source, log, url, tick_ms=1) as session:
        await until(lambda: len(log.trades) == 200 and "tick" in source.calls)
        assert session.counters["frames"] == 200
        assert session.counters["own"] == 1
    assert log.trades == frames
    assert source.calls[0] == "open"


async def test_a_cancelled_session_writes_what_the_source_has_to_say_at_the_end() -> None:
    """The close is published, whole."""
    source, log = Echo(), Log()
    async with venue(sender("1")) as url, running(source, log, url):
        await until(lambda: log.trades == ["1"])
    assert source.calls[-1] == "close"
    assert log.effects.ticks[-1].kind is TickKind.STATUS


async def test_a_cancelled_write_is_finished_first() -> None:
    """A message applies whole or not at all, so it is never cut."""
    gate = asyncio.Event()
    written: list[TickKind] = []

    async def publish(effects: Effects, source: Source) -> None:
        for tick in effects.ticks:
            await gate.wait()
            written.append(tick.kind)

    async with venue(sender("1")) as url:
        session = Session(
            Echo(),
            SessionConfig(urls=(url,)),
            publish=publish,
            clock=wall_clock_us,
            backoff=Backoff(1, 1, lambda: 0.0),
        )
        task = asyncio.create_task(session.run())
        await until(lambda: session.counters.get("frames") == 1)
        task.cancel()
        await asyncio.sleep(0)
        gate.set()
        with suppress(asyncio.CancelledError):
            await task
    assert written == [TickKind.TRADE, TickKind.STATUS]


async def test_a_lost_connection_is_made_again_at_the_next_address() -> None:
    """Refused, closed and left alike; the feed never gives up."""
    source, log = Echo(), Log()

    async def close(connection: ServerConnection) -> None:
        await connection.close()

    async with venue(close) as closing, venue(sender("leave")) as leaving, venue(sender("here")) as good:
        urls = ("ws://127.0.0.1:1", closing, leaving, good)
        async with running(source, log, *urls) as session:
            await until(lambda: log.trades == ["here"])
            assert session.counters["connect_failures"] == 1
            assert session.counters["connections"] == 3
            assert session.counters["reconnects"] == 3
    assert source.calls.count("open") == source.calls.count("close") == 3


async def test_a_silent_socket_is_dropped() -> None:
    """Nothing came, not even a pong: the venue does not read."""
    source, log = Echo(), Log()
    over = asyncio.Event()

    async def deaf(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await over.wait()
        connection.transport.abort()

    async with venue(deaf) as url:
        async with running(source, log, url, silence_ms=150, tick_ms=10) as session:
            await until(lambda: session.counters.get("reconnects", 0) >= 1)
        over.set()


async def test_a_quiet_venue_that_answers_pings_is_kept() -> None:
    """Silence of the market is not silence of the socket."""
    source, log = Echo(), Log()
    async with venue(sender()) as url, running(source, log, url, silence_ms=90, tick_ms=5) as session:
        await until(lambda: source.calls.count("tick") > 60)
        assert "reconnects" not in session.counters


async def test_a_frame_beyond_the_bound_is_a_dead_letter_and_ends_the_connection() -> None:
    """Input from the network is bounded; what was refused is shown by its size and its beginning."""
    source, log = Echo(), Log()
    frame = "".join(f"{number}," for number in range(20_000))
    async with venue(sender("1", frame)) as url, running(source, log, url, max_frame_bytes=4_096) as session:
        await until(lambda: session.counters.get("reconnects", 0) >= 1)
    assert log.trades[0] == "1"
    bad = log.effects.bad[0]
    assert (bad.reason, bad.size) == (DeadLetterReason.TOO_LARGE, len(frame))
    assert bad.payload == frame[:4_096].encode()
    assert str(len(frame)) in bad.detail


async def test_a_message_too_large_in_parts_is_a_dead_letter_too() -> None:
    """Each part would fit, all of them do not."""
    source, log = Echo(), Log()

    async def in_parts(connection: ServerConnection) -> None:
        await connection.send(["x" * 3_999, "y" * 4_000])
        await connection.wait_closed()

    async with venue(in_parts) as url, running(source, log, url, max_frame_bytes=4_096):
        await until(lambda: bool(log.effects.bad))
    bad = log.effects.bad[0]
    assert (bad.reason, bad.size, bad.payload) == (DeadLetterReason.TOO_LARGE, 7_999, b"y" * 4_000)


@pytest.mark.parametrize("bound", [{"inbox": 4}, {"inbox_bytes": 200_000}])
async def test_while_nothing_can_be_written_the_socket_is_not_read_and_nothing_is_lost(bound: dict[str, int]) -> None:
    """The venue has to wait, and that is no silence of its own; then everything comes, on the same connection."""
    log, gate, is_waiting = Log(), asyncio.Event(), asyncio.Event()
    frames = [f"{number:065536d}" for number in range(400)]
    connections: list[ServerConnection] = []
    passed_us = 0

    async def send(connection: ServerConnection) -> None:
        connections.append(connection)
        for frame in frames:
            await connection.send(frame)
        await connection.wait_closed()

    async def publish(effects: Effects, source: Source) -> None:
        is_waiting.set()
        await gate.wait()
        await log.publish(effects, source)

    async with venue(send) as url:
        session = Session(
            Echo(),
            SessionConfig(urls=(url,), silence_ms=10_000, **bound),  # type: ignore[arg-type]
            publish=publish,
            clock=lambda: wall_clock_us() + passed_us,
            backoff=Backoff(1, 1, lambda: 0.0),
        )
        task = asyncio.create_task(session.run())
        await is_waiting.wait()
        await until(lambda: connections[0].transport.get_write_buffer_size() > 0)
        passed_us = 60_000_000
        gate.set()
        await until(lambda: len(log.trades) == len(frames))
        assert session.counters["connections"] == 1
        assert session.counters["writing_ms"] >= 60_000
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert log.trades == frames


async def test_frames_that_are_left_unread_are_counted() -> None:
    """When the source itself leaves the connection."""
    source, log = Echo(), Log()
    async with venue(sender("1", "leave", *"23456")) as url, running(source, log, url) as session:
        await until(lambda: session.counters.get("reconnects", 0) >= 1)
        await until(lambda: session.counters.get("connections", 0) >= 2)
        assert session.counters["frames_dropped"] >= 1


async def test_fetches_are_answered_and_failures_too() -> None:
    """A body on 200; None when refused, too large, or unreachable; then the next address is asked."""
    source, log = Echo(), Log()

    async def answer(request: web.Request) -> web.Response:
        size = int(request.query["size"])
        return web.Response(body=b"x" * size, status=200 if size else 500)

    app = web.Application()
    app.router.add_get("/data", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    rest = f"http://127.0.0.1:{runner.addresses[0][1]}"
    frames = ["fetch data?size=3", "fetch data?size=3", "fetch data?size=0", "fetch data?size=9999"]
    try:
        config = {"rest_urls": ("http://127.0.0.1:1", rest, rest, rest), "max_fetches": 1, "max_frame_bytes": 4_096}
        async with venue(sender(*frames)) as url, running(source, log, url, **config) as session:
            await until(lambda: len(source.answers) == 4)
            assert session.counters["fetches"] == 1
            assert session.counters["fetch_failures"] == 3
    finally:
        await runner.cleanup()
    assert source.answers == [("tag", None), ("tag", b"xxx"), ("tag", None), ("tag", None)]


async def test_a_failure_to_publish_ends_the_session() -> None:
    """Nothing is written past a record that was not delivered."""

    async def publish(effects: Effects, source: Source) -> None:
        raise ServiceUnavailable("Kafka", "address", "gone")

    async with venue(sender("1")) as url:
        config = SessionConfig(urls=(url,))
        session = Session(Echo(), config, publish=publish, clock=wall_clock_us, backoff=Backoff(1, 1, lambda: 0.0))
        with pytest.raises(ServiceUnavailable):
            await session.run()


@pytest.mark.parametrize("urls", [(), ("http://127.0.0.1:1",), ("nonsense",)])
async def test_an_address_that_is_none_is_a_configuration_error(urls: tuple[str, ...]) -> None:
    """Trying it again would not help."""
    with pytest.raises(ConfigurationError):
        await Session(
            Echo(),
            SessionConfig(urls=urls),
            publish=Log().publish,
            clock=wall_clock_us,
            backoff=Backoff(1, 1, lambda: 0.0),
        ).run()


def test_back_off_is_exponential_jittered_bounded_and_reset() -> None:
    """Full jitter: anything between nothing and the bound."""
    backoff = Backoff(250, 1_000, lambda: 1.0)
    assert [backoff.next_s() for _ in range(4)] == [0.25, 0.5, 1.0, 1.0]
    backoff.reset()
    assert backoff.next_s() == 0.25
    assert Backoff(250, 1_000, lambda: 0.0).next_s() == 0.0
