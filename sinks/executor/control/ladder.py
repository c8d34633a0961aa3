"""The kill ladder: the rung that an account stands on, folded from its commands in the order of the log. Pure.

A HALT goes to its rung and never down: a milder one than that in force changes nothing. Only a RESUME leaves the
ladder. The fold is the whole state, so reading the topic again gives the same rung, whatever died in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas.enums import ControlAction, ControlLevel, Mode, TradingState
from schemas.records import Cause, Command

__all__ = ["Ladder", "Rung", "state_of"]

_SEVERITY: Final[Mapping[ControlLevel, int]] = {level: number for number, level in enumerate(ControlLevel)}
_STATES: Final[Mapping[ControlLevel, TradingState]] = {
    ControlLevel.WIDEN: TradingState.ACTIVE,
    ControlLevel.STOP_NEW: TradingState.REDUCING,
    ControlLevel.CANCEL_ALL: TradingState.HALTED,
    ControlLevel.FLATTEN: TradingState.HALTED,
    ControlLevel.DISCONNECT: TradingState.HALTED,
}


@dataclass(frozen=True, slots=True)
class Rung:
    """A rung in force, and the command that went there."""

    level: ControlLevel
    command_id: str
    issued_by: str
    reason: str
    ts_command: int
    cause: Cause


class Ladder:
    """The rung of one (mode, account).

    Attributes:
        rung: What is in force; None is none: the account trades.
        taken: Commands for this account that were read.
    """

    def __init__(self, mode: Mode, account: str) -> None:
        self._owner = (mode, account)
        self.rung: Rung | None = None
        self.taken = 0

    @property
    def level(self) -> ControlLevel | None:
        """The level in force."""
        return self.rung.level if self.rung is not None else None

    def take(self, command: Command, cause: Cause) -> bool:
        """Take the next command of the log; tell whether the rung in force changed.

        A HALT without a level is one to CANCEL_ALL: what is not understood must not leave orders resting.
        """
        if (command.mode, command.account) != self._owner:
            return False
        self.taken += 1
        if command.action is ControlAction.RESUME:
            was, self.rung = self.rung, None
            return was is not None
        level = command.level or ControlLevel.CANCEL_ALL
        rung = Rung(level, command.command_id, command.issued_by, command.reason, command.ts_command, cause)
        return self._climb(rung)

    def take_unreadable(self, cause: Cause, why: str, now_us: int) -> bool:
        """Take bytes of the account's commands that are none: unknown means CANCEL_ALL, until a RESUME."""
        self.taken += 1
        name = f"{cause.topic}|{cause.partition}|{cause.offset}"
        return self._climb(
            Rung(ControlLevel.CANCEL_ALL, name, "executor", f"a command is unreadable: {why}", now_us, cause)
        )

    def _climb(self, rung: Rung) -> bool:
        if self.rung is not None and _SEVERITY[rung.level] <= _SEVERITY[self.rung.level]:
            return False
        self.rung = rung
        return True


def state_of(level: ControlLevel | None) -> TradingState:
    """Give what a rung leaves of trading; FLATTEN allows its own orders besides."""
    return _STATES[level] if level is not None else TradingState.ACTIVE
