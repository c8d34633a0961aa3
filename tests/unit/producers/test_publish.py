"""Ticks to Kafka: the right partition, everywhere where it concerns, nothing lost, failures said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from infra.local.mock_kafka import MockCluster
from producers.core import BadFrame, Effects, Source
from producers.numbering import HeartbeatClock, TickFactory, TickFields
from producers.publish import TickPublisher
from producers.shedding import ShedLimits
from schemas.codec import Codec
from schemas.enums import Side, TickKind
from schemas.errors import ConfigurationError, ServiceUnavailable
from schemas.instruments import Instruments, partition_for
from schemas.reasons import DeadLetterReason
from schemas.records import Alert, DeadLetter, Instrument, Metric, Record, Tick

T0 = 1_700_000_000_000_000
KINDS: tuple[type[Any], ...] = (Tick, DeadLetter, Metric, Alert, Instrument)
CODECS = {kind: Codec(kind, number) for number, kind in enumerate(KINDS, start=1)}
TOPICS = {
    Tick: "market.ticks",
    DeadLetter: "t.ops.dead-letters",
    Metric: "t.ops.metrics",
    Instrument: "t.reference.instruments",
    Alert: "t.ops.alerts",
}

# Of the protocol guide: a request's key, and an answer that trying again does not change.
PRODUCE, TOPIC_AUTHORIZATION_FAILED = 0, 29


class Quiet:
    """A source of three markets in two groups."""

    name = "sim"
    symbols = (("sim", "SEI/USDC"), ("sim", "SEI/USDT"), ("sim", "BTC/USDC"))

    def open(self, now_us: int) -> Effects:
        return Effects()

    def receive(self, frame: str | bytes, now_us: int) -> Effects:
        return Effects()

    def fetched(self, tag: str, body: bytes | None, now_us: int) -> Effects:
        return Effects()

    def tick(self, now_us: int) -> Effects:
        return Effects()

    def close(self, now_us: int) -> Effects:
        return Effects()


SOURCE: Source = Quiet()


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    """A mock cluster with the topics of a run under the prefix `t.`."""
    with MockCluster() as cluster:
        for record, name in TOPICS.items():
            cluster.create_topic(name, 4 if record in (Tick, Instrument) else 1)
        yield cluster


def publisher_for(
    bootstrap: str, *, partitions: int = 4, shed: ShedLimits | None = None, **config: Any
) -> TickPublisher:
    return TickPublisher(
        {"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "log_level": 0, **config},
        tick=CODECS[Tick],
        dead_letter=CODECS[DeadLetter],
        metric=CODECS[Metric],
        alert=CODECS[Alert],
        instrument=CODECS[Instrument],
        instruments=Instruments(),
        partitions=partitions,
        clock=lambda: T0,
        prefix="t.",
        shed=shed,
    )


@pytest.fixture
def publisher(cluster: MockCluster) -> TickPublisher:
    """A publisher to the cluster."""
    return publisher_for(cluster.bootstrap)


@pytest.fixture
def read(cluster: MockCluster) -> Callable[[type[Record], int], list[tuple[int, bytes, Any]]]:
    """Reads a number of records of a topic as (partition, key, record)."""

    def records(kind: type[Record], count: int) -> list[tuple[int, bytes, Any]]:
        consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "test", "log_level": 0})
        consumer.assign([TopicPartition(TOPICS[kind], p, 0) for p in range(4 if kind in (Tick, Instrument) else 1)])
        found = []
        while len(found) < count:
            message = consumer.poll(10)
            assert message is not None, f"{len(found)} records of {count}"
            assert message.error() is None
            found.append((message.partition(), message.key(), CODECS[kind].decode(message.value())))
        consumer.close()
        return found

    return records


def trades(*symbols: str) -> Effects:
    factory = TickFactory("sim", "sim")
    factory.open(T0)
    fields = [TickFields(symbol=symbol, kind=TickKind.TRADE, side=Side.BUY, price=1, size=1) for symbol in symbols]
    return Effects(ticks=[tick for field in fields for tick in factory.message(T0, [field])])


async def test_a_tick_goes_to_the_partition_of_its_group(publisher: TickPublisher, read: Any) -> None:
    """Keyed by the group, placed by murmur2: all markets of one base asset together and in order."""
    effects = trades("SEI/USDC", "BTC/USDC", "SEI/USDT")
    await publisher.publish(effects, SOURCE)
    await publisher.flush()
    found = read(Tick, 3)
    for partition, key, tick in found:
        assert key == tick.symbol.partition("/")[0].encode()
        assert partition == partition_for(key, 4)
    sei = [tick for _, key, tick in found if key == b"SEI"]
    assert sei == [effects.ticks[0], effects.ticks[2]]
    assert publisher.counters(SOURCE)["ticks_trade"] == 3
    assert publisher.delivered == 3


async def test_a_heartbeat_goes_to_every_partition_that_holds_a_market(publisher: TickPublisher, read: Any) -> None:
    """And to no other; keyed by the source."""
    factory = TickFactory("sim", "sim")
    factory.open(T0)
    await publisher.publish(Effects(ticks=HeartbeatClock(0).beat(T0, factory)), SOURCE)
    await publisher.flush()
    homes = {partition_for(group, 4) for group in (b"SEI", b"BTC")}
    assert len(homes) == 2
    found = read(Tick, 2)
    assert {partition for partition, _, _ in found} == homes
    assert {(key, tick.kind) for _, key, tick in found} == {(b"sim", TickKind.HEARTBEAT)}


async def test_a_bad_frame_is_kept_cut_with_its_reason(publisher: TickPublisher, read: Any) -> None:
    """64 KiB of it, and its true size."""
    bad = BadFrame(DeadLetterReason.UNKNOWN_SIDE, "side 'x'", b"x" * 100_000)
    await publisher.publish(Effects(bad=[bad]), SOURCE)
    await publisher.flush()
    ((_, key, letter),) = read(DeadLetter, 1)
    assert key == b"producer.sim"
    assert (letter.reason, letter.detail, letter.source) == ("UNKNOWN_SIDE", "side 'x'", "sim")
    assert (len(letter.payload), letter.payload_size, letter.ts_seen) == (65_536, 100_000, T0)
    assert publisher.counters(SOURCE)["bad_unknown_side"] == 1


async def test_what_a_venue_says_of_a_market_goes_where_its_ticks_go(publisher: TickPublisher, read: Any) -> None:
    """The market is the key, its group chooses the partition."""
    told = Instruments.load().get("sim-citrex", "ETH/USDC-PERP")
    assert told is not None
    await publisher.publish(Effects(instruments=[told]), SOURCE)
    await publisher.flush()
    ((partition, key, record),) = read(Instrument, 1)
    assert (partition, key, record) == (partition_for(b"ETH", 4), b"sim-citrex|ETH/USDC-PERP", told)
    assert publisher.counters(SOURCE)["instruments"] == 1


async def test_metrics_carry_the_counts_of_publisher_and_session(publisher: TickPublisher, read: Any) -> None:
    """Of the component `producer.<source>`."""
    await publisher.publish(trades("SEI/USDC"), SOURCE)
    await publisher.report(SOURCE, {"reconnects": 2})
    await publisher.flush()
    ((_, key, metric),) = read(Metric, 1)
    assert (key, metric.component) == (b"producer.sim", "producer.sim")
    assert metric.counters == {"ticks_trade": 1, "reconnects": 2, "shed_top": 0}


async def test_a_full_queue_makes_the_caller_wait_and_drops_nothing(cluster: MockCluster, read: Any) -> None:
    """The client's queue holds two records; two hundred arrive, in order."""
    publisher = publisher_for(cluster.bootstrap, **{"queue.buffering.max.messages": 2, "linger.ms": 0})
    effects = trades(*["SEI/USDC"] * 200)
    await publisher.publish(effects, SOURCE)
    await publisher.flush()
    assert [tick for _, _, tick in read(Tick, 200)] == effects.ticks


