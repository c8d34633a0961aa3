"""The clock of a partition, over many records at once."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.clock import MAX_AHEAD_US, PartitionClock

FAR = MAX_AHEAD_US + 1


@pytest.mark.parametrize(
    ("now_us", "times", "clocks"),
    [
        (None, [], []),
        (None, [500, 400, 600], [500, 500, 600]),
        (700, [500, 800, 750], [700, 800, 800]),
        (700, [710, 710 + FAR, 720], [710]),
        (700, [710, 700 + FAR, 720], [710, 700 + FAR, 700 + FAR]),
        (700, [700 + FAR], []),
        (None, [500, 500 + FAR], [500]),
    ],
)
def test_plain_records_pass_at_once(now_us: int | None, times: list[int], clocks: list[int]) -> None:
    """As far as none is further ahead of those before it than plausible."""
    clock = PartitionClock()
    clock.now_us = now_us

    assert clock.passing(np.array(times, np.int64)).tolist() == clocks
    one_by_one = []
    for ts_recv in times:
        if not clock.is_plain(ts_recv):
            break
        clock.advance(ts_recv)
        one_by_one.append(clock.now_us)
    assert one_by_one == clocks
