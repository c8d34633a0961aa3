"""Fetches have slots: one right behind each grid point, and no more of them than the worker has time for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from infra.runtime.kafka import LINGER_MS
from processors.microbatch.pace import FetchPace
from schemas.clock import GRID_US

MS = 1_000
NODE = 1
POINT = 9_000_000 * GRID_US
AGE = 2 * MS
LAG = AGE + LINGER_MS * MS


def pace(*, work_us: int = 0, is_at_grid: bool = True, pause_us: int = 5 * MS) -> FetchPace:
    """A pace of a worker that has been answered for long; its stages took so long for each answer."""
    pace = FetchPace(pause_us, is_at_grid=is_at_grid)
    for answer in range(100):
        pace.answered(NODE, POINT - GRID_US, answer * work_us)
        pace.heard(0, POINT - GRID_US, POINT - GRID_US + AGE)
    pace.heard(0, POINT - 1, POINT - 1 + AGE)
    return pace


def fetches(pace: FetchPace, answered_us: int, until_us: int) -> list[int]:
    """Give when partition 0 is fetched, each fetch being answered at once, with ticks of its lag before."""
    found = []
    now_us = answered_us
    while now_us < until_us:
        pace.answered(NODE, now_us, 0)
        while (rest_us := pace.rest_us(NODE, now_us, [0])) > 0:
            now_us += rest_us
        found.append(now_us)
        pace.heard(0, now_us - LAG, now_us)
    return found


def test_the_first_fetch_from_a_broker_waits_for_nothing() -> None:
    """Nothing was asked of it yet."""
    assert FetchPace(5 * MS, is_at_grid=True).rest_us(NODE, POINT, [0]) == 0


def test_no_pause_is_no_pace() -> None:
    """Whoever sets it to 0 wants every record at once."""
    assert pace(pause_us=0).rest_us(NODE, POINT - GRID_US + 1, [0]) == 0


def test_a_slot_comes_when_what_was_received_after_a_grid_point_can_be_fetched() -> None:
    """The least age of a fetched tick lately, and what a producer gathers: decisions wait for no slot but that."""
    found = fetches(pace(work_us=10 * MS), POINT + LAG, POINT + 3 * GRID_US)

    assert {POINT + LAG + GRID_US, POINT + LAG + 2 * GRID_US} <= set(found)


def test_slots_divide_the_grid_and_are_as_far_apart_as_the_work_asks() -> None:
    """A worker at ease takes the least; one whose answers take long, eight times that; the rest lies between."""
    apart = {}
    for work_us in (0, 2 * MS, 10 * MS):
        found = fetches(pace(work_us=work_us), POINT + LAG, POINT + LAG + GRID_US - MS)
        apart[work_us] = len(found)

    # 5, 16.7 (work of 2 ms times 8, as divides 200) and 40 ms; the work of each answer here is none, but smoothed.
    assert apart[0] == 40
    assert apart[10 * MS] < apart[2 * MS] < apart[0]


def test_what_is_made_of_every_tick_waits_half_as_long_at_most() -> None:
    """A worker without stages at the grid has nothing that would not wait for a slot."""
    busy = pace(work_us=500 * MS, is_at_grid=False)
    busy.answered(NODE, POINT + LAG, 99 * 500 * MS)

    assert busy.rest_us(NODE, POINT + LAG + 5 * MS, []) == 15 * MS


def test_a_partition_that_is_late_is_fetched_again_and_again_until_the_next_slot() -> None:
    """Else its decision would be late by a whole slot; one that was silent before is not waited for."""
    busy = pace(work_us=10 * MS)
    busy.answered(NODE, POINT + LAG, 99 * 10 * MS)
    late, soon = POINT + LAG + 5 * MS, POINT + LAG + 40 * MS

    assert busy.rest_us(NODE, late, [0]) == 0
    assert busy.rest_us(NODE, late, [7]) > 0
    busy.heard(0, POINT, late)
    assert busy.rest_us(NODE, late, [0]) == soon - late


def test_a_silent_partition_is_waited_for_once() -> None:
    """What had nothing between two grid points may have nothing for long."""
    busy = pace(work_us=10 * MS)
    busy.answered(NODE, POINT + GRID_US + LAG, 99 * 10 * MS)

    assert busy.rest_us(NODE, POINT + GRID_US + LAG + 5 * MS, [0]) == 35 * MS


def test_clocks_that_disagree_shift_the_slots() -> None:
    """A producer whose clock is ahead has ticks from the future: its grid points come early."""
    ahead = FetchPace(40 * MS, is_at_grid=True)
    ahead.heard(0, POINT + 30 * MS, POINT)
    ahead.answered(NODE, POINT, 0)

    # 25 ms before each grid point of ours: the last, and then every 40 ms.
    assert ahead.rest_us(NODE, POINT, []) == 15 * MS


def test_an_age_is_forgotten_after_a_while() -> None:
    """A clock that was corrected, or a producer that moved farther away."""
    moved = FetchPace(40 * MS, is_at_grid=True)
    moved.heard(0, POINT, POINT + 1 * MS)
    for second in range(3, 20):
        moved.heard(0, POINT + second * 1_000 * MS, POINT + second * 1_000 * MS + 21 * MS)
    now_us = POINT + 20_000 * MS
    moved.answered(NODE, now_us, 0)

    assert moved.rest_us(NODE, now_us, []) == 26 * MS


def test_a_clock_that_is_set_back_holds_no_fetch() -> None:
    """Nor does the work count that such a clock shows."""
    busy = pace()
    busy.answered(NODE, POINT + 3_600_000 * MS, -3_600_000 * MS)

    assert busy.rest_us(NODE, POINT, [0]) == 0
    assert fetches(busy, POINT + LAG, POINT + LAG + GRID_US - MS)[0] == POINT + LAG + 5 * MS


@given(
    st.integers(0, 50 * MS),
    st.integers(-GRID_US, GRID_US),
    st.integers(0, 10 * GRID_US),
    st.integers(0, 10 * GRID_US),
    st.booleans(),
)
def test_no_rest_is_longer_than_the_longest_and_none_ends_before_a_pause_but_at_a_slot(
    work_us: int, age_us: int, answered_us: int, later_us: int, is_at_grid: bool
) -> None:
    """Whatever the clocks and the work: a fetch is never put off for long, and asking again ends."""
    any_pace = FetchPace(5 * MS, is_at_grid=is_at_grid)
    for answer in range(20):
        any_pace.answered(NODE, POINT + answered_us, answer * work_us)
    any_pace.heard(0, POINT, POINT + age_us)
    now_us = POINT + answered_us + later_us
    rests = []
    while (rest_us := any_pace.rest_us(NODE, now_us, [0])) > 0:
        rests.append(rest_us)
        now_us += rest_us

    assert len(rests) <= 2
    assert sum(rests) <= (40 if is_at_grid else 20) * MS