def tops(count: int) -> Effects:
    factory = TickFactory("sim", "sim")
    factory.open(T0)
    ticks = []
    for number in range(count):
        sides = [
            TickFields(symbol="SEI/USDC", kind=TickKind.TOP, side=side, price=number, size=1)
            for side in (Side.BUY, Side.SELL)
        ]
        ticks += factory.message(T0, sides)
    return Effects(ticks=ticks)


async def test_it_sheds_while_kafka_is_away_counts_it_and_says_so(cluster: MockCluster, read: Any) -> None:
    """From half of its queue to a quarter of it; the last top is written, and everything that is no top."""
    limits = ShedLimits(queue_percent=50, age_us=10**9, quoted_venues=frozenset())
    publisher = publisher_for(cluster.bootstrap, shed=limits, **{"queue.buffering.max.messages": 100})
    await publisher.check()
    cluster.set_down(is_down=True)
    await publisher.publish(trades(*["SEI/USDC"] * 50), SOURCE)
    effects = tops(10)
    await publisher.publish(effects, SOURCE)
    await publisher.report(SOURCE, {})
    cluster.set_down(is_down=False)
    await publisher.flush()
    await publisher.publish(trades("SEI/USDC"), SOURCE)
    await publisher.flush()

    found = [tick for _, _, tick in read(Tick, 53)]
    assert [tick for tick in found if tick.kind is TickKind.TOP] == effects.ticks[-2:]
    ((_, _, metric),) = read(Metric, 1)
    assert (metric.counters["shed_top"], metric.gauges["is_shedding"]) == (18, 1)
    assert metric.gauges["queue_percent"] >= 50
    assert [alert.code for _, _, alert in read(Alert, 2)] == ["SHEDDING_BEGAN", "SHEDDING_ENDED"]


