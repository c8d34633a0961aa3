"""What of a fetched batch is applied, what becomes of bytes that are no tick, and what is told of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processors.kernel.pipeline import PipelineConfig, Stage
from processors.microbatch import engine as engine_module
from processors.microbatch.batches import FetchedBatch
from processors.microbatch.engine import TICKS, MicroBatchEngine
from processors.microbatch.publisher import Pending
from processors.microbatch.reports import metrics
from processors.microbatch.task import PartitionTask
from schemas.codec import Codec
from schemas.columns import Spans
from schemas.columns.timely import END_OF_TIME_US
from schemas.enums import Mode, Verdict
from schemas.reasons import DeadLetterReason
from schemas.records import DeadLetter, QuoteDecision, Tick
from schemas.topics import TOPICS
from tests.decisions import decision_of
from tests.kernel_steps import instruments
from tests.ticks import T0, Feed

NOW = T0 + 1_000
GENERATION = 5
_CODECS = {topic.record: Codec(topic.record, 1) for topic in TOPICS.values() if topic.record is not None}
GOOD = [_CODECS[Tick].encode(Feed().trade(T0, message=number, trade_id=str(number))) for number in range(7)]


class Sent:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[tuple[str, int, Pending]] = []
        self.pending = 0
        self.is_full = False
        self.is_holding = False

    def send_held(self) -> None:
        self.is_holding = False

    def add(self, topic: str, partition: int, record: Pending, *, has_more: bool = False) -> None:
        self.is_holding |= has_more
        self.records.append((topic, partition, record))

    def of(self, kind: type) -> list[object]:
        return [_CODECS[kind].decode(each.value) for topic, _, each in self.records if topic.endswith(_NAMES[kind])]


_NAMES = {topic.record: topic.name for topic in TOPICS.values()}


@pytest.fixture
async def engine() -> MicroBatchEngine:
    """An engine that owns partition 2 from offset 100 on."""
    engine = MicroBatchEngine(
        PipelineConfig(stages=frozenset({Stage.NORMALISE, Stage.BARS})),
        bootstrap="",
        prefix="x.",
        stage_set="normalise-bars",
        instruments=instruments(),
        clock=lambda: NOW,
        fetch_wait_ms=1,
        fetch_pause_ms=0,
        fetch_bytes=1 << 20,
    )
    engine.codecs = _CODECS  # type: ignore[assignment]
    engine.publisher = Sent()  # type: ignore[assignment]
    engine.tasks = {2: PartitionTask(2, engine.new_pipeline(2), position=100, epoch=0)}
    engine._generation = GENERATION
    return engine


def batch(start: int, values: list[bytes | None], *, first: int | None = None) -> FetchedBatch:
    first = start if first is None else first
    offsets = np.arange(first, first + len(values))
    return FetchedBatch(TICKS, 2, start, first + len(values), offsets, Spans.of(values))


def sent(engine: MicroBatchEngine) -> Sent:
    assert isinstance(engine.publisher, Sent)
    return engine.publisher


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        (None, DeadLetterReason.NOT_FRAMED),
        (b"\x07junk", DeadLetterReason.NOT_FRAMED),
        (b"\x00\x00\x00\x00\x63" + GOOD[0][5:], DeadLetterReason.UNKNOWN_SCHEMA),
        (GOOD[0][:-4], DeadLetterReason.TRUNCATED),
    ],
)
@pytest.mark.parametrize("at", range(7))
async def test_a_poison_record_is_a_dead_letter_wherever_it_is_and_costs_nothing_else(
    engine: MicroBatchEngine, at: int, poison: bytes | None, reason: DeadLetterReason
) -> None:
    """With its reason and position; the rest of the batch is applied."""
    values: list[bytes | None] = [*GOOD[:at], poison, *GOOD[at + 1 :]]

    accepted = await engine.accept(batch(100, values), GENERATION)

    assert accepted is not None
    accepted.task.pipeline.run(accepted.ticks)
    assert accepted.ticks.offsets[~accepted.ticks.columns.ok].tolist() == [100 + at]
    (letter,) = sent(engine).of(DeadLetter)
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.source, letter.source_partition, letter.source_offset) == (reason, TICKS, 2, 100 + at)
    assert letter.payload == (poison or b"")
    counters = metrics(engine)[0].counters
    assert (counters["ticks.accepted"], counters["ticks.rejected.UNDECODABLE"], counters["position"]) == (6, 1, 107)


@pytest.mark.parametrize("changes", [{"ts_recv": END_OF_TIME_US}, {"ts_event": -1}, {"watermark": 2**63 - 1}])
async def test_a_tick_of_no_time_is_a_dead_letter(engine: MicroBatchEngine, changes: dict[str, int]) -> None:
    """It would carry the partition's clock to where no later record comes, and bars to dates that no contract holds."""
    odd = _CODECS[Tick].encode(replace(Feed().trade(T0), **changes))

    accepted = await engine.accept(batch(100, [odd, GOOD[1]]), GENERATION)

    assert accepted is not None
    assert accepted.ticks.columns.ok.tolist() == [False, True]
    (letter,) = sent(engine).of(DeadLetter)
    assert isinstance(letter, DeadLetter)
    assert next(iter(changes)) in letter.detail


