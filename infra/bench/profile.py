"""Where the worker's time goes: its own code, section by section, over fetched bytes, in one thread without Kafka."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from aiokafka.structs import TopicPartition

from infra.bench.ground import TICKS
from infra.bench.log import BATCH_BYTES, blocks, single
from infra.bench.ticks import DUPLICATE_EVERY, SOURCE, TickMaker
from infra.runtime.settings import load_settings
from processors.kernel.pipeline import PartitionPipeline, PipelineConfig, Stage
from processors.kernel.steps import Ticks
from processors.microbatch.batches import BatchingPartitionRecords, FetchedBatch, RawRecords
from processors.microbatch.recordbatch import Block, prebuilt
from schemas.codec import Codec
from schemas.columns import decode_ticks
from schemas.columns.rows import Rows
from schemas.instruments import DEFAULT_PATH, Instruments
from schemas.records import Bar, Tick, Trade

__all__ = ["SECTIONS", "profile_results"]

SECTIONS = {
    "split": "check each record batch's CRC, find the values in it",
    "decode": "Avro to columns",
    "normalise": "duplicates, order, age, spikes, time",
    "bars": "bars in six timeframes",
    "encode-bars": "rows of bars to Avro",
    "batch-bars": "Avro to record batches, with CRC",
    "trades": "rows of trades, beside normalise",
    "encode-trades": "rows of trades to Avro",
    "batch-trades": "Avro to record batches, with CRC",
}
"""The sections and what they do. The last three are run only where every trade is republished."""

_MARKETS = 10
_RATE = 25_000
_RESPONSE_BYTES = 2**20
_MOST_BYTES = 900_000
_REPEATS = 5
_STAGES = frozenset({Stage.NORMALISE, Stage.BARS})


def profile_results(trades: int) -> list[dict[str, object]]:
    """Measure each section; the least of five passes, in nanoseconds of CPU a tick of the log.

    The log is one partition of the four of the drains: ten markets, a quarter of the rate.
    """
    tick = Codec(Tick, 1)
    maker = TickMaker(tick, _MARKETS, start_us=1_760_000_000_000_000, rate=_RATE)
    count = -(-trades // DUPLICATE_EVERY) * DUPLICATE_EVERY
    responses = _responses(maker, count)
    records = count + count // _RATE
    most = load_settings().batch_max_records
    passes = [_Pass(responses, most, tick).run() for _ in range(_REPEATS)]
    return [
        {
            "name": name,
            "ns_per_tick": round(min(times[name] for times in passes) / records * 1e9, 1),
            "what": what,
        }
        for name, what in SECTIONS.items()
    ]


def _responses(maker: TickMaker, count: int) -> list[tuple[int, bytes]]:
    """Make the bytes that fetches of a partition give, each with the offset of its first record."""
    found: list[tuple[int, bytes]] = []
    offset, raw, first = 0, bytearray(), 0
    here = np.zeros(_MARKETS, np.int64)
    for start in range(0, count, _RATE):
        beat = maker.heartbeat(maker.time_of(start), start // _RATE)
        batches = [prebuilt(single(beat, SOURCE.encode(), 0), 0, BATCH_BYTES, 0)[0]]
        ((_, block),) = blocks(maker.ticks(start, min(_RATE, count - start)), here, maker.groups)
        at = 0
        while at < block.count:
            batch, at = prebuilt(block, at, BATCH_BYTES, 0)
            batches.append(batch)
        for batch in batches:
            built = batch._build()  # noqa: SLF001  as aiokafka's sender does
            built[:8] = offset.to_bytes(8, "big")  # the CRC does not cover it
            if raw and len(raw) + len(built) > _RESPONSE_BYTES:
                found.append((first, bytes(raw)))
                raw, first = bytearray(), offset
            raw += built
            offset += batch.record_count()
    found.append((first, bytes(raw)))
    return found


class _Records(BatchingPartitionRecords):
    topics = frozenset({TICKS})


class _Pass:
    """One pass over the log with new state: CPU seconds by section."""

    def __init__(self, responses: Sequence[tuple[int, bytes]], max_records: int, tick: Codec) -> None:
        self._instruments = Instruments.load(DEFAULT_PATH)
        self._responses = responses
        self._codecs = {Tick: tick, Bar: Codec(Bar, 2), Trade: Codec(Trade, 3)}
        self._bare, self._full = (
            PartitionPipeline(
                PipelineConfig(stages=_STAGES, publish_trades=publish_trades), TICKS, 0, instruments=self._instruments
            )
            for publish_trades in (False, True)
        )
        self._spent: defaultdict[str, float] = defaultdict(float)
        _Records.max_records = max_records

    def run(self) -> dict[str, float]:
        for offset, raw in self._responses:
            with self._section("split"):
                fetched = _split(offset, raw)
            for batch in fetched:
                self._apply(batch)
        # A short log may have no bar to write, so that a section is never entered.
        spent = {name: self._spent[name] for name in SECTIONS}
        return {**spent, "trades": spent["trades"] - spent["normalise"]}

    def _apply(self, batch: FetchedBatch) -> None:
        with self._section("decode"):
            columns = decode_ticks(batch.values, self._codecs[Tick])
        ticks = Ticks(batch.offsets, columns)
        with self._section("normalise"):
            steps = self._bare.normalise(ticks)
        with self._section("bars"):
            self._bare.bars(steps)
        with self._section("trades"):
            self._full.normalise(ticks)
        for name, pipeline in (("bars", self._bare), ("trades", self._full)):
            for rows in pipeline.take():
                assert isinstance(rows, Rows)
                keys = [self._instruments.group(*market).encode() for market in pipeline.names.markets]
                self._publish(name, rows, keys)

    def _publish(self, name: str, rows: Rows, keys: Sequence[bytes]) -> None:
        with self._section(f"encode-{name}"):
            values = rows.encode(self._codecs[rows.record])
        market, ts_trigger = (np.ascontiguousarray(rows.values[column]) for column in ("market", "ts_trigger"))
        block = Block(values.data, values.ends, keys, market, ts_trigger)
        with self._section(f"batch-{name}"):
            at = 0
            while at < block.count:
                batch, at = prebuilt(block, at, _MOST_BYTES, 0)
                batch._build()  # noqa: SLF001  as aiokafka's sender does

    @contextmanager
    def _section(self, name: str) -> Iterator[None]:
        start = time.thread_time()
        yield
        self._spent[name] += time.thread_time() - start


def _split(offset: int, raw: bytes) -> list[FetchedBatch]:
    partition = TopicPartition(TICKS, 0)
    return list(_Records(partition, RawRecords(raw), [], offset, None, None, True, "read_uncommitted"))
