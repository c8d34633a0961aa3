"""A broker that dies, is cut off, or refuses: the worker waits where waiting helps, and stops where it does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from infra.local.jvm_kafka import JvmKafka
from infra.local.ports import LOOPBACK
from infra.local.process import wait_until
from tests.chaos.conftest import IS_LONG, Run, StartRun, start_kafka
from tests.chaos.log import Feed, made_ticks
from tests.chaos.proxy import FaultProxy

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(1_800 if IS_LONG else 400),
]

ROUNDS = 10 if IS_LONG else 1
OUTAGE_S = 20


@pytest.fixture(scope="module")
def broker(proxied_kafka: JvmKafka) -> str:
    """The address that does not go through the proxy: the tests' own clients are not cut off."""
    return proxied_kafka.bootstrap


@pytest.fixture(scope="module")
def hours() -> Iterator[int]:
    """When each test's log begins: `market.ticks` is one log for the module, and its time goes on."""
    return count(step=ROUNDS)


def test_a_dead_and_a_cut_off_broker_are_waited_for(
    start_run: StartRun, proxied_kafka: JvmKafka, proxy: FaultProxy, hours: Iterator[int]
) -> None:
    """SIGKILL of the broker and a start on the same files; 20 s of silence; 20 s of refusals; all under load."""
    run = start_run("outages.")
    ticks = made_ticks(9, ROUNDS * 60_000, ROUNDS * 900, hour=next(hours))
    with Feed(run.settings, ticks, per_s=1_500) as feed:
        worker = run.start(FLASHMM_KAFKA_BOOTSTRAP=f"{LOOPBACK}:{proxy.port}")
        run.wait_for(worker)
        for _ in range(ROUNDS):
            proxied_kafka.child.kill()
            start_kafka(proxied_kafka)
            run.wait_for_progress()
            proxy.swallow()
            time.sleep(OUTAGE_S)
            proxy.heal()
            run.wait_for_progress()
            if IS_LONG:
                proxy.refuse(is_refusing=True)
                time.sleep(OUTAGE_S)
                proxy.refuse(is_refusing=False)
                run.wait_for_progress()
        assert worker.is_alive, worker.log_tail()
        feed.finish()
    run.drain(worker)

    run.check_bars()


def test_a_record_that_its_topic_refuses_stops_the_worker_and_commits_nothing_past_it(
    start_run: StartRun, hours: Iterator[int]
) -> None:
    """Waiting would not help, and going on would lose it; with the topic corrected, the next worker publishes it."""
    run = start_run("refused.")
    with Feed(run.settings, made_ticks(9, 10_000, 300, hour=next(hours))):
        pass
    limit(run, "market.bars", "100")
    worker = run.start()

    assert wait_until(lambda: not worker.is_alive, timeout_s=90)
    assert worker.returncode == 1
    assert all(offset <= 0 for offset, end in zip(run.committed(), run.ends().values(), strict=True) if end > 1_000)

    limit(run, "market.bars", "1048588")
    healthy = run.start()
    run.drain(healthy)
    run.check_bars()


@pytest.mark.skipif(not IS_LONG, reason="takes a minute: FLASHMM_CHAOS=long")
def test_a_topic_that_is_deleted_stops_the_worker(start_run: StartRun, hours: Iterator[int]) -> None:
    """It is not made anew behind anybody's back, and nothing is committed past it."""
    run = start_run("deleted.")
    worker = run.start()
    run.wait_for(worker)
    before = run.committed()
    delete = AdminClient({"bootstrap.servers": run.settings.kafka_bootstrap}).delete_topics
    delete([f"{run.settings.topic_prefix}market.trades"])[f"{run.settings.topic_prefix}market.trades"].result(30)

    with Feed(run.settings, made_ticks(9, 10_000, 300, hour=next(hours))):
        pass

    assert wait_until(lambda: not worker.is_alive, timeout_s=180)
    assert worker.returncode == 1
    assert run.committed() == before


def limit(run: Run, topic: str, max_bytes: str) -> None:
    """Set the size of the largest record batch that a topic takes."""
    entry = ConfigEntry("max.message.bytes", max_bytes, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, run.settings.topic_prefix + topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": run.settings.kafka_bootstrap})
    admin.incremental_alter_configs([resource])[resource].result(30)
