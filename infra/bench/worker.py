"""The platform's worker under a benchmark: started, watched, and timed by the broker's clock."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import psutil

from infra.bench.ground import Run
from infra.demo.observer import Observer
from infra.local.process import Child
from schemas.errors import ServiceUnavailable, StateError
from schemas.records import Bar, Metric, Tick, Trade

__all__ = ["Sample", "Workers"]

ROOT = Path(__file__).resolve().parents[2]
_POLL_S = 0.2
_QUIET_S = 2.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What the workers used, together, by some moment: CPU seconds since their start, resident bytes."""

    time_s: float
    cpu_s: float
    rss: int


class Workers:
    """One worker of a run, or several; entered as a context they are started, and killed at its end.

    Attributes:
        samples: CPU and memory over time.
    """

    def __init__(self, run: Run, *, count: int = 1, **settings: Any) -> None:
        self.run = run
        self.samples: list[Sample] = []
        self.observer = Observer(run.settings, run.ground.codec(Metric))
        self._children = [self._child(number, settings) for number in range(count)]

    def __enter__(self) -> Self:
        for child in self._children:
            child.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.kill()
        self.observer.close()

    def poll(self) -> None:
        """Take reports and a sample.

        Raises:
            ServiceUnavailable: a worker ended.
        """
        self.observer.poll(_POLL_S)
        cpu_s, rss = 0.0, 0
        for child in self._children:
            child.check()
            process = psutil.Process(child.pid)
            times = process.cpu_times()
            cpu_s += times.user + times.system
            rss += process.memory_info().rss
        self.samples.append(Sample(time.time(), cpu_s, rss))

    def wait_owned(self, timeout_s: float) -> None:
        """Wait until every partition is reported.

        Raises:
            ServiceUnavailable: it is not in time.
        """
        deadline = time.monotonic() + timeout_s
        while len(self.observer.applied()) < self.run.ground.partitions:
            self._check(deadline, timeout_s)

    def wait_drained(self, timeout_s: float) -> None:
        """Wait until all ticks are applied and nothing more is published.

        Raises:
            ServiceUnavailable: they are not in time.
        """
        deadline = time.monotonic() + timeout_s
        ends = self.observer.ends(Tick)
        while any(self.observer.applied().get(partition, 0) < end for partition, end in ends.items()):
            self._check(deadline, timeout_s)
        published, quiet = -1, time.monotonic()
        while time.monotonic() < quiet + _QUIET_S:
            now = self.published()
            if now != published:
                published, quiet = now, time.monotonic()
            self._check(deadline, timeout_s)

    def published(self) -> int:
        """Count the bars and trades published."""
        return sum(sum(self.observer.ends(record).values()) for record in (Bar, Trade))

    def check_received(self, records: int) -> None:
        """Make sure that the workers say they received every record, and refused none as undecodable.

        Raises:
            StateError: they do not, so whatever was measured means nothing.
        """
        received = self.observer.totals.counter("worker", "ticks.received")
        letters = self.observer.dead_letters()
        if received != records or letters:
            raise StateError(f"{self.run.name}: {received} of {records} records received, {letters} dead letters")

    def cpu_between(self, start_s: float, end_s: float) -> float:
        """Give the CPU seconds used between two moments, seconds since the epoch."""
        times = [sample.time_s for sample in self.samples]
        used = [sample.cpu_s for sample in self.samples]
        start, end = np.interp((start_s, end_s), times, used)
        return float(end - start)

    @property
    def rss_peak(self) -> int:
        """The greatest resident size sampled, bytes."""
        return max((sample.rss for sample in self.samples), default=0)

    def _check(self, deadline: float, timeout_s: float) -> None:
        self.poll()
        if time.monotonic() > deadline:
            log = self._children[0].log
            raise ServiceUnavailable("worker", "this machine", f"not done within {timeout_s:g} s", fix=f"See {log}")

    def _child(self, number: int, settings: dict[str, Any]) -> Child:
        name = f"worker-{self.run.name}-{number}"
        environment = self.run.environment(
            **{"stages": "normalise,bars", **settings, "data_dir": self.run.ground.folder / name}
        )
        return Child(
            name,
            [sys.executable, "-m", "faust", "-A", "processors.app", "worker", "-l", "warn", "--without-web"],
            log=self.run.ground.folder / f"{name}.log",
            environment=environment,
            cwd=ROOT,
        )
