"""`flashmm produce VENUE`: one venue's live feed into Kafka, until interrupted."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

import typer

from infra.cli.output import progress
from infra.cli.produce_replay import produce_replay
from infra.runtime.clock import wall_clock_us
from infra.runtime.logging import configure_logging
from infra.runtime.settings import Settings, load_settings
from producers.backoff import Backoff
from producers.core import Source
from producers.polling import PollingConfig, PollingSession
from producers.publish import TickPublisher, build_publisher
from producers.sei.chain import SeiChainSource
from producers.sei.clob import MARKETS_PER_SOCKET, SeiClobSource
from producers.sei.mapping import DEFAULT_MAPPINGS, EventMapping
from producers.session import Session, SessionConfig
from schemas.errors import ConfigurationError, ProtocolError, ServiceUnavailable
from schemas.instruments import DEFAULT_PATH, Instruments
from schemas.venues.citrex.messages import MAINNET, NETWORKS, network_urls

__all__ = ["Feed", "binance_feeds", "citrex_feed", "clob_feeds", "produce_app", "run_feeds", "sei_feed"]

produce_app = typer.Typer(help="Write one venue's feed, or a recording, to Kafka.", no_args_is_help=True)
produce_app.command("replay")(produce_replay)

_SIMULATED = "sim-"
_REPORT_S = 1.0
_END_S = 5.0

Urls = Annotated[list[str] | None, typer.Option("--url", help="WebSocket address; repeat it for fail-over.")]
Rests = Annotated[list[str] | None, typer.Option("--rpc", help="HTTP address of the node; repeat it for fail-over.")]
Symbols = Annotated[list[str] | None, typer.Option("--symbol", help="Market; repeat it for several.")]


@dataclass(frozen=True, slots=True)
class Feed:
    """A source and how to reach its venue: on a socket, or by asking."""

    source: Source
    config: SessionConfig | PollingConfig


@produce_app.command("sei")
def _sei(
    url: Urls = None,
    rpc: Rests = None,
    venue: Annotated[str, typer.Option(help="Venue of the ticks; sim-sei for a simulated node.")] = "sei",
) -> None:
    """Read a Sei node's transactions and blocks."""
    settings = load_settings()
    _run(settings, [sei_feed(settings, venue=venue, urls=url, rest_urls=rpc)])


@produce_app.command("sei-clob")
def _sei_clob(
    url: Urls = None,
    symbol: Symbols = None,
    venue: Annotated[str, typer.Option(help="Venue of the ticks; sim-sei-clob for a simulated node.")] = "sei-clob",
) -> None:
    """Read books and trades of the order book feed."""
    settings = load_settings()
    _run(settings, clob_feeds(settings, venue=venue, urls=url, symbols=symbol))


@produce_app.command("binance")
def _binance(url: Urls = None, rpc: Rests = None, symbol: Symbols = None) -> None:
    """Read trades, tops and books of Binance spot."""
    settings = load_settings()
    _run(settings, binance_feeds(settings, urls=url, rest_urls=rpc, symbols=symbol))


@produce_app.command("citrex")
def _citrex(
    url: Annotated[list[str] | None, typer.Option("--url", help="REST address; repeat it for fail-over.")] = None,
    symbol: Symbols = None,
    venue: Annotated[
        str, typer.Option(help="Venue of the ticks: citrex, citrex-testnet, or sim-citrex for a simulated one.")
    ] = MAINNET.venue,
) -> None:
    """Poll books and trades of Citrex's perpetuals."""
    settings = load_settings()
    _run(settings, [citrex_feed(settings, venue=venue, urls=url, symbols=symbol)])


