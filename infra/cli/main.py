"""`flashmm`: the root of the command line, and its exit codes."""

from __future__ import annotations

import sys

import typer

from infra.cli.output import ExitCode
from schemas.errors import ConfigurationError, FlashMMError, NotRunning

__all__ = ["app", "main"]

app = typer.Typer(
    name="flashmm",
    help="Real-time market data and market making on Apache Kafka.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run a command; errors of ours become one line on stderr and an exit code."""
    try:
        app()
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
    return ExitCode.ERROR
