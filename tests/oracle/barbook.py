"""The bars of one market in every timeframe: which are open, final, corrected and closed.

One-minute bars are built from trades, all others from final one-minute bars; a late trade corrects both. Nothing here
is emitted: each change tells what became news.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.enums import BarState, Flag, Timeframe
from schemas.records import Market, Tick
from tests.oracle.ohlc import Ohlc

__all__ = ["HIGHER", "MINUTE_US", "BarBook", "Interval", "Slot"]

MINUTE_US = Timeframe.M1.micros
HIGHER = tuple((timeframe, timeframe.micros) for timeframe in Timeframe if timeframe is not Timeframe.M1)
_LENGTHS = {timeframe: timeframe.micros for timeframe in Timeframe}
_MAX_EMPTY_US = 86_400_000_000

Interval = tuple[Timeframe, int]
"""A timeframe and the start of the interval."""


@dataclass(slots=True)
class Slot:
    """One bar.

    Attributes:
        ohlc: Its trades; of an open higher bar those of its final one-minute bars.
        carry: Price of a bar without trades, where such bars are wanted.
        revision: Of the next record of this bar.
        flags: GAPPED and LATE; those of the trades are in `ohlc`.
    """

    ohlc: Ohlc | None = None
    carry: int | None = None
    state: BarState = BarState.PARTIAL
    revision: int = 0
    is_complete: bool = False
    flags: int = 0

    def add(self, at_us: int, offset: int, tick: Tick, flags: int) -> None:
        """Add a trade."""
        if self.ohlc is None:
            self.ohlc = Ohlc.of(at_us, offset, tick, flags)
            self.carry = None
        else:
            self.ohlc.add(at_us, offset, tick, flags)


def _no_slots() -> dict[Timeframe, dict[int, Slot]]:
    return {timeframe: {} for timeframe in Timeframe}


@dataclass(slots=True)
class BarBook:
    """The bars of one market.

    Attributes:
        source: Whose watermark makes them final: that of the last trade.
        final_us: Bars that end by then are final; None before any was.
        closed_us: Bars that end by then are forgotten, and a trade in them is too late.
        boundaries: (partition clock, final_us) of the time in which corrections are accepted.
        changed: One-minute intervals with news since the last partial bars.
        gap_us: Receipt of a hole that no trade followed yet.
    """

    market: Market
    source: str
    final_us: int | None = None
    closed_us: int | None = None
    boundaries: list[tuple[int, int]] = field(default_factory=list)
    slots: dict[Timeframe, dict[int, Slot]] = field(default_factory=_no_slots)
    changed: set[int] = field(default_factory=set)
    gap_us: int | None = None
    last_close: int | None = None

    def is_too_late(self, at_us: int) -> bool:
        """Tell whether the bar of an event time is closed."""
        return self.closed_us is not None and at_us - at_us % MINUTE_US < self.closed_us

    def is_final(self, end_us: int) -> bool:
        """Tell whether bars that end then are final."""
        return self.final_us is not None and end_us <= self.final_us

    def add(self, at_us: int, offset: int, tick: Tick, flags: int) -> list[Interval]:
        """Add a trade to its minute; give the final bars that it corrects."""
        start = at_us - at_us % MINUTE_US
        minute = self._slot(Timeframe.M1, start)
        minute.add(at_us, offset, tick, flags)
        self.changed.add(start)
        mark = 0
        if self.gap_us is not None:
            # Our clock and the venue's differ, so a minute more than the one of the hole may lack its start.
            if start < self.gap_us + MINUTE_US:
                mark = int(Flag.GAPPED)
                minute.flags |= mark
            self.gap_us = None
        if not self.is_final(start + MINUTE_US):
            return []
        minute.state = BarState.CORRECTED
        minute.flags |= Flag.LATE
        corrected = [(Timeframe.M1, start)]
        for timeframe, length in HIGHER:
            higher_start = at_us - at_us % length
            slot = self._slot(timeframe, higher_start)
            slot.add(at_us, offset, tick, flags)
            slot.flags |= mark
            if self.is_final(higher_start + length):
                slot.state = BarState.CORRECTED
                slot.flags |= Flag.LATE
                corrected.append((timeframe, higher_start))
        return corrected

    def gap(self, ts_recv: int) -> None:
        """Flag the open bars, and that of the next trade if it is soon: something is missing between them."""
        self.gap_us = ts_recv
        for start, slot in self.slots[Timeframe.M1].items():
            if slot.state is BarState.PARTIAL and not slot.flags & Flag.GAPPED:
                slot.flags |= Flag.GAPPED
                self.changed.add(start)

    def finalise(self, boundary_us: int, now_us: int, flags: int, *, is_carrying: bool) -> list[Interval]:
        """Make the bars that end by `boundary_us` final; give them, shorter timeframes first, then by time."""
        before = self.final_us
        if before is not None and boundary_us <= before:
            return []
        self.final_us = boundary_us
        self.boundaries.append((now_us, boundary_us))
        final: list[Interval] = []
        for timeframe in Timeframe:
            if is_carrying and before is not None:
                self._carry(timeframe, before, boundary_us)
            length = _LENGTHS[timeframe]
            for start, slot in sorted(self.slots[timeframe].items()):
                if slot.state is not BarState.PARTIAL or start + length > boundary_us:
                    continue
                slot.state = BarState.FINAL
                slot.flags |= flags
                final.append((timeframe, start))
                if timeframe is Timeframe.M1:
                    self._roll_up(start, slot)
        return final

    def _roll_up(self, start: int, minute: Slot) -> None:
        if minute.ohlc is None:
            return
        self.last_close = minute.ohlc.close
        for timeframe, length in HIGHER:
            slot = self._slot(timeframe, start - start % length)
            if slot.ohlc is None:
                slot.ohlc = minute.ohlc.copy()
            else:
                slot.ohlc.merge(minute.ohlc)
            slot.flags |= minute.flags & Flag.GAPPED

    def _carry(self, timeframe: Timeframe, before: int, boundary_us: int) -> None:
        """Put bars without trades where no bar is, at the close before them."""
        length = _LENGTHS[timeframe]
        slots = self.slots[timeframe]
        price = self.last_close
        first = max(before, boundary_us - _MAX_EMPTY_US) // length * length
        for start in range(first, boundary_us - length + 1, length):
            slot = slots.get(start)
            if slot is None:
                if timeframe is not Timeframe.M1:
                    last_minute = self.slots[Timeframe.M1].get(start + length - MINUTE_US)
                    price = last_minute.carry if last_minute else None
                if price is not None:
                    slots[start] = Slot(carry=price)
            elif slot.ohlc is not None:
                price = slot.ohlc.close

    def close(self, now_us: int, correction_us: int) -> None:
        """Forget the bars that no trade can correct any more."""
        boundaries = self.boundaries
        if not boundaries or now_us - boundaries[0][0] <= correction_us:
            return
        while boundaries and now_us - boundaries[0][0] > correction_us:
            self.closed_us = boundaries.pop(0)[1]
        closed = self.closed_us
        if closed is None:
            return
        for timeframe, slots in self.slots.items():
            length = _LENGTHS[timeframe]
            for start in [start for start in slots if start + length <= closed]:
                del slots[start]

    def partials(self) -> Iterator[Interval]:
        """Give the open bars with news, and forget that it is news."""
        changed, self.changed = self.changed, set()
        for timeframe, length in _LENGTHS.items():
            for start in sorted({start - start % length for start in changed}):
                if not self.is_final(start + length):
                    yield timeframe, start

    def open_intervals(self) -> Iterator[Interval]:
        """Give every open bar that has a trade."""
        minutes = [start for start, slot in self.slots[Timeframe.M1].items() if slot.state is BarState.PARTIAL]
        for timeframe, length in _LENGTHS.items():
            starts = {start - start % length for start in minutes}
            starts |= {start for start, slot in self.slots[timeframe].items() if slot.state is BarState.PARTIAL}
            for start in sorted(starts):
                yield timeframe, start

    def content(self, interval: Interval) -> tuple[Slot, Ohlc | None, int]:
        """Give a bar, its trades and its flags; an open higher bar is its final minutes and the open ones."""
        timeframe, start = interval
        slot = self._slot(timeframe, start)
        ohlc, flags = slot.ohlc, slot.flags
        if timeframe is not Timeframe.M1 and slot.state is BarState.PARTIAL:
            ohlc = ohlc.copy() if ohlc else None
            end = start + _LENGTHS[timeframe]
            for minute_start, minute in self.slots[Timeframe.M1].items():
                if minute.state is BarState.PARTIAL and start <= minute_start < end and minute.ohlc:
                    flags |= minute.flags & Flag.GAPPED
                    if ohlc is None:
                        ohlc = minute.ohlc.copy()
                    else:
                        ohlc.merge(minute.ohlc)
        return slot, ohlc, flags | (ohlc.flags if ohlc else 0)

    def _slot(self, timeframe: Timeframe, start: int) -> Slot:
        slots = self.slots[timeframe]
        slot = slots.get(start)
        if slot is None:
            slot = slots[start] = Slot()
        return slot
