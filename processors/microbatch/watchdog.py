"""Let time pass in a log that fell silent: a heartbeat written into the partition, acted on when it is read back.

Staleness, finality by silence and everything else that time decides is then still decided by records, so a replay
decides the same. Only a worker that saw the partition live writes: a log of the past is over, not silent, and whoever
reads it later must find it as it is.
"""

from __future__ import annotations

from schemas.clock import WATCHDOG
from schemas.columns import TickColumns
from schemas.enums import Side, TickKind
from schemas.records import Tick

__all__ = ["Watchdog", "newest_us"]

_LIVE_US = 10_000_000
_QUIET_US = 2_000_000
_GIVE_UP_US = 45_000_000  # beyond every limit that time decides: nothing is left to be judged


class Watchdog:
    """The heartbeats of one worker.

    Args:
        session: Wall clock at the start of the worker, microseconds.
    """

    def __init__(self, session: int) -> None:
        self._session = session
        self._message = 0
        self._quiet: dict[int, int] = {}

    def heard(self, partition: int, ts_recv: int, now_us: int) -> None:
        """Note a record of a source; one received just now says that the partition is live."""
        if ts_recv >= now_us - _LIVE_US:
            self._quiet[partition] = 0

    def beat(self, partition: int, clock_us: int | None, silent_us: int) -> Tick | None:
        """Give the tick to write into a partition, or None.

        Args:
            clock_us: The partition's clock; None before its first record.
            silent_us: Wall time since the last batch of the partition.
        """
        quiet = self._quiet.get(partition, _GIVE_UP_US)
        if silent_us < _QUIET_US or clock_us is None or quiet >= _GIVE_UP_US:
            return None
        self._quiet[partition] = quiet + silent_us
        self._message += 1
        return Tick(
            venue="",
            source=WATCHDOG,
            symbol="",
            kind=TickKind.HEARTBEAT,
            side=Side.NONE,
            price=0,
            size=0,
            ts_recv=clock_us + silent_us,
            session=self._session,
            message=self._message,
            ordinal=0,
            first=True,
            last=True,
        )


def newest_us(columns: TickColumns) -> int | None:
    """Give when the last tick was received that is of a venue; None where there is none."""
    for row in range(len(columns) - 1, -1, -1):
        if columns.ok[row] and columns.strings[columns.source[row]] != WATCHDOG:
            return int(columns.ts_recv[row])
    return None
