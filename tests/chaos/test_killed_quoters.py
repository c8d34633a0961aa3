"""A worker with all stages that is killed never makes a published decision again, and hears of its account in time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from infra.demo.observer import Observer
from infra.local.process import wait_until
from infra.runtime.kafka import producer_config
from schemas.instruments import partition_for
from schemas.records import Metric, Position, QuoteDecision
from sinks.instruments import load_instruments
from tests.chaos.conftest import IS_LONG, Run, StartRun
from tests.chaos.log import Feed, codec_of, made_books
from tests.chaos.oracle import read
from tests.kernel_steps import position

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(3_600 if IS_LONG else 400),
]

SECONDS = 3_600 if IS_LONG else 300
KILLS = 20 if IS_LONG else 2
ALL_STAGES = {"FLASHMM_STAGES": "normalise,bars,features,inference,quoting"}
NEVER = {"FLASHMM_SNAPSHOT_INTERVAL_MS": "600000"}


@pytest.fixture(scope="module")
def written() -> list[bool]:
    """Whether the module's log was written: `market.ticks` is one log for all its tests."""
    return []


def write_log(run: Run, written: list[bool]) -> None:
    if not written:
        with Feed(run.settings, made_books(seed=5, count=10 * SECONDS, seconds=SECONDS, jump_every=97)):
            pass
        written.append(True)


class Account:
    """Writes positions, as the executor does."""

    def __init__(self, run: Run) -> None:
        self._topic = f"{run.settings.topic_prefix}trading.positions"
        self._codec = codec_of(run.settings, Position)
        self._partition = partition_for(b"SEI", run.settings.kafka_partitions)
        self._producer = Producer(producer_config(run.settings))

    def hold(self, quantity: int) -> None:
        """Write one, and wait until it is acknowledged."""
        value = self._codec.encode(position(str(quantity)))
        key = b"paper|demo|sim-sei-clob|SEI/USDC"
        self._producer.produce(self._topic, value, key=key, partition=self._partition)
        assert self._producer.flush(10) == 0


def decisions(run: Run) -> Iterator[dict[str, Any]]:
    """Give what `trading.quotes` holds, in order."""
    for _, decision in read(run.settings, "trading.quotes"):
        assert decision is not None
        yield decision


def decided(run: Run) -> int:
    """Count the decisions that are published."""
    observer = Observer(run.settings, codec_of(run.settings, Metric))
    ends = observer.ends(QuoteDecision)
    observer.close()
    return sum(ends.values())


def contents(run: Run, topic: str, name: str) -> dict[Any, set[bytes]]:
    """Give the different bytes that a topic holds of each value of a field."""
    found: dict[Any, set[bytes]] = {}
    for message, record in read(run.settings, topic):
        assert record is not None
        found.setdefault(record[name], set()).add(message.value() or b"")
    return found


def test_a_published_decision_is_never_made_again(start_run: StartRun, written: list[bool]) -> None:
    """Killed long after its snapshot, with another inventory since: silent up to the last decision, then goes on.

    Epochs never fall, no grid point is left out, and every decision says which executions it knew, and by which
    instrument it went. Pulls, which take a decision back between two grid points, are decisions like any.
    """
    run = start_run("decided.")
    write_log(run, written)
    load_instruments(run.settings)
    account = Account(run)
    for number in range(KILLS):
        account.hold(100 * number)
        before = decided(run)
        worker = run.start(**ALL_STAGES, **({} if number % 2 else NEVER), FLASHMM_BATCH_MAX_RECORDS="100")
        by = before + SECONDS // KILLS
        assert wait_until(lambda by=by: decided(run) > by, timeout_s=60), worker.log_tail()
        worker.kill()
    account.hold(-700)
    worker = run.start(**ALL_STAGES)
    run.drain(worker, timeout_s=600 if IS_LONG else 60)

    made = list(decisions(run))
    assert [again for again, times in Counter(one["decision_id"] for one in made).items() if times > 1] == []
    epochs = [one["epoch"] for one in made]
    assert epochs == sorted(epochs)
    assert len(set(epochs)) == KILLS + 1
    places = [(one["ts_grid"], one["sequence"]) for one in made]
    assert places == sorted(places)
    pulls = [one["reasons"] for one in made if one["sequence"]]
    assert [*map(tuple, pulls)] == [("MARKET_JUMP",)] * len(pulls)
    assert len(pulls) > SECONDS // 25
    assert {one["instrument"]["symbol"] for one in made} == {"SEI/USDC"}
    assert {one["position"] for one in made} == {*range(0, 100 * KILLS, 100), -700}
    assert {one["executions_offset"] for one in made} <= {None, 0}
    features = contents(run, "signals.features", "ts_grid")
    assert features.keys() <= {one["ts_grid"] for one in made}
    assert len(features) > SECONDS
    for topic in ("signals.features", "signals.predictions"):
        assert [at for at, said in contents(run, topic, "ts_grid").items() if len(said) > 1] == []


def test_an_account_is_heard_of_before_the_market_data_that_waits(start_run: StartRun, written: list[bool]) -> None:
    """A position written while a backlog is applied is in the decisions on what is still to come of it."""
    run = start_run("account.")
    write_log(run, written)
    account = Account(run)
    account.hold(1)
    worker = run.start(**ALL_STAGES, FLASHMM_BATCH_MAX_RECORDS="500")
    assert wait_until(lambda: decided(run) > 0, timeout_s=60), worker.log_tail()

    account.hold(2)
    before = decided(run)
    run.drain(worker, timeout_s=600 if IS_LONG else 60)

    positions = [one["position"] for one in decisions(run)]
    print(
        f"heard of after {positions.index(2) - before} of {len(positions) - before} decisions"
        if 2 in positions
        else positions[-1]
    )
    assert positions.index(2) - before < (len(positions) - before) / 4
