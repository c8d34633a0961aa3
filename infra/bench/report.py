"""Write `docs/performance.md` from the documents of benchmarks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.bench.targets import targets
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
    "profile": "Where the time goes",
    "peers": "Peers",
    "latency": "Latency",
    "codec": "Codec",
    "growth": "Growth",
    "memory": "Memory",
    "sinks": "Sinks",
}

_TARGETS = """\
## Targets

What the platform is to reach, and what the runs below measured. Each ratio is of one run; where a target is missed,
*Where the time goes* says what a tick costs.
"""

_DRAIN = """\
A topic of `market.ticks` is filled and synced to disk, then systems read it from the beginning to its end, one at a
time, each started anew in a process of its own. The ticks are trades, keyed by group, in the flat Avro form of the
platform, uncompressed, in record batches of up to 256 KiB; one in 200 repeats the one before, event times overtake
each other by up to 20 ms, and each partition has a heartbeat every second. The broker has the JVM options of Kafka's
own start script and a heap of 1 GiB; the whole log fits the page cache.

`flashmm` is the worker, `faust -A processors.app worker`, with `FLASHMM_STAGES=normalise,bars` and
`FLASHMM_PUBLISH_TRADES=false`: decode, duplicates, age, order and spikes, bars in six timeframes, snapshots,
everything published and acknowledged. `flashmm-with-trades` republishes every accepted trade as well. Both are timed
by the broker's clock (`LogAppendTime`, whole milliseconds), from the arrival of the first bar to that of the last
record, which the last records of the log make. What was applied by the first arrival is not counted: of each
partition, all up to the tick that triggered its next bar, so the rate is rather too low. Start, join and the loading of
compiled code lie before the first bar. A run in which the worker does not report every record as received, or writes
a dead letter, counts as failed.

`consumer-performance` is Kafka's own tool, which reads the same bytes, does not check their CRCs, and does nothing
with them. It is timed from the end of its join, by its own detailed statistics, with its own settings (larger fetches
and polls were slower) and the parallel collector, with which it was fastest. Java compiles while it runs: its first
three million ticks, `first 3m`, are read several times slower than the rest. `warm` leaves out the first two seconds,
of any system that tells it.

CPU is that of all threads of the system, without the broker's; the broker shares the machine."""

_METHODS = {
    "engine": f"""\
{_DRAIN}

The systems drain the same log in turn, every other round in the opposite order; the log is as long as the fastest
needs for the time in the parameters. A result is that of the median run, a ratio the median of those of the rounds.""",
    "profile": """\
The worker's own functions over the bytes of fetch responses of one partition, section by section, in one thread
without Kafka: the least of five passes, in nanoseconds of CPU a tick of the log. The last three are run only where
every trade is republished. What a tick costs the whole worker beyond their sum is the socket, Kafka's client, the event
loop and Faust.""",
    "peers": """\
As in *Engine*, but the topic is filled further between the turns: each system is measured on a prefix that takes it
the time in the parameters.

The peers decode every tick and keep open, high, low, close and volume by symbol and second: less than `flashmm`
does, and nothing is published. They are timed from the first tick decoded to the last one aggregated. Kafka Streams
has one thread, its store in memory, no changelog, and the parallel collector, with which it was fastest. Their
programs and pinned versions are in `tests/bench/peers`.""",
    "latency": """\
A process of its own sends ticks at an even rate, through librdkafka as the platform's producers do; a tick
bears the time at which it was to be sent (open loop), so a sender that falls behind shows as latency. The time
is from there to the arrival in the broker's log (`LogAppendTime`, whole milliseconds) of what the tick
triggered: every bar, and up to 100,000 trades evenly chosen. The first fifth of a run is left out. Percentiles
are p50 / p99 / p99.9 / max. What the worker reports itself goes on to the broker's acknowledgement: of its windows
of half a minute, or of some thousand records, in the second half of the run, the median p50 and the greatest of all
else. Rates rise until one is not kept up with: the last trade came more than a second late, or the sender could not
keep its pace. `worker, cores` is CPU seconds a second. Broker, sender and worker share the machine, and trades are
republished.

`orders` is a run of its own: all stages, trades of the other markets at the rate, and ten times a second the whole book
of each quoted market, whose mid walks by ticks; then the executor, on paper. The time is from the receipt of the tick
that crossed a grid point, which the decision names as its cause, to the moment at which the executor hands an order to
its venue's adapter: after the decision was published and read, and the order was journalled in an acknowledged
transaction. A new broker compiles its code for most of the first minute, which takes half a core: the first 45 s do not
count. Of the five half minutes after them the middle one by its p99 is given, and the p99 of each. Its broker has the
Z collector and a heap of 2 GiB, touched at the start, where that of all other runs has the options of Kafka's start
script.""",
    "codec": """\
Ticks as above, and trades and bars made of them, in one thread without Kafka: CPU time of the thread, the best of
five passes. `columns` are the compiled decoder and encoders on batches of 4,096 and of 512 records, `codec` the
platform's codec for one record. `fastavro` and `avro` are used without logical types, which is what they are fastest
at.""",
    "growth": """\
Drains as in *Engine*, publishing bars, each case on a broker of its own, with one thing changed at a time
from 40 markets, 4 partitions and one worker. What counts is the CPU a tick, of all workers together: two workers
share the cores of this machine with the broker. They start together, and their time includes a rebalance.""",
    "memory": """\
The resident size of a worker at an even rate: at the start, in the middle and at the end, each the mean of a tenth of
the time, and its slope over the second half.""",
    "sinks": """\
The worker publishes trades and bars; then `flashmm sink …` writes them, alone, from the beginning of its
topics. The rate is between the first and the last of its own reports that fall within the work.""",
}

