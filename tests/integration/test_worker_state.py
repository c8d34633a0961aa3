"""Snapshots of many markets on a mock and on a real broker: written, within their budget, and restored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiokafka import AIOKafkaProducer

from infra.local.mock_kafka import MockCluster
from infra.runtime.topics import create_topics
from processors.kernel.pipeline import PartitionPipeline, PipelineConfig, Stage
from processors.kernel.snapshot import BUDGET_BYTES, freeze
from processors.kernel.steps import Ticks
from processors.microbatch.engine import MicroBatchEngine
from processors.microbatch.restore import restored
from processors.microbatch.task import PartitionTask
from schemas.codec import Codec
from schemas.columns import Spans, decode_ticks
from schemas.enums import Mode, Verdict
from schemas.records import Alert, QuoteDecision, Tick
from schemas.topics import DEFAULT_PARTITIONS, TOPICS
from tests.kernel_steps import MARKET, instruments
from tests.ticks import T0, Feed, second

PARTITIONS = {"mock": 16, "jvm": DEFAULT_PARTITIONS}
"""`market.ticks` has one name on the broker that all tests share."""
_CODECS = {topic.record: Codec(topic.record, 1) for topic in TOPICS.values() if topic.record is not None}


def new_engine(bootstrap: str, prefix: str) -> MicroBatchEngine:
    engine = MicroBatchEngine(
        PipelineConfig(stages=frozenset({Stage.NORMALISE, Stage.BARS})),
        bootstrap=bootstrap,
        prefix=prefix,
        stage_set="normalise-bars",
        instruments=instruments(),
        clock=lambda: T0,
        fetch_wait_ms=1,
        fetch_pause_ms=0,
        fetch_bytes=1 << 20,
    )
    engine.codecs = _CODECS  # type: ignore[assignment]
    return engine


@asynccontextmanager
async def publishing(engine: MicroBatchEngine) -> AsyncIterator[None]:
    """Run the publishers of an engine."""
    async with AIOKafkaProducer(bootstrap_servers=engine.bootstrap, acks="all", enable_idempotence=True) as producer:
        publishers = (engine.publisher, engine.trading_publisher)
        running = [asyncio.create_task(publisher.run(producer)) for publisher in publishers]
        yield
        for one in running:
            one.cancel()


def fill(pipeline: PartitionPipeline, markets: int, rounds: int) -> int:
    """Let each market trade so often in a quarter of an hour, with ids of which none is like another; gives the end."""
    feeds = [Feed(f"M{number}/USDC") for number in range(markets)]
    random = np.random.default_rng(1)
    offset = 0
    for round_ in range(rounds):
        now = second(900 * round_ / rounds)
        trades = [feed.trade(now, 100, 1 + round_ % 7, trade_id=random.bytes(32).hex()) for feed in feeds]
        columns = decode_ticks(Spans.of([_CODECS[Tick].encode(tick) for tick in trades]), _CODECS[Tick])
        pipeline.run(Ticks(np.arange(offset, offset + markets), columns))
        pipeline.take()
        offset += markets
    return offset


@pytest.fixture(params=["mock", pytest.param("jvm", marks=pytest.mark.kafka)])
def engine(request: pytest.FixtureRequest) -> MicroBatchEngine:
    """An engine on a broker that has its topics."""
    prefix = f"state-{request.node.originalname}."
    if request.param == "jvm":
        bootstrap = request.getfixturevalue("kafka_bootstrap")
        create_topics(bootstrap, partitions=PARTITIONS["jvm"], prefixes=(prefix,))
        return new_engine(bootstrap, prefix)
    cluster: MockCluster = request.getfixturevalue("mock_kafka")
    for topic in TOPICS.values():
        cluster.create_topic(topic.full_name(prefix), PARTITIONS["mock"])
    return new_engine(cluster.bootstrap, prefix)


def own(engine: MicroBatchEngine, partitions: Sequence[int]) -> None:
    engine.tasks = {each: PartitionTask(each, engine.new_pipeline(each), position=0, epoch=3) for each in partitions}


async def write_ticks(engine: MicroBatchEngine, count: int, partition: int) -> None:
    """Write so many records that no snapshot speaks of a log that is not there."""
    async with AIOKafkaProducer(bootstrap_servers=engine.bootstrap) as producer:
        for _ in range(count):
            last = await producer.send(TOPICS["market.ticks"].name, b"-", partition=partition)
        await last


async def test_a_thousand_markets_with_full_windows_fit_the_budget(engine: MicroBatchEngine) -> None:
    """With hashes for trade ids, which nothing compresses; of several snapshots the last one is restored."""
    own(engine, [3])
    task = engine.tasks[3]
    task.position = 40
    fill(task.pipeline, markets=1_000, rounds=33)
    async with publishing(engine):
        await write_ticks(engine, 50, 3)
        for more in range(3):
            task.position += more
            await engine.snapshots.write(task)

    assert task.safe == 43
    assert 100_000 < task.snapshot_bytes <= BUDGET_BYTES
    (again,) = await restored(engine, [3], generation=1)
    assert (again.position, again.snapshots, again.epoch) == (43, task.snapshots, 4)
    assert freeze(again.pipeline.state()) == freeze(task.pipeline.state())


async def test_many_partitions_are_restored_together(engine: MicroBatchEngine, request: pytest.FixtureRequest) -> None:
    """Each to its own state and position; one without a snapshot to the beginning."""
    empty = PARTITIONS[request.node.callspec.params["engine"]] - 1
    own(engine, range(empty))
    async with publishing(engine):
        for partition, task in engine.tasks.items():
            await write_ticks(engine, 50, partition)
            fill(task.pipeline, markets=1 + partition, rounds=10)
            task.position = partition + 1
            await engine.snapshots.write(task)

    tasks = {task.partition: task for task in await restored(engine, range(empty + 1), generation=1)}

    assert {partition: task.position for partition, task in tasks.items()} == {
        **{partition: partition + 1 for partition in range(empty)},
        empty: 0,
    }
    for partition, task in engine.tasks.items():
        assert freeze(tasks[partition].pipeline.state()) == freeze(task.pipeline.state())


async def test_a_snapshot_beyond_the_budget_is_written_and_told_once(
    engine: MicroBatchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is of no use not to write it: the next restart would only have more to do again."""
    monkeypatch.setattr("processors.microbatch.snapshots.BUDGET_BYTES", 1_000)
    own(engine, [2])
    task = engine.tasks[2]
    told: list[Alert] = []
    send = engine.send

    def noted(record: object, *rest: int) -> None:
        if isinstance(record, Alert):
            told.append(record)
        send(record, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "send", noted)
    fill(task.pipeline, markets=10, rounds=10)
    async with publishing(engine):
        await write_ticks(engine, 50, 2)
        for position in (5, 6):
            task.position = position
            await engine.snapshots.write(task)

    assert task.safe == 6
    assert [alert.code for alert in told] == ["SNAPSHOT_OVER_BUDGET"]


