"""Simulated markets as training data, through the platform's own source, normaliser and features.

The model so learns from exactly what it will be asked about: no second computation of a feature exists.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np

from infra.simulator.offline import DEFAULT_START_US, frames
from infra.training.ridge import Dataset
from processors.kernel.features import FeatureBuilder, FeatureConfig
from processors.kernel.names import Names
from processors.kernel.normalise import NormaliseConfig, Normaliser
from processors.kernel.samples import trusted_mid2
from processors.kernel.steps import GridStep, Input
from producers.sei.clob import SeiClobSource
from schemas.instruments import Instruments
from schemas.records import Market, Record, Tick

__all__ = ["VENUE", "simulate"]

VENUE = "sim-sei-clob"
_TOPIC = "market.ticks"
_BATCH = 2_000


def simulate(seed: int, seconds: int, horizon_us: int) -> Dataset:
    """Run the simulated order-book venue and give its feature vectors with what came after them.

    A row is a warm vector whose market has a trusted mid exactly `horizon_us` later.
    """
    rows: list[tuple[int, Market, tuple[float, ...]]] = []
    mids: dict[tuple[Market, int], int] = {}
    names = Names()
    normaliser = Normaliser(NormaliseConfig(), _TOPIC, 0, names)
    features = FeatureBuilder(FeatureConfig(), names, _TOPIC, 0)
    for batch in _batches(_ticks(seed, seconds)):
        steps = normaliser.run(batch)
        features.run(steps, _ignore)
        for step in steps:
            if isinstance(step, GridStep):
                for market, view in step.books.items():
                    mid2 = trusted_mid2(view)
                    if mid2 is not None:
                        mids[market, step.ts_grid] = mid2
                warm = ((market, vector) for market, vector in step.features.items() if vector.is_warm)
                rows += [(step.ts_grid, market, vector.values) for market, vector in warm]
    known = [
        (ts, values, 10_000 * (later - mids[market, ts]) / mids[market, ts])
        for ts, market, values in rows
        if (later := mids.get((market, ts + horizon_us))) is not None
    ]
    return Dataset(
        np.array([ts for ts, _, _ in known], dtype=np.int64),
        np.array([values for _, values, _ in known], dtype=np.float64),
        np.array([target for _, _, target in known], dtype=np.float64),
    )


def _ticks(seed: int, seconds: int) -> Iterator[Tick]:
    instruments = Instruments.load()
    symbols = [instrument.symbol for instrument in instruments if instrument.venue == VENUE]
    source = SeiClobSource(venue=VENUE, symbols=symbols, instruments=instruments)
    opened = source.open(DEFAULT_START_US)
    yield from opened.ticks
    for request in opened.send:
        ack = json.dumps({"jsonrpc": "2.0", "id": json.loads(request)["id"], "result": {}})
        yield from source.receive(ack, DEFAULT_START_US).ticks
    for now_us, frame in frames(seed, seconds):
        yield from source.receive(frame, now_us).ticks
        yield from source.tick(now_us).ticks


def _batches(ticks: Iterator[Tick]) -> Iterator[Sequence[Input]]:
    batch: list[Input] = []
    for offset, tick in enumerate(ticks):
        batch.append(Input(offset, tick))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch


def _ignore(record: Record, ts_trigger: int) -> None:
    """The steps hold all that is needed."""
