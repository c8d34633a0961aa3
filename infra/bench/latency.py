"""From a tick to what it triggers, at even rates: how long until it is in the broker's log."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from confluent_kafka import TopicPartition
from numpy.typing import NDArray

from infra.bench.ground import Ground, Run
from infra.bench.worker import ROOT, Workers
from infra.local.process import Child
from schemas.columns import Spans, decode_ticks
from schemas.errors import FlashMMError, ServiceUnavailable
from schemas.records import Bar, Record, Tick, Trade

__all__ = ["PERCENTILES", "Percentiles", "paced", "percentiles", "start_pacer"]

PERCENTILES = {"p50": 50.0, "p99": 99.0, "p99_9": 99.9, "max": 100.0}
_READY_S = 60.0
_SLACK_S = 120.0
_MOST_SAMPLES = 100_000
_BEHIND_MS = 1_000.0
_GAUGES = "latency_ms."
_READ = 10_000
_READ_S = 10.0

Millis = NDArray[np.float64]
Ends = Mapping[int, int]
Percentiles = dict[str, float]


@dataclass(frozen=True, slots=True)
class _Interval:
    """The records of a topic between two moments, by partition."""

    start: Ends
    end: Ends


class _Reported:
    """Latencies as the worker reports them every second, of its last few thousand observations."""

    def __init__(self) -> None:
        self._reports: dict[int, dict[str, float]] = {}

    def note(self, workers: Workers) -> None:
        for (component, _), metric in workers.observer.totals.latest.items():
            if component == "worker":
                self._reports[metric.ts_metric] = {
                    name.removeprefix(_GAUGES): value
                    for name, value in metric.gauges.items()
                    if name.startswith(_GAUGES)
                }

    def summary(self) -> dict[str, Percentiles]:
        """Give by name the median of the p50 and the greatest of all else, of the second half of the reports."""
        reports = [self._reports[time] for time in sorted(self._reports)]
        values: dict[str, dict[str, list[float]]] = {}
        for report in reports[len(reports) // 2 :]:
            for gauge, value in report.items():
                name, _, measure = gauge.rpartition(".")
                values.setdefault(name, {}).setdefault(measure, []).append(value)
        return {
            name: {
                measure: round(float(np.median(found)) if measure == "p50" else max(found), 2)
                for measure, found in measures.items()
            }
            for name, measures in sorted(values.items())
        }


def percentiles(millis: Millis) -> Percentiles:
    """Give p50, p99, p99.9 and the maximum in milliseconds."""
    return {name: round(float(np.percentile(millis, rank)), 2) for name, rank in PERCENTILES.items()}


def paced(
    ground: Ground, rates: Sequence[int], seconds: float, markets: int, say: Callable[[str], None], **settings: Any
) -> list[dict[str, object]]:
    """Run one worker at each rate in turn, rising, and give a result each; ends after a rate that it cannot keep up."""
    results: list[dict[str, object]] = []
    run = ground.run("latency")
    with Workers(run, **settings) as workers:
        workers.wait_owned(_READY_S)
        for rate in rates:
            try:
                result = _at_rate(run, workers, rate, seconds, markets)
            except FlashMMError as error:
                results.append({"name": f"{rate}-per-s", "skipped": str(error)})
                break
            say(f"{rate:,} ticks/s: {result['tick_to_bar_ms']}")
            results.append(result)
            if not result["kept_up"]:
                break
    return results


def _at_rate(run: Run, workers: Workers, rate: int, seconds: float, markets: int) -> dict[str, object]:
    records: tuple[type[Record], ...] = (Tick, Bar, Trade)
    start = {record: workers.observer.ends(record) for record in records}
    samples_before = len(workers.samples)
    reported = _Reported()
    pacer = start_pacer(run, rate, seconds, markets)
    while pacer.is_alive:
        workers.poll()
        reported.note(workers)
    sent = _sent(pacer)
    watched = workers.samples[samples_before:]
    workers.wait_drained(_SLACK_S)
    spans = {record: _Interval(start[record], workers.observer.ends(record)) for record in records}
    received = _received(run, spans[Tick])
    warm_us = min(int(times[0]) for times, _ in received.values()) + int(seconds / 5 * 1e6)
    bars, _ = _bars(run, spans[Bar], received, warm_us)
    trades, behind = _trades(run, spans[Trade], warm_us)
    millis = {"tick_to_bar_ms": bars, "tick_to_trade_ms": trades}
    elapsed = watched[-1].time_s - watched[0].time_s
    return {
        "name": f"{rate}-per-s",
        "kept_up": bool(behind < _BEHIND_MS and sent["seconds"] < seconds * 1.05),
        "ticks_per_s": round(sent["sent"] / sent["seconds"]),
        "seconds": round(sent["seconds"], 1),
        **{name: percentiles(found) for name, found in millis.items() if len(found)},
        **{f"{name}_samples": len(found) for name, found in millis.items()},
        "worker_reported_ms": reported.summary(),
        "behind_at_end_ms": round(behind, 1),
        "send_lag_p99_ms": round(sent["send_lag_p99_ms"], 2),
        "send_lag_max_ms": round(sent["send_lag_max_ms"], 2),
        "worker_cores": round((watched[-1].cpu_s - watched[0].cpu_s) / elapsed, 2),
        "rss_mb": round(max(sample.rss for sample in watched) / 2**20),
    }


def start_pacer(run: Run, rate: int, seconds: float, markets: int, *, books: str = "") -> Child:
    """Start a pacer against a run's broker, as a process of its own; `books` is a venue whose books it sends too."""
    arguments = ["--rate", str(rate), "--seconds", str(seconds), "--markets", str(markets), "--books", books]
    child = Child(
        "pacer",
        [sys.executable, "-m", "infra.bench.pacer", *arguments],
        log=run.ground.folder / f"pacer-{rate}.log",
        environment=run.environment(),
        cwd=ROOT,
    )
    child.start()
    return child


