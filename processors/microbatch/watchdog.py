"""Let time pass in a silent log: a heartbeat written into the partition, acted on when it is read back.

Staleness, finality by silence and everything else that time decides is then still decided by records, so a replay
decides the same. The watchdog's time is the partition's clock plus how long the partition has been silent, so that a
log of the past goes on in its own time.
"""

from __future__ import annotations

from processors.kernel.clock import WATCHDOG
from schemas.enums import Side, TickKind
from schemas.records import Tick

__all__ = ["Watchdog"]

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

    def beat(self, partition: int, clock_us: int | None, silent_us: int) -> Tick | None:
        """Give the tick to write into a partition, or None.

        Args:
            clock_us: The partition's clock; None before its first record.
            silent_us: Wall time since the last batch of the partition.
        """
        if silent_us < _QUIET_US or clock_us is None or self._quiet.get(partition, 0) >= _GIVE_UP_US:
            return None
        self._quiet[partition] = self._quiet.get(partition, 0) + silent_us
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

    def heard(self, partition: int) -> None:
        """Note that a partition had a record of somebody else's: it is not silent."""
        self._quiet[partition] = 0
