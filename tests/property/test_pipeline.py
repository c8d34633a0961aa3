"""All stages together: the same log gives the same bytes, however it was cut and wherever a worker was replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from typing import Any, cast

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.kernel import snapshot
from processors.kernel.drift import Reference
from processors.kernel.features import FeatureConfig
from processors.kernel.model import Model
from processors.kernel.normalise import NormaliseConfig
from processors.kernel.pipeline import KERNEL_VERSION, PartitionPipeline, PipelineConfig
from processors.kernel.quoting import Published
from processors.kernel.steps import Input, Ticks
from schemas.codec import Codec
from schemas.columns import Spans, decode_ticks
from schemas.columns.rows import Rows
from schemas.columns.timely import END_OF_TIME_US
from schemas.enums import Side, TickKind
from schemas.numbers import INT64_MAX
from schemas.reasons import DenyReason
from schemas.records import Bar, Book, FeatureVector, Market, Prediction, Quote, QuoteDecision, Record, Tick, Trade
from schemas.topics import TOPICS, topic_of
from tests.kernel_steps import MARKET, instruments, position
from tests.ticks import T0, Feed

_CODECS = {topic.record: Codec(topic.record, 1) for topic in TOPICS.values() if topic.record is not None}
_CONFIG = PipelineConfig(normalise=NormaliseConfig(dedup_window=16, max_message_records=8, book_depth=5))
_FIELDS = ("price", "size", "ts_event", "ts_recv", "watermark", "sequence", "session", "message", "flags", "ordinal")
_REFERENCE = Reference(edges=((0.0,),) * 8, shares=((0.5, 0.5),) * 8)
_EXTREMES = (INT64_MAX, -INT64_MAX, INT64_MAX - 1, 0, -1, 1 << 62, None)


@dataclass(frozen=True)
class FakeModel:
    """A model that predicts the first feature."""

    model_id: str = "fake"
    sha256: str = "0"
    horizon_ms: int = 1_000
    fingerprint: str = FeatureConfig().fingerprint
    reference: Reference = _REFERENCE

    def predict(self, values: tuple[float, ...]) -> float:
        return values[0] / 3


def market_log(seed: int, length: int) -> list[Tick | None]:
    """A quoted market whose book moves ten times a second for half a minute, with what goes wrong in between.

    The same asset is traded elsewhere, and sometimes it jumps there or here.
    """
    random = Random(seed)
    feed = Feed(MARKET[1], venue=MARKET[0], source="sim")
    other = Feed("SEI/USDT", venue="elsewhere", source="other")
    now, mid = T0, 4_000
    log: list[Tick | None] = list(feed.levels(now, [("0.3998", 500)], [("0.4002", 500)], clear=True))
    while len(log) < length:
        now += random.choice((20_000, 100_000, 100_000, 200_000, 3_000_000 if random.random() < 0.02 else 100_000))
        mid += random.choice((-1, 0, 0, 1)) * (15 if random.random() < 0.03 else 1)
        chance = random.random()
        if chance < 0.2:
            quoted = mid + random.choice((0, 0, 0, 0, 0, -20))
            log += other.top(now, f"{(quoted - 1) / 10_000:.4f}", f"{(quoted + 1) / 10_000:.4f}")
            now += random.choice((0, 20_000))
        if chance < 0.55:
            log += feed.levels(
                now,
                [(f"{(mid - 2) / 10_000:.4f}", random.randint(1, 900))],
                [(f"{(mid + 2) / 10_000:.4f}", random.randint(1, 900))],
                clear=True,
            )
        elif chance < 0.8:
            side = random.choice((Side.BUY, Side.SELL))
            event = now - random.randrange(3_000_000)
            log.append(feed.trade(now, f"{mid / 10_000:.4f}", random.randint(1, 50), side, ts_event=event))
        elif chance < 0.93:
            log.append(feed.heartbeat(now, now - 1_000_000))
        elif chance < 0.96:
            log.append(random.choice(log))
        elif chance < 0.97:
            log.append(feed.status(now, random.choice((0, 1, 4))))
        else:
            log.append(None)
    return log[:length]


class Stopwatch:
    """A clock by which the prediction `number` takes what `took_us` says."""

    def __init__(self, took_us: Callable[[int], int], number: int = 0) -> None:
        self.took_us = took_us
        self.number = number
        self._is_running = False

    def __call__(self) -> int:
        self._is_running = not self._is_running
        if self._is_running:
            return 0
        self.number += 1
        return self.took_us(self.number - 1)


def new_pipeline(timer_us: Callable[[], int] | None = None) -> PartitionPipeline:
    model = cast(Model, FakeModel())
    pipeline = PartitionPipeline(
        _CONFIG, "market.ticks", 0, instruments=instruments(), model=model, epoch=3, timer_us=timer_us
    )
    pipeline.inventory.apply_position(position("120"))
    return pipeline


def replaced(pipeline: PartitionPipeline, number: int, timer_us: Callable[[], int] | None = None) -> PartitionPipeline:
    """Give the pipeline of a worker that takes over by the snapshot's records alone."""
    key: dict[str, Any] = {"kernel_version": KERNEL_VERSION, "stage_set": "all", "partition": 0}
    records = snapshot.pack(
        snapshot.freeze(pipeline.state()), number=number, position=number, inputs={}, epoch=3, decisions_offset=0, **key
    )
    found = snapshot.latest(records, **key)
    assert found is not None
    successor = new_pipeline(timer_us)
    successor.restore(found.state)
    return successor


