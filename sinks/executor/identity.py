"""The name that an order has at the venue before it is sent: its nonce.

A nonce is a pure function of what the order is for, so whoever decides the same order again gives it the same nonce,
and the venue or the journal knows it. It reads as a time in microseconds, as venues want it: the grid point of its
decision plus the number of its slot, and slots are fewer than the microseconds of a grid step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.clock import GRID_US
from schemas.enums import Side
from schemas.errors import ConfigurationError

__all__ = ["ATTEMPTS", "FLATTEN_LEVEL", "LEVELS", "MARKETS", "Slot", "nonce_of", "slot_of"]

MARKETS, LEVELS, ATTEMPTS = 256, 16, 16
FLATTEN_LEVEL: Final = LEVELS - 1
"""The place of orders that close a position: no quote has it."""
_SIDES = (Side.BUY, Side.SELL)


@dataclass(frozen=True, slots=True)
class Slot:
    """What an order is for within a grid step.

    Attributes:
        market: Number of the market among those that the account may trade.
        level: Place in the ladder of quotes, best first.
        attempt: 0, and one more each time that the same place is filled again by the same decision.
    """

    market: int
    side: Side
    level: int
    attempt: int = 0


def nonce_of(ts_grid: int, slot: Slot) -> int:
    """Give the nonce of an order.

    Raises:
        ConfigurationError: more markets, levels or attempts than a grid step has room for.
        ValueError: `ts_grid` is not on the grid, or the side is none.
    """
    if ts_grid % GRID_US:
        raise ValueError(f"{ts_grid} is not on the grid of {GRID_US} us")
    for name, value, limit in (
        ("market", slot.market, MARKETS),
        ("level", slot.level, LEVELS),
        ("attempt", slot.attempt, ATTEMPTS),
    ):
        if not 0 <= value < limit:
            problem = f"order slot has {name} {value}, but a grid step has room for {limit}"
            raise ConfigurationError(f"order {name}s", problem, "Quote fewer markets or levels with one account")
    number = ((slot.market * len(_SIDES) + _SIDES.index(slot.side)) * LEVELS + slot.level) * ATTEMPTS + slot.attempt
    return ts_grid + number


def slot_of(nonce: int) -> tuple[int, Slot]:
    """Give the grid point and the slot that a nonce was made of."""
    rest = nonce % GRID_US
    ts_grid = nonce - rest
    rest, attempt = divmod(rest, ATTEMPTS)
    rest, level = divmod(rest, LEVELS)
    market, side = divmod(rest, len(_SIDES))
    return ts_grid, Slot(market, _SIDES[side], level, attempt)
