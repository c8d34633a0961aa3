"""Both Sei feeds from the simulated node into Kafka, with faults in between."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from infra.cli.produce import clob_feeds, run_feeds, sei_feed
from infra.local import registry as development_registry
from infra.local.mock_kafka import MockCluster
from infra.runtime.settings import Settings
from infra.simulator.faults import Dialect, Fault, FaultKind
from infra.simulator.node import SimulatedNode
from schemas.enums import Flag, TickKind
from schemas.records import DeadLetter, Tick
from tests.topic_reader import Reader


async def test_every_swap_of_the_chain_arrives_once_whatever_goes_wrong() -> None:
    """Lost frames and a cut connection are filled from `block_results`; both feeds end clean and flushed."""
    with MockCluster() as kafka, development_registry.serve() as registry:
        for topic, partitions in (("market.ticks", 4), ("ops.dead-letters", 1), ("ops.metrics", 1)):
            kafka.create_topic(topic, partitions)
        settings = Settings(_env_file=None, kafka_bootstrap=kafka.bootstrap, registry_url=registry.url)
        ticks = Reader(settings, Tick, "market.ticks", 4)
        letters = Reader(settings, DeadLetter, "ops.dead-letters", 1)
        stop = asyncio.Event()
        async with SimulatedNode(seed=5, rate=3) as node:
            feeds = [
                sei_feed(settings, venue="sim-sei", urls=[node.ws_url], rest_urls=[node.rpc_url]),
                *clob_feeds(settings, venue="sim-sei-clob", urls=[node.clob_url], symbols=["sei-usdc"]),
            ]
            running = asyncio.create_task(run_feeds(settings, feeds, stop))

            def count(**wanted: Any) -> int:
                return sum(all(getattr(t, k) == v for k, v in wanted.items()) for t in ticks.records)

            await ticks.until(lambda: count(venue="sim-sei", kind=TickKind.TRADE) > 3)
            node.inject(Fault(FaultKind.GAP, dialect=Dialect.CHAIN, count=4))
            await ticks.until(lambda: any(t.flags & Flag.REPLAYED and t.kind is TickKind.TRADE for t in ticks.records))
            node.inject(Fault(FaultKind.DROP))
            sessions = count(venue="sim-sei-clob", kind=TickKind.STATUS)
            await ticks.until(lambda: count(venue="sim-sei-clob", kind=TickKind.STATUS) >= sessions + 2)
            blocks = count(kind=TickKind.BLOCK)
            await ticks.until(lambda: count(kind=TickKind.BLOCK) >= blocks + 15)
            stop.set()
            await running
            ticks.read()
            letters.read()
            heights = sorted(tick.block_height for tick in ticks.records if tick.kind is TickKind.BLOCK)
            # The last blocks may have been under way when the feed was stopped.
            whole = heights[1:-6]
            happened = await swaps(node.rpc_url, whole)
            ticks.close()
            letters.close()
    assert heights == list(range(heights[0], heights[-1] + 1))
    trades = [t for t in ticks.records if t.kind is TickKind.TRADE and t.venue == "sim-sei"]
    assert sorted(t.trade_id for t in trades if t.block_height in whole) == sorted(happened)
    assert all(t.ts_event is not None for t in trades)
    assert letters.records == []


async def swaps(rpc_url: str, heights: list[int]) -> list[str]:
    """List the swaps of blocks, as the node says."""
    found = []
    async with aiohttp.ClientSession() as http:
        for height in heights:
            async with http.get(f"{rpc_url}/block_results?height={height}") as response:
                transactions = (await response.json())["result"]["txs_results"] or []
            for index, transaction in enumerate(transactions):
                events = [] if transaction.get("code") else transaction["events"]
                found += [f"{height}-{index}-{n}" for n, event in enumerate(events) if event["type"] == "wasm"]
    return found
