"""What every live source does alike: number sessions and messages, keep the watermark, beat.

Used by a source's pure core; owns no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Required, TypedDict

from schemas.enums import Flag, Side, TickKind
from schemas.records import Tick

__all__ = ["HeartbeatClock", "TickFactory", "TickFields"]

_TICK_PERIOD_US = 250_000
"""The longest time between two calls of `Source.tick`."""

_MAX_AHEAD_US = 60_000_000


class TickFields(TypedDict, total=False):
    """The fields of a tick that the venue's message decides; the factory adds the rest."""

    symbol: Required[str]
    kind: Required[TickKind]
    side: Side
    price: int
    size: int
    base_amount: int | None
    quote_amount: int | None
    ts_event: int | None
    watermark: int | None
    sequence: int | None
    trade_id: str | None
    tx_hash: str | None
    block_height: int | None
    tx_index: int | None
    event_index: int | None
    flags: int


class TickFactory:
    """Builds a source's ticks, numbered by session, message and ordinal.

    Args:
        venue: Venue of the ticks, e.g. `sim-sei-clob`.
        source: Name of the source, the owner of the watermark.
    """

    def __init__(self, venue: str, source: str) -> None:
        self.venue = venue
        self.source = source
        self.session = 0
        self._message = 0

    def open(self, now_us: int) -> None:
        """Start a session: `now_us`, or the next microsecond where the clock did not move on since the last one."""
        self.session = max(now_us, self.session + 1)
        self._message = 0

    def message(self, now_us: int, parts: Sequence[TickFields]) -> list[Tick]:
        """Build one venue message: all of it applies or none. No parts give no ticks and take no number."""
        if not parts:
            return []
        message = self._message
        self._message += 1
        last = len(parts) - 1
        return [
            Tick(
                venue=self.venue,
                source=self.source,
                ts_recv=now_us,
                session=self.session,
                message=message,
                ordinal=ordinal,
                first=ordinal == 0,
                last=ordinal == last,
                **_complete(part),
            )
            for ordinal, part in enumerate(parts)
        ]

    def status(self, now_us: int, symbol: str, flags: Flag = Flag.NONE) -> list[Tick]:
        """Build a STATUS: GAPPED, STALE, or no flag when the market is (re)synchronising."""
        return self.message(now_us, [TickFields(symbol=symbol, kind=TickKind.STATUS, flags=int(flags))])


def _complete(part: TickFields) -> TickFields:
    return {**_DEFAULTS, **part}


_DEFAULTS = TickFields(symbol="", kind=TickKind.UNKNOWN, side=Side.NONE, price=0, size=0)


class HeartbeatClock:
    """A source's watermark (DESIGN: greatest event time less the lateness) and when its HEARTBEAT is due.

    Args:
        lateness_us: How far the watermark stays behind the greatest event time.
        interval_us: Longest time between two heartbeats, given that `beat` is called every 250 ms.
    """

    def __init__(self, lateness_us: int, interval_us: int = 1_000_000) -> None:
        self._lateness_us = lateness_us
        self._wait_us = max(interval_us - _TICK_PERIOD_US, 0)
        self._greatest: int | None = None
        self._last_beat_us: int | None = None

    @property
    def watermark(self) -> int | None:
        """The promise about event times; None before any is known."""
        return None if self._greatest is None else self._greatest - self._lateness_us

    def observe(self, ts_event: int | None, now_us: int) -> None:
        """Note an event time of the venue's: of a trade, a book, or of its own clock (a block header).

        One more than a minute ahead of our clock is not believed: the watermark never goes back, so a single wrong
        time would make all that follows late.
        """
        if ts_event is None or ts_event > now_us + _MAX_AHEAD_US:
            return
        if self._greatest is None or ts_event > self._greatest:
            self._greatest = ts_event

    def beat(self, now_us: int, factory: TickFactory) -> list[Tick]:
        """Give the HEARTBEAT that is due, if one is."""
        last = self._last_beat_us
        if last is not None and last <= now_us < last + self._wait_us:
            return []
        self._last_beat_us = now_us
        return factory.message(now_us, [TickFields(symbol="", kind=TickKind.HEARTBEAT, watermark=self.watermark)])