async def test_what_was_applied_is_not_applied_again(engine: MicroBatchEngine) -> None:
    """After a seek backwards a batch may begin, or lie, below the position."""
    assert await engine.accept(batch(90, GOOD), GENERATION) is None

    accepted = await engine.accept(batch(97, GOOD), GENERATION)

    assert accepted is not None
    assert accepted.ticks.offsets.tolist() == [100, 101, 102, 103]
    assert engine.tasks[2].position == 104


async def test_a_batch_of_another_generation_or_partition_is_not_applied(engine: MicroBatchEngine) -> None:
    """Its partition was restored for another owner meanwhile."""
    assert await engine.accept(batch(100, GOOD), GENERATION - 1) is None
    engine.release()
    assert await engine.accept(batch(100, GOOD), GENERATION) is None


async def test_a_hole_in_the_log_moves_the_position(engine: MicroBatchEngine) -> None:
    """Transaction markers and compaction leave offsets without records."""
    assert await engine.accept(batch(100, [], first=104), GENERATION) is None
    assert engine.tasks[2].position == 104

    accepted = await engine.accept(batch(104, GOOD[:1], first=110), GENERATION)
    assert accepted is not None
    assert engine.tasks[2].position == 111


async def test_a_batch_beyond_the_position_is_applied_only_where_the_log_has_nothing_between(
    engine: MicroBatchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker is asked; else the batch was fetched before a seek, and what is missing is on its way."""
    answers = iter((False, True))

    async def answer(*_: object) -> bool:
        return next(answers)

    monkeypatch.setattr(engine_module, "is_next", answer)

    assert await engine.accept(batch(105, GOOD), GENERATION) is None
    assert engine.tasks[2].position == 100
    assert await engine.accept(batch(105, GOOD), GENERATION) is not None
    assert engine.tasks[2].position == 112


async def test_lag_is_told_where_the_end_of_the_log_is_known(engine: MicroBatchEngine) -> None:
    """The worker's own position is what counts, not the committed offset."""
    assert "lag" not in metrics(engine)[0].gauges
    engine.end_of_log = lambda partition: 1_000 + partition

    assert metrics(engine)[0].gauges["lag"] == 902


async def test_what_has_time_waits_for_what_else_is_at_hand(engine: MicroBatchEngine) -> None:
    """The outputs of an answer's batches are sent together, and the last of them sends what was held."""
    held: list[bool] = []
    for start, has_more in ((100, True), (103, False)):
        accepted = await engine.accept(batch(start, GOOD[start - 100 : start - 97]), GENERATION)
        assert accepted is not None
        accepted.task.pipeline.run(accepted.ticks)
        engine.publish(accepted, has_more=has_more)
        held.append(sent(engine).is_holding)

    assert held == [True, False]
    assert {topic for topic, _, _ in sent(engine).records} == {"x.market.trades"}


def decided() -> QuoteDecision:
    """A decision, of whatever."""
    return decision_of(
        decision_id="1",
        mode=Mode.PAPER,
        account="demo",
        venue="sim-sei-clob",
        symbol="SEI/USDC",
        ts_grid=T0,
        epoch=7,
        verdict=Verdict.DENIED,
        bids=(),
        asks=(),
        sequence=0,
        inference_us=None,
        cause_partition=2,
        cause_first_offset=0,
        cause_offset=0,
    )


async def test_what_an_answer_decided_goes_out_together(engine: MicroBatchEngine) -> None:
    """Of all its partitions, by a producer of its own: one request, and one transaction of the executor."""
    trading = Sent()
    engine.trading_publisher = trading  # type: ignore[assignment]
    accepted = await engine.accept(batch(100, GOOD[:3]), GENERATION)
    assert accepted is not None

    engine.send(decided(), 2, T0, has_more=True)
    assert trading.is_holding
    engine.publish(accepted, has_more=False)

    assert not trading.is_holding
    assert [topic for topic, _, _ in trading.records] == ["x.trading.quotes"]


@pytest.mark.parametrize("decides", [False, True])
async def test_decisions_wait_only_for_partitions_that_may_decide_too(engine: MicroBatchEngine, decides: bool) -> None:
    """Those come first in an answer: before another is applied, what was decided is on its way."""
    trading = Sent()
    engine.trading_publisher = trading  # type: ignore[assignment]
    engine.send(decided(), 2 if decides else 1, T0, has_more=True)

    assert await engine.accept(batch(100, GOOD[:3]), GENERATION) is not None

    assert trading.is_holding is decides
    assert [engine.is_deciding(partition) for partition in (1, 2)] == [not decides, decides]
