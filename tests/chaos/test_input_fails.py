"""An input topic that is empty, or that retention trimmed before its records were applied."""

from __future__ import annotations

import os
import signal
from itertools import islice

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.enums import Flag
from tests.chaos.conftest import IS_LONG, Run, StartRun
from tests.chaos.log import Feed, made_ticks
from tests.chaos.oracle import read

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(1_800 if IS_LONG else 400),
]


def test_an_empty_topic_is_waited_on_and_a_trimmed_one_is_told_and_continued(start_run: StartRun) -> None:
    """Trimmed while no worker ran, and while one was suspended: counted, alerted, bars flagged GAPPED, not stopped."""
    run = start_run("trimmed.")
    worker = run.start()
    run.wait_for(worker)
    log = made_ticks(seed=3, count=60_000, seconds=3_000)
    first, second, third = (list(islice(log, 15_000)) for _ in range(3))

    with Feed(run.settings, iter(first)):
        pass
    run.drain(worker)
    worker.kill()
    with Feed(run.settings, iter(second)):
        pass
    trim(run)
    worker = run.start()
    run.drain(worker)
    lost_while_away = lost(run)

    assert lost_while_away > 5_000
    assert {"INPUT_TRIMMED"} == {alert["code"] for _, alert in read(run.settings, "ops.alerts") if alert}
    assert gapped_bars(run) > 0

    os.kill(worker.pid, signal.SIGSTOP)
    with Feed(run.settings, iter(third)):
        pass
    trim(run)
    os.kill(worker.pid, signal.SIGCONT)
    run.drain(worker)

    assert worker.is_alive
    assert lost(run) > lost_while_away + 1_000


def trim(run: Run) -> None:
    """Let the log begin a hundred records before its end."""
    offsets = [TopicPartition("market.ticks", partition, max(0, end - 100)) for partition, end in run.ends().items()]
    admin = AdminClient({"bootstrap.servers": run.settings.kafka_bootstrap})
    for future in admin.delete_records(offsets).values():
        future.result(30)


def lost(run: Run) -> int:
    """Give how many records the workers say that they lost."""
    trimmed: dict[int, int] = {}
    for message, metric in read(run.settings, "ops.metrics"):
        assert metric is not None
        trimmed[message.partition()] = metric["counters"]["trimmed"]
    return sum(trimmed.values())


def gapped_bars(run: Run) -> int:
    """Count the bars that say that something is missing."""
    return sum(1 for _, bar in read(run.settings, "market.bars") if bar and bar["flags"] & Flag.GAPPED)
