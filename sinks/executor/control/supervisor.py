"""Holds a desk back as the ladder and the breakers say, and closes positions where they say so. Pure.

`turn` is asked again and again: what it gives is to be journalled and sent before it is asked on. Nothing that happened
in between can slip by: each time the restraint is made anew from the rung, the breakers and the positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from schemas.breakers import Transition
from schemas.clock import GRID_US
from schemas.enums import (
    BreakerKind,
    BreakerState,
    ControlAction,
    ControlLevel,
    Severity,
    TimeInForce,
    TradingState,
)
from schemas.reasons import AccountReason, FlattenReason, OrderReason
from schemas.records import Cause, Command, Market, Tick
from sinks.executor.control.breakers import BreakerLimits, InventoryBreaker, LatencyBreaker
from sinks.executor.control.flatten import DisplayedBooks, FlattenLimits, Slice, slice_of
from sinks.executor.control.ladder import Ladder, state_of
from sinks.executor.control.restraint import PERCENT, Restraint, strictest
from sinks.executor.desk import Desk
from sinks.executor.identity import FLATTEN_LEVEL
from sinks.executor.intents import Why
from sinks.executor.notice import Notice
from sinks.executor.orders import Order
from sinks.executor.port import Orders, Request

__all__ = ["Supervisor"]

_BLOCKED_US = 2_000_000


@dataclass(slots=True)
class _Blocked:
    reason: FlattenReason | AccountReason
    since_us: int
    is_told: bool = False


class Supervisor:
    """The ladder, the breakers and the flattening of one desk.

    Args:
        executions: Name of the topic of executions: what INVENTORY judges by.
        widen_pct: Distance of quotes from the fair price at the rung WIDEN and while LATENCY is open, in percent.
        escalate_us: A position past its limit for so long with its breaker open halts the account by a command.

    Attributes:
        notices: What happened since somebody last took it away.
        commands: What is to be written to `control.commands`, so that it holds over restarts.
    """

    def __init__(
        self,
        desk: Desk,
        flatten: FlattenLimits,
        breakers: BreakerLimits,
        *,
        executions: str = "trading.executions",
        widen_pct: int = 200,
        escalate_us: int = 60_000_000,
    ) -> None:
        self.ladder = Ladder(desk.mode, desk.account)
        self.latency = LatencyBreaker(breakers)
        self.notices: list[Notice] = []
        self.commands: list[Command] = []
        self._desk = desk
        self._executions = executions
        self._flatten = flatten
        self._widen_pct = widen_pct
        self._escalate_us = escalate_us
        self._books = DisplayedBooks(desk.listings)
        self._inventory = {market: InventoryBreaker(breakers) for market in desk.listings}
        self._sliced_us: dict[Market, int] = {}
        self._blocked: dict[Market, _Blocked] = {}
        self._escalated: set[Market] = set()
        self._flattening: frozenset[Market] = frozenset()
        self._is_deaf = False
        self._loss: AccountReason | None = None

    def on_command(self, command: Command, cause: Cause) -> None:
        """Take the next command of the log: nothing new is sent against it from here on; `turn` gives the cancels."""
        is_mine = (command.mode, command.account) == (self._desk.mode, self._desk.account)
        if is_mine and command.action is ControlAction.RESUME and self._desk.money is not None:
            self._desk.money.resumed(command.ts_command)
        if self.ladder.take(command, cause):
            self._desk.restraint = self._restraint()
            self._tell_rung(command.issued_by, command.reason)

    def on_unreadable_command(self, cause: Cause, why: str, now_us: int) -> None:
        """Take bytes of the account's commands that are none."""
        if self.ladder.take_unreadable(cause, why, now_us):
            self._desk.restraint = self._restraint()
            self._tell_rung("executor", why)

    def hear(self, *, is_heard: bool) -> None:
        """Note whether a command that was given would be known: while not, everything is cancelled."""
        if self._is_deaf is not is_heard:
            return
        self._is_deaf = not is_heard
        if is_heard:
            self._tell(Severity.INFO, "COMMANDS_HEARD", "commands can be read again")
        else:
            self._tell(Severity.CRITICAL, "COMMANDS_UNHEARD", "a halt would not be known of: nothing rests until then")

    def started(self) -> None:
        """Take what was read so far as the past: of it only the rung in force is told."""
        self.notices.clear()
        rung = self.ladder.rung
        if rung is not None:
            self._tell_rung(rung.issued_by, rung.reason)

    def on_tick(self, tick: Tick) -> None:
        """Take the next record of `market.ticks`."""
        self._books.take(tick)

    def observe_latency(self, latency_us: int, now_us: int) -> None:
        """Take the time from a tick to the order made for it."""
        self.latency.observe(latency_us, now_us)

    @property
    def is_silent(self) -> bool:
        """Whether the venue is not spoken to any more: DISCONNECT, and nothing of ours can be left there."""
        return self.ladder.level is ControlLevel.DISCONNECT and self._desk.blotter.live_count == 0

    def turn(self, now_us: int) -> Iterator[Orders]:
        """Give what the ladder and the breakers ask of the venue now."""
        self._judge(now_us)
        desk, restraint = self._desk, self._restraint()
        self._tell_flattening(restraint.flattening)
        cancels = desk.restrain(restraint, lambda market: self._why(market, OrderReason.TRADING_HALTED, now_us), now_us)
        if cancels is not None:
            yield cancels
        for market in sorted(restraint.flattening):
            orders = self._close(market, now_us)
            if orders is not None:
                yield orders

    def gauges(self) -> dict[str, float]:
        """Give the rung (0 none, 1 WIDEN ... 5 DISCONNECT), how many breakers are open, and markets being closed."""
        levels = [None, *ControlLevel]
        return {
            "ladder.rung": float(levels.index(self.ladder.level)),
            "breakers.latency": float(self.latency.is_open),
            "breakers.inventory": float(sum(one.is_open for one in self._inventory.values())),
            "flattening": float(len(self._desk.restraint.flattening)),
        }

    def _restraint(self) -> Restraint:
        level = self.ladder.level
        flattening: set[Market] = set()
        if self._is_deaf:
            return Restraint(state=TradingState.HALTED)
        if level is ControlLevel.FLATTEN:
            flattening = {market for market in self._desk.listings if self._is_held(market)}
        elif state_of(level) is not TradingState.HALTED:
            flattening = {market for market, one in self._inventory.items() if one.is_flattening}
        is_wide = level is ControlLevel.WIDEN or self.latency.is_open
        return Restraint(
            state=strictest(state_of(level), TradingState.REDUCING if self._desk.loss() else TradingState.ACTIVE),
            markets={market: TradingState.REDUCING for market, one in self._inventory.items() if one.is_open},
            flattening=frozenset(flattening),
            widen_pct=self._widen_pct if is_wide else PERCENT,
        )

    def _is_held(self, market: Market) -> bool:
        position = self._desk.positions.get(market)
        return position is None or position.quantity != 0

    def _why(self, market: Market, reason: OrderReason, now_us: int) -> Why:
        """Name the command in force, else the breaker with the execution that made the position what it is."""
        rung = self.ladder.rung
        if rung is not None:
            return Why(rung.command_id, rung.cause, now_us, reason=reason)
        position = self._desk.positions.get(market)
        offset = max(position.executions_offset - 1, 0) if position is not None else 0
        cause = Cause(self._executions, self._desk.listings[market].partition, offset, offset)
        loss = self._desk.loss()
        if loss is not None:
            return Why(f"limit:{loss}", cause, now_us, reason=reason)
        open_ones = [BreakerKind.INVENTORY] if self._inventory[market].is_open else [BreakerKind.LATENCY]
        return Why(f"breaker:{open_ones[0]}", cause, now_us, reason=reason)

    # Breakers

    def _judge(self, now_us: int) -> None:
        self._judge_loss()
        transition = self.latency.judge(now_us)
        if transition is not None:
            self._tell_breaker(transition)
        for market, inventory in self._inventory.items():
            position, mark = self._desk.positions.get(market), self._desk.mark(market)
            if position is None or mark is None:
                continue  # what is not known is not judged: the rules deny whatever rests on it
            transition = inventory.judge(position.quantity, mark, now_us)
            if transition is not None:
                self._tell_breaker(transition, market)
                self._escalated.discard(market)
            is_long = inventory.over_us(now_us) >= self._escalate_us
            if is_long and state_of(self.ladder.level) is TradingState.ACTIVE and market not in self._escalated:
                self._escalated.add(market)
                self._halt(f"{market[0]} {market[1]} is past its limit and could not be closed", now_us)

    def _judge_loss(self) -> None:
        loss = self._desk.loss()
        if loss is not self._loss:
            before, self._loss = self._loss, loss
            if loss in (AccountReason.DRAWDOWN, AccountReason.DAILY_LOSS):
                self._tell(Severity.CRITICAL, "LOSS_LIMIT", f"{loss}: only what makes a position smaller is sent")
            elif before in (AccountReason.DRAWDOWN, AccountReason.DAILY_LOSS):
                self._tell(Severity.WARNING, "LOSS_LIMIT_ENDED", f"{before} does not hold trading back any more")

    def _halt(self, reason: str, now_us: int) -> None:
        command = Command(
            command_id=f"{self._desk.mode}|{self._desk.account}|{BreakerKind.INVENTORY}|{now_us}",
            mode=self._desk.mode,
            account=self._desk.account,
            action=ControlAction.HALT,
            level=ControlLevel.STOP_NEW,
            issued_by=f"breaker:{BreakerKind.INVENTORY}",
            reason=reason,
            ts_command=now_us,
        )
        self.commands.append(command)

    # Closing positions

    def _close(self, market: Market, now_us: int) -> Orders | None:
        """Give the next order that closes a position; None where there is none now."""
        if now_us - self._sliced_us.get(market, 0) < self._flatten.interval_us:
            return None
        found = self._slice(market, now_us)
        if isinstance(found, FlattenReason):
            self._note_blocked(market, found, now_us)
            return None
        if found is None:
            return None
        request = self._request(market, found, now_us)
        self._sliced_us[market] = now_us
        if not isinstance(request, Request):
            if request is not None:
                self._note_blocked(market, request, now_us)
            return None
        self._blocked.pop(market, None)
        self._desk.counts["flatten_orders"] += 1
        return self._desk.bundle([request], self._desk.due_us(market), OrderReason.FLATTENED)

    def _slice(self, market: Market, now_us: int) -> Slice | FlattenReason | None:
        desk = self._desk
        if desk.blotter.live(market):
            return FlattenReason.ORDERS_LIVE
        position = desk.positions.get(market)
        if position is None:
            return FlattenReason.POSITION_UNKNOWN
        book = self._books.get(market, now_us, self._flatten.book_age_us)
        if book is None:
            return FlattenReason.BOOK_UNKNOWN
        target = 0
        if self.ladder.level is not ControlLevel.FLATTEN:
            mark = desk.mark(market)
            target = self._inventory[market].target(mark) if mark else abs(position.quantity)
        return slice_of(position.quantity, target, book, desk.listings[market].instrument, self._flatten)

    def _request(self, market: Market, part: Slice, now_us: int) -> Request | AccountReason | None:
        """Give the request, or the rule that objects; None where its name was used before a restart."""
        desk = self._desk
        ts_grid = now_us // GRID_US * GRID_US
        nonce = desk.free_nonce(market, part.side, FLATTEN_LEVEL, ts_grid)
        if nonce is None:
            return None
        desk.value(market, part.mid)
        order = Order(
            nonce=nonce,
            market=market,
            side=part.side,
            price=part.price,
            size=part.size,
            ts_expire=ts_grid + desk.expiry_us,
            is_reduce_only=True,
            time_in_force=TimeInForce.IOC,
        )
        return desk.place(self._why(market, OrderReason.FLATTENED, now_us), order, now_us)

    # What people are told

    def _tell(self, severity: Severity, code: str, message: str, market: Market | None = None) -> None:
        self.notices.append(Notice(severity, code, message, market))

    def _tell_rung(self, by: str, reason: str) -> None:
        level = self.ladder.level
        why = f"{by}: {reason}" if reason else by
        if level is None:
            self._tell(Severity.INFO, "RESUMED", f"the ladder is left, by {why}")
            return
        severity = Severity.WARNING if state_of(level) is TradingState.ACTIVE else Severity.CRITICAL
        self._tell(severity, "HALTED", f"{level} is in force, by {why}")

    def _tell_breaker(self, transition: Transition, market: Market | None = None) -> None:
        severity = Severity.WARNING if transition.after is BreakerState.OPEN else Severity.INFO
        message = f"{transition.kind} went from {transition.before} to {transition.after}"
        self._tell(severity, f"BREAKER_{transition.after}", message, market)

    def _tell_flattening(self, after: frozenset[Market]) -> None:
        before, self._flattening = self._flattening, after
        for market in sorted(after - before):
            self._tell(Severity.WARNING, "FLATTEN_BEGAN", "the position is being closed", market)
        for market in sorted(before - after):
            self._blocked.pop(market, None)
            self._tell(
                Severity.INFO, "FLATTEN_ENDED", "the position is closed as far as asked, or no more to be", market
            )

    def _note_blocked(self, market: Market, reason: FlattenReason | AccountReason, now_us: int) -> None:
        """Tell once what has kept a position from being closed for a while."""
        blocked = self._blocked.get(market)
        if blocked is None or blocked.reason is not reason:
            blocked = self._blocked[market] = _Blocked(reason, now_us)
            self._desk.counts[f"flatten_{reason.lower()}"] += 1
        if not blocked.is_told and now_us - blocked.since_us >= _BLOCKED_US:
            blocked.is_told = True
            self._tell(Severity.CRITICAL, "FLATTEN_BLOCKED", f"the position cannot be closed: {reason}", market)
