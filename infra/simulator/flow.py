"""Order flow of one order-book market: makers around a lagged estimate of the fair price, informed and noise takers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from infra.simulator.book import BookSide, OrderBook
from infra.simulator.price import FairPrice
from schemas.enums import Side
from schemas.numbers import PRICE_SCALE, SIZE_SCALE

__all__ = ["BookChanged", "ClobMarket", "FlowModel", "Level", "Traded"]

Level = tuple[int, int]
"""(price, size) in schema units."""

_INITIAL_LEVELS = 25
_FEWEST_LEVELS = 8


@dataclass(frozen=True, slots=True)
class BookChanged:
    """The whole visible book after a change, best levels first, schema units; `sequence` grows by one per market."""

    symbol: str
    ts_us: int
    sequence: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Traded:
    """A print, schema units; `side` is the taker's."""

    symbol: str
    ts_us: int
    trade_id: int
    price: int
    size: int
    side: Side


@dataclass(frozen=True, slots=True)
class FlowModel:
    """Parameters of a market's order flow at rate 1.

    Attributes:
        symbol: The market as the venue writes it.
        tick: Price step, price units.
        lot: Size step, size units.
        median_size: Median of an order's size, in the base asset.
        limits_per_s: Arrivals of resting orders.
        takers_per_s: Arrivals of takers; the informed among them trade only where they see an edge.
        cancels_per_level_s: Cancellations per level and second, so that the book's depth settles.
        informed: Share of takers who know the fair price and its drift.
        horizon_s: How far ahead the informed look.
        maker_lag_s: Time constant with which makers learn the fair price.
        half_spread_bp: What makers ask for at the least, basis points.
        near_bp: Mean distance of a near order beyond that.
        far_bp: Greatest distance of a far order.
    """

    symbol: str
    tick: int
    lot: int
    median_size: float
    limits_per_s: float = 6.5
    takers_per_s: float = 3.4
    cancels_per_level_s: float = 0.085
    informed: float = 0.4
    horizon_s: float = 3.0
    maker_lag_s: float = 0.8
    half_spread_bp: float = 1.0
    near_bp: float = 3.5
    far_bp: float = 60.0