def sei_feed(
    settings: Settings, *, venue: str = "sei", urls: Sequence[str] | None = None, rest_urls: Sequence[str] | None = None
) -> Feed:
    """Make the feed of a node's transactions. A simulated node may serve any chain.

    Raises:
        ConfigurationError: the mapping file is wrong.
    """
    source = SeiChainSource(
        venue=venue,
        mapping=EventMapping.load(settings.sei_mappings or DEFAULT_MAPPINGS),
        chain_id=None if venue.startswith(_SIMULATED) else settings.sei_chain_id,
        lateness_us=settings.lateness_ms * 1_000,
        heartbeat_us=settings.heartbeat_interval_ms * 1_000,
        stale_us=settings.subscription_stale_ms * 1_000,
    )
    return Feed(source, _config(settings, urls or settings.csv("sei_ws_url"), rest_urls or settings.csv("sei_rpc_url")))


def clob_feeds(
    settings: Settings,
    *,
    venue: str = "sei-clob",
    urls: Sequence[str] | None = None,
    symbols: Sequence[str] | None = None,
) -> list[Feed]:
    """Make the feeds of the order books: one connection for each two markets.

    Raises:
        ConfigurationError: no address, or an unknown symbol.
    """
    addresses = urls or settings.csv("sei_clob_ws_url")
    if not addresses:
        raise ConfigurationError("FLASHMM_SEI_CLOB_WS_URL", "is not set", "Set it, or give --url")
    instruments = _instruments(settings)
    markets = _canonical(instruments, venue, symbols or settings.csv("sei_symbols"))
    feeds = []
    for start in range(0, len(markets), MARKETS_PER_SOCKET):
        source = SeiClobSource(
            venue=venue,
            symbols=markets[start : start + MARKETS_PER_SOCKET],
            instruments=instruments,
            name=f"{venue}.{start // MARKETS_PER_SOCKET + 1}" if start else venue,
            lateness_us=settings.lateness_ms * 1_000,
            heartbeat_us=settings.heartbeat_interval_ms * 1_000,
            stale_us=settings.subscription_stale_ms * 1_000,
        )
        feeds.append(Feed(source, _config(settings, addresses)))
    return feeds


def binance_feeds(
    settings: Settings,
    *,
    urls: Sequence[str] | None = None,
    rest_urls: Sequence[str] | None = None,
    symbols: Sequence[str] | None = None,
) -> list[Feed]:
    """Make the feed of Binance spot.

    Raises:
        ConfigurationError: an unknown symbol.
    """
    # Imported here: the other venues need none of it.
    from producers.binance.source import VENUE, BinanceSource

    # Binance writes BTCUSDT; to a stream of BTC/USDT it would subscribe us, and never send anything.
    names = [name.replace("/", "").replace("-", "") for name in symbols or settings.csv("binance_symbols")]
    instruments = _instruments(settings)
    _canonical(instruments, VENUE, names)
    source = BinanceSource(
        names,
        instruments,
        lateness_us=settings.lateness_ms * 1_000,
        heartbeat_us=settings.heartbeat_interval_ms * 1_000,
    )
    addresses = [f"{base.rstrip('/')}/stream" for base in urls or settings.csv("binance_ws_url")]
    return [Feed(source, _config(settings, addresses, rest_urls or settings.csv("binance_rest_url")))]


def citrex_feed(
    settings: Settings,
    *,
    venue: str = MAINNET.venue,
    urls: Sequence[str] | None = None,
    symbols: Sequence[str] | None = None,
) -> Feed:
    """Make the feed of Citrex's perpetuals.

    Raises:
        ConfigurationError: an unknown venue or symbol, or no address of one that has none of its own.
    """
    # Imported here: the other venues need none of it.
    from producers.citrex.source import CitrexConfig, CitrexSource

    if venue not in NETWORKS:
        raise ConfigurationError("--venue", f"{venue} is unknown", f"Choose among {', '.join(NETWORKS)}")
    addresses = network_urls(NETWORKS[venue], urls or settings.csv("citrex_rest_url"))
    instruments = _instruments(settings)
    source = CitrexSource(
        venue=venue,
        symbols=_canonical(instruments, venue, symbols or settings.csv("citrex_symbols")),
        instruments=instruments,
        config=CitrexConfig(
            poll_us=settings.citrex_poll_ms * 1_000,
            max_book_age_us=settings.citrex_max_book_age_ms * 1_000,
            requests_per_s=settings.citrex_requests_per_s,
            lateness_us=settings.lateness_ms * 1_000,
            heartbeat_us=settings.heartbeat_interval_ms * 1_000,
        ),
    )
    return Feed(source, PollingConfig(urls=addresses, max_bytes=settings.max_frame_bytes))


