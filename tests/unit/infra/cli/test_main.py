"""Errors of ours end a command with one line on stderr and the exit code that scripts rely on."""

from __future__ import annotations

import sys

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from infra.cli import main as command_line
from schemas.errors import CaptureError, ConfigurationError, FlashMMError, NotRunning, ServiceUnavailable, TimedOut


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CaptureError("x.gz", "is empty", "Give a recording"), 1),
        (ServiceUnavailable("Kafka", "a:1", "refused"), 1),
        (NotRunning("nothing runs"), 3),
        (ConfigurationError("FLASHMM_X", "is wrong", "Correct it"), 4),
        (TimedOut("worker", "this machine", "not ready in 60 s"), 5),
    ],
)
def test_the_kind_of_error_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: FlashMMError, code: int
) -> None:
    """0 ok, 1 error, 2 usage, 3 not running, 4 configuration, 5 timed out."""

    def build(_: str | None, *, is_whole: bool) -> object:
        def command() -> None:
            raise error

        return command

    monkeypatch.setattr(command_line, "build", build)
    monkeypatch.setattr(sys, "argv", ["flashmm", "status"])

    with pytest.raises(SystemExit) as ended:
        command_line.main()

    assert ended.value.code == code
    assert capsys.readouterr().err == f"flashmm: {error}\n"


def test_the_list_of_commands_says_what_they_say_of_themselves() -> None:
    """It is made without importing them, and no command is missing in it."""
    listed, whole = (get_command(app) for app in (command_line.build(), command_line.build(is_whole=True)))
    assert isinstance(listed, TyperGroup)
    assert isinstance(whole, TyperGroup)

    assert list(listed.commands) != []
    for name, command in whole.commands.items():
        (first, *_) = (command.help or "").split("\n\n")
        assert listed.commands[name].help == " ".join(first.split())
    assert len(listed.commands) == len(whole.commands)
