"""The platform's own processes of a demonstration, above a local stack."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.local.process import Child
from producers.replay.venues import open_recording
from schemas.errors import ConfigurationError
from schemas.instruments import Instruments
from schemas.records import Market

__all__ = ["Origin", "Platform", "Source"]

ROOT = Path(__file__).resolve().parents[2]
SIMULATOR_SEED = 1
"""The demonstration's market; the model is trained on others."""
_SYMBOLS = ("SEI/USDC", "wETH/USDC")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the ticks of a demonstration come from.

    Attributes:
        capture: A recording to replay; None for the simulated market.
        venue: The recording's venue.
        markets: The recording's markets.
    """

    capture: Path | None = None
    venue: str = "binance"
    markets: tuple[Market, ...] = ()

    @property
    def origin(self) -> Origin:
        """What to tell a person about it."""
        if self.capture is None:
            return Origin("SIMULATED", f"markets of sim-sei and sim-sei-clob, seed {SIMULATOR_SEED}")
        return Origin("RECORDED", f"{self.capture.name}, venue {self.venue}, times shifted to now")


@dataclass(frozen=True, slots=True)
class Origin:
    """Whether a market is simulated, recorded or real, and which."""

    kind: str
    detail: str


class Platform:
    """Simulator or replay, producers, worker and sinks, each a child process.

    Args:
        environment: Settings of the stack, as environment variables.
        logs: Folder of the log files.
    """

    def __init__(self, source: Source, environment: Mapping[str, str], logs: Path) -> None:
        self.source = source
        self._environment = dict(environment)
        self._logs = logs
        self.feeds: list[Child] = []
        self.services: list[Child] = []

    @property
    def children(self) -> list[Child]:
        """All processes, in the order of their start."""
        return [*self.services, *self.feeds]

    def start_services(self) -> None:
        """Start the worker and the sinks."""
        worker = [sys.executable, "-m", "faust", "-A", "processors.app", "worker", "-l", "info", "--without-web"]
        self.services = [
            self._start("worker", worker),
            self._start("sink-redis", _flashmm("sink", "redis")),
            self._start("sink-influx", _flashmm("sink", "influx")),
            self._start("sink-executor", _flashmm("sink", "executor")),
        ]

    def start_feeds(self) -> None:
        """Start what writes ticks: the simulator with its producers, or the replay of a recording.

        Raises:
            ServiceUnavailable: the simulator does not start.
        """
        if self.source.capture is not None:
            self.feeds = [
                self._start(
                    "producer-replay",
                    _flashmm("produce", "replay", str(self.source.capture), "--venue", self.source.venue),
                )
            ]
            return
        simulator = self._start("simulator", _flashmm("simulate", "--seed", str(SIMULATOR_SEED), "--json"))
        self.feeds = [simulator]
        simulator.wait_ready(lambda: _first_json(simulator.log) is not None, timeout_s=20)
        addresses = _first_json(simulator.log)
        assert addresses is not None
        chain = _flashmm(
            "produce", "sei", "--url", addresses["ws_url"], "--rpc", addresses["rpc_url"], "--venue", "sim-sei"
        )
        symbols = [part for symbol in _SYMBOLS for part in ("--symbol", symbol)]
        clob = _flashmm("produce", "sei-clob", "--url", addresses["clob_url"], "--venue", "sim-sei-clob", *symbols)
        self.feeds += [self._start("producer-sei", chain), self._start("producer-sei-clob", clob)]

    def check(self) -> None:
        """Make sure that all processes run; a replay may have come to its end.

        Raises:
            ServiceUnavailable: one ended; the message carries the end of its log.
        """
        for child in self.children:
            if not (child.name == "producer-replay" and child.returncode == 0):
                child.check()

    def stop_feeds(self) -> None:
        """End what writes ticks; everything written is flushed."""
        _stop(self.feeds)

    def stop_sinks(self) -> None:
        """End the sinks; everything read is flushed and committed."""
        _stop(self.services[1:])

    def stop(self) -> None:
        """End everything that still runs."""
        _stop(self.children)

    def sample_rss(self) -> None:
        """Measure the resident memory of every process."""
        for child in self.children:
            child.sample_rss()

    def _start(self, name: str, command: Sequence[str]) -> Child:
        child = Child(name, command, log=self._logs / f"{name}.log", environment=self._environment, cwd=ROOT)
        child.start()
        return child


def _stop(children: Sequence[Child]) -> None:
    for child in children:
        child.ask_to_end()
    for child in children:
        child.stop()


def _flashmm(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "infra.cli", *arguments]


def _first_json(log: Path) -> dict[str, str] | None:
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("{") and "ws_url" in line:
            document: dict[str, str] = json.loads(line)
            return document
    return None


def capture_source(path: Path, venue: str, instruments: Instruments) -> Source:
    """Take a recording as the source.

    Raises:
        ConfigurationError: there is no such file, or no recordings of the venue can be read.
        CaptureError: the file is not a recording of the venue.
    """
    if not path.is_file():
        raise ConfigurationError("--source", f"there is no file {path}", "Give `sim` or the path of a recording")
    _, recording = open_recording(path, venue, instruments)
    return Source(path.resolve(), venue, tuple(recording.source.symbols))
