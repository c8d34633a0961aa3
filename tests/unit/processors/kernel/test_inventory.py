"""Inventory: last positions plus later executions, in whatever order they are read."""

from __future__ import annotations

import pytest

from processors.kernel.inventory import Inventory
from processors.kernel.snapshot import freeze, thaw
from schemas.enums import Mode, OrderStatus, Side
from schemas.records import ExecutionReport
from tests.kernel_steps import MARKET, T0, position, price, size


def fill(quantity: str | None, side: Side = Side.BUY, *, account: str = "demo") -> ExecutionReport:
    return ExecutionReport(
        execution_id="e",
        order_id="o",
        mode=Mode.PAPER,
        account=account,
        venue=MARKET[0],
        symbol=MARKET[1],
        status=OrderStatus.OPEN if quantity is None else OrderStatus.PARTIAL,
        side=side,
        price=price("0.4"),
        size=size("100"),
        filled_size=0,
        last_size=None if quantity is None else size(quantity),
        fee=0,
        ts_event=T0,
        ts_recv=T0,
        cause_topic="market.ticks",
        cause_partition=0,
        cause_first_offset=0,
        cause_offset=0,
    )


@pytest.fixture
def inventory() -> Inventory:
    return Inventory(Mode.PAPER, "demo")


def test_unknown_until_a_position_is_read(inventory: Inventory) -> None:
    """Executions alone do not make a position: what was before them is unknown."""
    inventory.apply_execution(fill("5"), 0)

    assert inventory.position(MARKET) is None


def test_later_executions_are_added(inventory: Inventory) -> None:
    """A fill at or after the position's offset counts, signed by its side."""
    inventory.apply_position(position("10", executions_offset=3))
    inventory.apply_execution(fill("5"), 2)
    inventory.apply_execution(fill("4"), 3)
    inventory.apply_execution(fill("1", Side.SELL), 7)

    assert inventory.position(MARKET) == (size("13"), 8)


def test_report_without_a_fill_moves_the_offset_alone(inventory: Inventory) -> None:
    """An order that opens changes no quantity."""
    inventory.apply_position(position("10", executions_offset=3))
    inventory.apply_execution(fill(None), 3)

    assert inventory.position(MARKET) == (size("10"), 4)


def test_redelivery_changes_nothing(inventory: Inventory) -> None:
    """The same report, or the same or an older position, again."""
    inventory.apply_position(position("10", executions_offset=3))
    for _ in range(2):
        inventory.apply_execution(fill("4"), 3)
        inventory.apply_position(position("10", executions_offset=3))

    assert inventory.position(MARKET) == (size("14"), 4)


def test_executions_read_before_the_position_are_not_lost(inventory: Inventory) -> None:
    """The two topics have no order between them."""
    inventory.apply_execution(fill("1"), 2)
    inventory.apply_execution(fill("2"), 3)
    inventory.apply_execution(fill("2"), 3)
    inventory.apply_execution(fill("4"), 5)
    inventory.apply_position(position("10", executions_offset=3))

    assert inventory.position(MARKET) == (size("16"), 6)


def test_newer_position_replaces(inventory: Inventory) -> None:
    """A position that includes more than was read wins; the executions that it includes are then passed over."""
    inventory.apply_position(position("10", executions_offset=3))
    inventory.apply_position(position("0", executions_offset=9))
    inventory.apply_execution(fill("4"), 8)

    assert inventory.position(MARKET) == (0, 9)


def test_forgotten_fill_leaves_the_position_unknown(inventory: Inventory) -> None:
    """Waiting fills are bounded; a position older than a forgotten one is not believed, a newer one is."""
    for offset in range(1_001):
        inventory.apply_execution(fill("1"), offset)

    inventory.apply_position(position("0", executions_offset=0))
    assert inventory.position(MARKET) is None

    inventory.apply_position(position("0", executions_offset=1))
    assert inventory.position(MARKET) == (size("1000"), 1_001)


def test_other_accounts_and_modes_are_ignored(inventory: Inventory) -> None:
    """A worker quotes for one (mode, account)."""
    inventory.apply_position(position("10", account="other"))
    inventory.apply_position(position("10", mode=Mode.DRY_RUN))
    inventory.apply_execution(fill("4", account="other"), 0)

    assert inventory.position(MARKET) is None


def test_next_offset_is_where_reading_must_go_on(inventory: Inventory) -> None:
    """The least of the known markets' offsets; None while nothing is known."""
    assert inventory.next_offset() is None

    inventory.apply_position(position("10", executions_offset=9))
    inventory.apply_position(position("10", executions_offset=5, symbol="WETH/USDC"))

    assert inventory.next_offset() == 5


def test_state_survives_json(inventory: Inventory) -> None:
    """Known positions and waiting fills come back."""
    inventory.apply_position(position("10", executions_offset=3))
    other = Inventory(Mode.PAPER, "demo")
    inventory.apply_execution(fill("4"), 3)

    other.restore(thaw(freeze(inventory.state())))

    assert other.position(MARKET) == (size("14"), 4)
    assert other.state() == inventory.state()
