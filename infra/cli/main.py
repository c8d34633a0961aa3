"""`flashmm`: the root of the command line, and its exit codes."""

from __future__ import annotations

import importlib
import sys

import typer

from infra.cli.output import ExitCode
from infra.runtime.logging import log_to_stderr
from schemas.errors import ConfigurationError, FlashMMError, NotRunning, TimedOut

__all__ = ["build", "main"]

# Command, or group of commands, by name: the module and the function or Typer application in it.
_COMMANDS = {
    "demo": ("infra.cli.demo", "demo"),
    "up": ("infra.cli.stack", "up"),
    "down": ("infra.cli.stack", "down"),
    "status": ("infra.cli.stack", "status"),
    "doctor": ("infra.cli.stack", "doctor"),
    "produce": ("infra.cli.produce", "produce_app"),
    "sink": ("infra.cli.sink", "sink_app"),
    "replay": ("infra.cli.replay", "replay"),
    "simulate": ("infra.cli.simulate", "simulate_app"),
    "preflight": ("infra.cli.preflight", "preflight"),
    "halt": ("infra.cli.halt", "halt"),
    "resume": ("infra.cli.halt", "resume"),
    "train": ("infra.cli.train", "train"),
    "bench": ("infra.cli.bench", "bench_app"),
    "schemas": ("infra.cli.contracts", "schemas_app"),
    "topics": ("infra.cli.contracts", "topics_app"),
    "instruments": ("infra.cli.instruments", "instruments_app"),
    "config": ("infra.cli.config", "config_app"),
}


def build(only: str | None = None) -> typer.Typer:
    """Assemble the command line; with `only`, just that command, so that starting it imports no other."""
    app = typer.Typer(
        name="flashmm",
        help="Real-time market data and market making on Apache Kafka.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name, (module, attribute) in _COMMANDS.items():
        if only in (None, name):
            command = getattr(importlib.import_module(module), attribute)
            if isinstance(command, typer.Typer):
                app.add_typer(command, name=name)
            else:
                app.command(name)(command)
    return app


def _root() -> None:
    """Real-time market data and market making on Apache Kafka."""


def main() -> None:
    """Run a command; errors of ours become one line on stderr and an exit code."""
    log_to_stderr()
    first = next(iter(sys.argv[1:]), None)
    try:
        build(first if first in _COMMANDS else None)()
    except FlashMMError as error:
        print(f"flashmm: {error}", file=sys.stderr)
        sys.exit(_exit_code(error))
    except KeyboardInterrupt:
        sys.exit(ExitCode.OK)


def _exit_code(error: FlashMMError) -> ExitCode:
    if isinstance(error, ConfigurationError):
        return ExitCode.CONFIGURATION
    if isinstance(error, NotRunning):
        return ExitCode.NOT_RUNNING
    if isinstance(error, TimedOut):
        return ExitCode.TIMED_OUT
    return ExitCode.ERROR
