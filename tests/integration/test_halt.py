"""`flashmm halt` and `resume` on a real Kafka, with an executor that obeys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.runtime.settings import Settings
from infra.runtime.topics import create_topics
from schemas.enums import ControlAction, ControlLevel, Mode, OrderAction, OrderStatus, Side, TickKind, TimeInForce
from schemas.errors import ConfigurationError
from schemas.instruments import partition_for
from schemas.records import Alert, Command, ExecutionReport, OrderIntent, Position
from sinks.executor.control.commands import command_key
from sinks.executor.control.operator import read_audit, send_command
from sinks.executor.runner import ExecutorRunner
from sinks.instruments import load_instruments
from sinks.stop import Stop
from tests.quoted_market import PARTITION, PARTITIONS, Market, grid_now_us
from tests.services import ROOT
from tests.sink_records import Kafka, eventually, execution, position, running, size

pytestmark = pytest.mark.kafka
GRID_US = 200_000
FlashMM = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def settings(
    kafka_bootstrap: str, development_registry_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Settings:
    """Topics of this test's own, and its account; decisions come seldom."""
    account = f"halt-{zlib.crc32(request.node.name.encode())}"
    create_topics(kafka_bootstrap, partitions=PARTITIONS, prefixes=[f"{account}."])
    found = Settings(
        kafka_bootstrap=kafka_bootstrap,
        registry_url=development_registry_url,
        data_dir=tmp_path,
        topic_prefix=f"{account}.",
        account=account,
        dead_man_ms=600_000,
    )
    load_instruments(found)
    return found


@pytest.fixture
def kafka(settings: Settings) -> Kafka:
    return Kafka(settings)


@pytest.fixture
def market(kafka: Kafka, settings: Settings) -> Market:
    """The quoted market, now."""
    return Market(kafka, grid_now_us(), settings.account)


@pytest.fixture
def flashmm(settings: Settings) -> FlashMM:
    """Run a command of the command line on this test's Kafka."""
    names = ("kafka_bootstrap", "registry_url", "topic_prefix", "account")
    environment = {f"FLASHMM_{name.upper()}": str(getattr(settings, name)) for name in names}

    def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "infra.cli", *arguments],
            input=typed,
            env=os.environ | environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def run(settings: Settings) -> Callable[[], Any]:
    """Run an executor until the block is left."""

    @contextmanager
    def start() -> Iterator[None]:
        stop = Stop()
        runner = ExecutorRunner(settings, stop=stop)
        with running(runner.run, stop):
            eventually(lambda: len(runner.owned) == PARTITIONS)
            yield

    return start


def placed(kafka: Kafka) -> list[OrderIntent]:
    return [intent for intent in kafka.read(OrderIntent, PARTITION) if intent.action is OrderAction.PLACE]


def alerts(kafka: Kafka) -> list[str]:
    return [alert.code for number in range(PARTITIONS) for alert in kafka.read(Alert, number)]


def commands(kafka: Kafka) -> list[Command]:
    return [command for number in range(PARTITIONS) for command in kafka.read(Command, number)]


def test_a_halt_cancels_holds_over_a_restart_and_ends_with_a_resume(
    run: Any, kafka: Kafka, market: Market, settings: Settings, flashmm: FlashMM
) -> None:
    """The command waits until nothing is open; who starts later knows; the trail has every command."""
    with run():
        market.book(0)
        market.decide(0, ("0.2501", "40"))
        market.sell(60, "0.2600", "1")
        eventually(lambda: len(kafka.read(ExecutionReport, PARTITION)) == 1)

        halted = flashmm("halt", "cancel-all", "--json", "--reason", "drill", "--wait", "20", typed=settings.account)

        assert halted.returncode == 0, halted.stderr
        document = json.loads(halted.stdout)
        assert (document["rung"], document["open_orders"]) == ("CANCEL_ALL", [])
        cancelled = kafka.read(ExecutionReport, PARTITION)[-1]
        assert (cancelled.status, cancelled.reason) == (OrderStatus.CANCELLED, "TRADING_HALTED")
        (intent,) = (i for i in kafka.read(OrderIntent, PARTITION) if i.action is OrderAction.CANCEL)
        assert intent.decision_id == document["command_id"]
        assert intent.cause_topic == f"{settings.topic_prefix}control.commands"

    with run():
        market.decide(200, ("0.2501", "40"))
        market.decide(400, ("0.2501", "40"))
        assert flashmm("resume", "--json").returncode == 0
        eventually(lambda: "RESUMED" in alerts(kafka))
        market.decide(600, ("0.2502", "40"))
        eventually(lambda: len(placed(kafka)) == 2)

    assert placed(kafka)[1].decision_id.endswith(str(market.start_us + 600_000))
    assert alerts(kafka).count("HALTED") == 2  # when it came, and when the second executor read it
    trail = json.loads(flashmm("halt", "status", "--json").stdout)
    assert trail["rung"] is None
    assert [(row["action"], row["level"], row["reason"]) for row in trail["commands"]] == [
        ("HALT", "CANCEL_ALL", "drill"),
        ("RESUME", None, ""),
    ]
    assert all(row["issued_by"].startswith("operator:") for row in trail["commands"])


