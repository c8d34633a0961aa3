"""Batches as columns, plain trades in compiled code, against the same log record by record."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.kernel.normalise import NormaliseConfig
from processors.kernel.pipeline import Output, PartitionPipeline, PipelineConfig, Stage
from processors.kernel.snapshot import freeze, thaw
from processors.kernel.steps import Input, Ticks
from schemas.codec import Codec
from schemas.columns import Spans, decode_ticks
from schemas.columns.rows import Rows
from schemas.enums import Flag, Side
from schemas.instruments import Instruments
from schemas.numbers import INT64_MAX
from schemas.reasons import RejectReason
from schemas.records import Bar, Book, Quote, Record, Tick, Trade
from tests.chaos.log import made_ticks
from tests.property.test_normalise import hostile_log
from tests.ticks import T0, Feed

CODECS = {record: Codec(record, 7) for record in (Tick, Trade, Quote, Book, Bar)}
BARS = frozenset({Stage.NORMALISE, Stage.BARS})


def trades_log(seed: int, length: int) -> list[Tick | None]:
    """Mostly plain trades, among them everything that ends a run of them."""
    random = Random(seed)
    feeds = [Feed(f"{name}/USDC", source=source) for name in "ABC" for source in ("one", "two")]
    now, price = T0, 1_000
    step_us = random.choice((50, 5_000, 90_000, 400_000))
    log: list[Tick | None] = []
    while len(log) < length:
        now += random.randrange(step_us)
        price = max(10, price + random.randint(-3, 3))
        feed = random.choice(feeds)
        event = now - random.choice((0, 1_000, 5_000_000))
        trade = feed.trade(now, price, random.randint(1, 9), random.choice((Side.BUY, Side.SELL)), ts_event=event)
        match random.randrange(60):
            case 0:
                log += [trade, trade]
            case 1:
                log.append(replace(trade, trade_id=str(random.randrange(1, max(2, feed.trades)))))
            case 2:
                log.append(replace(trade, price=trade.price * random.choice((2, 3))))
            case 3:
                log.append(replace(trade, ts_event=now - 70_000_000, flags=random.choice((0, int(Flag.REPLAYED)))))
            case 4:
                log.append(replace(trade, ts_event=None, sequence=None, trade_id=None))
            case 5:
                log.append(replace(trade, **random.choice(_EXTREMES)))
            case 6:
                log.append(feed.heartbeat(now, random.choice((None, now - 1_000_000))))
            case 7:
                log.append(replace(trade, ts_event=now + random.choice((400_000, 600_000, 10**11))))
            case 8:
                log += [replace(trade, last=False), feed.heartbeat(now)][: random.randint(1, 2)]
            case 9:
                log.append(random.choice((None, random.choice(log) if log else None)))
            case 10 if random.random() < 0.3:
                now += random.choice((6_000_000, 61_000_000))
            case 11 if random.random() < 0.3:
                feed.session += random.choice((-1, 1))
                feed.number = 0
            case 12 if random.random() < 0.2:
                log += feed.top(now, price, price + 1)
            case 13:
                text = random.choice(("\u00e9" * 20, "x" * 64, "y" * 65, "z" * 70, ""))
                log.append(replace(trade, trade_id=text, tx_hash="AB" * 32, block_height=5, base_amount=-(10**30)))
            case _:
                log.append(trade)
    return log[:length]


_EXTREMES: tuple[dict[str, Any], ...] = (
    {"price": INT64_MAX},
    {"price": 1, "size": INT64_MAX},
    {"size": INT64_MAX},
    {"ts_event": -INT64_MAX - 1},
    {"ts_event": INT64_MAX},
    {"ts_event": 0, "flags": int(Flag.REPLAYED)},
    {"ts_recv": T0 - 10**9},
    {"session": -INT64_MAX - 1},
    {"side": Side.NONE},
    {"size": 0},
    {"sequence": -INT64_MAX - 1},
)


class Log:
    """A partition that is fed, and the bytes of all that came out by topic."""

    def __init__(self, stages: frozenset[Stage], *, is_told: bool, publish_trades: bool = True, **limits: Any) -> None:
        self.stages = stages
        self.publish_trades = publish_trades
        self.limits = {"dedup_window": 16, "max_message_records": 5} | limits
        self.rejects: list[tuple[int, RejectReason]] | None = [] if is_told else None
        self.published: dict[type[Record], list[tuple[bytes, int]]] = {record: [] for record in CODECS}
        self.pipeline = self._new()

    def _new(self) -> PartitionPipeline:
        def on_reject(offset: int, _: Tick | None, reason: RejectReason) -> None:
            assert self.rejects is not None
            self.rejects.append((offset, reason))

        return PartitionPipeline(
            PipelineConfig(
                stages=self.stages,
                publish_trades=self.publish_trades,
                normalise=NormaliseConfig(**self.limits),
            ),
            "market.ticks",
            2,
            instruments=Instruments(),
            on_reject=None if self.rejects is None else on_reject,
        )

    def feed(self, inputs: list[Input] | Ticks) -> None:
        self.pipeline.run(inputs)
        for output in self.pipeline.take():
            if isinstance(output, Output):
                self._publish(output.record, output.ts_trigger)
            else:
                self._check(output)

    def _check(self, rows: Rows) -> None:
        values = rows.encode(CODECS[rows.record])
        ends = [0, *values.ends.tolist()]
        triggers = rows.values["ts_trigger"].tolist()
        for record, (begin, end), ts_trigger in zip(rows.records(), pairwise(ends), triggers, strict=True):
            self._publish(record, ts_trigger)
            assert bytes(values.data[begin:end]) == self.published[rows.record][-1][0]

    def _publish(self, record: Record, ts_trigger: int) -> None:
        if type(record) in CODECS:
            self.published[type(record)].append((CODECS[type(record)].encode(record), ts_trigger))

    def restart(self) -> None:
        frozen = freeze(self.pipeline.state())
        self.pipeline = self._new()
        self.pipeline.restore(thaw(frozen))
        assert freeze(self.pipeline.state()) == frozen


def compare(log: list[Tick | None], cuts: list[int], stages: frozenset[Stage], *, is_told: bool, restarts: bool) -> Log:
    """Feed a log record by record as objects, and cut into batches of columns; everything must be the same."""
    plain = Log(stages, is_told=is_told)
    plain.feed([Input(3 * offset, tick) for offset, tick in enumerate(log)])
    fast = Log(stages, is_told=is_told)
    _feed_cut(fast, log, cuts, restarts=restarts)
    assert fast.published == plain.published
    assert fast.pipeline.counters() == plain.pipeline.counters()
    assert fast.rejects == plain.rejects
    assert freeze(fast.pipeline.state()) == freeze(plain.pipeline.state())
    return fast


def _feed_cut(fast: Log, log: list[Tick | None], cuts: list[int], *, restarts: bool) -> None:
    for begin, end in pairwise([0, *sorted(set(cuts)), len(log)]):
        values = [b"junk" if tick is None else CODECS[Tick].encode(tick) for tick in log[begin:end]]
        fast.feed(Ticks(np.arange(3 * begin, 3 * end, 3), decode_ticks(Spans.of(values), CODECS[Tick])))
        if restarts:
            fast.restart()


@pytest.mark.parametrize("make", [trades_log, hostile_log])
@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.integers(1, 299), max_size=6),
    stages=st.sampled_from([BARS, BARS | {Stage.FEATURES}]),
    is_told=st.booleans(),
    restarts=st.booleans(),
)
def test_columns_give_what_records_give(
    make: Any, seed: int, cuts: list[int], stages: frozenset[Stage], is_told: bool, restarts: bool
) -> None:
    """The same bytes in every topic, the same counts, rejects and state; however the log is cut."""
    compare(make(seed, 300), cuts, stages, is_told=is_told, restarts=restarts)


def test_a_long_log_of_six_markets() -> None:
    """With windows that fill and forget, bars of an hour, and every trade's key grown out of its first room."""
    log: list[Tick | None] = list(made_ticks(seed=3, count=6_000, seconds=4_000))
    fast = compare(log, [1_000, 1_001, 3_500], BARS, is_told=False, restarts=True)

    assert len(fast.published[Trade]) > 5_000
    assert len(fast.published[Bar]) > 5_000


