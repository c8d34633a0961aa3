"""The money of an account: what it holds, what it is worth, and what it has lost since its best. Pure.

A purse is the money of one quote asset at one venue. What trading has made of it is worked out from our own positions
(`profit`), which no deposit moves; equity is that and what was paid in. Loss is measured on the profit: from its
greatest (drawdown), and from what it was when the UTC day began (daily loss). Records show both as equity, that is
with the deposits, and restore them less the deposits, so that neither a restart nor a deposit changes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from schemas.enums import ContractKind, Mode
from schemas.errors import StateError
from schemas.instruments import assets_of
from schemas.reasons import AccountReason
from schemas.records import Balance, Market, Position
from sinks.executor.account.funding import FundingBook, Settled, is_equal
from sinks.executor.account.money_rules import loss_reason
from sinks.executor.account.positions import marked, profit
from sinks.executor.account.view import AccountLimits, Money, Purse, PurseKey
from sinks.executor.port import Listings, VenueMoney, VenuePositions

__all__ = ["AccountMoney", "purse_of"]

_AMOUNT = 10
"""Units of 1e-18 in one of 1e-17."""
_ONE = 10**18
_BASE = 10**10
"""Units of 1e-18 in one of 1e-8."""
_FUNDING_SHARE = 100
_DAY_US = 86_400_000_000

Positions: TypeAlias = Mapping[Market, Position]


def purse_of(market: Market) -> PurseKey:
    """Give the purse that pays for a market."""
    return market[0], assets_of(market[1])[1]


@dataclass(slots=True)
class _Losses:
    """Of one purse; profits in 1e-18, None not known yet.

    Attributes:
        last: Profit when it was looked at last.
        best: The greatest.
        day: When the day of `ts_day` began.
    """

    last: int | None = None
    best: int | None = None
    day: int | None = None
    ts_day: int | None = None

    def observe(self, made: int, now_us: int) -> None:
        ts_day = now_us - now_us % _DAY_US
        if self.ts_day is None or ts_day > self.ts_day or self.day is None:
            self.ts_day = ts_day
            self.day = made if self.last is None else self.last
        self.best = made if self.best is None else max(self.best, made)
        self.last = made


@dataclass(slots=True)
class _State:
    markets: list[Market]
    deposits: int | None = None
    told: VenueMoney | None = None
    losses: _Losses = field(default_factory=_Losses)
    restored: Balance | None = None
    written: Balance | None = None


class AccountMoney:
    """What the rules and the records say of an account's money.

    Args:
        positions: The desk's own, by market: read here, never written.
        marks: What they are valued at; likewise.
        starting: What a paper account begins with at each venue, by asset, in 1e-18; None: the venue tells.

    Attributes:
        breach: Limit of loss that was passed; it holds until the next day (DAILY_LOSS) or until a person resumes.
    """

    def __init__(
        self,
        mode: Mode,
        account: str,
        listings: Listings,
        limits: AccountLimits,
        positions: Positions,
        marks: Mapping[Market, int],
        starting: Mapping[str, int] | None,
    ) -> None:
        self._mode = mode
        self._account = account
        self._listings = listings
        self._limits = limits
        self._positions = positions
        self._marks = marks
        self._starting = starting
        self._resumed_us = 0
        self.breach: AccountReason | None = None
        self._funding = FundingBook(limits.gross_notional * _AMOUNT // _FUNDING_SHARE)
        self._purses: dict[PurseKey, _State] = {}
        for market in sorted(listings):
            venue, asset = purse_of(market)
            paid_in = None if starting is None else starting.get(asset, 0)
            self._purses.setdefault((venue, asset), _State([], paid_in)).markets.append(market)

    # What is told

    def restore(self, balances: Iterable[Balance]) -> None:
        """Take the last records of the log, after the positions."""
        for balance in balances:
            state = self._purses.get((balance.venue, balance.asset))
            if (balance.mode, balance.account) != (self._mode, self._account) or state is None:
                continue
            state.restored = balance
            paid_in = balance.deposits
            if self._starting is None:
                state.deposits = paid_in
            is_accepted = balance.breach is not None and balance.ts_update <= self._resumed_us
            if paid_in is None or is_accepted:
                continue
            marks = {m: p.mark for m in state.markets if (p := self._positions[m]).mark is not None}
            state.losses = _Losses(
                last=profit(self._of(state), marks),
                best=None if balance.peak_equity is None else balance.peak_equity - paid_in,
                day=None if balance.day_equity is None else balance.day_equity - paid_in,
                ts_day=balance.ts_day,
            )
            self.breach = AccountReason(balance.breach) if balance.breach else self.breach

    def resumed(self, ts_us: int) -> None:
        """Note that a person resumed trading: a loss that held it back is accepted, and measured anew from here."""
        self._resumed_us = max(self._resumed_us, ts_us)
        if self.breach is not None:
            self.breach = None
            for state in self._purses.values():
                state.losses = _Losses()

    def take(self, event: VenueMoney | VenuePositions, now_us: int) -> list[Position]:
        """Take what the venue says, when the fills told before are booked; give the positions whose funding changed."""
        key = self._told_purse()
        state = self._purses[key]
        ours = self._of(state)
        if isinstance(event, VenueMoney):
            state.told = event
            self._funding.take_money(event, ours)
            return []
        settled = self._funding.take_positions(event, ours, state.deposits)
        if settled is not None:
            state.deposits = (state.deposits or 0) + settled.deposited
        accrued = event.accrued_funding if is_equal(event, ours) else None
        return [
            changed
            for position in ours.values()
            if (changed := _funded(position, settled, accrued, now_us)) is not position
        ]

    def observe(self, now_us: int) -> None:
        """Look at what everything is worth now: to be asked whenever a position or a price has changed."""
        before = {key: state.losses.ts_day for key, state in self._purses.items()}
        for state in self._purses.values():
            made = self._profit(state)
            if made is not None:
                state.losses.observe(made, now_us)
        is_new_day = any(state.losses.ts_day != before[key] for key, state in self._purses.items())
        if self.breach is AccountReason.DAILY_LOSS and is_new_day:
            self.breach = None
        reason = loss_reason(self._limits, self.money())
        if self.breach is None and reason in (AccountReason.DRAWDOWN, AccountReason.DAILY_LOSS):
            self.breach = reason

    # What is asked

    def money(self) -> Money:
        """Give what the rules judge by."""
        purses = {key: self._purse(key, state) for key, state in self._purses.items()}
        return Money(
            purses=purses,
            drawdown=_sum(self._loss(state, state.losses.best) for state in self._purses.values()),
            daily_loss=_sum(self._loss(state, state.losses.day) for state in self._purses.values()),
            breach=self.breach,
        )

    def profit(self) -> int | None:
        """Give what trading has made of all purses, in 1e-18."""
        return _sum(self._profit(state) for state in self._purses.values())

    def balances(self, now_us: int) -> list[Balance]:
        """Give the records that differ from those given last."""
        found = []
        for key, state in self._purses.items():
            balance = self._balance(key, state, now_us)
            written = state.written or state.restored
            if balance is not None and (written is None or replace(written, ts_update=now_us) != balance):
                state.written = balance
                found.append(balance)
        return found

    def revalued(self, now_us: int) -> list[Position]:
        """Give the positions whose mark has moved since they were written, valued anew."""
        return [
            marked(position, mark, now_us)
            for market, position in self._positions.items()
            if position.quantity and (mark := self._marks.get(market)) is not None and mark != position.mark
        ]

    def gauges(self) -> dict[str, float]:
        """Give what the account is worth and has lost, in quote currency, as far as known."""
        money = self.money()
        equity = _sum(purse.equity for purse in money.purses.values())
        found = {"equity": equity, "profit": self.profit(), "drawdown": money.drawdown, "daily_loss": money.daily_loss}
        return {f"account.{name}": value / _ONE for name, value in found.items() if value is not None}

    def _told_purse(self) -> PurseKey:
        (key, *others) = self._purses
        if others:
            raise StateError(f"one venue tells its money, and there are {len(others) + 1} purses: quote one venue only")
        return key

    def _of(self, state: _State) -> dict[Market, Position]:
        return {market: self._positions[market] for market in state.markets if market in self._positions}

    def _profit(self, state: _State) -> int | None:
        positions = self._of(state)
        return profit(positions, self._marks) if len(positions) == len(state.markets) else None

    def _loss(self, state: _State, before: int | None) -> int | None:
        made = self._profit(state)
        if made is None:
            return None
        return 0 if before is None else max(0, before - made)

    def _purse(self, key: PurseKey, state: _State) -> Purse:
        venue, asset = key
        if self._starting is None:
            told = state.told
            return Purse(
                equity=told.equity if told else None,
                margin_available=told.margin_available if told else None,
                holdings={asset: told.quantity} if told else {},
            )
        made = self._profit(state)
        equity = None if made is None or state.deposits is None else state.deposits + made
        return Purse(equity=equity, margin_available=None, holdings=self._holdings(venue, self._starting))

    def _holdings(self, venue: str, starting: Mapping[str, int]) -> Mapping[str, int]:
        """Give what a paper account has at a venue: of perpetuals what they have paid, of spot markets both assets."""
        held = Counter(starting)
        for market, position in self._positions.items():
            if market[0] != venue:
                continue
            base, quote = assets_of(market[1])
            if self._listings[market].instrument.contract is ContractKind.SPOT:
                held[base] += position.quantity * _BASE
                held[quote] += _AMOUNT * (position.cash - position.fees)
            else:
                held[quote] += _AMOUNT * (position.realised_pnl - position.fees) + (position.funding or 0)
        return held

    def _balance(self, key: PurseKey, state: _State, now_us: int) -> Balance | None:
        purse, (venue, asset), losses, paid_in = self._purse(key, state), key, state.losses, state.deposits
        told = state.told
        if self._starting is None and told is None:
            return None
        quantity = purse.holdings.get(asset, 0)

        def as_equity(made: int | None) -> int | None:
            return None if made is None or paid_in is None else paid_in + made

        return Balance(
            mode=self._mode,
            account=self._account,
            venue=venue,
            asset=asset,
            quantity=quantity,
            equity=purse.equity,
            margin_used=told.margin_used if told else None,
            margin_available=told.margin_available if told else None,
            deposits=paid_in,
            peak_equity=as_equity(losses.best),
            day_equity=as_equity(losses.day),
            ts_day=losses.ts_day,
            breach=self.breach,
            ts_update=now_us,
        )


def _funded(position: Position, settled: Settled | None, accrued: Mapping[Market, int] | None, now_us: int) -> Position:
    """Give a position with what was paid and what has accrued; the same one where neither is news."""
    if position.funding is None:
        return position
    paid = settled.funding.get(position.market, 0) if settled is not None else 0
    known = position.accrued_funding if accrued is None else accrued.get(position.market, 0)
    if not paid and (known or 0) == (position.accrued_funding or 0):
        return position
    return replace(position, funding=position.funding + paid, accrued_funding=known, ts_update=now_us)


def _sum(amounts: Iterable[int | None]) -> int | None:
    found = list(amounts)
    known = [amount for amount in found if amount is not None]
    return sum(known) if len(known) == len(found) else None
