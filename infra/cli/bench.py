"""`flashmm bench`: how fast the platform is on this machine, on real Kafka, beside its peers."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.bench import suites
from infra.bench.peers import PEERS
from infra.bench.report import markdown, table_of
from infra.bench.suites import Options
from infra.cli.output import print_json, print_table, progress
from infra.runtime.settings import load_settings
from schemas.errors import ConfigurationError

__all__ = ["bench_app"]

bench_app = typer.Typer(help="Measure on this machine, on a real Kafka of its own.", no_args_is_help=True)

_DOCS = Path("docs/performance")
_REPEATS = 3

AsJson = Annotated[bool, typer.Option("--json", help="Print machine, versions and results as JSON.")]
Quick = Annotated[bool, typer.Option(help="A short form that shows that it works; its figures mean nothing.")]
Seconds = Annotated[float | None, typer.Option(min=0.1, help="Least time that a system is measured.")]
Repeats = Annotated[int, typer.Option(min=1, help="Drains of that length; the median counts.")]
Note = Annotated[str, typer.Option(help="What a reader should know of the machine; kept in the JSON.")]


@bench_app.command()
def engine(
    seconds: Seconds = None, repeats: Repeats = 1, quick: Quick = False, note: Note = "", as_json: AsJson = False
) -> None:
    """Drain a log with the worker, beside Kafka's own ConsumerPerformance."""
    with _options(seconds, repeats, quick, note) as options:
        _show(suites.engine(options), as_json=as_json)


@bench_app.command()
def peers(
    only: Annotated[str, typer.Option(help=f"Peers, comma-separated, among {', '.join(PEERS)}.")] = ",".join(PEERS),
    seconds: Seconds = None,
    repeats: Repeats = 1,
    quick: Quick = False,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Drain one log with the worker and with its peers; installs them on first use (2 GB)."""
    names = _names(only, PEERS)
    with _options(seconds, repeats, quick, note) as options:
        _show(suites.peers(options, names), as_json=as_json)


@bench_app.command()
def latency(
    rate: Annotated[list[int] | None, typer.Option(min=200, help="Ticks a second; may be repeated.")] = None,
    seconds: Seconds = None,
    quick: Quick = False,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Pace ticks at rising rates: from a tick to the bar and the trade that it triggers."""
    with _options(seconds, 1, quick, note) as options:
        _show(suites.latency(options, sorted(rate or ())), as_json=as_json)


@bench_app.command()
def codec(quick: Quick = False, note: Note = "", as_json: AsJson = False) -> None:
    """Read and write single ticks, beside fastavro and avro."""
    with _options(None, 1, quick, note) as options:
        _show(suites.codec(options), as_json=as_json)


@bench_app.command()
def profile(quick: Quick = False, note: Note = "", as_json: AsJson = False) -> None:
    """Run each section of the worker's code over fetched bytes, without Kafka: where its time goes."""
    with _options(None, 1, quick, note) as options:
        _show(suites.profile(options), as_json=as_json)


@bench_app.command()
def growth(
    seconds: Seconds = None, repeats: Repeats = 1, quick: Quick = False, note: Note = "", as_json: AsJson = False
) -> None:
    """Drain with more and more markets, partitions and workers."""
    with _options(seconds, repeats, quick, note) as options:
        _show(suites.growth(options), as_json=as_json)


@bench_app.command()
def memory(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long to watch.")] = 10.0,
    quick: Quick = False,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Watch the worker's memory over minutes at an even rate."""
    with _options(None, 1, quick, note) as options:
        _show(suites.memory(options, minutes), as_json=as_json)


@bench_app.command()
def sinks(quick: Quick = False, note: Note = "", as_json: AsJson = False) -> None:
    """Write what the worker publishes into Redis and InfluxDB."""
    with _options(None, 1, quick, note) as options:
        _show(suites.sinks(options), as_json=as_json)


@bench_app.command("all")
def run_all(
    out: Annotated[Path, typer.Option(help="Folder of the JSON; the page is written beside it.")] = _DOCS,
    only: Annotated[str, typer.Option(help="Benchmarks, comma-separated.")] = ",".join(suites.SUITES),
    quick: Quick = False,
    note: Note = "",
) -> None:
    """Run every benchmark, one after the other, and write JSON and page: docs/performance and docs/performance.md.

    A benchmark that is left out keeps its file, and its section of the page.
    """
    names = _names(only, suites.SUITES)
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        progress(f"flashmm bench {name}")
        with _options(None, _REPEATS if name == "engine" else 1, quick, note) as options:
            text = json.dumps(suites.SUITES[name](options), indent=2, ensure_ascii=False)
        (out / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
        documents = [_document(file) for file in sorted(out.glob("*.json"))]
        out.with_suffix(".md").write_text(markdown(documents), encoding="utf-8")


@bench_app.command()
def report(
    files: Annotated[list[Path], typer.Argument(help="JSON of benchmarks.")],
    out: Annotated[Path | None, typer.Option(help="File to write; stdout where not given.")] = None,
) -> None:
    """Write the page of results, docs/performance.md, from the JSON of benchmarks."""
    page = markdown([_document(file) for file in files])
    if out is None:
        print(page, end="")
    else:
        out.write_text(page, encoding="utf-8")


def _names(only: str, known: Iterable[str]) -> list[str]:
    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise ConfigurationError("--only", f"there is no {name!r}", f"Choose among {', '.join(known)}")
    return names


@contextmanager
def _options(seconds: float | None, repeats: int, quick: bool, note: str) -> Iterator[Options]:
    """Give the options, and remove the benchmark's files once it is done; after a failure its logs stay."""
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # a new topic's leader is tried again, which is no news
    folder = load_settings().data_dir.absolute() / f"bench-{os.getpid()}"
    yield Options(folder, progress, seconds=seconds, repeats=repeats, is_quick=quick, note=note)
    shutil.rmtree(folder, ignore_errors=True)


def _show(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    table = table_of(document["results"])
    print_table(table.columns, table.rows, title=f"flashmm bench {document['bench']}")
    for note in table.notes:
        print(note)
    if ratios := document.get("ratios"):
        print_table(("ratio", "times"), ratios.items())


def _document(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(str(file), f"cannot be read: {error}", "Give the output of a `--json` run") from error
    if not isinstance(document, dict):
        raise ConfigurationError(str(file), "is not a benchmark's document", "Give the output of a `--json` run")
    return document