_TRIED = """\
## What was tried

Written by hand. The changes were compared on a machine that other work shared: what counts is the CPU a tick of
drains in turn, old and new in one run, or a count. Before them a third of the worker's CPU went to compiled code, two
fifths to the interpreter, 15 % to the kernel. What an event costs there, a pass of an event loop or a fetch, hardly
depends on how many ticks it has, and each hands the interpreter over between threads.

These stayed:

- All record batches of a fetch are checked and split in one call of compiled code, and NumPy makes no pass over a
  batch only to find its newest tick: 0.79 times the CPU.
- Fewer fetches by readers of topics that are mostly silent: with the former, and with fetches of 4 MiB a partition
  instead of 1, 0.56 to 0.66 times the CPU, in four rounds. The larger fetches did not stay: a worker whose outputs a
  slow broker held up grew to 457 MiB with them, to 372 without. They are a setting.
- A read waits for a mebibyte of a large frame, or for its rest: 0.6 times the reads.
- A fetch waits at the broker for as long as that delays nothing: with the last but one an idle worker takes 0.24 times
  the CPU.
- With all stages, trades go from stage to stage as rows and not as records, and the executor leaves the ticks of
  markets that it does not trade in columns. Before, at 10,000 ticks/s, both fell behind: 14.8 s from tick to order at
  p99 of a run of 40 s, and growing.
- A worker that is level with the log pauses for a few milliseconds after each answer: while ticks come all the time
  a fetch was answered with the few of the last moment, and each batch costs its passes of the loop, its produce
  requests and the broker's time again, whether it has three ticks or hundreds.
- The messages of an answer are delivered at once, where Faust makes four tasks of each, and what the stages make of
  them is sent together: at 10,000 ticks/s with all stages 9 tasks an answer instead of 24, 13 passes of the loop
  instead of 22, 1.8 writes to sockets instead of 2.8.
- Fetches have slots on the grid, one of them right behind each grid point, and producers gather for 5 ms instead of 2:
  at 10,000 ticks/s with all stages the worker took 0.56 to 0.64 cores before, 0.32 after. From tick to order, in turn,
  p50 / p99 of 51 / 154 and 48 / 117 ms before, of 35 / 132 after, and with the next of 30 / 55.
- A broker with all of its heap from the start, as Kafka's own start script gives it. With a quarter of it there was a
  collection every 5 s, of 6 to 20 ms, and up to 80 where all cores were busy.
- What partitions decide at one grid point is journalled in one transaction, and what can wait in another one after
  it, of another id: one right behind another of the same id is refused until the broker has ended that.
- An executor that has read a decision before its tick waits for ticks, and not for the next decision: from the one to
  the other 8 ms at p99 instead of 19. Else it takes ticks 25 times a second instead of 100: 0.13 cores instead of 0.20.
- A collector of garbage that works beside the broker, where orders are measured. G1 stopped it for 20 ms every few
  seconds on two busy processors, and for 70 to 140 where its two threads waited for each other: of the 17 slowest
  orders of two minutes 13 met such a pause.

These did not, because they brought nothing that could be told from noise, or cost time:

- Smaller decoded batches, whose rows stay in the second-level cache: with 1,024 records decode takes 1.5 times and
  normalise 1.6 times as long a tick as with 8,192. What a call costs outweighs the cache.
- Batches of 16,384 records where a fetch of a partition has half as many; batches of 32,768.
- Fetching the rows of a batch, the keys of its trades, or a market's open minute into the cache ahead of their use.
  With 250 markets on a partition bars take twice as long a tick, before and after: each has six to emit a second.
- uvloop in place of asyncio's event loop.
- An allocator that gives no memory back: a third fewer page faults, the same CPU.
"""

_LABELS = {
    "name": "",
    "ticks_per_s": "ticks/s",
    "records_per_s": "records/s",
    "ns_per_record": "ns a record",
    "ns_per_tick": "ns a tick",
    "warm_ticks_per_s": "warm, ticks/s",
    "first_3m_ticks_per_s": "first 3m, ticks/s",
    "runs_ticks_per_s": "runs, ticks/s",
    "cpu_us_per_tick": "CPU µs a tick",
    "rss_mb": "RSS MiB",
    "tick_to_bar_ms": "tick to bar, ms",
    "tick_to_trade_ms": "tick to trade, ms",
    "tick_to_order_ms": "tick to order, ms",
    "half_minutes_p99_ms": "p99 of each half minute, ms",
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
    return "\n".join([_HEAD, _targets(by_name), *(_section(by_name[name]) for name in _TITLES if name in by_name)])


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


def _targets(documents: Mapping[str, Document]) -> str:
    said = {True: "yes", False: "no", None: "not measured"}
    rows = [
        [
            target.what,
            f"{'at least' if target.is_least else 'at most'} {target.wanted:g}",
            "" if target.measured is None else f"{target.measured:.4g}",
            said[target.is_met],
            _TITLES[target.bench],
        ]
        for target in targets(documents)
    ]
    return "\n".join([_TARGETS, *_table(["", "wanted", "measured", "met", "by"], rows), ""])


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
    if name == "profile":
        lines += [_sum(document), "", _TRIED]
    if ratios := document.get("ratios"):
        lines += ["Ratios within this run:", "", *_table(["", "times"], [[k, _cell(v)] for k, v in ratios.items()]), ""]
    return "\n".join(lines)


def _sum(document: Document) -> str:
    """Add the sections of a tick up, without and with the republishing of trades."""
    costs = {result["name"]: float(result["ns_per_tick"]) for result in document["results"]}
    whole = sum(costs.values())
    bare = sum(cost for name, cost in costs.items() if "trades" not in name)
    return f"Together: {bare:.0f} ns a tick publishing bars, {whole:.0f} ns republishing trades too."


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
