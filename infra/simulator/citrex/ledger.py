"""The venue's books of account: balances, positions, fees and funding, in exact integers of 1e-18.

Money moves between accounts, the venue's fees and its insurance fund, and is never made or lost:

    deposits = sum(balance - entry value of positions) + fees + insurance

whatever was traded, and the quantities of a product add up to zero. Profit is paid into the balance when a position is
reduced: the part of the entry value that leaves with it is rounded half-even, and what is left keeps the rest. Funding
is worked out when a position changes, rounded down; the insurance fund pays it and keeps the dust.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from infra.simulator.citrex.products import ONE, value_of
from schemas.numbers import divide_half_even

__all__ = ["Holding", "Ledger", "Owner", "Position"]

Owner: TypeAlias = tuple[str, int]
"""Address in small letters, and sub-account."""


@dataclass(slots=True)
class Position:
    """A sub-account's position in a product; negative when short.

    Attributes:
        entry_value: What was paid for what is held; negative when short.
        cash: All that its trades paid in and out, without fees.
        fees, funding: All that was paid (fees) and received (funding) for it.
        funding_index: The product's funding index when it last changed.
    """

    quantity: int = 0
    entry_value: int = 0
    cash: int = 0
    fees: int = 0
    funding: int = 0
    funding_index: int = 0

    def accrued(self, index: int) -> int:
        """Give the funding since the last change, received when positive."""
        return -self.quantity * (index - self.funding_index) // ONE

    def unrealised(self, mark: int) -> int:
        """Give the profit at a mark price, rounded down."""
        return self.quantity * mark // ONE - self.entry_value


@dataclass(slots=True)
class Holding:
    """What a sub-account has."""

    deposits: int = 0
    balance: int = 0
    positions: dict[int, Position] = field(default_factory=lambda: defaultdict(Position))


class Ledger:
    """All sub-accounts, the venue's fees and its insurance fund."""

    def __init__(self) -> None:
        self._holdings: dict[Owner, Holding] = {}
        self._index: dict[int, int] = defaultdict(int)
        self.fees = 0
        self.insurance = 0

    @property
    def holdings(self) -> Mapping[Owner, Holding]:
        """Every sub-account that ever had something."""
        return self._holdings

    def holding(self, owner: Owner) -> Holding:
        """Give what a sub-account has; it exists from the first question on."""
        return self._holdings.setdefault(owner, Holding())

    def position(self, owner: Owner, product_id: int) -> Position:
        """Give a position, empty where there is none."""
        holding = self._holdings.get(owner)
        found = holding.positions.get(product_id) if holding else None
        return found or Position(funding_index=self._index[product_id])

    def index(self, product_id: int) -> int:
        """Give the funding that a long of 1 has paid since the start."""
        return self._index[product_id]

    def deposit(self, owner: Owner, amount: int) -> None:
        """Pay in; a negative amount is paid out."""
        holding = self.holding(owner)
        holding.deposits += amount
        holding.balance += amount

    def trade(self, product_id: int, buyer: Owner, seller: Owner, *, price: int, quantity: int) -> None:
        """Move a quantity at a price from the seller to the buyer."""
        self._move(buyer, product_id, quantity, price)
        self._move(seller, product_id, -quantity, price)

    def charge(self, owner: Owner, product_id: int, fee: int) -> None:
        """Take a fee; a negative one is a rebate."""
        holding = self.holding(owner)
        holding.balance -= fee
        holding.positions[product_id].fees += fee
        self.fees += fee

    def fund(self, product_id: int, payment: int) -> None:
        """Let each long of 1 owe so much to each short of 1, from now on part of what accrues."""
        self._index[product_id] += payment

    def equity(self, owner: Owner, marks: Mapping[int, int]) -> int:
        """Give what a sub-account would have if all were closed at the mark prices."""
        holding = self._holdings.get(owner)
        if holding is None:
            return 0
        open_profit = sum(
            position.unrealised(marks[product_id]) + position.accrued(self._index[product_id])
            for product_id, position in holding.positions.items()
            if position.quantity
        )
        return holding.balance + open_profit

    def _move(self, owner: Owner, product_id: int, change: int, price: int) -> None:
        holding = self.holding(owner)
        position = holding.positions[product_id]
        self._settle_funding(holding, position, product_id)
        position.cash -= value_of(price, change)
        held = position.quantity
        if held * change < 0:
            closed = min(abs(held), abs(change)) * (1 if change > 0 else -1)
            released = divide_half_even(position.entry_value * -closed, held)
            holding.balance += value_of(price, -closed) - released
            position.entry_value -= released
            position.quantity += closed
            change -= closed
        position.entry_value += value_of(price, change)
        position.quantity += change

    def _settle_funding(self, holding: Holding, position: Position, product_id: int) -> None:
        index = self._index[product_id]
        received = position.accrued(index)
        position.funding += received
        position.funding_index = index
        holding.balance += received
        self.insurance -= received
