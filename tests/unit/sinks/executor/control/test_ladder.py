"""The kill ladder: halts climb, a resume leaves, and reading the log again gives the same rung."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.enums import ControlAction, ControlLevel, Mode, TradingState
from schemas.records import Cause, Command
from sinks.executor.control.ladder import Ladder, state_of

LEVELS = list(ControlLevel)


def command(level: ControlLevel | None, *, mode: Mode = Mode.PAPER, account: str = "demo") -> Command:
    """A halt to a level; without one, a resume."""
    return Command(
        command_id="c",
        mode=mode,
        account=account,
        action=ControlAction.RESUME if level is None else ControlAction.HALT,
        level=level,
        issued_by="operator:a@b",
        reason="test",
        ts_command=1,
    )


def at(offset: int) -> Cause:
    return Cause("control.commands", 0, offset, offset)


def ladder_after(levels: Sequence[ControlLevel | None]) -> Ladder:
    ladder = Ladder(Mode.PAPER, "demo")
    for offset, level in enumerate(levels):
        ladder.take(command(level), at(offset))
    return ladder


@given(st.lists(st.sampled_from([None, *LEVELS])))
def test_the_rung_is_the_highest_since_the_last_resume(levels: list[ControlLevel | None]) -> None:
    """Whatever the order, a halt never makes another one milder."""
    start = len(levels) - levels[::-1].index(None) if None in levels else 0
    since = [level for level in levels[start:] if level is not None]

    assert ladder_after(levels).level == (max(since, key=LEVELS.index) if since else None)


def test_a_command_says_whether_it_changed_anything() -> None:
    """A milder halt does not, nor a resume where nothing is in force; the rung names the command that went there."""
    ladder = Ladder(Mode.PAPER, "demo")

    assert not ladder.take(command(None), at(0))
    assert ladder.take(command(ControlLevel.FLATTEN), at(1))
    assert not ladder.take(command(ControlLevel.WIDEN), at(2))
    assert ladder.rung is not None
    assert (ladder.rung.cause.offset, ladder.rung.reason) == (1, "test")
    assert ladder.take(command(None), at(3))


def test_commands_of_others_are_not_ours() -> None:
    """Neither of another mode nor of another account."""
    ladder = Ladder(Mode.PAPER, "demo")

    assert not ladder.take(command(ControlLevel.DISCONNECT, account="other"), at(0))
    assert not ladder.take(command(ControlLevel.DISCONNECT, mode=Mode.CITREX), at(1))
    assert (ladder.level, ladder.taken) == (None, 0)


def test_what_is_not_understood_cancels_all() -> None:
    """Bytes that are no command, and a halt that names no level; a resume ends it."""
    ladder = Ladder(Mode.PAPER, "demo")

    assert ladder.take_unreadable(at(0), "NOT_FRAMED", 5)
    assert ladder.level is ControlLevel.CANCEL_ALL
    ladder.take(command(None), at(1))
    nameless = Command(
        command_id="c",
        mode=Mode.PAPER,
        account="demo",
        action=ControlAction.HALT,
        issued_by="x",
        reason="",
        ts_command=1,
    )
    ladder.take(nameless, at(2))
    assert ladder.level is ControlLevel.CANCEL_ALL


@pytest.mark.parametrize(
    ("level", "state"),
    [
        (None, TradingState.ACTIVE),
        (ControlLevel.WIDEN, TradingState.ACTIVE),
        (ControlLevel.STOP_NEW, TradingState.REDUCING),
        (ControlLevel.CANCEL_ALL, TradingState.HALTED),
        (ControlLevel.FLATTEN, TradingState.HALTED),
        (ControlLevel.DISCONNECT, TradingState.HALTED),
    ],
)
def test_what_a_rung_leaves_of_trading(level: ControlLevel | None, state: TradingState) -> None:
    """Each rung leaves no more than the one below it."""
    assert state_of(level) is state