def _sent(pacer: Child) -> dict[str, float]:
    if pacer.returncode:
        raise ServiceUnavailable("pacer", "this machine", f"ended with status {pacer.returncode}", fix=pacer.log_tail())
    return cast("dict[str, float]", json.loads(pacer.log_tail().splitlines()[-1]))


def _received(run: Run, span: _Interval) -> dict[int, tuple[NDArray[np.int64], int]]:
    """Read the ticks back: by partition, the time of receipt by offset, and the first offset."""
    codec = run.ground.codec(Tick)
    found = {}
    for partition in span.start:
        parts = [
            decode_ticks(Spans.of([message.value() for message in messages]), codec).ts_recv
            for messages in _messages(run, Tick, partition, span)
        ]
        if parts:
            found[partition] = (np.concatenate(parts), span.start[partition])
    return found


def _bars(
    run: Run, span: _Interval, received: Mapping[int, tuple[NDArray[np.int64], int]], warm_us: int
) -> tuple[Millis, int]:
    """Give the latency of every bar: from the receipt of the tick that triggered it to its arrival in the log."""
    codec = run.ground.codec(Bar)
    millis = []
    for partition in span.start:
        for messages in _messages(run, Bar, partition, span):
            for message in messages:
                bar = codec.decode(message.value())
                assert isinstance(bar, Bar)
                times, first = received[bar.cause_partition]
                if bar.cause_offset >= first:
                    triggered_us = int(times[bar.cause_offset - first])
                    if triggered_us >= warm_us:
                        millis.append(message.timestamp()[1] - triggered_us / 1_000)
    return np.array(millis), len(millis)


def _trades(run: Run, span: _Interval, warm_us: int) -> tuple[Millis, float]:
    """Give the latency of evenly chosen trades, and that of the last one."""
    codec = run.ground.codec(Trade)
    count = sum(span.end[partition] - span.start[partition] for partition in span.start)
    stride = max(1, count // _MOST_SAMPLES)
    millis, behind = [], 0.0
    for partition in span.start:
        for messages in _messages(run, Trade, partition, span):
            for message in messages:
                is_last = message.offset() == span.end[partition] - 1
                if message.offset() % stride and not is_last:
                    continue
                trade = codec.decode(message.value())
                assert isinstance(trade, Trade)
                late = message.timestamp()[1] - trade.ts_recv / 1_000
                if trade.ts_recv >= warm_us:
                    millis.append(late)
                if is_last:
                    behind = max(behind, late)
    return np.array(millis), behind


def _messages(run: Run, record: type[Record], partition: int, span: _Interval) -> Iterator[list[Any]]:
    """Read a partition's interval, thousands of messages at a time.

    Raises:
        ServiceUnavailable: its end is not reached.
    """
    at, end = span.start[partition], span.end[partition]
    consumer = run.reader()
    try:
        consumer.assign([TopicPartition(run.topic(record), partition, at)])
        while at < end:
            messages = [m for m in consumer.consume(min(_READ, end - at), _READ_S) if m.error() is None]
            if not messages:
                raise ServiceUnavailable("Kafka", f"{run.topic(record)}[{partition}]", f"offset {end} was not reached")
            at = messages[-1].offset() + 1
            yield messages
    finally:
        consumer.close()
