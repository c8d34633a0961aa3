"""The benchmarks by name: each runs as its options say and gives its document."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.bench.codec import codec_results
from infra.bench.document import document, paired_ratios, ratios
from infra.bench.drain import DrainPlan, System, drain_all, drain_in_turn, flashmm_drain
from infra.bench.ground import Ground
from infra.bench.growth import CASES, QUICK_CASES, grow
from infra.bench.latency import paced
from infra.bench.log import BATCH_BYTES, TickLog
from infra.bench.memory import memory as watch_memory
from infra.bench.orders import MEASURED_S, tick_to_order
from infra.bench.peers import PEERS, peer
from infra.bench.profile import profile_results
from infra.bench.sinks import sink_results
from schemas.errors import ConfigurationError

__all__ = [
    "OURS",
    "SUITES",
    "Options",
    "codec",
    "engine",
    "growth",
    "latency",
    "memory",
    "peers",
    "profile",
    "sinks",
]

OURS = ("flashmm", "flashmm-with-trades")
_MARKETS = 40
_ROOF = "consumer-performance"
_LOG_RATE, _QUICK_LOG_RATE = 100_000, 5_000
_RATES = (1_000, 10_000, 20_000, 50_000, 100_000, 200_000)
_QUICK_RATES = (1_000,)
_ORDER_RATE = 10_000


@dataclass(frozen=True, slots=True)
class Options:
    """What every benchmark takes.

    Attributes:
        folder: Where brokers and workers keep their files meanwhile.
        seconds: Least time that a system is measured; None: the benchmark's own.
        is_quick: Run a short form, whose figures mean nothing.
        note: What a reader should know of the machine.
    """

    folder: Path
    say: Callable[[str], None]
    seconds: float | None = None
    repeats: int = 1
    is_quick: bool = False
    note: str = ""

    def at_least(self, full: float, quick: float) -> float:
        """Choose how long to measure."""
        if self.seconds is not None:
            return self.seconds
        return quick if self.is_quick else full


def engine(options: Options) -> dict[str, Any]:
    """Drain a log with the worker, and read it with Kafka's own consumer, in turn."""
    load = os.getloadavg()[0]
    plan = _plan(options, 10.0, first_trades=4_000_000)
    with _ground(options, "engine") as ground:
        log = _log(ground, options)
        systems = {_ROOF: peer(_ROOF), **_workers(ground)}
        results, rounds = drain_in_turn(log, systems, plan, options.say)
        parameters = {**_parameters(options, plan), **_log_parameters(log)}
    found = {**paired_ratios(rounds, OURS, [_ROOF]), **ratios(results, OURS, [_ROOF], measure="warm_ticks_per_s")}
    return document("engine", parameters, results, note=options.note, load_before=load, ratios=found)


def peers(options: Options, names: Sequence[str] = PEERS) -> dict[str, Any]:
    """Drain a log with the worker and with its peers, each a prefix sized to its speed.

    Raises:
        ConfigurationError: a name is not one of a peer.
    """
    for name in names:
        if name not in PEERS:
            raise ConfigurationError("--only", f"{name!r} is no peer", f"Choose among {', '.join(PEERS)}")
    load = os.getloadavg()[0]
    plan = _plan(options, 10.0)
    with _ground(options, "peers") as ground:
        log = _log(ground, options)
        systems = {**_workers(ground), **{name: peer(name) for name in names}}
        results = drain_all(log, systems, plan, options.say)
        parameters = {**_parameters(options, plan), **_log_parameters(log)}
    found = {**ratios(results, OURS, names), **ratios(results, OURS, names, measure="warm_ticks_per_s")}
    return document("peers", parameters, results, note=options.note, load_before=load, ratios=found)


def _log_parameters(log: TickLog) -> dict[str, object]:
    return {
        "markets": log.maker.markets,
        "partitions": log.ground.partitions,
        "log_ticks_per_s": log.maker.rate,
        "value_bytes": log.maker.ticks(0, 200).width,
        "record_batch_bytes": BATCH_BYTES,
    }


def _workers(ground: Ground) -> dict[str, System]:
    """Make our systems: the worker that publishes bars alone, and the one that publishes every trade too."""
    return {name: flashmm_drain(ground, name, publish_trades=name == OURS[1]) for name in OURS}


