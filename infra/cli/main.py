"""`flashmm`: the root of the command line, and its exit codes."""

from __future__ import annotations

import importlib
import os
import sys

import typer

from infra.cli.output import ExitCode
from infra.runtime.logging import log_to_stderr
from schemas.errors import ConfigurationError, FlashMMError, NotRunning, TimedOut

__all__ = ["build", "main"]

# Command, or group of commands, by name: the module, the function or Typer application in it, and what its help begins
# with, so that the list of commands imports none of them.
_COMMANDS = {
    "demo": ("infra.cli.demo", "demo", "Run the whole platform here and show it live; Ctrl-C ends it with a summary."),
    "up": ("infra.cli.stack", "up", "Start the local services in the background, at the addresses of the settings."),
    "down": ("infra.cli.stack", "down", "Stop the local services."),
    "status": ("infra.cli.stack", "status", "Show the local services; exit code 3 where they do not run."),
    "doctor": (
        "infra.cli.stack",
        "doctor",
        "Examine this machine and the services of the settings; exit code 1 where something needed does not work.",
    ),
    "produce": ("infra.cli.produce", "produce_app", "Write one venue's feed, or a recording, to Kafka."),
    "sink": ("infra.cli.sink", "sink_app", "Run one sink until interrupted."),
    "replay": (
        "infra.cli.replay",
        "replay",
        "Run a recording through sources and kernels into JSON lines, without a broker.",
    ),
    "simulate": (
        "infra.cli.simulate",
        "simulate_app",
        "Run a SIMULATED Sei node (chain and order books), or with `citrex` a SIMULATED order venue, on 127.0.0.1.",
    ),
    "preflight": (
        "infra.cli.preflight",
        "preflight",
        "Check clock, markets, books, balance, margin, limits and rate budget at the quoted Citrex network.",
    ),
    "halt": (
        "infra.cli.halt",
        "halt",
        "Halt an account: go to a rung of the ladder and stay there, over restarts, until `flashmm resume`.",
    ),
    "resume": ("infra.cli.halt", "resume", "Leave the ladder: the account trades again."),
    "train": (
        "infra.cli.train",
        "train",
        "Train the linear model on SIMULATED markets and judge it on others, beside a naive forecast.",
    ),
    "bench": ("infra.cli.bench", "bench_app", "Measure on this machine, on a real Kafka of its own."),
    "schemas": ("infra.cli.contracts", "schemas_app", "The Avro schemas of the topics."),
    "topics": ("infra.cli.contracts", "topics_app", "The Kafka topics."),
    "instruments": ("infra.cli.instruments", "instruments_app", "The instruments of reference.instruments."),
    "config": ("infra.cli.config", "config_app", "Show the settings and where they came from."),
}
_COMPLETION = "_FLASHMM_COMPLETE"


def build(only: str | None = None, *, is_whole: bool = False) -> typer.Typer:
    """Assemble the command line.

    Args:
        only: Just that command, so that starting it imports no other; None is a list of all of them, to be read.
        is_whole: All commands themselves, with their options, as the completion of shells wants them.
    """
    app = typer.Typer(
        name="flashmm",
        help="Real-time market data and market making on Apache Kafka.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name, (module, attribute, summary) in _COMMANDS.items():
        if is_whole or only == name:
            command = getattr(importlib.import_module(module), attribute)
            if isinstance(command, typer.Typer):
                app.add_typer(command, name=name)
            else:
                app.command(name)(command)
        elif only is None:
            app.command(name, help=summary)(_listed)
    return app


def _listed() -> None:
    """Stand for a command in the list; whoever names one gets the command itself."""


def _root() -> None:
    """Real-time market data and market making on Apache Kafka."""


def main() -> None:
    """Run a command; errors of ours become one line on stderr and an exit code."""
    log_to_stderr()
    first = next((argument for argument in sys.argv[1:] if argument != "--"), None)
    try:
        build(first if first in _COMMANDS else None, is_whole=_COMPLETION in os.environ)()
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