def inputs_of(log: list[Tick | None], begin: int, end: int, *, is_decoded: bool) -> list[Input] | Ticks:
    """Give a part of the log as records, or as the worker gets it: decoded from what was fetched."""
    if not is_decoded:
        return [Input(offset, log[offset]) for offset in range(begin, end)]
    codec = _CODECS[Tick]
    values = [b"junk" if tick is None else codec.encode(tick) for tick in log[begin:end]]
    return Ticks(np.arange(begin, end), decode_ticks(Spans.of(values), codec))


def published(
    log: list[Tick | None], cuts: list[int], *, is_replaced: bool, is_decoded: bool = False
) -> dict[str, list[bytes]]:
    """Give the bytes of every topic, in order."""
    pipeline = new_pipeline()
    topics: dict[str, list[bytes]] = {}
    for number, (begin, end) in enumerate(pairwise([0, *sorted({cut % len(log) for cut in cuts} - {0}), len(log)])):
        pipeline.run(inputs_of(log, begin, end, is_decoded=is_decoded))
        for output in pipeline.take():
            for record in output.records() if isinstance(output, Rows) else (output.record,):
                value = _CODECS[type(record)].encode(record)
                topics.setdefault(topic_of(type(record)).name, []).append(value)
        if is_replaced:
            pipeline = replaced(pipeline, number)
    return topics


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.integers(0, 10_000), max_size=12),
    is_replaced=st.booleans(),
    is_decoded=st.booleans(),
)
def test_neither_cuts_nor_replaced_workers_nor_a_second_run_change_a_byte(
    seed: int, cuts: list[int], is_replaced: bool, is_decoded: bool
) -> None:
    """Of any topic, books and decisions at a fixed inventory included."""
    log = market_log(seed, 400)
    whole = published(log, [], is_replaced=False)

    assert published(log, cuts, is_replaced=is_replaced, is_decoded=is_decoded) == whole
    assert published(log, [], is_replaced=False) == whole


def test_the_log_reaches_every_stage() -> None:
    """Otherwise the property above would say nothing."""
    topics = published(market_log(7, 400), [], is_replaced=False)

    for record in (Trade, Quote, Book, Bar, FeatureVector, Prediction, QuoteDecision):
        assert len(topics[topic_of(record).name]) > 10
    decisions = [decoded(QuoteDecision, value) for value in topics["trading.quotes"]]
    assert any(decision.bids or decision.asks for decision in decisions)


def test_the_log_pulls_for_every_reason() -> None:
    """Of a few seeds: for a book that is gone, for a jump here and for one elsewhere; and breakers open."""
    pulls: set[tuple[str, ...]] = set()
    labels: set[str] = set()
    sides: set[str] = set()
    for seed in range(6):
        log = market_log(seed, 400)
        for value in published(log, [], is_replaced=False)["trading.quotes"]:
            decision = decoded(QuoteDecision, value)
            labels |= {*decision.breakers}
            if decision.sequence:
                assert decision.bids == decision.asks == ()
                pulls.add(decision.reasons)
                cause = log[decision.cause_offset]
                assert cause is not None
                assert cause.ts_recv >= decision.ts_grid
                sides.add(cause.venue if decision.reasons == (DenyReason.MARKET_JUMP,) else "")

    assert pulls == {(DenyReason.MARKET_JUMP,), (DenyReason.BOOK_NOT_LIVE,)}
    assert {MARKET[0], "elsewhere"} <= sides
    assert {"DISCONNECT:OPEN", "DISCONNECT:HALF_OPEN"} <= labels


