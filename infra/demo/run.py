"""One run of the demonstration: start everything, watch it, stop it in order, count what it did."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra.demo.feed import Feed
from infra.demo.observer import Observer
from infra.demo.platform import Platform, Source
from infra.demo.summary import Totals
from infra.demo.view import ViewModel
from infra.local.process import Child
from infra.local.stack import LocalStack
from infra.runtime.settings import Settings
from schemas.errors import TimedOut
from schemas.records import Metric
from schemas.registry import Registry

__all__ = ["DemoRun"]

_WORKER_READY_S = 60
_QUOTED = ("sim-sei-clob", "SEI/USDC")


class DemoRun:
    """The stack and the platform's processes, as one context.

    Args:
        stack: Not started yet.
        settings_of: Gives the settings that the stack's environment makes.
        say: Told of each step, for progress.
    """

    def __init__(
        self,
        stack: LocalStack,
        source: Source,
        *,
        settings_of: Callable[[Mapping[str, str]], Settings],
        logs: Path,
        say: Callable[[str], None],
    ) -> None:
        self._stack = stack
        self._source = source
        self._settings_of = settings_of
        self._logs = logs
        self._say = say
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        with self._exit:
            self._say("starting Kafka, registry, Redis and InfluxDB")
            self._exit.enter_context(self._stack)
            environment = self._stack.environment()
            self.settings = self._settings_of(environment)
            self.platform = Platform(self._source, environment, self._logs)
            self._exit.callback(self.platform.stop)
            with Registry(self.settings.registry_url) as registry:
                codec = registry.codec(Metric)
            self._observer = Observer(self.settings, codec)
            self._exit.callback(self._observer.close)
            self._feed = Feed(
                self.settings.redis_url.get_secret_value(),
                f"{self.settings.executor_mode}:{self.settings.account}",
                _QUOTED if self._source.capture is None else None,
            )
            self._exit.callback(self._feed.close)
            self._say("starting worker and sinks")
            self.platform.start_services()
            self._wait_for_worker()
            self.totals.begin()
            self._say("starting producers")
            self.platform.start_feeds()
            self.started = time.monotonic()
            self._exit = self._exit.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def _wait_for_worker(self) -> None:
        """Feed nothing before the worker owns its partitions: what waits for it would show as latency."""
        deadline = time.monotonic() + _WORKER_READY_S
        while len(self._observer.applied()) < self.settings.kafka_partitions:
            self.watch()
            if time.monotonic() > deadline:
                log = self.platform.services[0].log
                raise TimedOut("worker", "this machine", f"not ready in {_WORKER_READY_S} s", fix=f"See {log}")

    @property
    def children(self) -> list[Child]:
        """All processes: the stack's, then the platform's."""
        return [*self._stack.children.values(), *self.platform.children]

    @property
    def totals(self) -> Totals:
        """What the components have reported."""
        return self._observer.totals

    @property
    def _is_quoted(self) -> bool:
        """Whether there is a market that the worker quotes and the executor has something to do."""
        quoted = self.settings.csv("quoted_venues")
        venues = (_QUOTED[0],) if self._source.capture is None else (venue for venue, _ in self._source.markets)
        return any(venue in quoted for venue in venues)

    def ran(self) -> dict[str, str]:
        """Say what really ran."""
        return {**self._stack.describe(), "executor": str(self.settings.executor_mode)}

    def in_words(self) -> dict[str, str]:
        """Say the same to people, stand-ins as such."""
        return {**self._stack.in_words(), "executor": f"{self.settings.executor_mode}: no venue is traded on"}

    def banner(self) -> list[tuple[str, str]]:
        """Say what is real, what is simulated and what stands in, as (word, detail)."""
        origin = self._source.origin
        rows = [(origin.kind, f"market data: {origin.detail}")]
        for service, description in self._stack.in_words().items():
            rows.append(("STAND-IN" if "stand-in" in description else "REAL", f"{service}: {description}"))
        if find_spec("torch") is None:
            rows.append(("MODEL-FREE", "quotes: torch is not installed, so no prediction moves them"))
        return [*rows, ("PAPER", f"orders: {self.settings.executor_mode} mode, no venue is traded on")]

    def model(self) -> ViewModel:
        """Read one frame of the live view."""
        return self._feed.model(time.monotonic() - self.started, self.banner(), self.children)

    def watch(self) -> None:
        """Take new metrics, measure memory, and make sure that everything runs.

        Raises:
            ServiceUnavailable: a process ended; the message names its log.
        """
        self._observer.poll()
        self._stack.check()
        self.platform.check()
        for child in self.children:
            child.sample_rss()

    def wait_until_working(self, timeout_s: float) -> dict[str, str]:
        """Wait until every component has reported work of its own; gives what each did.

        Raises:
            ServiceUnavailable: a process ended.
            TimedOut: a component did nothing in time.
        """
        deadline = time.monotonic() + timeout_s
        checks = {
            "worker": ("worker", "ticks.accepted"),
            "redis sink": ("sink.redis", "writes"),
            "influx sink": ("sink.influx", "points"),
        }
        if self._is_quoted:
            checks["executor"] = ("executor", "decisions")
        while True:
            self.watch()
            counts = {name: self.totals.counter(*where) for name, where in checks.items()}
            done = {name: f"{count} {checks[name][1]}" for name, count in counts.items()}
            if not self._is_quoted:
                counts["executor"] = self.totals.instances("executor")
                done["executor"] = "no market to quote"
            if all(counts.values()):
                return done
            if time.monotonic() > deadline:
                idle = ", ".join(name for name, count in counts.items() if not count)
                raise TimedOut(idle, "this machine", f"did nothing in {timeout_s:g} s", fix=f"See {self._logs}")
            time.sleep(0.1)

    def finish(self) -> dict[str, Any]:
        """Stop what feeds the log, let the worker and the sinks come to its end, stop them, and give the summary.

        Raises:
            ServiceUnavailable: a process ended by itself before; the message names its log.
        """
        self.watch()
        self._say("stopping the producers")
        self.platform.stop_feeds()
        self._say("waiting for the worker to reach the end of the log")
        worker = self.platform.services[0]
        self._observer.wait_for_worker(10, is_alive=lambda: worker.is_alive)
        worker.check()
        self._say("stopping the sinks")
        self.platform.stop_sinks()
        self._observer.wait_for_worker(5, is_alive=lambda: worker.is_alive)
        rss = {child.name: child.rss_peak_bytes / 2**20 for child in self.children}
        dead_letters = self._observer.dead_letters()
        return self.totals.document(dead_letters=dead_letters, rss_mb=rss, ran=self.ran())
