"""Targets: which decision of a market holds, and how its live orders become what that one asks for. Pure.

A live order keeps its place in the queue as long as it does what a target asks for: near enough in price, open for
enough of the size and never for more, and young enough. Everything else is cancelled, and what is then missing placed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique

from schemas.clock import GRID_US
from schemas.enums import Side, Verdict
from schemas.errors import ConfigurationError
from schemas.records import QuoteDecision, QuoteLevel
from sinks.executor.orders import Order

__all__ = ["Change", "Ignored", "Target", "Tolerance", "changes", "refusal", "targets_of"]

_BPS = 10_000
_PERCENT = 100


@unique
class Ignored(StrEnum):
    """Why a decision changed nothing; counted as `ignored_<name>`."""

    FOREIGN = "foreign"
    """Of another mode or account."""
    UNLISTED = "unlisted"
    """Of a market without an instrument, without a book, or not among the quoted venues."""
    OLD_EPOCH = "old_epoch"
    """Of a worker that has been replaced."""
    OLD_GRID = "old_grid"
    """Not after the one that holds: older, or delivered again."""
    STALE = "stale"
    """Too far behind the market's clock to act on."""
    LATE = "late"
    """Its orders would have been at the paper venue before a tick that has been applied there."""
    OFF_GRID = "off_grid"
    """Not of a grid point: its orders could not be named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far a live order may be from its target and stay.

    Attributes:
        price_bps: Between its price and the target's, in parts of the latter.
        open_pct: Part of the target's size that must still be open.
        max_age_us: From its grid point; older ones are replaced, so that none expires while it is wanted.

    Raises:
        ConfigurationError: a share is outside of what it can be.
    """

    price_bps: int = 1
    open_pct: int = 50
    max_age_us: int = 45_000_000

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if not 0 <= self.price_bps < _BPS:
            raise ConfigurationError("FLASHMM_REFRESH_BPS", f"was {self.price_bps}", f"Give 0 to {_BPS - 1}")
        if not 0 < self.open_pct <= _PERCENT:
            raise ConfigurationError("FLASHMM_REFRESH_OPEN_PCT", f"was {self.open_pct}", "Give 1 to 100")

    def keeps(self, order: Order, target: Target, age_us: int) -> bool:
        """Tell whether an order does what a target asks for."""
        level = target.level
        return (
            order.side is target.side
            and not order.is_reduce_only
            and abs(order.price - level.price) * _BPS <= self.price_bps * level.price
            and self.open_pct * level.size <= _PERCENT * order.open_size <= _PERCENT * level.size
            and age_us < self.max_age_us
        )


@dataclass(frozen=True, slots=True)
class Target:
    """One order that a decision asks for; `number` tells the levels of a side apart."""

    side: Side
    number: int
    level: QuoteLevel


@dataclass(frozen=True, slots=True)
class Change:
    """What makes live orders into targets; cancels go first."""

    cancels: tuple[Order, ...]
    places: tuple[Target, ...]


def targets_of(decision: QuoteDecision) -> Iterable[Target]:
    """Give the orders that a decision asks for: none where its verdict is not QUOTE."""
    if decision.verdict is not Verdict.QUOTE:
        return
    for side, levels in ((Side.BUY, decision.bids), (Side.SELL, decision.asks)):
        for number, level in enumerate(levels):
            yield Target(side, number, level)


def refusal(
    decision: QuoteDecision, held: QuoteDecision | None, *, clock_us: int, stale_us: int, is_mine: bool, is_listed: bool
) -> Ignored | None:
    """Say why a decision changes nothing; None where it is the newest of its market and may be acted on.

    One that asks for nothing is acted on however late it is: cancels always pass.

    Args:
        held: The newest one before.
        clock_us: The clock of the market's partition.
    """
    if not is_mine:
        return Ignored.FOREIGN
    if not is_listed:
        return Ignored.UNLISTED
    if decision.ts_grid % GRID_US:
        return Ignored.OFF_GRID
    if held is not None:
        if decision.epoch < held.epoch:
            return Ignored.OLD_EPOCH
        if (decision.ts_grid, decision.sequence) <= (held.ts_grid, held.sequence):
            return Ignored.OLD_GRID
    if decision.verdict is Verdict.QUOTE and decision.ts_grid + stale_us < clock_us:
        return Ignored.STALE
    return None


def changes(working: Sequence[Order], decision: QuoteDecision, tolerance: Tolerance, expiry_us: int) -> Change:
    """Compare live orders with what a decision asks for.

    As many targets as can be are done by live orders, each preferably by the one nearest to it in price, of several the
    one that was placed first. So what was placed for a decision never moves for the same one.

    Args:
        working: Live orders that are not being cancelled.
        expiry_us: From an order's grid point to its end.
    """
    targets = list(targets_of(decision))
    fits = []
    for target in targets:
        price = target.level.price
        ages = ((order, decision.ts_grid - (order.ts_expire - expiry_us)) for order in working)
        kept = [order for order, age_us in ages if tolerance.keeps(order, target, age_us)]
        fits.append(sorted(kept, key=lambda order: (abs(order.price - price), order.nonce)))
    taken: dict[int, int] = {}
    for number in range(len(targets)):
        _take(number, fits, taken, set())
    done = set(taken.values())
    return Change(
        tuple(order for order in working if order.nonce not in taken),
        tuple(target for number, target in enumerate(targets) if number not in done),
    )


def _take(number: int, fits: Sequence[Sequence[Order]], taken: dict[int, int], tried: set[int]) -> bool:
    """Give a target an order, moving others to other ones of theirs where it must be (augmenting paths)."""
    for order in fits[number]:
        if order.nonce in tried:
            continue
        tried.add(order.nonce)
        if order.nonce not in taken or _take(taken[order.nonce], fits, taken, tried):
            taken[order.nonce] = number
            return True
    return False
