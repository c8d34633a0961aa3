"""Nonces: unique within a grid step, functions of nothing but the grid point and the slot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.clock import GRID_US
from schemas.enums import Side
from schemas.errors import ConfigurationError
from sinks.executor.identity import ATTEMPTS, LEVELS, MARKETS, Slot, nonce_of, slot_of

SLOTS = st.builds(
    Slot,
    st.integers(0, MARKETS - 1),
    st.sampled_from([Side.BUY, Side.SELL]),
    st.integers(0, LEVELS - 1),
    st.integers(0, ATTEMPTS - 1),
)
GRID_POINTS = st.integers(0, 1 << 40).map(lambda n: n * GRID_US)


@given(GRID_POINTS, SLOTS)
def test_a_nonce_tells_its_grid_point_and_slot(ts_grid: int, slot: Slot) -> None:
    """So no two orders share one, also of neighbouring grid points."""
    assert slot_of(nonce_of(ts_grid, slot)) == (ts_grid, slot)


def test_slots_are_fewer_than_the_microseconds_of_a_step() -> None:
    """The last slot of a step comes before the next step."""
    assert nonce_of(0, Slot(MARKETS - 1, Side.SELL, LEVELS - 1, ATTEMPTS - 1)) < GRID_US


@pytest.mark.parametrize(
    "slot", [Slot(MARKETS, Side.BUY, 0), Slot(0, Side.BUY, LEVELS), Slot(0, Side.BUY, 0, ATTEMPTS)]
)
def test_more_than_fits_is_refused(slot: Slot) -> None:
    """Rather than giving two orders one name."""
    with pytest.raises(ConfigurationError):
        nonce_of(0, slot)


@pytest.mark.parametrize(("ts_grid", "side"), [(1, Side.BUY), (0, Side.NONE)])
def test_what_is_no_order_has_no_nonce(ts_grid: int, side: Side) -> None:
    """Off the grid, or of no side."""
    with pytest.raises(ValueError, match=r"grid|tuple"):
        nonce_of(ts_grid, Slot(0, side, 0))
