"""`flashmm produce replay`: a recording in `market.ticks`, on librdkafka's mock cluster."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from confluent_kafka import Consumer, TopicPartition

from infra.cli.produce_replay import produce_replay
from infra.local.mock_kafka import MockCluster
from infra.local.registry import serve
from infra.runtime.clock import wall_clock_us
from producers.binance.recording import BinanceRecording
from producers.replay.captures import open_capture
from producers.replay.feed import replay, shift
from schemas.enums import TickKind
from schemas.instruments import Instruments
from schemas.records import Tick
from schemas.registry import Registry
from schemas.topics import TOPICS

CAPTURE = "binance/BINANCE.ws.1.0"
PARTITIONS = 4
PROGRAM = "import typer; from infra.cli.produce_replay import produce_replay; typer.run(produce_replay)"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty cluster and a registry that knows the schemas, which the settings name."""
    with MockCluster() as cluster, serve() as registry:
        for topic in TOPICS.values():
            cluster.create_topic(topic.name, PARTITIONS)
        monkeypatch.setenv("FLASHMM_KAFKA_BOOTSTRAP", cluster.bootstrap)
        monkeypatch.setenv("FLASHMM_REGISTRY_URL", registry.url)
        yield cluster.bootstrap


def run(capture: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    arguments = [str(capture), "--venue", "binance", "--speed", "max", *options]
    return subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False)


def written(bootstrap: str, registry_url: str, count: int) -> list[list[Tick]]:
    """Read the log back, partition by partition."""
    with Registry(registry_url) as registry:
        codec = registry.codec(Tick)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "log_level": 0})
    ticks: list[list[Tick]] = [[] for _ in range(PARTITIONS)]
    try:
        consumer.assign([TopicPartition("market.ticks", number, 0) for number in range(PARTITIONS)])
        deadline = time.monotonic() + 20
        while sum(map(len, ticks)) < count and time.monotonic() < deadline:
            for message in consumer.consume(1_000, timeout=0.2):
                assert message.error() is None
                ticks[message.partition()].append(codec.decode(message.value()))
    finally:
        consumer.close()
    return ticks


def expected(capture: Path, shift_us: int) -> list[Tick]:
    """What the recording says, without heartbeats: those go to several partitions."""
    opened = open_capture(capture)
    moments = replay(opened, BinanceRecording(opened, Instruments.load()))
    ticks = [tick for moment in moments for tick in moment.effects.ticks]
    return [shift(tick, shift_us) for tick in ticks if tick.kind is not TickKind.HEARTBEAT]


def by_market(ticks: list[Tick]) -> dict[str, list[Tick]]:
    """Sort into markets, keeping the order."""
    markets: dict[str, list[Tick]] = {}
    for tick in ticks:
        markets.setdefault(tick.symbol, []).append(tick)
    return markets


def test_recorded_times_are_moved_to_now_and_nothing_else(log: str, sample_data: Path) -> None:
    """One constant, said in the banner; ids stay; every partition with a market hears the heartbeats."""
    result = run(sample_data / CAPTURE)
    assert result.returncode == 0, result.stderr
    moved = re.search(r"moved by \+(\d+\.\d{6}) s to now", result.stdout)
    assert moved
    shift_us = int(moved[1].replace(".", ""))
    told = expected(sample_data / CAPTURE, shift_us)
    found = written(log, os.environ["FLASHMM_REGISTRY_URL"], len(told) + 40)

    assert abs(open_capture(sample_data / CAPTURE).first_us() + shift_us - wall_clock_us()) < 120_000_000
    data = [tick for part in found for tick in part if tick.kind is not TickKind.HEARTBEAT]
    assert by_market(data) == by_market(told)
    assert all(any(tick.kind is TickKind.HEARTBEAT for tick in part) for part in found if part)


def test_recorded_times_can_be_kept_in_an_empty_log_only(log: str, sample_data: Path) -> None:
    """A partition's clock moves forward only, so times of the past have no place behind others."""
    assert "times kept" in run(sample_data / CAPTURE, "--no-shift").stdout
    told = expected(sample_data / CAPTURE, 0)
    found = written(log, os.environ["FLASHMM_REGISTRY_URL"], len(told) + 40)

    assert by_market([t for part in found for t in part if t.kind is not TickKind.HEARTBEAT]) == by_market(told)
    again = run(sample_data / CAPTURE, "--no-shift")
    assert again.returncode
    assert "market.ticks already holds records" in again.stderr


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "fast"])
def test_a_speed_that_is_none_is_a_usage_error(speed: str) -> None:
    """Before anything is opened."""
    with pytest.raises(typer.BadParameter):
        produce_replay(Path("nothing"), "binance", speed=speed)


def test_an_interruption_ends_cleanly_with_everything_flushed(log: str, sample_data: Path) -> None:
    """What was counted as written is in the log."""
    arguments = [str(sample_data / CAPTURE), "--venue", "binance"]
    with subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "RECORDED" in process.stdout.readline()
        found = written(log, os.environ["FLASHMM_REGISTRY_URL"], 8)
        process.send_signal(signal.SIGINT)
        farewell = process.stdout.read()

    assert process.returncode == 0
    count = re.match(r"(\d+) ticks", farewell)
    assert count
    assert sum(map(len, found)) >= 8
    assert sum(map(len, written(log, os.environ["FLASHMM_REGISTRY_URL"], int(count[1])))) >= int(count[1])
