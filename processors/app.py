"""The Faust app: `faust -A processors.app worker -l info`.

One agent reads `market.ticks` in batches and composes the stages, which are agents too, so that `faust agents --local`
describes them. They share one queue-less pass over each batch; see `processors.microbatch.engine`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import faust
from aiokafka.errors import KafkaConnectionError
from faust.types import TP

from infra.runtime.exposition import exposition
from infra.runtime.interpreter import settle
from processors.agents.bars import bars
from processors.agents.features import features
from processors.agents.inference import make_inference
from processors.agents.normalise import normalise
from processors.agents.quoting import quoting
from processors.kernel.pipeline import Stage
from processors.microbatch.account import follow_account
from processors.microbatch.batches import install
from processors.microbatch.engine import TICKS, MicroBatchEngine
from processors.microbatch.reports import metrics as reported
from processors.microbatch.reports import publish_metrics
from processors.microbatch.selftest import install_connection, takes_prebuilt
from processors.microbatch.task import Batch
from processors.microbatch.transport import REQUEST_TIMEOUT_S
from processors.startup import configured, describe, prepare, refusal, stop_spinner, web_port
from schemas.errors import FlashMMError

__all__ = ["app"]


class FlashMMApp(faust.App):  # type: ignore[misc]  # faust ships no types
    """Faust's app, with the engine that its transport asks for positions."""

    engine: MicroBatchEngine

    async def on_first_start(self) -> None:
        """Make the data directory with its parents."""
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        await super().on_first_start()

    async def on_start(self) -> None:
        """Look up the contracts and check the topics before anything is joined or read."""
        try:
            await prepare(self.engine, settings)
        except FlashMMError as error:
            self.engine.exit(refusal(error))
        await super().on_start()

    async def on_stop(self) -> None:
        """Write and commit where the partitions stand, so that whoever is next repeats nothing."""
        if self._consumer is not None:
            await self._consumer.hand_over()
        await super().on_stop()


class _Undecoded(faust.Schema):  # type: ignore[misc]
    """Hand batches over as they are: the engine decodes them."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> None:
        """Keys are not needed: a partition is the unit of work."""

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        """Give the batch itself."""
        return message.value


settings, engine = configured()
stages = engine.config.stages
is_batching = install(frozenset({TICKS}), settings.batch_max_records)
is_lean = install_connection()
engine.publisher.takes_prebuilt = engine.trading_publisher.takes_prebuilt = takes_prebuilt()

app = FlashMMApp(
    f"{settings.topic_prefix}flashmm.{engine.stage_set}",
    broker=[f"flashmm://{address}" for address in settings.kafka_bootstrap.split(",")],
    store="memory://",
    datadir=settings.data_dir / "faust",
    topic_disable_leader=True,
    topic_allow_declare=False,
    consumer_auto_offset_reset="earliest",
    broker_commit_interval=1.0,
    broker_request_timeout=REQUEST_TIMEOUT_S,
    broker_rebalance_timeout=REQUEST_TIMEOUT_S - 10,  # the answer to a join takes that long
    producer_request_timeout=REQUEST_TIMEOUT_S,
    broker_session_timeout=settings.session_timeout_ms / 1_000,
    broker_heartbeat_interval=1.0,
    consumer_max_fetch_size=settings.fetch_partition_bytes,
    stream_buffer_maxsize=settings.buffered_batches if is_batching else settings.batch_max_records,  # in events
    stream_wait_empty=False,  # the engine decides what is done: snapshots, not events
    table_standby_replicas=1,  # keeps Faust's own assignor, so that equal partition numbers stay together
    producer_max_batch_size=1_000_000,
    producer_linger_ms=0,
    web_host="127.0.0.1",
    web_bind="127.0.0.1",
    web_port=web_port(),
)
app.engine = engine
ticks_topic = app.topic(TICKS, schema=_Undecoded())

STAGES = {
    Stage.NORMALISE: app.agent(app.channel(), name="normalise")(normalise),
    Stage.BARS: app.agent(app.channel(), name="bars")(bars),
    Stage.FEATURES: app.agent(app.channel(), name="features")(features),
    Stage.INFERENCE: app.agent(app.channel(), name="inference")(make_inference(engine.latency.observe)),
    Stage.QUOTING: app.agent(app.channel(), name="quoting")(quoting),
}


@app.agent(ticks_topic, name="ticks")  # type: ignore[untyped-decorator]
async def ticks(stream: Any) -> None:
    """Read market.ticks in batches and take each through all stages; publish what they emit."""
    chain = _batches(stream)
    for stage, agent in STAGES.items():
        if stage in stages:
            chain = agent.fun(chain)
    try:
        async for batch in chain:
            engine.publish(batch, has_more=not stream.channel.queue.empty())
            await engine.pace()
    except Exception as error:  # noqa: BLE001  Faust would acknowledge the event and restart the agent
        engine.fail(error)


async def _batches(stream: Any) -> AsyncIterator[Batch]:
    async for event in stream.noack().events():
        batch = await engine.accept(event.value, event.message.generation_id)
        event.ack()
        if batch is not None:
            yield batch


@app.task  # type: ignore[untyped-decorator]
async def working() -> None:
    """Send what the stages emit, snapshot their state, follow the account, renew the lease, report, let time pass."""
    describe(engine, settings, is_batching=is_batching, is_lean=is_lean)
    settle()
    stop_spinner()
    engine.end_of_log = _end_of_log
    await engine.guarded(
        engine.publisher.run(app.producer._ensure_producer()),  # noqa: SLF001  Faust has no public way to its producer
        _publishing_decisions(),
        engine.snapshots.keep(settings.snapshot_interval_ms * 1_000),
        engine.ownership.keep(),
        follow_account(engine),
        _every_second(),
    )


async def _publishing_decisions() -> None:
    """Send decisions by a producer of their own: Faust's carries the market data."""
    while True:
        producer = app.producer._new_producer()  # noqa: SLF001  configured as Faust's own
        try:
            await producer.start()
            await engine.trading_publisher.run(producer)
        except KafkaConnectionError:
            await asyncio.sleep(1)  # no broker just now
        finally:
            await producer.stop()


async def _every_second() -> None:
    while True:
        await asyncio.sleep(1)
        publish_metrics(engine)
        engine.beat()


def _end_of_log(partition: int) -> int | None:
    tp = TP(TICKS, partition)
    end = app.consumer.highwater(tp) if tp in app.consumer.assignment() else None
    return cast("int | None", end)


@app.page("/metrics")  # type: ignore[untyped-decorator]
async def prometheus(view: Any, request: Any) -> Any:
    """Counters and gauges of the owned partitions, for Prometheus."""
    return view.text(exposition(reported(engine)))
