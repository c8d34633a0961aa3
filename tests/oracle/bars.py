"""The bars stage in plain Python, by the contract of `docs/bars.md`: the oracle of the compiled one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from processors.kernel.bars import BarConfig, EmptyPolicy
from processors.kernel.steps import Emit, GridStep, Step, TradeStep, WatermarkStep
from schemas.enums import BarState, Flag
from schemas.numbers import INT64_MAX, divide_half_even
from schemas.records import Bar, Market
from tests.oracle.barbook import MINUTE_US, BarBook, Interval
from tests.oracle.ohlc import Ohlc

__all__ = ["BarBuilder"]

_PARTIAL_US = 1_000_000


@dataclass(slots=True)
class _Source:
    """What is known of a source: its promise, when it was heard, and since when (event time) it observes."""

    watermark: int | None = None
    heard_us: int = 0
    observed_us: int | None = None


class BarBuilder:
    """The bars stage of one partition.

    Attributes:
        too_late: Trades whose bar could not be corrected any more.
        unfit: Bars not emitted because their volume is more than the contract holds.
    """

    def __init__(self, config: BarConfig, topic: str, partition: int) -> None:
        self._config = config
        self._topic = topic
        self._partition = partition
        self.too_late = 0
        self.unfit = 0
        self._books: dict[Market, BarBook] = {}
        self._sources: dict[str, _Source] = {}
        self._clock_us = 0
        self._offset = 0
        self._grid_us: int | None = None

    def run(self, steps: Sequence[Step], emit: Emit) -> None:
        """Read steps in order; emits partial, final and corrected bars."""
        for step in steps:
            self._offset = max(self._offset, step.offset)
            if isinstance(step, TradeStep):
                self._clock_us = max(self._clock_us, step.tick.ts_recv)
                if self._grid_us is None:
                    self._grid_us = self._clock_us
                self._trade(step, emit)
            elif isinstance(step, GridStep):
                self._clock_us = max(self._clock_us, step.ts_grid)
                self._grid(step, emit)
            else:
                self._clock_us = max(self._clock_us, step.ts_recv)
                if isinstance(step, WatermarkStep):
                    self._watermark(step, emit)
                elif step.market in self._books:
                    self._books[step.market].gap(step.ts_recv)

    def _trade(self, step: TradeStep, emit: Emit) -> None:
        tick = step.tick
        at_us, flags = self._event_time(step)
        source = self._source(tick.source)
        source.heard_us = self._clock_us
        if source.observed_us is None:
            source.observed_us = at_us
        book = self._books.get(tick.market)
        if book is None:
            book = self._books[tick.market] = self._new_book(tick.market, tick.source, source)
        elif book.source != tick.source:
            book.source = tick.source
            if source.watermark is not None:
                self._finalise(book, source.watermark, emit, step.tick.ts_recv)
        book.close(self._clock_us, self._config.correction_us)
        if book.is_too_late(at_us):
            self.too_late += 1
            return
        for timeframe, start in book.add(at_us, step.offset, tick, flags):
            slot = book.slots[timeframe][start]
            if not slot.revision:
                slot.is_complete = source.observed_us <= start
            self._emit(book, (timeframe, start), emit, tick.ts_recv)

    def _event_time(self, step: TradeStep) -> tuple[int, int]:
        ts_event, ts_recv = step.tick.ts_event, step.tick.ts_recv
        if ts_event is None or ts_event - ts_recv > self._config.max_ahead_us:
            return ts_recv, step.flags | Flag.NO_EVENT_TIME
        return ts_event, step.flags

    def _new_book(self, market: Market, name: str, source: _Source) -> BarBook:
        book = BarBook(market, name)
        if source.watermark is not None:
            book.final_us = _minute(source.watermark)
            book.closed_us = _minute(source.watermark - self._config.correction_us)
            book.boundaries = [(self._clock_us, book.final_us)]
        return book

    def _watermark(self, step: WatermarkStep, emit: Emit) -> None:
        source = self._source(step.source)
        source.heard_us = self._clock_us
        if step.watermark is not None:
            source.watermark = max(step.watermark, source.watermark or step.watermark)
            if source.observed_us is None:
                source.observed_us = step.watermark + self._config.lateness_us
        # A venue without event times: its trades are placed by receipt, and no later one is received earlier.
        boundary = step.ts_recv if source.watermark is None else source.watermark
        for book in self._books.values():
            if book.source == step.source:
                self._finalise(book, boundary, emit, step.ts_recv)

    def _grid(self, step: GridStep, emit: Emit) -> None:
        second = step.ts_grid - step.ts_grid % _PARTIAL_US
        before, self._grid_us = self._grid_us, step.ts_grid
        if before is None or second <= before:
            return
        for book in self._books.values():
            if self._clock_us - self._sources[book.source].heard_us > self._config.silence_us:
                self._finalise(book, self._clock_us, emit, step.ts_trigger, is_silent=True)
            book.close(self._clock_us, self._config.correction_us)
            for interval in book.partials():
                self._emit(book, interval, emit, step.ts_trigger)

    def _finalise(self, book: BarBook, until_us: int, emit: Emit, ts_trigger: int, *, is_silent: bool = False) -> None:
        flags = int(Flag.GAPPED) if is_silent else 0
        is_carrying = self._config.emit_empty is EmptyPolicy.CARRY_CLOSE
        for interval in book.finalise(_minute(until_us), self._clock_us, flags, is_carrying=is_carrying):
            timeframe, start = interval
            observed_us = self._sources[book.source].observed_us
            slot = book.slots[timeframe][start]
            slot.is_complete = not is_silent and observed_us is not None and observed_us <= start
            self._emit(book, interval, emit, ts_trigger)

    def _source(self, name: str) -> _Source:
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = _Source()
        return source

    def _emit(self, book: BarBook, interval: Interval, emit: Emit, ts_trigger: int) -> None:
        bar = self._bar(book, interval, self._clock_us)
        if bar is None:
            self.unfit += 1
            return
        book.slots[interval[0]][interval[1]].revision += 1
        emit(bar, ts_trigger)

    def _bar(self, book: BarBook, interval: Interval, ts_emit: int) -> Bar | None:
        slot, ohlc, flags = book.content(interval)
        timeframe, start = interval
        if ohlc is None:
            price = slot.carry or 0
            at = (start, self._offset)
            ohlc = Ohlc(at, at, price, price, price, price, first_offset=self._offset)
        elif ohlc.volume > INT64_MAX:
            return None
        return Bar(
            venue=book.market[0],
            symbol=book.market[1],
            timeframe=timeframe,
            ts_open=start,
            ts_close=start + timeframe.micros,
            ts_emit=ts_emit,
            open=ohlc.open,
            high=ohlc.high,
            low=ohlc.low,
            close=ohlc.close,
            volume=ohlc.volume,
            buy_volume=ohlc.buy_volume,
            sell_volume=ohlc.sell_volume,
            quote_volume=ohlc.quote_volume,
            vwap=divide_half_even(ohlc.quote_volume, ohlc.volume) if ohlc.volume else ohlc.close,
            trade_count=ohlc.count,
            first_sequence=ohlc.first_sequence,
            last_sequence=ohlc.last_sequence,
            state=slot.state,
            revision=slot.revision,
            is_complete=slot.is_complete,
            flags=flags,
            cause_topic=self._topic,
            cause_partition=self._partition,
            cause_first_offset=ohlc.first_offset,
            cause_offset=self._offset,
        )

    def open_bars(self, ts_emit: int) -> list[Bar]:
        """Give every open bar as it stands, PARTIAL and incomplete, for the end of a log."""
        found: Iterable[Bar | None] = (
            self._bar(book, interval, ts_emit)
            for _, book in sorted(self._books.items())
            for interval in book.open_intervals()
        )
        return [bar for bar in found if bar is not None and bar.state is BarState.PARTIAL]


def _minute(ts_us: int) -> int:
    return ts_us - ts_us % MINUTE_US
