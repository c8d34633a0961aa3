"""What is alive: components by their metrics, feeds by the state of their books. Pure; the clock is passed in.

    fresh      a metric within 5 s                     healthy
    late       none for 5 to 30 s                      degraded
    silent     none for more than 30 s                 unhealthy; forgotten after 10 min
    book       not LIVE, or no quote for 10 s          degraded

The platform is as well as its worst component; it is unhealthy while no worker or no producer has been seen at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from schemas.enums import BookState
from schemas.records import Book, Market, Metric

__all__ = ["Status", "Vitals"]

_FRESH_US = 5_000_000
_SILENT_US = 30_000_000
_FORGOTTEN_US = 600_000_000
_STALE_BOOK_US = 10_000_000
_ESSENTIAL = ("producer", "worker")
_MOST_INSTANCES = 1_000

Document = dict[str, Any]


class Status(IntEnum):
    """How well something is; the greatest of several is the whole's."""

    HEALTHY = 0
    DEGRADED = 1
    UNHEALTHY = 2

    @property
    def word(self) -> str:
        """The status as it is written."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class _Seen:
    metric: Metric
    rates: dict[str, float]


class Vitals:
    """The last metric of every instance of every component, and the last state of every book."""

    def __init__(self) -> None:
        self._instances: dict[tuple[str, str], _Seen] = {}
        self._books: dict[Market, tuple[BookState, int]] = {}

    def see_metric(self, metric: Metric) -> None:
        """Take a metric; one older than the last of its instance changes nothing."""
        key = (metric.component, metric.instance)
        before = self._instances.get(key)
        if before is not None and before.metric.ts_metric >= metric.ts_metric:
            return
        if before is None and len(self._instances) >= _MOST_INSTANCES:
            del self._instances[min(self._instances, key=lambda k: self._instances[k].metric.ts_metric)]
        self._instances[key] = _Seen(metric, _rates(before.metric, metric) if before else {})

    def see_book(self, book: Book) -> None:
        """Take a book's state."""
        self._books[book.market] = (book.state, book.ts_recv)

    def health(self, now_us: int) -> Document:
        """Give the document of `flashmm:health:status`."""
        self._forget(now_us)
        components: dict[str, Document] = {}
        worst = Status.HEALTHY
        for (component, instance), seen in sorted(self._instances.items()):
            status = _component_status(now_us - seen.metric.ts_metric)
            worst = max(worst, status)
            components.setdefault(component, {})[instance] = {
                "status": status.word,
                "ts_seen": seen.metric.ts_metric,
            }
        books: dict[str, Document] = {}
        for (venue, symbol), (state, ts_recv) in sorted(self._books.items()):
            is_well = state is BookState.LIVE and now_us - ts_recv <= _STALE_BOOK_US
            status = Status.HEALTHY if is_well else Status.DEGRADED
            worst = max(worst, status)
            books[f"{venue}:{symbol}"] = {"status": status.word, "state": str(state), "ts_recv": ts_recv}
        missing = _missing(components)
        if missing:
            worst = Status.UNHEALTHY
        return {
            "status": worst.word,
            "ts_status": now_us,
            "missing": missing,
            "components": components,
            "books": books,
        }

    def realtime(self, now_us: int) -> Document:
        """Give the document of `flashmm:metrics:realtime`."""
        self._forget(now_us)
        components: dict[str, Document] = {}
        for (component, instance), seen in sorted(self._instances.items()):
            components.setdefault(component, {})[instance] = {
                "ts_metric": seen.metric.ts_metric,
                "counters": dict(seen.metric.counters),
                "gauges": dict(seen.metric.gauges),
                "rates_per_s": seen.rates,
            }
        return {"ts_metrics": now_us, "components": components}

    def _forget(self, now_us: int) -> None:
        oldest_us = now_us - _FORGOTTEN_US
        self._instances = {k: seen for k, seen in self._instances.items() if seen.metric.ts_metric >= oldest_us}
        self._books = {market: seen for market, seen in self._books.items() if seen[1] >= oldest_us}


def _component_status(age_us: int) -> Status:
    if age_us <= _FRESH_US:
        return Status.HEALTHY
    return Status.DEGRADED if age_us <= _SILENT_US else Status.UNHEALTHY


def _missing(components: Iterable[str]) -> list[str]:
    roles = {component.partition(".")[0] for component in components}
    return [role for role in _ESSENTIAL if role not in roles]


def _rates(before: Metric, after: Metric) -> dict[str, float]:
    seconds = (after.ts_metric - before.ts_metric) / 1e6
    return {
        name: round(max(0, count - before.counters[name]) / seconds, 3)
        for name, count in after.counters.items()
        if name in before.counters
    }