def test_destructive_rungs_ask_for_the_accounts_name(kafka: Kafka, flashmm: FlashMM) -> None:
    """A wrong one sends nothing; the mild ones ask nothing, `--yes` answers."""
    for level in ("cancel-all", "flatten", "disconnect"):
        refused = flashmm("halt", level, typed="demo\n")
        assert refused.returncode == 1
        assert "orders open by the log" in refused.stderr
    assert commands(kafka) == []

    assert flashmm("halt", "widen").returncode == 0
    assert flashmm("halt", "disconnect", "--yes").returncode == 0
    assert flashmm("halt", "stop-new").returncode == 0
    assert [command.level for command in commands(kafka)] == ["WIDEN", "DISCONNECT", "STOP_NEW"]
    assert json.loads(flashmm("halt", "status", "--json").stdout)["rung"] == "DISCONNECT"


def test_a_halt_that_nobody_obeys_says_so(kafka: Kafka, settings: Settings, flashmm: FlashMM) -> None:
    """An order is open by the log, and no executor runs."""
    kafka.write(execution(1, account=settings.account, status=OrderStatus.OPEN), partition=PARTITION)

    halted = flashmm("halt", "cancel-all", "--yes", "--wait", "0.1")

    assert halted.returncode == 5
    assert "does the executor run" in halted.stderr
    assert [command.level for command in commands(kafka)] == ["CANCEL_ALL"]


def test_a_command_that_cannot_be_read_halts(run: Any, kafka: Kafka, market: Market, settings: Settings) -> None:
    """Nobody knows what it asked for."""
    key = command_key(settings.executor_mode, settings.account)
    kafka.write_bytes(Command, b"junk", partition_for(key.encode(), PARTITIONS))

    with run():
        market.book(0)
        market.decide(0, ("0.2501", "40"))
        eventually(lambda: bool(alerts(kafka)))
        market.decide(200, ("0.2501", "40"))

    assert placed(kafka) == []
    assert alerts(kafka) == ["HALTED"]


def test_flatten_closes_the_position(
    run: Any, kafka: Kafka, market: Market, settings: Settings, flashmm: FlashMM
) -> None:
    """By orders that take and only reduce, a part of what is displayed each; the log says that nothing is left."""
    held = position(0, account=settings.account, executions_partition=PARTITION, quantity=size("30"))
    kafka.write(held, partition=PARTITION, key="a compacted topic wants one")

    def quantity() -> int:
        return [one for one in kafka.read(Position, PARTITION) if one.market == held.market][-1].quantity

    with run():
        assert flashmm("halt", "flatten", "--yes", "--wait", "0").returncode == 0
        eventually(lambda: _tick(market) and quantity() == 0)

    slices = placed(kafka)
    assert {(i.side, i.time_in_force, i.reduce_only, i.reason) for i in slices} == {
        (Side.SELL, TimeInForce.IOC, True, "FLATTENED")
    }
    assert [i.size for i in slices] == [size("25"), size("5")]


def _tick(market: Market) -> bool:
    at_ms = (time.time_ns() // 1_000 - market.start_us) // 1_000
    market.tick(
        at_ms,
        (TickKind.CLEAR, Side.NONE, "0", "0"),
        (TickKind.LEVEL, Side.BUY, "0.2500", "100"),
        (TickKind.LEVEL, Side.SELL, "0.2501", "100"),
    )
    return True


def test_commands_are_written_and_read_at_one_place(settings: Settings) -> None:
    """Without their topic, or with another number of partitions, nobody would be halted: both sides say so."""
    nowhere = settings.model_copy(update={"topic_prefix": "nowhere."})
    elsewhere = settings.model_copy(update={"kafka_partitions": PARTITIONS + 1})

    for wrong, fix in ((nowhere, "topics create"), (elsewhere, "FLASHMM_KAFKA_PARTITIONS")):
        with pytest.raises(ConfigurationError, match=fix):
            read_audit(wrong, Mode.PAPER, "demo")
        with pytest.raises(ConfigurationError, match=fix):
            send_command(wrong, _halt(settings))


def _halt(settings: Settings) -> Command:
    return Command(
        command_id="c",
        mode=Mode.PAPER,
        account=settings.account,
        action=ControlAction.HALT,
        level=ControlLevel.WIDEN,
        issued_by="operator:a@b",
        reason="",
        ts_command=1,
    )
