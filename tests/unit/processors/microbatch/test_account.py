"""Instruments, positions, orders and executions are applied before the ticks that wait, once, and by offset."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from processors.kernel.pipeline import PipelineConfig
from processors.kernel.quotingconfig import QuotingConfig
from processors.kernel.snapshot import freeze, thaw
from processors.microbatch.account import account_records
from processors.microbatch.batches import FetchedBatch
from processors.microbatch.engine import TICKS, MicroBatchEngine
from processors.microbatch.publisher import Pending
from processors.microbatch.task import PartitionTask
from schemas.codec import Codec
from schemas.columns import Spans
from schemas.enums import Mode, OrderStatus
from schemas.reasons import DeadLetterReason
from schemas.records import DeadLetter, ExecutionReport, Instrument, OrderIntent, Position, Record, Tick
from schemas.topics import TOPICS
from tests.kernel_steps import MARKET, instrument, instruments, position, price, size, view
from tests.kernel_steps import T0 as KERNEL_T0
from tests.ticks import T0, Feed
from tests.unit.processors.kernel.test_ownorders import intent, report

_CODECS = {topic.record: Codec(topic.record, 1) for topic in TOPICS.values() if topic.record is not None}
POSITIONS = TOPICS["trading.positions"].name


class Sent:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[Pending] = []

    def add(self, _topic: str, _partition: int, record: Pending, **_: bool) -> None:
        self.records.append(record)


@pytest.fixture
async def engine() -> MicroBatchEngine:
    """An engine that owns partition 0."""
    engine = MicroBatchEngine(
        PipelineConfig(),
        bootstrap="",
        prefix="",
        stage_set="all",
        instruments=instruments(),
        clock=lambda: T0,
        fetch_wait_ms=1,
        fetch_pause_ms=0,
        fetch_bytes=1 << 20,
    )
    engine.codecs = _CODECS  # type: ignore[assignment]
    engine.publisher = Sent()  # type: ignore[assignment]
    engine.tasks = {0: PartitionTask(0, engine.new_pipeline(0), position=0, epoch=0)}
    return engine


def arrived(offset: int, quantity: str) -> Any:
    return SimpleNamespace(offset=offset, value=_CODECS[Position].encode(position(quantity)), headers=())


def held(engine: MicroBatchEngine) -> int | None:
    known = engine.tasks[0].pipeline.inventory.position(MARKET)
    return None if known is None else known[0]


async def test_what_has_arrived_is_applied_before_the_next_batch(engine: MicroBatchEngine) -> None:
    """It was put by another thread; nothing has to run in between."""
    task = engine.tasks[0]
    reader = threading.Thread(target=engine.account.put, args=(task, Position, arrived(0, "5")))
    reader.start()
    reader.join()
    assert held(engine) is None
    tick = _CODECS[Tick].encode(Feed().trade(T0))

    await engine.accept(FetchedBatch(TICKS, 0, 0, 1, np.array([0]), Spans.of([tick])), engine._generation)

    assert held(engine) == size("5")
    assert task.inputs[POSITIONS] == 1


async def test_a_record_that_was_applied_already_changes_nothing(engine: MicroBatchEngine) -> None:
    """A reader that was assigned anew reads some again."""
    task = engine.tasks[0]
    for offset, quantity in ((3, "5"), (4, "7"), (3, "5"), (2, "1")):
        engine.account.put(task, Position, arrived(offset, quantity))

    engine.account.apply()

    assert held(engine) == size("7")
    assert task.inputs[POSITIONS] == 5


async def test_what_is_no_position_is_a_dead_letter(engine: MicroBatchEngine) -> None:
    """With its topic and offset; those after it are applied."""
    task = engine.tasks[0]
    engine.account.put(task, Position, SimpleNamespace(offset=0, value=b"junk", headers=()))
    engine.account.put(task, Position, arrived(1, "5"))

    engine.account.apply()

    assert isinstance(engine.publisher, Sent)
    (letter,) = (_CODECS[DeadLetter].decode(each.value) for each in engine.publisher.records)
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.source, letter.source_offset) == (DeadLetterReason.NOT_FRAMED, POSITIONS, 0)
    assert held(engine) == size("5")


def encoded(offset: int, record: Record) -> Any:
    return SimpleNamespace(offset=offset, value=_CODECS[type(record)].encode(record), headers=())


async def test_an_instrument_holds_from_its_time_on(engine: MicroBatchEngine) -> None:
    """A worker knows none but those of the topic, each once."""
    task, coarse = engine.tasks[0], instrument(tick=price("0.01"), ts_effective=T0)
    assert task.pipeline.instruments.last(MARKET) is None

    for offset, one in ((0, instrument()), (1, coarse), (0, instrument())):
        engine.account.put(task, Instrument, encoded(offset, one))
    engine.account.apply()

    assert task.pipeline.instruments.at(MARKET, T0 - 1) == instrument()
    assert task.pipeline.instruments.at(MARKET, T0) == coarse
    again = engine.new_pipeline(0)
    again.restore(thaw(freeze(task.pipeline.state())))
    assert [*again.instruments.records()] == [instrument(), coarse]


async def test_our_orders_are_read_where_the_book_shows_them(engine: MicroBatchEngine) -> None:
    """Placed by the journal, known by a report: they are taken out of the book."""
    paper, citrex = QuotingConfig(), QuotingConfig(mode=Mode.CITREX, shows_own=True)
    assert OrderIntent not in account_records(paper)
    assert OrderIntent in account_records(citrex)
    engine.config = PipelineConfig(quoting=citrex)
    task = engine.tasks[0] = PartitionTask(0, engine.new_pipeline(0), position=0, epoch=0)

    engine.account.put(task, OrderIntent, encoded(7, intent()))
    engine.account.put(task, ExecutionReport, encoded(9, report(OrderStatus.OPEN, KERNEL_T0)))
    engine.account.apply()

    own = task.pipeline.own_orders
    assert own is not None
    assert own.next_offset == 8
    left = own.without(view(bids=[("0.3999", "5"), ("0.3998", "7")], ts_change=KERNEL_T0 + 5_000_000))
    assert (left.bids, left.flags) == (view(bids=[("0.3998", "7")]).bids, 0)


async def test_it_takes_no_more_than_it_may(engine: MicroBatchEngine) -> None:
    """The reader waits then: memory is bounded however much was executed meanwhile."""
    while not engine.account.is_full:
        engine.account.put(engine.tasks[0], Position, arrived(0, "5"))

    engine.account.apply()

    assert not engine.account.is_full
