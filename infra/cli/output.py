"""What commands print: tables for people, one JSON document for machines, progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["ExitCode", "print_json", "print_table", "progress", "utc_text"]


_PIPE_WIDTH = 1_000


class ExitCode(IntEnum):
    """What a command's exit code means; a promise to scripts."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_RUNNING = 3
    CONFIGURATION = 4
    TIMED_OUT = 5


def print_json(document: Any) -> None:
    """Print the one JSON document of a `--json` command on stdout."""
    print(json.dumps(document, indent=2, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Print a table on stdout; no cell is cut: a terminal folds it, a pipe gets lines as long as they need to be."""
    table = Table(header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    # Cells are plain text: `pip install flashmm[model]` is no markup.
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, markup=False, highlight=False)
    if title is not None:  # not the table's own, which is folded to its width
        console.print(title, style="italic")
    console.print(table)


def utc_text(ts_us: int | None) -> str:
    """Write a time of microseconds as people read it, to the second; nothing where there is none."""
    if ts_us is None:
        return ""
    return datetime.fromtimestamp(ts_us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def progress(message: str) -> None:
    """Say on stderr what is being done; nothing when stderr is not a terminal."""
    if sys.stderr.isatty():
        print(message, file=sys.stderr)