def latency(options: Options, rates: Sequence[int] = ()) -> dict[str, Any]:
    """Pace ticks at rising rates through the worker."""
    load = os.getloadavg()[0]
    seconds = options.at_least(20.0, 3.0)
    chosen = tuple(rates) or (_QUICK_RATES if options.is_quick else _RATES)
    with _ground(options, "latency") as ground:
        results = paced(ground, chosen, seconds, _MARKETS, options.say, publish_trades=True)
    order_rate, order_seconds = (1_000, 10.0) if options.is_quick else (_ORDER_RATE, MEASURED_S)
    # On a log of its own: a worker with all stages would have to catch up with the ticks of the runs before.
    with _ground(options, "orders", is_pauseless=True) as ground:
        results.append(tick_to_order(ground, order_rate, order_seconds, _MARKETS, options.say))
    parameters = {
        "seconds": seconds,
        "markets": _MARKETS,
        "partitions": 4,
        "publish_trades": True,
        "quick": options.is_quick,
    }
    return document("latency", parameters, results, note=options.note, load_before=load)


def codec(options: Options) -> dict[str, Any]:
    """Read and write single ticks."""
    load = os.getloadavg()[0]
    records = 2_000 if options.is_quick else 200_000
    results = codec_results(records)
    parameters = {"records": records, "quick": options.is_quick}
    return document("codec", parameters, results, note=options.note, load_before=load)


def profile(options: Options) -> dict[str, Any]:
    """Run each section of the worker's own code over fetched bytes, without Kafka."""
    load = os.getloadavg()[0]
    ticks = 25_000 if options.is_quick else 1_000_000
    results = profile_results(ticks)
    parameters = {"ticks": ticks, "quick": options.is_quick}
    return document("profile", parameters, results, note=options.note, load_before=load)


def growth(options: Options) -> dict[str, Any]:
    """Drain logs of more and more markets, partitions and workers."""
    load = os.getloadavg()[0]
    plan = _plan(options, 3.0, first_trades=8_000_000)
    cases, rate = (QUICK_CASES, _QUICK_LOG_RATE) if options.is_quick else (CASES, _LOG_RATE)
    results = grow(options.folder / "growth", cases, plan, options.say, rate=rate, is_quick=options.is_quick)
    return document("growth", _parameters(options, plan), results, note=options.note, load_before=load)


def memory(options: Options, minutes: float = 10.0) -> dict[str, Any]:
    """Watch the worker's memory for some minutes at an even rate."""
    load = os.getloadavg()[0]
    rate, seconds = (1_000, 3.0) if options.is_quick else (20_000, 60.0 * minutes)
    with _ground(options, "memory") as ground:
        results = watch_memory(ground, rate, seconds, _MARKETS, options.say)
    parameters = {"markets": _MARKETS, "partitions": 4, "quick": options.is_quick}
    return document("memory", parameters, results, note=options.note, load_before=load)


def sinks(options: Options) -> dict[str, Any]:
    """Write what the worker published into Redis and InfluxDB."""
    load = os.getloadavg()[0]
    trades = 60_000 if options.is_quick else 400_000
    with _ground(options, "sinks") as ground:
        results = sink_results(ground, trades, options.say, markets=_MARKETS)
    parameters = {"trades": trades, "markets": _MARKETS, "quick": options.is_quick}
    return document("sinks", parameters, results, note=options.note, load_before=load)


SUITES: Mapping[str, Callable[[Options], dict[str, Any]]] = {
    "codec": codec,
    "profile": profile,
    "engine": engine,
    "peers": peers,
    "latency": latency,
    "growth": growth,
    "memory": memory,
    "sinks": sinks,
}
"""Every benchmark by name, in the order in which all are run."""


def _plan(options: Options, seconds: float, **more: int) -> DrainPlan:
    if options.is_quick:
        return DrainPlan(seconds=options.seconds or 0.0, first_trades=50_000)
    return DrainPlan(seconds=options.seconds or seconds, repeats=options.repeats, **more)


def _ground(options: Options, name: str, *, is_pauseless: bool = False) -> Ground:
    return Ground(options.folder / name, is_quick=options.is_quick, is_pauseless=is_pauseless)


def _log(ground: Ground, options: Options) -> TickLog:
    return TickLog(ground, markets=_MARKETS, rate=_QUICK_LOG_RATE if options.is_quick else _LOG_RATE)


def _parameters(options: Options, plan: DrainPlan) -> dict[str, object]:
    return {"seconds": plan.seconds, "repeats": plan.repeats, "quick": options.is_quick}
