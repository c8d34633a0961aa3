"""What the platform is to reach, beside what was measured. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Target", "targets"]

Document = Mapping[str, Any]

_PACED = "100000-per-s"


@dataclass(frozen=True, slots=True)
class Target:
    """One figure to reach.

    Attributes:
        bench: Which benchmark tells it.
        is_least: Whether `wanted` is the least that will do, else the most.
        measured: None where it was not measured.
    """

    what: str
    bench: str
    wanted: float
    is_least: bool
    measured: float | None

    @property
    def is_met(self) -> bool | None:
        """Whether it is reached; None where it was not measured."""
        if self.measured is None:
            return None
        return self.measured >= self.wanted if self.is_least else self.measured <= self.wanted


def targets(documents: Mapping[str, Document]) -> list[Target]:
    """Compare the documents of benchmarks, by name, with what the platform is to reach."""

    def target(what: str, bench: str, wanted: float, find: Callable[[Document], Any], *, is_least: bool) -> Target:
        return Target(what, bench, wanted, is_least, _found(documents, bench, find))

    return [
        *(
            target(f"ticks/s, {pair}", bench, wanted, _ratio(pair), is_least=True)
            for pair, bench, wanted in (
                ("flashmm/consumer-performance", "engine", 1.5),
                ("flashmm-with-trades/consumer-performance", "engine", 1.0),
                ("flashmm/kafka-streams", "peers", 8.0),
                ("flashmm/faust", "peers", 150.0),
            )
        ),
        *(
            target(f"{what} at 100,000 ticks/s", "latency", wanted, _measure(_PACED, *path), is_least=False)
            for what, wanted, path in (
                ("tick to bar in the broker's log, p99 ms", 20.0, ("tick_to_bar_ms", "p99")),
                ("tick to trade in the broker's log, p99 ms", 20.0, ("tick_to_trade_ms", "p99")),
                ("the worker's memory, MiB", 400.0, ("rss_mb",)),
            )
        ),
        target(
            "tick to order at the venue adapter, p99 ms at 10,000 ticks/s",
            "latency",
            50.0,
            _measure("orders-10000-per-s", "tick_to_order_ms", "p99"),
            is_least=False,
        ),
        target("CPU a tick, dearest/cheapest of 1 to 1,000 markets", "growth", 1.3, _spread, is_least=False),
        target("memory, end/middle of the run", "memory", 1.02, _memory, is_least=False),
        *(
            target(f"ns a record, {name}", "codec", 100.0, _measure(result, "ns_per_record"), is_least=False)
            for name, result in (
                ("decode ticks", "decode-columns-ticks-4096"),
                ("encode trades", "encode-columns-trades-4096"),
                ("encode bars", "encode-columns-bars-4096"),
            )
        ),
    ]


def _found(documents: Mapping[str, Document], bench: str, find: Callable[[Document], Any]) -> float | None:
    try:
        return float(find(documents[bench]))
    except (KeyError, ValueError):
        return None


def _results(document: Document) -> dict[str, Mapping[str, Any]]:
    return {result["name"]: result for result in document["results"]}


def _ratio(pair: str) -> Callable[[Document], Any]:
    return lambda document: document["ratios"][pair]


def _measure(name: str, *path: str) -> Callable[[Document], Any]:
    def find(document: Document) -> Any:
        value: Any = _results(document)[name]
        for key in path:
            value = value[key]
        return value

    return find


def _spread(document: Document) -> float:
    """Give how much dearer a tick is of the worst number of markets, all else alike."""
    costs = [
        float(result["cpu_us_per_tick"])
        for name, result in _results(document).items()
        if name.endswith("-partitions-4-workers-1") and "cpu_us_per_tick" in result
    ]
    return max(costs) / min(costs)


def _memory(document: Document) -> float:
    result = _results(document)["memory"]
    return float(result["rss_end_mb"]) / float(result["rss_middle_mb"])
