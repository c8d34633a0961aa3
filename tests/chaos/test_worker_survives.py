"""Workers that are stopped, misled and made to fail publish what the log says, once; a failing one stops in time."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import Producer

from infra.local.process import wait_until
from infra.runtime.kafka import producer_config
from tests.chaos.conftest import Run, StartRun
from tests.chaos.log import Feed, made_ticks
from tests.chaos.oracle import messages, read

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(400),
]

TICKS = 15_000
SECONDS = 900


@pytest.fixture(scope="module")
def written() -> list[bool]:
    """Whether the module's log was written: `market.ticks` is one log for all its tests."""
    return []


def write_log(run: Run, written: list[bool]) -> None:
    if not written:
        with Feed(run.settings, made_ticks(seed=5, count=TICKS, seconds=SECONDS)):
            pass
        written.append(True)


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
    for message in messages(run.settings, f"{run.settings.topic_prefix}state.snapshots"):
        if (message.key() or b"").endswith(b"|manifest"):
            found[message.partition()] = json.loads((message.value() or b"").split(b"\n")[0])["position"]
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
    manifests = (message for message in messages(run.settings, topic) if (message.key() or b"").endswith(b"|manifest"))
    newest = {message.partition(): message.key() for message in manifests}
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


def test_record_batches_larger_than_a_fetch_and_than_the_buffer_are_read_all_the_same(
    start_run: StartRun, written: list[bool]
) -> None:
    """A fetch of a kibibyte gets whole record batches of many; the stages get them seven records at a time."""
    run = start_run("small.")
    write_log(run, written)
    worker = run.start(
        FLASHMM_FETCH_PARTITION_BYTES="1024", FLASHMM_BATCH_MAX_RECORDS="7", FLASHMM_BUFFERED_BATCHES="1"
    )
    run.drain(worker)

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
