"""Features of a market at each grid point: named, with units, computed from integers, looking only back.

A vector is made for every market whose book is LIVE, two-sided and not crossed; our own orders are not in it (see
`processors.kernel.ownorders`). The sum of what defines the features is their fingerprint: a model reads only the set
that it was trained on.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from processors.kernel.names import Names
from processors.kernel.samples import MidSamples, trusted_mid2
from processors.kernel.steprows import TRADE, StepRows, joined
from processors.kernel.steps import BookView, Emit, GapStep, GridStep, State, Step, TradeStep
from schemas.enums import Side
from schemas.records import BookLevel, FeatureVector, Market

__all__ = ["FEATURES", "FEATURE_NAMES", "Feature", "FeatureBuilder", "FeatureConfig"]


_HALF, _LOW_HALF = 32, (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Feature:
    """What one number of a vector is."""

    name: str
    unit: str
    doc: str


FEATURES = (
    Feature("microprice_bps", "bps", "Size-weighted mid of the best levels, less the mid, over the mid."),
    Feature("imbalance_1", "-1..1", "Bid size less ask size over their sum, best level."),
    Feature("imbalance_5", "-1..1", "Bid size less ask size over their sum, best five levels."),
    Feature("spread_bps", "bps", "Best ask less best bid, over the mid."),
    Feature("return_1s_bps", "bps", "Change of the mid from one second ago, over the mid then."),
    Feature("return_5s_bps", "bps", "Change of the mid from five seconds ago, over the mid then."),
    Feature("flow_5s", "-1..1", "Bought less sold size over their sum, trades of five seconds; 0 without trades."),
    Feature(
        "volatility_30s_bps",
        "bps/sqrt(s)",
        "Root of the squared changes of the mid from grid point to grid point a second, over the mid; of thirty "
        "seconds, or of those that there are.",
    ),
)
FEATURE_NAMES = tuple(feature.name for feature in FEATURES)


@dataclass(frozen=True, slots=True)
class FeatureConfig:
    """The lengths that define the features; all of them are in the fingerprint.

    Attributes:
        max_hole_us: Without a usable book for longer than this, the history starts anew.
    """

    depth: int = 5
    short_us: int = 1_000_000
    long_us: int = 5_000_000
    volatility_us: int = 30_000_000
    max_hole_us: int = 2_000_000

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the definitions and their lengths, in hexadecimal."""
        definition = {"features": [asdict(feature) for feature in FEATURES], "config": asdict(self)}
        return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()


class _History:
    """What is remembered of one market: mids, and signed and total traded size, by grid point."""

    def __init__(self, config: FeatureConfig) -> None:
        self.mids = MidSamples(config.volatility_us, config.max_hole_us)
        self.flow: list[tuple[int, int, int]] = []
        self._flow_us = config.long_us

    def add(self, ts_grid: int, mid2: int, offset: int, flow: tuple[int, int]) -> None:
        if self.mids.add(ts_grid, mid2, offset):
            self.flow = []
        self.flow.append((ts_grid, *flow))
        self.flow = [part for part in self.flow if part[0] > ts_grid - self._flow_us]


