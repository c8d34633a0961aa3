"""What the executor's breakers judge by."""

from __future__ import annotations

from schemas.enums import BreakerState
from sinks.executor.control.breakers import BreakerLimits, InventoryBreaker, LatencyBreaker

LIMITS = BreakerLimits(
    latency_us=1_000,
    latency_window_us=10_000_000,
    position_notional=1_000,
    inventory_pct=150,
    rest_us=1_000_000,
    trial_us=2_000_000,
)
OPEN, HALF_OPEN, CLOSED = BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED


def test_more_than_one_late_order_of_a_hundred_opens_latency() -> None:
    """One of a hundred does not, and fewer than twenty orders say nothing."""
    latency = LatencyBreaker(LIMITS)
    for late in range(19):
        latency.observe(5_000, late)
    assert latency.judge(1_000_000) is None

    latency = LatencyBreaker(LIMITS)
    for number in range(99):
        latency.observe(1_000, number)
    latency.observe(1_001, 99)
    assert latency.judge(1_000_000) is None
    latency.observe(1_001, 100)
    assert latency.judge(1_250_000) is not None
    assert latency.is_open


def test_latency_heals_when_late_orders_are_out_of_the_window() -> None:
    """Open, then a trial, then closed."""
    latency = LatencyBreaker(LIMITS)
    for number in range(20):
        latency.observe(9_000, number)
    latency.judge(1_000_000)

    states = []
    for second in range(9, 16):
        latency.judge(second * 1_000_000)
        states.append(latency.breaker.state)

    assert states == [OPEN, OPEN, HALF_OPEN, HALF_OPEN, CLOSED, CLOSED, CLOSED]


def test_inventory_opens_past_the_factor_and_flattens_to_the_limit() -> None:
    """1,500 of a limit of 1,000 is let pass; what is over stays over until it is within the limit itself."""
    inventory = InventoryBreaker(LIMITS)

    assert inventory.judge(15, 100, 0) is None
    assert inventory.judge(-16, 100, 1) is not None
    assert (inventory.is_open, inventory.is_flattening, inventory.target(100)) == (True, True, 10)
    inventory.judge(-11, 100, 3_000_000)
    assert inventory.is_flattening
    assert inventory.over_us(3_000_000) == 2_999_999
    inventory.judge(-10, 100, 3_000_001)
    assert (inventory.is_open, inventory.is_flattening, inventory.over_us(3_000_001)) == (True, False, 0)
    inventory.judge(-10, 100, 4_000_000)
    assert inventory.breaker.state is HALF_OPEN


def test_inventory_opens_again_during_the_trial_past_the_factor_only() -> None:
    """Within it the trial goes on."""
    inventory = InventoryBreaker(LIMITS)
    inventory.judge(16, 100, 0)
    inventory.judge(10, 100, 1_000_000)

    assert inventory.judge(12, 100, 1_500_000) is None
    assert inventory.breaker.state is HALF_OPEN
    inventory.judge(16, 100, 1_600_000)
    assert inventory.is_flattening
