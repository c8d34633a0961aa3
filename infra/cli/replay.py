"""`flashmm replay`: a recording through the same sources and kernels as the live platform, to JSON lines. No broker."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self, TextIO

import typer

from infra.cli.output import print_json, print_table, progress
from infra.cli.recordings import CaptureFile, SymbolName, VenueName, recording_of
from infra.runtime.settings import Settings, load_settings
from processors.kernel.pipeline import PartitionPipeline, Stage
from processors.kernel.steps import Input
from processors.startup import pipeline_config
from producers.core import BadFrame, Counted
from producers.replay.feed import Moment, Recording
from producers.replay.feed import replay as feed
from schemas.columns.rows import Rows
from schemas.errors import ConfigurationError
from schemas.instruments import Instruments
from schemas.reasons import RejectReason
from schemas.records import Bar, Book, Quote, Record, Tick, Trade
from schemas.topics import topic_of
from sinks.plain import plain, to_json

__all__ = ["OfflineReplay", "replay"]

_FILES = {Trade: "trades.jsonl", Quote: "quotes.jsonl", Bar: "bars.jsonl"}
_REJECTED, _DEAD_LETTERS, _BOOKS, _SUMMARY = "rejected.jsonl", "dead_letters.jsonl", "books.jsonl", "summary.json"
_BATCH = 4_096
_PROGRESS_EVERY = 100_000
_PAYLOAD_LIMIT = 64 * 1024


def replay(
    capture: CaptureFile,
    venue: VenueName,
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; made if missing.")],
    symbol: SymbolName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run a recording through sources and kernels into JSON lines, without a broker."""
    settings = load_settings()
    opened, recording = recording_of(settings, capture, venue, symbol)
    with OfflineReplay(settings, recording, out) as offline:
        offline.run(feed(opened, recording, silence_us=settings.silence_ms * 1_000))
        summary = offline.finish({"capture": capture.name, "venue": venue})
    if as_json:
        print_json(summary)
        return
    rows = [(name, m["trades"], m["quotes"], m["book"] or "none") for name, m in summary["markets"].items()]
    print_table(("market", "trades", "quotes", "book"), rows)
    ticks = summary["ticks"]
    print(
        f"{ticks['received']} ticks: {ticks['accepted']} accepted, {sum(ticks['rejected'].values())} rejected"
        f" and {summary['dead_letters']} dead letters; the results are in {out}"
    )


class OfflineReplay:
    """A partition that holds every market of a recording, and the files that its records go to.

    Args:
        out: Folder of the results; files of an earlier replay in it are replaced.

    Raises:
        ConfigurationError: a setting of the stages is wrong, or the folder cannot be written.
    """

    def __init__(self, settings: Settings, recording: Recording, out: Path) -> None:
        self._recording = recording
        self._out = out
        self._pipeline = PartitionPipeline(
            replace(pipeline_config(settings), stages=frozenset({Stage.NORMALISE, Stage.BARS})),
            topic_of(Tick).name,
            0,
            instruments=Instruments(),
            on_reject=self._reject,
        )
        self._offset = 0
        self._inputs: list[Input] = []
        self._bad: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._bars: dict[str, Counter[str]] = {}
        self._records: dict[type[Record], Counter[str]] = {Trade: Counter(), Quote: Counter()}
        self._stack = ExitStack()
        self._files: dict[str, TextIO] = {}

    def __enter__(self) -> Self:
        try:
            self._out.mkdir(parents=True, exist_ok=True)
            for name in (*_FILES.values(), _REJECTED, _DEAD_LETTERS, _BOOKS):
                self._files[name] = self._stack.enter_context((self._out / name).open("w", encoding="utf-8"))
        except OSError as error:
            self._stack.close()
            raise ConfigurationError(
                "--out", f"{self._out} cannot be written: {error.strerror}", "Name another folder"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(self, moments: Iterable[Moment]) -> None:
        """Take a recording to its end."""
        for moment in moments:
            for bad in moment.effects.bad:
                self._dead_letter(bad)
            for tick in moment.effects.ticks:
                self._inputs.append(Input(self._offset, tick))
                self._offset += 1
                if not self._offset % _PROGRESS_EVERY:
                    progress(f"{self._offset} ticks")
            if len(self._inputs) >= _BATCH:
                self._flush()
        self._flush()

    def finish(self, origin: Mapping[str, str]) -> dict[str, Any]:
        """Write what is still open, the final books and the summary; no bar is final because a recording ends."""
        pipeline = self._pipeline
        for bar in pipeline.bar_builder.open_bars(pipeline.normaliser.clock_us or 0):
            self._write_record(bar)
        for offset, tick in pipeline.normaliser.pending():
            self._reject(offset, tick, RejectReason.PENDING)
        books = pipeline.normaliser.books()
        for book in books:
            self._write(_BOOKS, _with_pairs(book))
        summary = self._summary(origin, books)
        (self._out / _SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        return summary

    def _flush(self) -> None:
        self._pipeline.run(self._inputs)
        self._inputs.clear()
        for output in self._pipeline.take():
            for record in output.records() if isinstance(output, Rows) else (output.record,):
                self._write_record(record)

    def _write_record(self, record: Record) -> None:
        name = _FILES.get(type(record))
        if name is None:  # conflated books: the final ones are written whole
            return
        self._write(name, plain(record))
        if isinstance(record, Bar):
            self._bars.setdefault(record.timeframe, Counter())[record.state.lower()] += 1
        elif isinstance(record, (Trade, Quote)):
            self._records[type(record)]["|".join(record.market)] += 1

    def _reject(self, offset: int, tick: Tick | None, reason: RejectReason) -> None:
        self._rejected[reason] += 1
        self._write(_REJECTED, {"reason": reason, "offset": offset, **(plain(tick) if tick else {})})

    def _dead_letter(self, bad: BadFrame) -> None:
        self._bad[bad.reason] += 1
        payload = bad.payload[:_PAYLOAD_LIMIT].decode(errors="backslashreplace")
        line = {"reason": bad.reason, "detail": bad.detail, "payload": payload, "payload_size": len(bad.payload)}
        self._write(_DEAD_LETTERS, line)

    def _write(self, name: str, document: Mapping[str, Any]) -> None:
        self._files[name].write(to_json(document) + "\n")

    def _summary(self, origin: Mapping[str, str], books: Iterable[Book]) -> dict[str, Any]:
        normaliser = self._pipeline.normaliser
        source = self._recording.source
        states = {"|".join(book.market): book.state for book in books}
        return {
            **origin,
            "ticks": {
                "received": normaliser.received,
                "accepted": normaliser.accepted,
                "rejected": dict(self._rejected),
            },
            "markets": {
                name: {
                    "trades": self._records[Trade][name],
                    "quotes": self._records[Quote][name],
                    "book": states.get(name),
                }
                for name in ("|".join(market) for market in source.symbols)
            },
            "bars": {
                timeframe: {state: counts[state] for state in ("partial", "final", "corrected")}
                for timeframe, counts in self._bars.items()
            },
            "dead_letters": self._bad.total(),
            "dead_letter_reasons": dict(self._bad),
            "ignored": dict(source.counters) if isinstance(source, Counted) else {},
        }


def _with_pairs(book: Book) -> dict[str, Any]:
    """Write a book's levels as pairs: thousands of them need no names."""
    document = plain(book)
    for side in ("bids", "asks"):
        document[side] = [[level["price"], level["size"]] for level in document[side]]
    return document