class ClobMarket:
    """One simulated order-book market. Feed it steps of time; it answers with what its venue would publish."""

    def __init__(
        self, model: FlowModel, fair: FairPrice, rng: Random, *, rate: float, depth: int, start_us: int
    ) -> None:
        self.model = model
        self._fair = fair
        self._rng = rng
        self._rate = rate
        self._depth = depth
        self._now_us = start_us
        self._estimate = fair.value
        self._ticks_per_unit = 10**PRICE_SCALE / model.tick
        self._log_median_lots = math.log(model.median_size * 10**SIZE_SCALE / model.lot)
        self._last_side = Side.BUY
        # No id is ever used twice, as on a real venue: fewer trades than milliseconds pass between two starts.
        self._trade_id = start_us // 1_000
        self.sequence = 0
        self.book = OrderBook()
        for _ in range(_INITIAL_LEVELS):
            self._rest(Side.BUY)
            self._rest(Side.SELL)

    def step(self, step_us: int) -> Iterator[BookChanged | Traded]:
        """Advance to the end of a step: the fair price has moved, now makers and takers act on it."""
        start_us, offset_us = self._now_us, 0.0
        self._now_us += step_us
        lag = step_us / 1e6 / self.model.maker_lag_s
        self._estimate += (self._fair.value - self._estimate) * min(1.0, lag)
        while True:
            model, levels = self.model, len(self.book.bids) + len(self.book.asks)
            total = model.limits_per_s + model.takers_per_s + model.cancels_per_level_s * levels
            # An exponential wait has no memory: what reaches beyond the step is drawn anew in the next one. Waits are
            # counted from the step's start, where a float is exact enough that no absolute time can change the flow.
            offset_us += self._rng.expovariate(total * self._rate) * 1e6
            if offset_us >= step_us:
                break
            yield from self._arrive(self._rng.random() * total, start_us + int(offset_us))
        if self._pull_stale():
            yield self.snapshot(self._now_us - 1, changed=True)

    def snapshot(self, ts_us: int, *, changed: bool = False) -> BookChanged:
        """Give the visible book; a change takes the next sequence number."""
        if changed:
            self.sequence += 1
        bids, asks = (self._in_units(side) for side in (self.book.bids, self.book.asks))
        return BookChanged(self.model.symbol, ts_us, self.sequence, bids, asks)

    def _arrive(self, pick: float, ts_us: int) -> Iterator[BookChanged | Traded]:
        if pick < self.model.limits_per_s:
            self._rest(Side.BUY if self._rng.random() < self._lean() else Side.SELL)
            yield self.snapshot(ts_us, changed=True)
        elif pick < self.model.limits_per_s + self.model.takers_per_s:
            trades = self._take(ts_us)
            yield from trades
            if trades:
                self._replenish()
                yield self.snapshot(ts_us, changed=True)
        elif self._cancel():
            yield self.snapshot(ts_us, changed=True)

    def _lean(self) -> float:
        """Give the share of buyers among makers: they lean with the drift, so the book's imbalance says something."""
        return 0.5 + 0.22 * math.tanh(self._fair.drift / self._fair.lean_scale)

    def _rest(self, side: Side) -> None:
        model, rng = self.model, self._rng
        distance = model.half_spread_bp
        distance += rng.expovariate(1 / model.near_bp) if rng.random() < 0.7 else rng.random() * model.far_bp
        ticks = self._estimate * self._ticks_per_unit
        if side is Side.BUY:
            price = max(1, math.floor(ticks * (1 - distance * 1e-4)))
        else:
            price = math.ceil(ticks * (1 + distance * 1e-4))
        self.book.rest(side, price, self._lots(0.9))

    def _take(self, ts_us: int) -> list[Traded]:
        side, scale = self._taker_side()
        if side is Side.NONE:
            return []
        size = max(1, round(self._lots(1.0) * scale))
        trades = []
        for fill in self.book.take(side, size, max_levels=3):
            self._trade_id += 1
            price, lots = fill.price * self.model.tick, fill.size * self.model.lot
            trades.append(Traded(self.model.symbol, ts_us, self._trade_id, price, lots, side))
        self._last_side = side
        return trades

    def _taker_side(self) -> tuple[Side, float]:
        rng, bid, ask = self._rng, self.book.bids.best, self.book.asks.best
        if rng.random() < self.model.informed and bid is not None and ask is not None:
            expected = self._fair.value * (1 + self._fair.drift * self.model.horizon_s) * self._ticks_per_unit
            if expected > ask:
                return Side.BUY, 1.5
            return (Side.SELL, 1.5) if expected < bid else (Side.NONE, 0.0)
        # Noise takers come in runs: an order split in pieces.
        same = rng.random() < 0.65
        buys = same == (self._last_side is Side.BUY)
        return (Side.BUY if buys else Side.SELL), 0.6

    def _cancel(self) -> bool:
        bids, asks, lean = len(self.book.bids), len(self.book.asks), self._lean()
        from_bids = self._rng.random() * (bids * (1 - lean) + asks * lean) < bids * (1 - lean)
        side = self.book.bids if from_bids else self.book.asks
        if len(side) <= _FEWEST_LEVELS:
            return False
        price = side.price_at(int(len(side) * self._rng.random()))
        size = side.size_at(price)
        side.remove(price, size if self._rng.random() < 0.5 else max(1, int(size * self._rng.random())))
        return True

    def _pull_stale(self) -> bool:
        """Cancel what makers now know to be mispriced; each such level survives a step with even odds."""
        estimate = self._estimate * self._ticks_per_unit
        pulled = False
        for side, sign in ((self.book.bids, 1), (self.book.asks, -1)):
            while (best := side.best) is not None and (best - estimate) * sign > 0 and self._rng.random() < 0.5:
                side.remove(best, side.size_at(best))
                pulled = True
        if pulled:
            self._replenish()
        return pulled

    def _replenish(self) -> None:
        for side in (Side.BUY, Side.SELL):
            # Orders may land on a level that is there already, so the number of tries is bounded, not the result.
            for _ in range(4 * _FEWEST_LEVELS):
                if len(self.book.side(side)) >= _FEWEST_LEVELS:
                    break
                self._rest(side)

    def _lots(self, spread: float) -> int:
        return max(1, round(self._rng.lognormvariate(self._log_median_lots, spread)))

    def _in_units(self, side: BookSide) -> tuple[Level, ...]:
        tick, lot = self.model.tick, self.model.lot
        return tuple((price * tick, size * lot) for price, size in side.levels(self._depth))
