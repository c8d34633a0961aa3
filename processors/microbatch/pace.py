"""When a worker fetches next: right after each grid point, and in between as often as its work lets it.

An answer to a fetch costs worker and broker as much with a few records as with hundreds. While records come all the
time, a fetch that is sent at once is answered with those of the moment that the last answer took: batches get ever
smaller, and everything waits for a processor. So fetches have slots. Decisions, features and the bars of a second are
made at grid points, so the slots divide the grid evenly, and one of them comes when what was received just after a
grid point has reached the broker: decisions never wait for the next one, however far apart slots are.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from infra.runtime.kafka import LINGER_MS
from schemas.clock import GRID_US

__all__ = ["FetchPace"]

_LINGER_US = LINGER_MS * 1_000
# How many times as long as the stages work on an answer the distance of slots is, and how many times the pause at most.
# Kafka's part of an answer takes as long again, or twice: a worker at ease takes a quarter of a processor.
_AT_GRID = 8, 8
_ALL_THE_TIME = 2, 4
_SMOOTHED = 8  # answers
_LONGEST_WORK_US = 1_000_000  # of an answer; a clock that was set shows more, or less than none
_WINDOW_US = 5_000_000


class FetchPace:
    """The slots of one worker's fetches.

    Args:
        pause_us: The least distance of two slots; 0: fetch at once, always.
        is_at_grid: Whether what is made at grid points counts most. Else what is made of every tick does, and waits for
            each slot: they are less far apart, whatever that costs.
    """

    def __init__(self, pause_us: int, *, is_at_grid: bool) -> None:
        self._pause_us = pause_us
        self._share, self._longest = _AT_GRID if is_at_grid else _ALL_THE_TIME
        self._answered_us: dict[int, int] = {}
        self._newest_us: dict[int, int] = {}
        self._worked_us = 0
        self._work_us = 0.0
        self._window_us = 0
        self._least_ages_us = (math.inf, math.inf)

    def heard(self, partition: int, newest_us: int, now_us: int) -> None:
        """Note when the newest tick of a fetched batch was received."""
        self._newest_us[partition] = newest_us
        before, least = self._least_ages_us
        if not 0 <= now_us - self._window_us < _WINDOW_US:
            self._window_us, before, least = now_us, least, math.inf
        self._least_ages_us = before, min(least, now_us - newest_us)

    def answered(self, node: int, now_us: int, worked_us: int) -> None:
        """Note that a broker answered with records, and for how long the stages have worked since the start."""
        self._answered_us[node] = now_us
        work_us = worked_us - self._worked_us
        self._worked_us = worked_us
        if 0 <= work_us <= _LONGEST_WORK_US:
            self._work_us += (work_us - self._work_us) / _SMOOTHED

    def rest_us(self, node: int, now_us: int, partitions: Collection[int]) -> int:
        """Give how long to wait before these partitions are fetched from a broker; ask again then. Not above 0: fetch.

        A partition of which nothing came from after the grid point, though it had ticks before, is fetched every pause
        until the next slot: its producer is late, and its decision would be as late as that slot.
        """
        answered_us = self._answered_us.get(node)
        if answered_us is None or now_us < answered_us or not self._pause_us:
            return 0
        slots, lag_us = self._slots(), self._lag_us()
        slot_us = _next_slot(answered_us - lag_us, slots) + lag_us
        early_us = min(answered_us + self._pause_us, slot_us)
        if now_us < early_us:
            return early_us - now_us
        point_us = (now_us - lag_us) // GRID_US * GRID_US
        if now_us - lag_us - point_us < GRID_US // slots and self._lacks(point_us, partitions):
            return 0
        return slot_us - now_us

    def _slots(self) -> int:
        """Give into how many slots the grid is divided."""
        wanted_us = max(self._pause_us, min(self._share * self._work_us, self._longest * self._pause_us))
        return max(1, int(GRID_US / wanted_us))

    def _lag_us(self) -> int:
        """Give how long after a tick was received it can be fetched: the least lately, and a producer's linger.

        The least: what else an age has in it is the time since the last tick, or a busy machine. Clocks of a producer
        and of this worker that disagree are in it too.
        """
        least = min(self._least_ages_us)
        return int(least) + _LINGER_US if math.isfinite(least) else _LINGER_US

    def _lacks(self, point_us: int, partitions: Collection[int]) -> bool:
        newest = (self._newest_us.get(partition, 0) for partition in partitions)
        return any(point_us - GRID_US <= each < point_us for each in newest)


def _next_slot(time_us: int, slots: int) -> int:
    """Give the first slot after a time, of so many that divide the grid."""
    point_us, within_us = time_us // GRID_US * GRID_US, time_us % GRID_US
    return point_us + math.ceil((within_us * slots // GRID_US + 1) * GRID_US / slots)
