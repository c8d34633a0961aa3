"""The simulated Citrex as a process, polled by its producer into the mock Kafka, with faults in between."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from infra.cli.produce import citrex_feed, run_feeds
from infra.local import registry as development_registry
from infra.local.mock_kafka import MockCluster
from infra.runtime.settings import Settings
from schemas.enums import Flag, InstrumentSource, TickKind
from schemas.errors import ConfigurationError
from schemas.records import DeadLetter, Metric, Tick
from schemas.venues.citrex.market_data import parse_trades
from sinks.instruments import read_instruments
from tests.topic_reader import Reader

_COMMAND = "from infra.cli.simulate import simulate_app; simulate_app()"


@pytest.fixture
def venue() -> Iterator[dict[str, str]]:
    """A simulated Citrex in a process of its own: its addresses."""
    command = [sys.executable, "-c", _COMMAND, "citrex", "--json", "--rate", "10", "--seed", "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.kill()


async def test_books_and_trades_of_the_venue_arrive_whatever_goes_wrong(venue: dict[str, str]) -> None:
    """Every trade once and as the venue says; a book that cannot be had is STALE and comes back; all is flushed."""
    with MockCluster() as kafka, development_registry.serve() as registry:
        for topic in ("market.ticks", "reference.instruments"):
            kafka.create_topic(topic, 4)
        for topic in ("ops.dead-letters", "ops.metrics"):
            kafka.create_topic(topic, 1)
        settings = Settings(
            _env_file=None,
            kafka_bootstrap=kafka.bootstrap,
            registry_url=registry.url,
            citrex_poll_ms=100,
            citrex_max_book_age_ms=500,
            citrex_requests_per_s=50,
            reconnect_initial_ms=1,
        )
        ticks = Reader(settings, Tick, "market.ticks", 4)
        letters = Reader(settings, DeadLetter, "ops.dead-letters", 1)
        metrics = Reader(settings, Metric, "ops.metrics", 1)
        feed = citrex_feed(settings, venue="sim-citrex", urls=[venue["rest_url"]], symbols=["SEI/USDC-PERP", "ethperp"])
        stop = asyncio.Event()
        running = asyncio.create_task(run_feeds(settings, [feed], stop))

        def of(kind: TickKind, symbol: str = "SEI/USDC-PERP") -> list[Tick]:
            return [tick for tick in ticks.records if tick.kind is kind and tick.symbol == symbol]

        await ticks.until(lambda: len(of(TickKind.TRADE)) > 10 and bool(of(TickKind.CLEAR, "ETH/USDC-PERP")))
        async with aiohttp.ClientSession() as http:
            await fault(http, venue, kind="delay_reply", operation="market_data", count=30, delay_ms=1_500)
            await ticks.until(lambda: any(tick.flags & Flag.STALE for tick in of(TickKind.STATUS)))
            await fault(http, venue, kind="malformed", operation="market_data", count=5)
            stale = ticks.records.index(next(t for t in of(TickKind.STATUS) if t.flags & Flag.STALE))
            await letters.until(lambda: bool(letters.records))
            await ticks.until(lambda: any(t.kind is TickKind.CLEAR for t in ticks.records[stale:]))
            trades = len(of(TickKind.TRADE))
            await ticks.until(lambda: len(of(TickKind.TRADE)) > trades + 10)
            stop.set()
            await running
            await ticks.until(lambda: of(TickKind.STATUS)[-1].flags == Flag.STALE)
            metrics.read()
            table, _ = await asyncio.to_thread(read_instruments, settings)
            async with http.get(f"{venue['rest_url']}/trade-history?symbol=seiperp&lookback=500") as response:
                page = parse_trades(await response.read())
        for reader in (ticks, letters, metrics):
            reader.close()
    told = [tick.trade_id for tick in of(TickKind.TRADE)]
    happened = [trade.uid for trade in reversed(page.good)]
    known = happened[happened.index(told[0]) : happened.index(told[-1]) + 1]
    assert told == known
    by_uid = {trade.uid: trade for trade in page.good}
    for tick in of(TickKind.TRADE):
        trade = by_uid[tick.trade_id or ""]
        assert (tick.price, tick.size, tick.side, tick.ts_event) == (
            trade.price,
            trade.size,
            trade.taker_side,
            trade.ts_event,
        )
    margins = {one.symbol: (one.source, one.initial_margin_ppm, one.maker_fee_ppm) for one in table}
    assert margins == {
        "SEI/USDC-PERP": (InstrumentSource.VENUE, 100_000, 50),
        "ETH/USDC-PERP": (InstrumentSource.VENUE, 50_000, 50),
    }
    assert metrics.records[-1].gauges["mark_price:SEI/USDC-PERP"] > 0
    assert all("MALFORMED" in letter.reason for letter in letters.records)


async def fault(http: aiohttp.ClientSession, venue: dict[str, str], **document: Any) -> None:
    """Let the venue misbehave."""
    async with http.post(f"{venue['control_url']}/fault", json=document) as response:
        assert response.status == 200


def test_a_simulated_venue_has_no_address_of_its_own() -> None:
    """And a venue that is not known has none at all."""
    with pytest.raises(ConfigurationError, match="sim-citrex has no address"):
        citrex_feed(Settings(_env_file=None), venue="sim-citrex")
    with pytest.raises(ConfigurationError, match="elsewhere is unknown"):
        citrex_feed(Settings(_env_file=None), venue="elsewhere")
    testnet = citrex_feed(Settings(_env_file=None), venue="citrex-testnet")
    assert testnet.config.urls == ("https://api.staging.citrex.markets/v1",)
