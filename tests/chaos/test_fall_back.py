"""Where aiokafka's internals are not as expected, a worker reads record by record and publishes the same."""

from __future__ import annotations

import pytest

from tests.chaos.conftest import StartRun
from tests.chaos.log import Feed, made_ticks
from tests.chaos.oracle import read

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(400)]

_SAYS = b"aiokafka's internals changed"


def test_single_records_give_the_same_bars_as_batches(start_run: StartRun) -> None:
    """The worker says so when it starts, and the bars are those of a worker that reads batches."""
    single, batched = start_run("single."), start_run("batched.")
    with Feed(single.settings, made_ticks(seed=11, count=5_000, seconds=600)):
        pass

    worker = single.start(app="tests.chaos.single_records")
    single.drain(worker)
    assert _SAYS in worker.log.read_bytes()
    single.check_bars()
    assert worker.stop(grace_s=15) == 0

    worker = batched.start()
    batched.drain(worker)
    assert _SAYS not in worker.log.read_bytes()
    bars = [
        sorted((message.partition(), message.offset(), repr(bar)) for message, bar in read(run.settings, "market.bars"))
        for run in (single, batched)
    ]
    assert bars[0] == bars[1]
