"""A constant-product pool in the chain's micro-denominations, all integers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Pool", "Swap"]

_BASIS_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Swap:
    """A swap's amounts in micro-denominations: the trader gives `offer_amount` and receives `return_amount`."""

    offer_denom: str
    ask_denom: str
    offer_amount: int
    return_amount: int
    spread_amount: int
    commission_amount: int


class Pool:
    """Reserves of two denominations with x * y = k; the fee stays in the pool, so k never falls."""

    def __init__(self, base_denom: str, quote_denom: str, base: int, quote: int, *, fee_bp: int = 30) -> None:
        self.base_denom = base_denom
        self.quote_denom = quote_denom
        self.reserves = {base_denom: base, quote_denom: quote}
        self.fee_bp = fee_bp

    @property
    def price(self) -> float:
        """The marginal price, quote per base, before the fee."""
        return self.reserves[self.quote_denom] / self.reserves[self.base_denom]

    def swap(self, offer_denom: str, offer_amount: int) -> Swap | None:
        """Swap an amount, or give None where it is too small to return anything.

        Rounds in the pool's favour, as the contracts of constant-product pools do: the gross amount is
        y * a / (x + a) rounded down, the commission its share rounded up.
        """
        ask_denom = self.quote_denom if offer_denom == self.base_denom else self.base_denom
        offered, asked = self.reserves[offer_denom], self.reserves[ask_denom]
        gross = asked * offer_amount // (offered + offer_amount)
        commission = -(-gross * self.fee_bp // _BASIS_POINTS)
        returned = gross - commission
        if returned <= 0:
            return None
        self.reserves[offer_denom] = offered + offer_amount
        self.reserves[ask_denom] = asked - returned
        spread = max(0, offer_amount * asked // offered - gross)
        return Swap(offer_denom, ask_denom, offer_amount, returned, spread, commission)
