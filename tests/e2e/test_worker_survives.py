"""A worker that is killed, joined and left publishes what an undisturbed one does; a failing one stops in time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, TopicPartition

from infra.demo.observer import Observer
from infra.local.process import Child, wait_until
from infra.runtime.kafka import consumer_config
from infra.runtime.settings import Settings
from schemas.records import Bar, Metric, Tick
from tests.e2e.conftest import StartWorker
from tests.e2e.log import codec_of, final_minutes, made_ticks, read_all, write

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(300)]

GROUP = "flashmm.normalise-bars"


@pytest.fixture(scope="module")
def is_written() -> list[bool]:
    """Whether the module's log was written: `market.ticks` is one log for all its tests."""
    return []


@pytest.fixture
def settings(
    settings_for: Callable[[str], Settings], is_written: list[bool], request: pytest.FixtureRequest
) -> Settings:
    """A run of its own over the one log."""
    settings = settings_for(f"{request.node.name[:20]}.")
    if not is_written:
        write(settings, made_ticks(seed=5, count=200_000, seconds=600))
        is_written.append(True)
    return settings


def observer_of(settings: Settings) -> Observer:
    return Observer(settings, codec_of(settings, Metric))


def run_to_the_end(settings: Settings, worker: Child) -> None:
    observer = observer_of(settings)
    assert observer.wait_for_worker(120, is_alive=lambda: worker.is_alive), worker.log_tail()
    observer.close()


def progressed(settings: Settings, by: int) -> Callable[[], bool]:
    """Tell whether the bars published have grown by so many records since now."""
    observer = observer_of(settings)
    start = sum(observer.ends(Bar).values())
    return lambda: sum(observer.ends(Bar).values()) >= start + by


def test_kills_and_rebalances_change_nothing_in_the_final_minutes(
    settings: Settings, settings_for: Callable[[str], Settings], start_worker: StartWorker
) -> None:
    """SIGKILL in the middle and a restart, a second worker that joins and is killed, one that joins and leaves."""
    for _ in range(2):
        worker = start_worker(settings)
        assert wait_until(progressed(settings, 300), timeout_s=60), worker.log_tail()
        worker.kill()
    worker = start_worker(settings)
    second = start_worker(settings)
    wait_until(progressed(settings, 300), timeout_s=20)
    second.kill()
    third = start_worker(settings)
    wait_until(progressed(settings, 300), timeout_s=20)
    third.stop()
    run_to_the_end(settings, worker)
    undisturbed = settings_for("undisturbed.")
    run_to_the_end(undisturbed, start_worker(undisturbed))

    bars = read_all(settings, Bar)
    expected = final_minutes(read_all(undisturbed, Bar))

    assert len(expected) > 40
    assert final_minutes(bars) == expected
    contents: dict[tuple[str, int], object] = {}
    for bar in bars:
        assert isinstance(bar, Bar)
        assert contents.setdefault((bar.bar_id, bar.revision), bar) == bar, "one id, two contents at one revision"


def test_an_exception_in_a_stage_ends_the_process_with_nothing_committed_past_it(
    settings: Settings, start_worker: StartWorker
) -> None:
    """Stock Faust would acknowledge the event, restart the agent and go on."""
    worker = start_worker(settings, app="tests.e2e.planted", PLANTED_AFTER_BATCHES="3")

    assert wait_until(lambda: not worker.is_alive, timeout_s=60)
    assert worker.returncode == 1

    consumer = Consumer(consumer_config(settings, f"{settings.topic_prefix}{GROUP}"))
    committed = consumer.committed([TopicPartition("market.ticks", p) for p in range(4)], timeout=10)
    consumer.close()
    position = sum(max(0, pair.offset) for pair in committed)
    healthy = start_worker(settings)
    run_to_the_end(settings, healthy)
    ends = sum(observer_of(settings).ends(Tick).values())
    assert position < ends
    assert len(final_minutes(read_all(settings, Bar))) > 40


def test_a_worker_with_other_stages_refuses_to_publish_to_the_same_topics(
    settings: Settings, start_worker: StartWorker
) -> None:
    """Both would publish the same trades."""
    first = start_worker(settings)
    assert wait_until(progressed(settings, 10), timeout_s=60), first.log_tail()

    other = start_worker(settings, FLASHMM_STAGES="normalise")

    assert wait_until(lambda: not other.is_alive, timeout_s=60)
    assert other.returncode == 4
    assert first.is_alive
