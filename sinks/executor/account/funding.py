"""What a perpetuals venue paid for positions, and what was paid in, told apart by the balance. Pure.

A venue keeps funding with a position and pays it into the balance when the position changes. It tells what has accrued,
and the balance, but not what it paid. So a fill books what had accrued when that was last told (`apply_fill`), and the
balance then says what is missing. With all amounts of 1e-18,

    balance = deposits + sum(10 * (cash - fees) + funding + entry value)

over the markets, because profit enters a balance as cash plus what is left of the entry value, however the venue rounds
it. What is left over between two readings was paid in or out where nothing was traded in between, and where it is more
than any funding could be; else it is funding that accrued between the reading and the fill, of the market that was
traded most often.

The sum over the markets is the venue's to the unit. So is each market's part, unless the rate moved between a reading
and a fill while another market was traded too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.records import Market, Position
from sinks.executor.port import VenueMoney, VenuePositions

__all__ = ["FundingBook", "Settled", "explained", "is_equal"]

_AMOUNT = 10
"""Units of 1e-18 in one of 1e-17."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a reading says was paid and not booked yet: funding by market, and deposits less withdrawals."""

    funding: Mapping[Market, int] = field(default_factory=dict)
    deposited: int = 0


@dataclass(frozen=True, slots=True)
class _Reading:
    positions: VenuePositions
    balance: int
    fills: Mapping[Market, int]


def explained(positions: Mapping[Market, Position], entry_values: Mapping[Market, int]) -> int:
    """Give the part of a venue's balance that our trades, fees and funding make, in 1e-18."""
    ours = sum(_AMOUNT * (position.cash - position.fees) + (position.funding or 0) for position in positions.values())
    return ours + sum(entry_values.values())


class FundingBook:
    """Compares readings of an account. One counts when the next one finds nothing traded since.

    Args:
        most: More than this is no funding, in 1e-18.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._stated: VenuePositions | None = None
        self._candidate: _Reading | None = None
        # Fills of each market when the balance was last accounted for. A start does not know what came before it.
        self._fills: Mapping[Market, int] = {}

    def take_money(self, money: VenueMoney, ours: Mapping[Market, Position]) -> None:
        """Take a balance; it is of the round that told the last positions."""
        stated, self._candidate = self._stated, None
        if stated is not None and is_equal(stated, ours):
            self._candidate = _Reading(stated, money.quantity, _fills_of(ours))

    def take_positions(
        self, stated: VenuePositions, ours: Mapping[Market, Position], deposits: int | None
    ) -> Settled | None:
        """Take positions; give what the balance before them says, where nothing was traded between it and them.

        Args:
            deposits: Known so far; None: what this balance holds beside our trades was paid in.
        """
        reading, self._candidate, self._stated = self._candidate, None, stated
        is_quiet = (
            reading is not None
            and reading.fills == _fills_of(ours)
            and is_equal(stated, ours)
            and reading.positions.entry_values == stated.entry_values
        )
        if reading is None or not is_quiet:
            return None
        fills, self._fills = self._fills, reading.fills
        rest = reading.balance - explained(ours, stated.entry_values) - (deposits or 0)
        traded = {market: count - fills.get(market, 0) for market, count in reading.fills.items()}
        most_traded = max(sorted(traded), key=traded.__getitem__, default=None)
        is_deposit = deposits is None or abs(rest) > self._most
        if is_deposit or most_traded is None or not traded[most_traded]:
            return Settled(deposited=rest)
        return Settled({most_traded: rest} if rest else {})


def is_equal(stated: VenuePositions, ours: Mapping[Market, Position]) -> bool:
    """Tell whether a venue holds what we do."""
    return all(stated.quantities.get(market, 0) == position.quantity for market, position in ours.items())


def _fills_of(ours: Mapping[Market, Position]) -> Mapping[Market, int]:
    return {market: position.fill_count for market, position in ours.items()}
