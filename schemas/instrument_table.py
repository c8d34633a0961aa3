"""What `reference.instruments` says of each market, at which time. Pure.

Nothing but the records decides: whoever has read the same ones has the same table. Of one market the last record holds,
from its `ts_effective` on; before the first one nothing holds, and nobody quotes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from schemas.enums import InstrumentSource
from schemas.errors import ConfigurationError
from schemas.records import Instrument, Market

__all__ = ["InstrumentTable", "changes"]

# A clock that reads a log lags behind the writers of instruments by seconds: what holds there is not the last one.
_KEPT = 8


class InstrumentTable:
    """The instruments of a topic, folded record by record.

    Attributes:
        refused: Records that would have moved a market to another group.
    """

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self.refused = 0
        self.restore(instruments)

    def __iter__(self) -> Iterator[Instrument]:
        """Give the last instrument of each market, in force or to come."""
        return (said[-1] for said in self._said.values())

    def records(self) -> Iterator[Instrument]:
        """Give all that is remembered: a table of these is the same."""
        return (instrument for said in self._said.values() for instrument in said)

    def restore(self, instruments: Iterable[Instrument]) -> None:
        """Take back what `records` gave, and nothing else."""
        self._said: dict[Market, list[Instrument]] = {}
        for instrument in instruments:
            self.take(instrument)

    def take(self, instrument: Instrument) -> bool:
        """Take the next record; False where it changes nothing.

        A market's group names its partition, and its records must stay in one: another group is refused, and the
        instrument before holds on.
        """
        said = self._said.setdefault(instrument.market, [])
        last = said[-1] if said else None
        if last is not None and last.group != instrument.group:
            self.refused += 1
            return False
        if last is not None and _is_same(last, instrument):
            return False
        # What was to hold later is overruled: the last record holds.
        while said and said[-1].ts_effective >= instrument.ts_effective:
            said.pop()
        said.append(instrument)
        del said[:-_KEPT]
        return True

    def last(self, market: Market) -> Instrument | None:
        """Give the last instrument of a market, in force or to come; None where none was told."""
        said = self._said.get(market)
        return said[-1] if said else None

    def at(self, market: Market, ts_us: int) -> Instrument | None:
        """Give the instrument in force at a time; None where there is none."""
        for instrument in reversed(self._said.get(market, ())):
            if instrument.ts_effective <= ts_us:
                return instrument
        return None


def changes(table: InstrumentTable, wanted: Iterable[Instrument], now_us: int) -> list[Instrument]:
    """Give the records that make a table say what a file wants: those that differ, to hold from now on.

    A market's first instrument holds from the start of time, so that records older than it can be read with it. What a
    venue has said of itself (fees, minima, margin) is not overruled by a file. Markets that the file leaves out stay.

    Raises:
        ConfigurationError: a market has another group in the topic: its partition is fixed for life.
    """
    found = []
    for instrument in wanted:
        last = table.last(instrument.market)
        if last is None:
            found.append(replace(instrument, ts_effective=0))
            continue
        if last.group != instrument.group:
            problem = (
                f"{instrument.venue} {instrument.symbol} is of group {last.group!r} in reference.instruments, and the "
                f"file says {instrument.group!r}"
            )
            fix = "A market's partition is fixed for life: keep its group, or use another cluster or topic prefix"
            raise ConfigurationError("group", problem, fix)
        if last.source is InstrumentSource.VENUE and instrument.source is InstrumentSource.FILE:
            instrument = _with_venue_terms(instrument, last)
        if not _is_same(last, instrument):
            found.append(replace(instrument, ts_effective=now_us))
    return found


def _is_same(one: Instrument, other: Instrument) -> bool:
    return replace(one, ts_effective=other.ts_effective) == other


def _with_venue_terms(instrument: Instrument, told: Instrument) -> Instrument:
    return replace(
        instrument,
        min_size=told.min_size,
        min_notional=told.min_notional,
        maker_fee_ppm=told.maker_fee_ppm,
        taker_fee_ppm=told.taker_fee_ppm,
        initial_margin_ppm=told.initial_margin_ppm,
        source=told.source,
    )
