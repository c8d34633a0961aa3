"""A broker that is away makes a producer wait within its bounds; it loses nothing, or says what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest
from confluent_kafka import Consumer, TopicPartition

from infra.cli.produce import clob_feeds
from infra.local import registry as development_registry
from infra.local.mock_kafka import MockCluster
from infra.runtime.clock import wall_clock_us
from infra.runtime.settings import Settings
from infra.simulator.node import SimulatedNode
from producers.backoff import Backoff
from producers.core import Effects, Source
from producers.publish import TickPublisher, build_publisher
from producers.session import Session
from schemas.enums import Flag, TickKind
from schemas.errors import ServiceUnavailable
from schemas.instruments import DEFAULT_PATH, Instruments
from schemas.records import Tick
from schemas.registry import Registry

QUEUE = 1_000


class Producing:
    """One feed of the simulated order book, its session and its publisher, watched."""

    def __init__(self, settings: Settings, node: SimulatedNode) -> None:
        self.settings = settings
        self.publisher: TickPublisher = build_publisher(settings, Instruments.load(DEFAULT_PATH), wall_clock_us)
        (feed,) = clob_feeds(settings, venue="sim-sei-clob", urls=[node.clob_url], symbols=["SEI/USDC"])
        self.session = Session(
            feed.source,
            feed.config,
            publish=self._publish,
            clock=wall_clock_us,
            backoff=Backoff(1, 1, lambda: 0.0),
        )
        self.source = feed.source
        self._since_us: int | None = None

    async def _publish(self, effects: Effects, source: Source) -> None:
        self._since_us = wall_clock_us()
        await self.publisher.publish(effects, source)
        self._since_us = None

    @property
    def has_waited_us(self) -> int:
        """How long the write that is under way has been waiting."""
        return 0 if self._since_us is None else wall_clock_us() - self._since_us

    def written(self) -> list[Tick]:
        """Everything in the log, in the order of its partition."""
        with Registry(self.settings.registry_url) as registry:
            codec = registry.codec(Tick)
        consumer = Consumer({"bootstrap.servers": self.settings.kafka_bootstrap, "group.id": "t", "log_level": 0})
        pairs = [TopicPartition("market.ticks", partition, 0) for partition in range(4)]
        wanted = sum(consumer.get_watermark_offsets(pair, timeout=10)[1] for pair in pairs)
        consumer.assign(pairs)
        found: list[Tick] = []
        while len(found) < wanted:
            for message in consumer.consume(1_000, 1.0):
                assert message.error() is None
                tick = codec.decode(message.value())
                assert isinstance(tick, Tick)
                found.append(tick)
        consumer.close()
        return found


@asynccontextmanager
async def producing(kafka: MockCluster) -> AsyncIterator[Producing]:
    """A feed that runs into a mock cluster; its queue is small."""
    kafka.create_topic("market.ticks", 4)
    with development_registry.serve() as registry:
        settings = Settings(
            _env_file=None,
            kafka_bootstrap=kafka.bootstrap,
            registry_url=registry.url,
            producer_queue_records=QUEUE,
        )
        async with SimulatedNode(seed=5, rate=10) as node:
            producing = Producing(settings, node)
            await producing.publisher.check()
            running = asyncio.create_task(producing.session.run())
            try:
                yield producing
            finally:
                producing.publisher.end_within(0)
                running.cancel()
                with suppress(asyncio.CancelledError, ServiceUnavailable):
                    await running


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.chaos
async def test_an_outage_is_waited_for_and_loses_nothing(mock_kafka: MockCluster) -> None:
    """The queue fills, the socket is left alone, and afterwards every book is there, in order, on one connection."""
    async with producing(mock_kafka) as one:
        await until(lambda: one.publisher.delivered > 500)
        mock_kafka.set_down(is_down=True)
        await until(lambda: one.has_waited_us > 3_000_000)
        delivered = one.publisher.delivered
        frames = one.session.counters["frames"]
        mock_kafka.set_down(is_down=False)
        await until(lambda: one.session.counters["frames"] > frames + 30)
        await one.publisher.flush(30)
        assert one.publisher.delivered >= delivered + QUEUE
        assert one.session.counters["connections"] == 1
        assert one.session.counters["writing_ms"] >= 3_000
        ticks = await asyncio.to_thread(one.written)
    books = [tick.sequence for tick in ticks if tick.kind is TickKind.CLEAR]
    assert len(books) > 50
    assert all(after == before + 1 for before, after in pairwise(filter(None, books)))
    gaps = [tick for tick in ticks if tick.kind is TickKind.STATUS and tick.flags & Flag.GAPPED]
    assert len(gaps) == 1, "only that of the beginning"


@pytest.mark.chaos
async def test_one_that_is_ended_during_an_outage_says_what_is_missing(mock_kafka: MockCluster) -> None:
    """It does not wait for the broker then, and does not pretend."""
    async with producing(mock_kafka) as one:
        await until(lambda: one.publisher.delivered > 100)
        mock_kafka.set_down(is_down=True)
        await until(lambda: one.has_waited_us > 200_000)
        one.publisher.end_within(0.1)
        with pytest.raises(ServiceUnavailable, match=f"{QUEUE} records were not acknowledged"):
            await one.publisher.publish(Effects(ticks=one.source.close(wall_clock_us()).ticks), one.source)
