"""Paper orders on a recording: its ticks through the sources that the platform has, and quotes at the best prices."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import gcd
from pathlib import Path

from infra.cli.recordings import recording_of
from infra.runtime.settings import Settings
from producers.replay.feed import replay
from schemas.clock import GRID_US, PartitionClock
from schemas.enums import Mode, Side, TickKind, Verdict
from schemas.instruments import DEFAULT_PATH, Instruments
from schemas.records import ExecutionReport, Instrument, Market, QuoteDecision, QuoteLevel, Tick
from tests.paper_log import Process, Topics

__all__ = ["Run", "ticks_of", "traded_on"]

_REQUOTE_US = 1_000_000
_VALUE = 500 * 10**17
"""Of one order, in 1e-17 quote."""


@dataclass(frozen=True)
class Run:
    """A recording's ticks with their offsets, and what became of paper orders on them."""

    ticks: list[tuple[int, Tick]]
    executions: list[ExecutionReport]


def ticks_of(capture: Path, venue: str, symbol: str | None = None) -> list[tuple[int, Tick]]:
    """Read a recording as `flashmm replay` does."""
    settings = Settings(_env_file=None)
    opened, recording = recording_of(settings, capture, venue, symbol)
    moments = replay(opened, recording, silence_us=settings.silence_ms * 1_000)
    return list(enumerate(tick for moment in moments for tick in moment.effects.ticks))


def traded_on(capture: Path, venue: str, symbol: str | None = None) -> Run:
    """Quote every market of a recording that shows its book, and give what became of it.

    A worker of our own joins the best bid and the best ask, each second anew; every third second a tick behind them,
    every fifth with two orders a side, so that orders queue, are gone through, and share prints.
    """
    ticks = ticks_of(capture, venue, symbol)
    quoter = _Quoter()
    instruments = _instruments(ticks)
    assert instruments, f"{capture} shows no book: {sorted({tick.market for _, tick in ticks})}"
    process = Process(Topics(), instruments)
    clock = PartitionClock()
    place = 0
    for offset, tick in ticks:
        process.tick(offset, tick)
        grid = [point for point in clock.advance(tick.ts_recv) if point % GRID_US == 0]
        for instrument in instruments if grid else ():
            process.decision(place, quoter.decide(instrument, grid[-1], offset))
            place += 1
        quoter.take(tick)
    assert process.merge.offset == ticks[-1][0], "the last ticks still wait"
    return Run(ticks, process.topics.executions)


def _instruments(ticks: list[tuple[int, Tick]]) -> list[Instrument]:
    """Give the instruments of the markets with a book; of those that nobody listed, as finely stepped as they are."""
    known = Instruments.load(DEFAULT_PATH)
    steps: dict[Market, tuple[int, int]] = {}
    for _, tick in ticks:
        if tick.kind is TickKind.LEVEL:
            price, size = steps.get(tick.market, (0, 0))
            steps[tick.market] = gcd(price, tick.price), gcd(size, tick.size)
    return [known.get(*market) or _made_up(market, *step) for market, step in sorted(steps.items())]


def _made_up(market: Market, tick: int, lot: int) -> Instrument:
    venue, symbol = market
    return Instrument(
        venue=venue,
        symbol=symbol,
        venue_symbol=symbol,
        group=symbol.split("/", maxsplit=1)[0],
        has_book=True,
        tick=max(tick, 1),
        lot=max(lot, 1),
        min_size=max(lot, 1),
        min_notional=0,
        maker_fee_ppm=0,
        taker_fee_ppm=0,
    )


class _Quoter:
    def __init__(self) -> None:
        self._sizes: defaultdict[tuple[Market, Side], dict[int, int]] = defaultdict(dict)
        self._last: dict[Market, tuple[int, tuple[int, ...], tuple[int, ...]]] = {}

    def take(self, tick: Tick) -> None:
        if tick.kind is TickKind.CLEAR:
            self._sizes[tick.market, Side.BUY], self._sizes[tick.market, Side.SELL] = {}, {}
        elif tick.kind is TickKind.LEVEL and tick.size:
            self._sizes[tick.market, tick.side][tick.price] = tick.size
        elif tick.kind is TickKind.LEVEL:
            self._sizes[tick.market, tick.side].pop(tick.price, None)

    def decide(self, instrument: Instrument, ts_grid: int, offset: int) -> QuoteDecision:
        bids, asks = self._prices(instrument, ts_grid)
        return QuoteDecision(
            decision_id=f"{instrument.venue}|{instrument.symbol}|{ts_grid}",
            mode=Mode.PAPER,
            account="demo",
            venue=instrument.venue,
            symbol=instrument.symbol,
            ts_grid=ts_grid,
            epoch=1,
            verdict=Verdict.QUOTE if bids else Verdict.EMPTY,
            reasons=(),
            bids=tuple(QuoteLevel(price=p, size=_size(instrument, p)) for p in bids),
            asks=tuple(QuoteLevel(price=p, size=_size(instrument, p)) for p in asks),
            mid=(bids[0] + asks[0]) // 2 if bids else None,
            sigma=0.0,
            gamma=0.0,
            kappa=0.0,
            horizon_s=0.0,
            signal_bps=0.0,
            clamps=(),
            config_hash="",
            cause_topic="market.ticks",
            cause_partition=0,
            cause_first_offset=offset,
            cause_offset=offset,
        )

    def _prices(self, instrument: Instrument, ts_grid: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        market = (instrument.venue, instrument.symbol)
        second = ts_grid // _REQUOTE_US
        last = self._last.get(market)
        if last is not None and last[0] == second:
            return last[1], last[2]
        bids, asks = self._sizes[market, Side.BUY], self._sizes[market, Side.SELL]
        if not bids or not asks or max(bids) >= min(asks):
            return (), ()
        away = instrument.tick if second % 3 == 0 else 0
        levels = 2 if second % 5 == 0 else 1
        chosen = (
            tuple(max(bids) - away - n * instrument.tick for n in range(levels)),
            tuple(min(asks) + away + n * instrument.tick for n in range(levels)),
        )
        self._last[market] = (second, *chosen)
        return chosen


def _size(instrument: Instrument, price: int) -> int:
    return max(_VALUE // price // instrument.lot * instrument.lot, instrument.min_size)
