"""How many records a second the sinks write into Redis and InfluxDB."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from infra.bench.ground import Ground, Run
from infra.bench.log import TickLog
from infra.bench.worker import ROOT, Workers
from infra.demo.observer import Observer
from infra.local.process import Child
from infra.local.stack import LocalStack
from schemas.errors import FlashMMError, ServiceUnavailable
from schemas.records import Bar, Metric, Trade

__all__ = ["SINKS", "sink_results", "steady_rate"]

SINKS = ("redis", "influx")
_DRAIN_S = 900.0
_SINK_S = 600.0
_POLL_S = 0.1

Report = tuple[int, int]
"""Wall clock in microseconds, records written by then."""


def sink_results(ground: Ground, trades: int, say: Callable[[str], None], *, markets: int) -> list[dict[str, object]]:
    """Let the worker publish trades and bars, then let each sink write them; gives a result each."""
    log = TickLog(ground, markets=markets)
    log.grow(trades)
    run = ground.run("sinks")
    with Workers(run, publish_trades=True) as workers:
        workers.wait_drained(_DRAIN_S)
        records = workers.published()
    say(f"{records:,} trades and bars published")
    stack = LocalStack(
        ground.folder / "stack",
        kafka=ground.bootstrap,
        partitions=ground.partitions,
        prefix=run.settings.topic_prefix,
    )
    with stack:
        ran = stack.describe()
        return [_result(run, name, stack, ran[name], say) for name in SINKS]


def _result(run: Run, name: str, stack: LocalStack, server: str, say: Callable[[str], None]) -> dict[str, object]:
    observer = Observer(run.settings, run.ground.codec(Metric))
    child = Child(
        f"sink-{name}",
        [sys.executable, "-m", "infra.cli", "sink", name],
        log=run.ground.folder / f"sink-{name}.log",
        environment=stack.environment(),
        cwd=ROOT,
    )
    child.start()
    try:
        reports = _watch(child, observer, f"sink.{name}")
        rate = steady_rate(reports)
        say(f"{name}: {rate:,.0f} records/s")
        return {
            "name": name,
            "records_per_s": round(rate),
            "records": reports[-1][1],
            "server": server,
        }
    except FlashMMError as error:
        return {"name": name, "skipped": str(error)}
    finally:
        child.kill()
        observer.close()


def _watch(child: Child, observer: Observer, component: str) -> list[Report]:
    """Take the sink's reports until it has written everything."""
    wanted = sum(sum(observer.ends(record).values()) for record in (Bar, Trade))
    deadline = time.monotonic() + _SINK_S
    reports: list[Report] = []
    while not reports or reports[-1][1] < wanted:
        observer.poll(_POLL_S)
        child.check()
        for (name, _), metric in observer.totals.latest.items():
            report = metric.ts_metric, metric.counters.get("records", 0)
            if name == component and (not reports or reports[-1] != report):
                reports.append(report)
        if time.monotonic() > deadline:
            raise ServiceUnavailable(
                component, "this machine", f"not done within {_SINK_S:g} s", fix=f"See {child.log}"
            )
    return reports


def steady_rate(reports: Sequence[Report]) -> float:
    """Give records a second between the first and the last report that fall within the work.

    The last report comes up to a second after the last record, so it counts only where there are too few others.

    Raises:
        ServiceUnavailable: too few reports to tell.
    """
    working = [report for report in reports if 0 < report[1] < reports[-1][1]]
    if len(working) < 2:
        idle = [report for report in reports if not report[1]]
        working = [*idle[-1:], *working, reports[-1]]
    (start_us, before), (end_us, after) = working[0], working[-1]
    if end_us == start_us:
        raise ServiceUnavailable("sink", "this machine", "it was done before it could report twice", fix="Write more")
    return (after - before) * 1e6 / (end_us - start_us)