async def test_tops_of_a_quoted_venue_are_never_shed(cluster: MockCluster, read: Any) -> None:
    """However far behind it is."""
    limits = ShedLimits(queue_percent=1, age_us=1, quoted_venues=frozenset({"sim"}))
    publisher = publisher_for(cluster.bootstrap, shed=limits, **{"queue.buffering.max.messages": 100})
    await publisher.publish(trades("SEI/USDC", "SEI/USDC"), SOURCE)
    effects = tops(10)
    await publisher.publish(effects, SOURCE)
    await publisher.flush()
    assert [tick for _, _, tick in read(Tick, 22)][2:] == effects.ticks


async def test_who_waits_for_room_when_the_process_ends_gives_up_in_time(cluster: MockCluster) -> None:
    """And says how many records are missing; until then it waits for as long as Kafka is away."""
    publisher = publisher_for(cluster.bootstrap, **{"queue.buffering.max.messages": 2, "message.timeout.ms": 0})
    await publisher.check()
    cluster.set_down(is_down=True)
    writing = asyncio.create_task(publisher.publish(trades(*["SEI/USDC"] * 3), SOURCE))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not writing.done()
    publisher.end_within(0)
    with pytest.raises(ServiceUnavailable, match="2 records were not acknowledged"):
        await writing


async def test_a_record_that_was_not_delivered_ends_it(cluster: MockCluster) -> None:
    """Nothing is written past it: the next call raises, and so does the flush."""
    publisher = publisher_for(cluster.bootstrap, **{"linger.ms": 0})
    await publisher.check()
    cluster.fail_next(PRODUCE, [TOPIC_AUTHORIZATION_FAILED])
    await publisher.publish(trades("SEI/USDC"), SOURCE)
    with pytest.raises(ServiceUnavailable, match="FLASHMM_KAFKA_BOOTSTRAP"):
        await publisher.flush()
    with pytest.raises(ServiceUnavailable):
        await publisher.publish(trades("SEI/USDC"), SOURCE)


async def test_a_flush_that_takes_too_long_says_what_may_be_missing(cluster: MockCluster) -> None:
    """Ending the process then would lose records silently."""
    publisher = publisher_for(cluster.bootstrap)
    await publisher.check()
    cluster.set_down(is_down=True)
    await publisher.publish(trades("SEI/USDC"), SOURCE)
    with pytest.raises(ServiceUnavailable, match="1 records were not acknowledged"):
        await publisher.flush(0.05)
    cluster.set_down(is_down=False)
    await publisher.flush()


async def test_another_number_of_partitions_is_refused(cluster: MockCluster) -> None:
    """Writing by the wrong count would part a group's markets."""
    with pytest.raises(ConfigurationError, match="FLASHMM_KAFKA_PARTITIONS"):
        await publisher_for(cluster.bootstrap, partitions=8).check()


async def test_a_kafka_that_does_not_answer_is_named() -> None:
    """With the address and the setting."""
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1 .*FLASHMM_KAFKA_BOOTSTRAP"):
        await publisher_for("127.0.0.1:1").check(0.2)
