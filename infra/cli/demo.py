"""`flashmm demo`: the whole platform on this machine, and a live view of it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.live import Live

from infra.cli.output import ExitCode, print_json, print_table, progress
from infra.demo.platform import Source, capture_source
from infra.demo.run import DemoRun
from infra.demo.view import render
from infra.local.stack import LocalStack
from infra.runtime.settings import Settings, load_settings
from schemas.enums import Mode
from schemas.errors import ConfigurationError, ServiceUnavailable
from schemas.instruments import DEFAULT_PATH, Instruments

__all__ = ["demo"]

_FRAMES_PER_S = 4


def demo(
    seconds: Annotated[float | None, typer.Option(min=1, help="End by itself after so long.")] = None,
    kafka: Annotated[str, typer.Option(help="mock, jvm, or the address of a running Kafka.")] = "mock",
    source: Annotated[str, typer.Option(help="sim, or the path of a recording.")] = "sim",
    venue: Annotated[str, typer.Option(help="Venue of the recording.")] = "binance",
    as_json: Annotated[bool, typer.Option("--json", help="No live view; print the summary as JSON.")] = False,
    check: Annotated[bool, typer.Option(help="Start, verify every component, stop.")] = False,
) -> None:
    """Run the whole platform here and show it live; Ctrl-C ends it with a summary."""
    settings = load_settings()
    if settings.executor_mode is Mode.CITREX:
        raise ConfigurationError("FLASHMM_EXECUTOR_MODE", "is citrex, and a demonstration trades nowhere", "Unset it")
    instruments = Instruments.load(settings.instruments or DEFAULT_PATH)
    chosen = Source() if source == "sim" else capture_source(Path(source), venue, instruments)
    folder = _folder(settings.data_dir.absolute())
    stack = LocalStack(
        folder,
        kafka=kafka,
        partitions=settings.kafka_partitions,
        prefix=settings.topic_prefix,
        instruments=settings.instruments,
    )
    run = DemoRun(stack, chosen, settings_of=_settings_of, logs=folder / "logs", say=progress)
    has_started = Event()
    with _interruptible(has_started) as was_interrupted:
        try:
            with run:
                has_started.set()
                if check:
                    _check(run, as_json=as_json)
                    return
                _watch(run, seconds, was_interrupted, is_shown=sys.stdout.isatty() and not as_json)
                summary = run.finish()
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.OK) from None
    if as_json:
        print_json(summary)
    else:
        _print_summary({**summary, **run.in_words()}, folder)


def _folder(data_dir: Path) -> Path:
    """Make the folder of this run, and remove those of runs that are over: they hold logs and a mock's leftovers."""
    for old in data_dir.glob("demo-*"):
        number = old.name.removeprefix("demo-")
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(old, ignore_errors=True)
    return data_dir / f"demo-{os.getpid()}"


def _settings_of(environment: Mapping[str, str]) -> Settings:
    os.environ.update(environment)
    return load_settings()


@contextmanager
def _interruptible(has_started: Event) -> Iterator[list[bool]]:
    """Note the first Ctrl-C or SIGTERM after the start, so that the run can end in order; any other ends it at once."""
    seen: list[bool] = []

    def note(number: int, frame: object) -> None:
        if seen or not has_started.is_set():
            raise KeyboardInterrupt
        seen.append(True)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(run: DemoRun, seconds: float | None, was_interrupted: list[bool], *, is_shown: bool) -> None:
    if not is_shown:
        for word, detail in run.banner():
            print(f"[{word}] {detail}", file=sys.stderr)
    deadline = None if seconds is None else run.started + seconds
    console = Console()
    live = Live(console=console, screen=True, auto_refresh=False) if is_shown else None
    if live is not None:
        live.start()
    try:
        while not was_interrupted and (deadline is None or time.monotonic() < deadline):
            run.watch()
            if live is not None:
                size = console.size
                live.update(render(run.model(), columns=size.width, rows=size.height), refresh=True)
            time.sleep(1 / _FRAMES_PER_S)
    finally:
        if live is not None:
            live.stop()


def _check(run: DemoRun, *, as_json: bool) -> None:
    try:
        done = run.wait_until_working(60)
    except ServiceUnavailable as error:
        if as_json:
            print_json({"ok": False, "error": str(error), **run.ran()})
        raise
    if as_json:
        print_json({"ok": True, "components": done, **run.ran()})
        return
    rows = [(name, "ok", detail) for name, detail in [*run.in_words().items(), *done.items()]]
    print_table(("component", "state", "detail"), rows)


def _print_summary(summary: Mapping[str, Any], folder: Path) -> None:
    ticks = summary["ticks"]
    rows: list[tuple[str, object]] = [
        ("ticks received", f"{ticks['received']:,}"),
        ("accepted", f"{ticks['accepted']:,}"),
        *((f"rejected {reason}", f"{count:,}") for reason, count in ticks["rejected"].items()),
    ]
    for frame, counts in summary["bars"].items():
        if any(counts.values()):
            rows.append((f"bars {frame}", ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)))
    rows += [(name.replace("_", " "), f"{summary[name]:,}") for name in _COUNTS]
    rows += [(f"denied {reason}", f"{count:,}") for reason, count in summary["denied"].items()]
    for name, values in summary["latency_ms"].items():
        if values["p99"] is not None:
            rows.append((f"{name.replace('_', ' ')} ms", f"p50 {values['p50']:,.1f}, p99 {values['p99']:,.1f}"))
    rows.append(("memory, all processes", f"{sum(summary['rss_mb'].values()):,.0f} MB peak"))
    rows += [(name, summary[name]) for name in ("kafka", "registry", "redis", "influx", "executor")]
    print_table(("what ran", ""), rows, title="FlashMM demo")
    progress(f"logs: {folder / 'logs'}")


_COUNTS = (
    "features",
    "predictions",
    "decisions",
    "orders",
    "fills",
    "redis_writes",
    "influx_points",
    "dead_letters",
)