def decisions_of(pipeline: PartitionPipeline, log: list[Tick | None], begin: int, end: int) -> list[QuoteDecision]:
    pipeline.run([Input(offset, log[offset]) for offset in range(begin, end)])
    outputs = [output for output in pipeline.take() if not isinstance(output, Rows)]
    return [output.record for output in outputs if isinstance(output.record, QuoteDecision)]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), cut=st.integers(1, 399), died=st.integers(1, 400))
def test_a_successor_goes_on_as_its_predecessor_would_have(seed: int, cut: int, died: int) -> None:
    """From a snapshot before what was published last, whatever its own clock says of predictions made again."""
    cut, died = min(cut, died), max(cut, died)
    log, limit_us = market_log(seed, 400), _CONFIG.quoting.breakers.inference_us

    def took_us(number: int) -> int:
        return 2 * limit_us if number % 37 == seed % 37 else 10

    whole = decisions_of(new_pipeline(Stopwatch(took_us)), log, 0, len(log))
    before = new_pipeline(Stopwatch(took_us))
    decisions_of(before, log, 0, cut)
    made = before.emitted["predictions"]
    before_death = new_pipeline(Stopwatch(took_us))
    published = decisions_of(before_death, log, 0, died)
    known = before_death.emitted["predictions"]

    own = Stopwatch(lambda number: took_us(number) if number >= known else 3 * limit_us - took_us(number), made)
    successor = replaced(before, 1, own)
    last: dict[Market, tuple[int, int]] = {}
    for decision in published:
        last[decision.market] = (decision.ts_grid, decision.sequence)
    slow = {
        (decision.market, decision.ts_grid): decision.inference_us
        for decision in published
        if (decision.inference_us or 0) > limit_us
    }
    successor.quoter.published = Published(last, cast(Mapping[Any, int], slow))
    again = decisions_of(successor, log, cut, len(log))

    new = [d for d in again if not successor.quoter.published.covers(d.market, d.ts_grid, d.sequence)]
    assert published + new == whole


def test_slow_predictions_change_decisions_and_nothing_else() -> None:
    """What is published on signals.predictions is a function of the log; a decision says what it did without."""
    log = market_log(7, 400)
    topics: list[dict[str, list[bytes]]] = []
    for took_us in (10, 10**6):
        pipeline = new_pipeline(Stopwatch(lambda _, took_us=took_us: took_us))  # type: ignore[misc]
        pipeline.run([Input(offset, tick) for offset, tick in enumerate(log)])
        topics.append({})
        for output in pipeline.take():
            for record in output.records() if isinstance(output, Rows) else (output.record,):
                topics[-1].setdefault(topic_of(type(record)).name, []).append(_CODECS[type(record)].encode(record))
    fast, slow = topics

    assert {name for name in slow if fast[name] != slow[name]} == {"trading.quotes", "ops.alerts"}
    drifting = [decoded(QuoteDecision, value) for value in slow["trading.quotes"]]
    assert any("DRIFT:OPEN" in decision.breakers and decision.bids for decision in drifting)
    assert all(decision.model_hash is None for decision in drifting)


def decoded(record: type[Record], value: bytes) -> Any:
    return _CODECS[record].decode(value)


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    damages=st.lists(
        st.tuples(st.integers(0, 10_000), st.sampled_from(_FIELDS), st.sampled_from(_EXTREMES)), min_size=1, max_size=6
    ),
    kinds=st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(list(TickKind)), st.sampled_from(list(Side)))),
)
def test_no_tick_whatever_it_says_stops_the_stages(
    seed: int, damages: list[tuple[int, str, int | None]], kinds: list[tuple[int, TickKind, Side]]
) -> None:
    """A tick that can be decoded and makes a stage fail would end every worker that comes to it, for ever."""
    log = market_log(seed, 120)
    for at, name, value in damages:
        tick = log[at % len(log)]
        if name in ("ts_recv", "ts_event", "watermark") and value is not None:
            value = value % END_OF_TIME_US  # beyond it they are dead letters
        if tick is not None and (value is not None or name in ("ts_event", "watermark", "sequence")):
            bounded = max(-(2**31), min(2**31 - 1, value)) if name in ("flags", "ordinal") and value else value
            log[at % len(log)] = replace(tick, **{name: bounded})
    for at, kind, side in kinds:
        tick = log[at % len(log)]
        if tick is not None:
            log[at % len(log)] = replace(tick, kind=kind, side=side)

    published(log, [60], is_replaced=True)