async def run_feeds(settings: Settings, feeds: Sequence[Feed], stop: asyncio.Event) -> None:
    """Run feeds into Kafka until `stop` is set, then write and flush what they have.

    Raises:
        ServiceUnavailable: Kafka or the registry does not answer, or a record was not delivered.
        ConfigurationError: a topic or schema is missing, or an address is wrong.
    """
    publisher = await asyncio.to_thread(build_publisher, settings, _instruments(settings), wall_clock_us)
    await publisher.check()
    pairs = [(feed, _session(settings, feed, publisher)) for feed in feeds]
    tasks = [asyncio.create_task(session.run()) for _, session in pairs]
    tasks.append(asyncio.create_task(_report(publisher, pairs)))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
    finally:
        publisher.end_within(_END_S)
        for task in (*tasks, stopped):
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            with suppress(ServiceUnavailable):  # what was read and can still be written; the first failure is told
                await publisher.flush(_END_S)
            raise result
    for feed, session in pairs:
        await publisher.report(feed.source, session.counters)
    await publisher.flush()


async def _report(publisher: TickPublisher, pairs: Sequence[tuple[Feed, Session | PollingSession]]) -> None:
    while True:
        await asyncio.sleep(_REPORT_S)
        for feed, session in pairs:
            await publisher.report(feed.source, session.counters)


def _session(settings: Settings, feed: Feed, publisher: TickPublisher) -> Session | PollingSession:
    if isinstance(feed.config, PollingConfig):
        return PollingSession(feed.source, feed.config, publish=publisher.publish, clock=wall_clock_us)
    return Session(
        feed.source,
        feed.config,
        publish=publisher.publish,
        clock=wall_clock_us,
        backoff=Backoff(settings.reconnect_initial_ms, settings.reconnect_max_ms, random.random),
    )


def _config(settings: Settings, urls: Sequence[str], rest_urls: Sequence[str] = ()) -> SessionConfig:
    return SessionConfig(
        urls=tuple(urls),
        rest_urls=tuple(rest_urls),
        silence_ms=settings.silence_ms,
        max_frame_bytes=settings.max_frame_bytes,
    )


def _canonical(instruments: Instruments, venue: str, symbols: Iterable[str]) -> list[str]:
    """Give the canonical names of what the user calls markets.

    Raises:
        ConfigurationError: one that neither an instrument nor its quote asset explains.
    """
    try:
        return list(dict.fromkeys(instruments.canonical(venue, symbol) for symbol in symbols))
    except ProtocolError as error:
        raise ConfigurationError("--symbol", error.detail, "Name it in the file of FLASHMM_INSTRUMENTS") from None


def _instruments(settings: Settings) -> Instruments:
    return Instruments.load(settings.instruments or DEFAULT_PATH)


def _run(settings: Settings, feeds: Sequence[Feed]) -> None:
    configure_logging(settings.log_level, component=f"producer.{feeds[0].source.name}")
    for feed in feeds:
        markets = ", ".join(symbol for _, symbol in feed.source.symbols)
        kind = "SIMULATED" if feed.source.name.startswith(_SIMULATED) else "real"
        progress(f"{feed.source.name} ({kind}): {markets} from {', '.join(feed.config.urls)}")
    asyncio.run(_until_interrupted(settings, feeds))


async def _until_interrupted(settings: Settings, feeds: Sequence[Feed]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await run_feeds(settings, feeds, stop)
