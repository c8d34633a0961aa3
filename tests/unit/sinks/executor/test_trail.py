"""Where a partition has been: its clock at an offset."""

from __future__ import annotations

import numpy as np

from sinks.executor.lapse import Lapse
from sinks.executor.trail import Trail


def test_the_clock_at_an_offset_is_the_greatest_time_so_far() -> None:
    """Also at records between, whose time was not the greatest, and in holes."""
    trail = Trail()
    for offset, ts_recv in ((3, 100), (4, 90), (6, 120)):
        assert trail.advance(offset, ts_recv)

    assert [trail.at(offset) for offset in (3, 4, 5, 6)] == [100, 100, 100, 120]
    assert (trail.clock_us, trail.offset) == (120, 6)


def test_what_is_not_known_is_none() -> None:
    """Before the first record, after the last one, and what is too long ago."""
    trail = Trail()
    assert trail.at(0) is None
    for offset in range(10_000):
        trail.advance(offset, 1_000 + offset)

    assert trail.at(10_000) is None
    assert trail.at(0) is None
    assert trail.at(9_000) == 10_000


def test_many_are_passed_over_as_one_after_another() -> None:
    """Also where the first of them are behind the clock."""
    single, many = Trail(), Trail()
    for offset, ts_recv in ((3, 100), (4, 90), (6, 120), (7, 120), (9, 130)):
        single.advance(offset, ts_recv)
    many.advance(3, 100)
    many.pass_over(Lapse(np.array([4, 6, 7, 9]), np.array([100, 120, 120, 130])))

    assert (many.clock_us, many.offset) == (single.clock_us, single.offset) == (130, 9)
    assert [many.at(offset) for offset in range(12)] == [single.at(offset) for offset in range(12)]


def test_a_record_that_was_passed_changes_nothing() -> None:
    """It is delivered again."""
    trail = Trail()
    trail.advance(3, 100)

    assert not trail.advance(3, 200)
    assert not trail.advance(2, 200)
    assert trail.clock_us == 100