class FeatureBuilder:
    """The stage that makes feature vectors, of one partition.

    Args:
        names: The partition's numbers, which rows of steps are told in.
    """

    def __init__(self, config: FeatureConfig, names: Names, topic: str, partition: int) -> None:
        self._config = config
        self._names = names
        self._fingerprint = config.fingerprint
        self._topic = topic
        self._partition = partition
        self._histories: dict[Market, _History] = {}
        self._trades: dict[Market, tuple[int, int]] = {}
        # Not counted yet: at the latest the next grid point wants to know.
        self._rows: list[StepRows] = []

    def run(self, steps: Sequence[Step | StepRows], emit: Emit) -> None:
        """Put a vector into each grid step for every market with a usable book, and emit it."""
        for step in steps:
            if isinstance(step, np.ndarray):
                self._rows.append(step)
            elif isinstance(step, TradeStep):
                self._count(step.tick.market, step.tick.size, is_buy=step.tick.side is Side.BUY)
            elif isinstance(step, GapStep):
                self._count_rows()
                self._histories.pop(step.market, None)
                self._trades.pop(step.market, None)
            elif isinstance(step, GridStep):
                self._evaluate(step, emit)

    def _count_rows(self) -> None:
        if not self._rows:
            return
        rows, self._rows = joined(self._rows), []
        trades = rows[rows["kind"] == TRADE]
        sides, sizes = 2 * trades["market"] + trades["is_buy"], trades["size"]
        # In two halves: sums of sizes may not fit 64 bits, as sizes do.
        halves = np.zeros((2, 2 * len(self._names.markets)), np.int64)
        np.add.at(halves[0], sides, sizes >> _HALF)
        np.add.at(halves[1], sides, sizes & _LOW_HALF)
        for side in np.unique(sides).tolist():
            high, low = halves[:, side].tolist()
            self._count(self._names.markets[side // 2], (high << _HALF) + low, is_buy=bool(side % 2))

    def _count(self, market: Market, size: int, *, is_buy: bool) -> None:
        net, gross = self._trades.get(market, (0, 0))
        self._trades[market] = (net + size if is_buy else net - size, gross + size)

    def _evaluate(self, step: GridStep, emit: Emit) -> None:
        self._count_rows()
        for market in sorted(step.books):
            view = step.books[market]
            mid2 = trusted_mid2(view)
            if mid2 is None:
                continue
            history = self._histories.get(market)
            if history is None:
                history = self._histories[market] = _History(self._config)
            history.add(step.ts_grid, mid2, view.offset, self._trades.get(market, (0, 0)))
            vector = self._vector(step, view, mid2, history)
            step.features[market] = vector
            emit(vector, step.ts_trigger)
        # Trades of a market that had no usable book at the grid point belong to no vector.
        self._trades.clear()

    def _vector(self, step: GridStep, view: BookView, mid2: int, history: _History) -> FeatureVector:
        config = self._config
        bid, ask = view.bids[0], view.asks[0]
        net = sum(part[1] for part in history.flow)
        gross = sum(part[2] for part in history.flow)
        imbalance = _imbalance(view.bids[:1], view.asks[:1])
        spread_bps = 20_000 * (ask.price - bid.price) / mid2
        return FeatureVector(
            venue=view.market[0],
            symbol=view.market[1],
            ts_grid=step.ts_grid,
            fingerprint=self._fingerprint,
            names=FEATURE_NAMES,
            values=(
                imbalance * spread_bps / 2,
                imbalance,
                _imbalance(view.bids[: config.depth], view.asks[: config.depth]),
                spread_bps,
                _return_bps(mid2, history.mids.mid2_before(config.short_us)),
                _return_bps(mid2, history.mids.mid2_before(config.long_us)),
                net / gross if gross else 0.0,
                _volatility_bps(mid2, history.mids),
            ),
            is_warm=history.mids.span_us >= config.long_us,
            flags=view.flags,
            cause_topic=self._topic,
            cause_partition=self._partition,
            cause_first_offset=history.mids.first_offset,
            cause_offset=step.offset,
        )

    def state(self) -> State:
        """Give what is remembered, a few bytes a grid point and market."""
        self._count_rows()
        return {
            "histories": [[*market, h.mids.state(), h.flow] for market, h in sorted(self._histories.items())],
            "trades": [[*market, *flow] for market, flow in sorted(self._trades.items())],
        }

    def restore(self, state: State) -> None:
        """Take back what `state` gave."""
        self._rows = []
        self._histories = {}
        for venue, symbol, mids, flow in state["histories"]:
            history = self._histories[venue, symbol] = _History(self._config)
            history.mids.restore(mids)
            history.flow = [(ts, net, gross) for ts, net, gross in flow]
        self._trades = {(venue, symbol): (net, gross) for venue, symbol, net, gross in state["trades"]}


def _imbalance(bids: Sequence[BookLevel], asks: Sequence[BookLevel]) -> float:
    bid_size = sum(level.size for level in bids)
    ask_size = sum(level.size for level in asks)
    return (bid_size - ask_size) / (bid_size + ask_size)


def _return_bps(mid2: int, before: int | None) -> float:
    return 10_000 * (mid2 - before) / before if before is not None else 0.0


def _volatility_bps(mid2: int, mids: MidSamples) -> float:
    if not mids.span_us:
        return 0.0
    return 10_000 * math.sqrt(mids.squared_changes() / (mid2 * mid2) / (mids.span_us / 1e6))
