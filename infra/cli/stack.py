"""`flashmm up`, `down` and `status`: the local services in the background; `flashmm doctor`: what is here and works."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli.doctor import Health, examine
from infra.cli.output import ExitCode, print_json, print_table, progress
from infra.local.background import StackState, read_state, start_background, stop_background
from infra.local.process import is_running
from infra.runtime.settings import load_settings

__all__ = ["doctor", "down", "status", "up"]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def up(
    kafka: Annotated[str, typer.Option(help="mock, jvm, or HOST:PORT of a Kafka that runs elsewhere.")] = "mock",
    registry: Annotated[str, typer.Option(help="development or apicurio.")] = "development",
    as_json: AsJson = False,
) -> None:
    """Start the local services in the background, at the addresses of the settings."""
    settings = load_settings()
    progress("Starting the local services …")
    state = start_background(settings, kafka=kafka, registry=registry)
    _show(state, as_json=as_json)
    if not as_json:
        print(f"Settings for other terminals: . {settings.data_dir / 'stack.env'}")


def down(as_json: AsJson = False) -> None:
    """Stop the local services."""
    stop_background(load_settings().data_dir)
    if as_json:
        print_json({"running": False})
    else:
        print("The local services have stopped.")


def status(as_json: AsJson = False) -> None:
    """Show the local services; exit code 3 where they do not run."""
    _show(read_state(load_settings().data_dir), as_json=as_json)


def doctor(as_json: AsJson = False) -> None:
    """Examine this machine and the services of the settings; exit code 1 where something needed does not work."""
    rows = examine(load_settings())
    if as_json:
        print_json([{"check": row.check, "health": row.health, "detail": row.detail} for row in rows])
    else:
        print_table(("check", "health", "detail"), [(row.check, row.health, row.detail) for row in rows])
    if any(row.health is Health.FAIL for row in rows):
        raise typer.Exit(ExitCode.ERROR)


def _show(state: StackState, *, as_json: bool) -> None:
    services = [
        {**service, "running": service["pid"] is None or is_running(service["pid"])} for service in state["services"]
    ]
    if as_json:
        what = {name: state[name] for name in ("kafka", "registry", "redis", "influx")}
        print_json({"running": True, "pid": state["pid"], **what, "services": services})
        return
    print_table(
        ("service", "address", "what runs", "process"),
        [
            (s["name"], s["address"], s["what"], (s["pid"] or "elsewhere") if s["running"] else "ended")
            for s in services
        ],
    )
