"""Write `docs/performance.md` from the documents of benchmarks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.errors import ConfigurationError

__all__ = ["Table", "markdown", "table_of"]

Document = Mapping[str, Any]
_MOST_COLUMNS = 8


@dataclass(frozen=True, slots=True)
class Table:
    """Results laid out for people, and what is to be said under them."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]


_HEAD = """\
# Performance

Written by `flashmm bench report` from the JSON of `flashmm bench … --json`; do not edit. The documents are in
[`performance/`](performance). Every run is on a real Apache Kafka broker on the same machine as all else, unreplicated,
started for the run. Figures of different runs or machines do not compare; ratios within one run do.
"""

_TITLES = {
    "engine": "Engine",
    "peers": "Peers",
    "latency": "Latency",
    "codec": "Codec",
    "growth": "Growth",
    "sinks": "Sinks",
}

_DRAIN = """\
A topic of `market.ticks` is filled, then each system reads it from the beginning to its end. The ticks are
trades, keyed by group, in the flat Avro form of the platform, uncompressed, in record batches of up to 256 KiB;
one in 200 repeats the one before, event times overtake each other by up to 20 ms, and each partition has a
heartbeat every second. A system is measured on a prefix that takes it the time in the parameters: the topic is
filled further between the systems' turns. Each starts cold in a process of its own, and one runs at a time.

`flashmm` is the worker, `faust -A processors.app worker`, with `FLASHMM_STAGES=normalise,bars`: decode,
duplicates, age, order and spikes, bars in six timeframes, snapshots, everything published and acknowledged.
`flashmm-with-trades` publishes every accepted trade as well as the bars. Both are timed by the broker: from the
arrival of the first bar, which the first records of the log make, to the arrival of the last record, which the
last ones make (`LogAppendTime`); one batch is not counted, since the first bar arrives when its batch is done.
A run in which the worker does not report every record as received counts as failed."""

_METHODS = {
    "engine": f"""\
{_DRAIN}

`consumer-performance` is Kafka's own tool, which reads the same bytes and does nothing with them.""",
    "peers": f"""\
{_DRAIN}

The peers decode every tick and keep open, high, low, close and volume by symbol and second: less than `flashmm`
does, and nothing is published. They are timed from the first tick decoded to the last one aggregated. Their
programs and pinned versions are in `tests/bench/peers`. `consumer-performance` is Kafka's own tool, which only
reads the bytes.""",
    "latency": """\
A process of its own sends ticks at an even rate, through librdkafka as the platform's producers do; a tick
bears the time at which it was to be sent (open loop), so a sender that falls behind shows as latency. The time
is from there to the arrival in the broker's log (`LogAppendTime`, whole milliseconds) of what the tick
triggered: every bar, and up to 100,000 trades evenly chosen. The first fifth of a run is left out. Percentiles
are p50 / p99 / p99.9 / max. What the worker reports itself goes on to the broker's acknowledgement: the
greatest of its windows. Rates rise until one is not kept up with: the last trade came more than a second late,
or the sender could not keep its pace. `worker_cores` is CPU seconds a second.""",
    "codec": """\
Ticks as above, and trades and bars made of them, in one thread without Kafka: CPU time of the thread, the best of
five passes. `columns` are the compiled decoder and encoders on batches of 4,096 and of 512 records, `codec` the
platform's codec for one record. `fastavro` and `avro` are used without logical types, which is what they are fastest
at.""",
    "growth": """\
Drains as in *Engine*, publishing trades, each case on a broker of its own, with one thing changed at a time
from 40 markets, 4 partitions and one worker; two workers start together and share the partitions, so their time
includes a rebalance. `memory` is the resident size of a worker at an even rate, with its slope over the second
half.""",
    "sinks": """\
The worker publishes trades and bars; then `flashmm sink …` writes them, alone, from the beginning of its
topics. The rate is between the first and the last of its own reports that fall within the work.""",
}

_LABELS = {
    "name": "",
    "ticks_per_s": "ticks/s",
    "records_per_s": "records/s",
    "ns_per_record": "ns a record",
    "cpu_us_per_tick": "CPU µs a tick",
    "rss_mb": "RSS MiB",
    "tick_to_bar_ms": "tick to bar, ms",
    "tick_to_trade_ms": "tick to trade, ms",
    "worker_reported_ms": "worker's own, ms",
    "behind_at_end_ms": "behind at the end, ms",
    "send_lag_p99_ms": "sender's lag p99, ms",
    "send_lag_max_ms": "sender's lag max, ms",
    "worker_cores": "worker, cores",
    "kept_up": "kept up",
}


def markdown(documents: Sequence[Document]) -> str:
    """Write the page; sections in a fixed order, whatever the order given.

    Raises:
        ConfigurationError: a document is not one of a benchmark, or one is given twice.
    """
    by_name: dict[str, Document] = {}
    for document in documents:
        name = document.get("bench")
        if name not in _TITLES or name in by_name:
            problem = "is given twice" if name in by_name else "is not a benchmark's document"
            raise ConfigurationError("report", f"{name!r} {problem}", "Give one file of each `flashmm bench … --json`")
        by_name[name] = document
    return "\n".join([_HEAD, *(_section(by_name[name]) for name in _TITLES if name in by_name)])


def table_of(results: Sequence[Mapping[str, Any]]) -> Table:
    """Lay results out, a row each; a column each where they have more measures than fit a row."""
    keys = list(dict.fromkeys(key for result in results for key in result if _is_shown(key)))
    head = [_LABELS.get(key, key.replace("_", " ")) for key in keys]
    rows = [[_cell(result.get(key)) for key in keys] for result in results]
    for row, result in zip(rows, results, strict=True):
        if "skipped" in result:
            row[1:2] = ["not measured"] if len(keys) > 1 else []
    notes = [f"{result['name']} was not measured: {result['skipped']}" for result in results if "skipped" in result]
    if len(keys) > _MOST_COLUMNS:
        head, *rows = [list(column) for column in zip(head, *rows, strict=True)]
    return Table(head, rows, notes)


def _is_shown(key: str) -> bool:
    return key not in ("skipped", "records") and not key.endswith("_samples")


def _section(document: Document) -> str:
    machine, name = document["machine"], document["bench"]
    table = table_of(document["results"])
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['os']}"
    note = f" {machine['note']}" if machine["note"] else ""
    lines = [
        f"## {_TITLES[name]}",
        "",
        _METHODS[name],
        "",
        f"{document['date'][:10]}, {where}; load average before: {machine['load_1m_before']}.{note}",
        "",
        f"Parameters: {_pairs(document['parameters'])}. Versions: {_pairs(document['versions'])}.",
        "",
        *_table(table.columns, table.rows),
        "",
        *(line for note in table.notes for line in (f"{note}.", "")),
    ]
    if ratios := document.get("ratios"):
        lines += ["Ratios within this run:", "", *_table(["", "times"], [[k, _cell(v)] for k, v in ratios.items()]), ""]
    return "\n".join(lines)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [_line(columns), _line(["---"] * len(columns)), *map(_line, escaped)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_cell(value)}" for name, value in values.items())


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        if set(value) == {"p50", "p99", "p99_9", "max"}:
            return " / ".join(_cell(each) for each in value.values())
        return ", ".join(f"{name} {_cell(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)
