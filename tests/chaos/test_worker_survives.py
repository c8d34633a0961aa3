"""Workers that are killed, joined, left and misled publish what the log says, once; a failing one stops in time."""

from __future__ import annotations

import json
import random
import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from infra.local.process import wait_until
from infra.runtime.kafka import consumer_config, producer_config
from tests.chaos.conftest import IS_LONG, Run, StartRun
from tests.chaos.log import Feed, made_ticks
from tests.chaos.oracle import expected, read

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(7_200 if IS_LONG else 240),
]

TICKS = 10_000_000 if IS_LONG else 15_000
SECONDS = 300_000 if IS_LONG else 900
KILLS = 60 if IS_LONG else 2


@pytest.fixture(scope="module")
def written() -> list[bool]:
    """Whether the module's log was written: `market.ticks` is one log for all its tests."""
    return []


def write_log(run: Run, written: list[bool]) -> None:
    if not written:
        with Feed(run.settings, made_ticks(seed=5, count=TICKS, seconds=SECONDS)):
            pass
        written.append(True)


def test_kills_and_rebalances_change_nothing(start_run: StartRun, written: list[bool]) -> None:
    """SIGKILL at random moments, a worker that joins and is killed, one that joins and leaves: bars equal the oracle's.

    Every record that is no tick is a dead letter with its position, and nothing else is.
    """
    run = start_run("kills.")
    moments = random.Random(7)
    write_log(run, written)
    # Small batches and long waits between snapshots: most kills hit work that is not safe yet.
    pace = {"app": "tests.chaos.small_chunks", "FLASHMM_BATCH_MAX_RECORDS": "200"}

    for _ in range(KILLS):
        worker = run.start(**pace)
        run.wait_for(worker)
        time.sleep(2 * moments.random())
        worker.kill()
    worker = run.start(**pace)
    joiner = run.start(**pace)
    run.wait_for(joiner)
    joiner.kill()
    leaver = run.start(**pace)
    run.wait_for(leaver)
    assert leaver.stop(grace_s=15) == 0
    run.drain(worker, timeout_s=3_600 if IS_LONG else 120)

    run.check_bars()
    _, poison = expected(run.settings)
    letters = {
        (letter["source_partition"], letter["source_offset"]) for _, letter in read(run.settings, "ops.dead-letters")
    }  # type: ignore[index]
    assert letters == poison
    assert len(poison) > 20


def test_a_worker_that_is_asked_to_stop_leaves_nothing_to_do_again(start_run: StartRun, written: list[bool]) -> None:
    """Its last snapshot covers all that it applied, and is what it committed; it ends within seconds."""
    run = start_run("stop.")
    write_log(run, written)
    worker = run.start(FLASHMM_SNAPSHOT_INTERVAL_MS="600000")
    run.wait_for_progress()

    assert worker.stop(grace_s=15) == 0

    assert newest_manifests(run) == dict(enumerate(run.committed()))
    healthy = run.start()
    run.drain(healthy)
    run.check_bars()
    # Nothing was published twice: revisions are in the topic once each.
    bars = [
        (bar["symbol"], bar["timeframe"], bar["ts_open"], bar["revision"])
        for _, bar in read(run.settings, "market.bars")
    ]  # type: ignore[index]
    assert len(set(bars)) == len(bars)


def newest_manifests(run: Run) -> dict[int, int]:
    """Give the position of the newest manifest of each partition."""
    found: dict[int, int] = {}
    topic = f"{run.settings.topic_prefix}state.snapshots"
    consumer = Consumer(consumer_config(run.settings, "reader-without-commits"))
    for partition in range(4):
        low, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        consumer.assign([TopicPartition(topic, partition, low)])
        while low < end:
            for message in consumer.consume(100, 0.5):
                low = message.offset() + 1
                if message.key().endswith(b"|manifest"):
                    found[partition] = json.loads(message.value().split(b"\n")[0])["position"]
    consumer.close()
    return found


def test_a_damaged_newest_snapshot_gives_the_one_before(start_run: StartRun, written: list[bool]) -> None:
    """What came after it is done again, with the same records."""
    run = start_run("damaged.")
    write_log(run, written)
    worker = run.start(FLASHMM_BATCH_MAX_RECORDS="200")
    run.wait_for_progress(1_000)
    worker.kill()
    damage(run)

    healthy = run.start()
    run.drain(healthy)

    run.check_bars()


def damage(run: Run) -> None:
    """Write a manifest and a chunk that are not whole over the newest of each partition."""
    topic = f"{run.settings.topic_prefix}state.snapshots"
    newest: dict[int, bytes] = {}
    consumer = Consumer(consumer_config(run.settings, "reader-without-commits"))
    for partition in range(4):
        low, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        consumer.assign([TopicPartition(topic, partition, low)])
        while low < end:
            for message in consumer.consume(100, 0.5):
                low = message.offset() + 1
                if message.key().endswith(b"|manifest"):
                    newest[partition] = message.key()
    consumer.close()
    producer = Producer(producer_config(run.settings))
    for partition, key in newest.items():
        producer.produce(topic, b"\x00" * 100, key=key.replace(b"|manifest", b"|0"), partition=partition)
        producer.produce(topic, b"{", key=key, partition=partition)
    assert producer.flush(10) == 0
    assert newest


def test_an_exception_in_a_stage_ends_the_process_with_nothing_committed_past_it(
    start_run: StartRun, written: list[bool]
) -> None:
    """Stock Faust would acknowledge the event, restart the agent and go on."""
    run = start_run("planted.")
    write_log(run, written)
    worker = run.start(app="tests.chaos.planted", PLANTED_AFTER_BATCHES="3")

    assert wait_until(lambda: not worker.is_alive, timeout_s=60)
    assert worker.returncode == 1

    assert sum(max(0, offset) for offset in run.committed()) < sum(run.ends().values())
    healthy = run.start()
    run.drain(healthy)
    run.check_bars()


def test_a_worker_with_other_stages_refuses_to_publish_to_the_same_topics(
    start_run: StartRun, written: list[bool]
) -> None:
    """Both would publish the same trades."""
    run = start_run("refused.")
    write_log(run, written)
    first = run.start()
    run.wait_for(first)

    other = run.start(FLASHMM_STAGES="normalise")

    assert wait_until(lambda: not other.is_alive, timeout_s=60)
    assert other.returncode == 4
    assert first.is_alive