@pytest.mark.parametrize("stages", [BARS, BARS | {Stage.FEATURES}])
def test_trades_left_out_change_nothing_else(stages: frozenset[Stage]) -> None:
    """No row of `market.trades`; the same bars, quotes, counts and state as with them."""
    log = trades_log(seed=4, length=1_000)
    full, short = Log(stages, is_told=False), Log(stages, is_told=False, publish_trades=False)
    for one in (full, short):
        _feed_cut(one, log, [10, 500], restarts=False)

    assert full.published.pop(Trade)
    assert not short.published.pop(Trade)
    assert short.published == full.published
    counted, kept = full.pipeline.counters(), full.pipeline.state()
    assert short.pipeline.counters() == {name: n for name, n in counted.items() if name != "trades"}
    del kept["emitted"]["trades"]
    assert short.pipeline.state() == kept


@pytest.mark.parametrize("threshold", [Fraction(1, 10), Fraction(7, 3), Fraction(1, 1)])
def test_spikes_are_judged_alike_where_their_products_reach_64_bits(threshold: Fraction) -> None:
    """Prices around the greatest that compiled code judges by itself, each after each."""
    edge = INT64_MAX // max(threshold.numerator, threshold.denominator)
    edges = {edge - 1, edge, edge + 1, edge // 2, 10 * edge // 11, 9 * edge // 10, INT64_MAX, INT64_MAX // 2, 1}
    prices = sorted(price for price in edges if price <= INT64_MAX)
    log: list[Tick | None] = []
    for number, (one, other) in enumerate((one, other) for one in prices for other in prices):
        feed = Feed(f"{number}/USDC", source="one")
        log += [replace(feed.trade(T0 + len(log)), price=price) for price in (one, one, other, one)]
    plain, fast = (Log(BARS, is_told=False, spike_threshold=threshold) for _ in range(2))
    plain.feed([Input(3 * offset, tick) for offset, tick in enumerate(log)])
    _feed_cut(fast, log, [], restarts=False)

    assert fast.published == plain.published
    assert fast.pipeline.counters() == plain.pipeline.counters()
    assert fast.pipeline.counters()["ticks.held"]