def decision(at: int, sequence: int = 0, inference_us: int | None = None) -> QuoteDecision:
    """One of the market of `tests.kernel_steps`, so many grid points after the first."""
    return QuoteDecision(
        decision_id=f"{at}|{sequence}",
        mode=Mode.PAPER,
        account="demo",
        venue=MARKET[0],
        symbol=MARKET[1],
        ts_grid=T0 + at * 200_000,
        epoch=7,
        verdict=Verdict.DENIED,
        reasons=(),
        bids=(),
        asks=(),
        sigma=0.0,
        gamma=0.0,
        kappa=0.0,
        horizon_s=0.0,
        signal_bps=0.0,
        clamps=(),
        config_hash="",
        sequence=sequence,
        inference_us=inference_us,
        cause_topic="market.ticks",
        cause_partition=1,
        cause_first_offset=0,
        cause_offset=0,
    )


async def test_what_was_decided_is_known_after_a_restore(engine: MicroBatchEngine) -> None:
    """The last decision by grid point and sequence, pulls among them; and which predictions had been too slow."""
    limit_us = engine.config.quoting.breakers.inference_us
    async with publishing(engine):
        for one in (
            decision(1, 0, limit_us + 1),
            decision(2, 0, limit_us),
            decision(2, 1),
            decision(3),
            decision(3, 1),
        ):
            engine.send(one, 1, T0)
        await engine.drain()

    (task,) = await restored(engine, [1], generation=1)

    published = task.pipeline.quoter.published
    assert published is task.published
    assert published.last == {MARKET: (T0 + 3 * 200_000, 1)}
    assert published.slow == {(MARKET, T0 + 200_000): limit_us + 1}
    assert task.pipeline.quoter.epoch == task.epoch == 8
