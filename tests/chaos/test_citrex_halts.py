"""Halts while the platform trades on an exchange with a ledger of its own: what is left there is what counts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from infra.local.jvm_kafka import JvmKafka
from infra.local.process import wait_until
from infra.runtime.clock import wall_clock_us
from schemas.enums import OrderAction, TimeInForce
from schemas.records import OrderIntent
from tests.chaos.citrex_platform import Platform
from tests.chaos.conftest import STARTS_WITHIN_S, start_kafka
from tests.citrex_process import citrex_process
from tests.services import ROOT

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(400)]

DEAD_MAN_S = 2
MARGIN_S = 3
"""Of this machine, and of the exchange's answers."""


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[JvmKafka]:
    """A real Kafka of this test's own, which it may stop."""
    kafka = JvmKafka(tmp_path / "kafka")
    try:
        start_kafka(kafka)
        yield kafka
    finally:
        with suppress(ProcessLookupError):
            os.kill(kafka.child.pid, signal.SIGCONT)
        kafka.stop()


@pytest.fixture
def platform(kafka: JvmKafka, registry: str, tmp_path: Path) -> Iterator[Platform]:
    """The platform, with orders in the exchange's book and a position."""
    with citrex_process("--rate", "5") as exchange, Platform(kafka, registry, exchange, tmp_path) as platform:
        platform.producer()
        platform.worker()
        platform.executor()
        is_trading = wait_until(
            lambda: bool(platform.open_orders() and platform.trades()), timeout_s=STARTS_WITHIN_S, poll_s=0.2
        )
        assert is_trading, "\n".join(child.log_tail() for child in platform.children)
        yield platform


def flashmm(platform: Platform, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the platform's settings."""
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", *arguments],
        env=os.environ | platform.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def held(platform: Platform) -> list[str]:
    """The exchange's positions that are not nothing."""
    return [row["productSymbol"] for row in platform.ledger()["positions"] if int(row["quantity"])]


def test_flatten_leaves_neither_orders_nor_positions_and_holds_over_a_kill(platform: Platform) -> None:
    """By orders that take and only reduce; who is killed and comes back places nothing but those. Books stay equal."""
    halted = flashmm(platform, "halt", "flatten", "--yes", "--wait", "20", "--json")
    assert halted.returncode == 0, halted.stderr
    heard_us = wall_clock_us() + 1_000_000
    (executor,) = (child for child in platform.children if child.name == "executor")
    executor.kill()
    platform.executor()

    is_flat = wait_until(lambda: not held(platform) and not platform.open_orders(), timeout_s=60, poll_s=0.2)

    assert is_flat, (held(platform), platform.open_orders(), platform.alerts(), platform.children[-1].log_tail())
    command = json.loads(halted.stdout)["command_id"]
    intents = platform.read(OrderIntent)
    cancels = [i.ts_intent for i in intents if i.decision_id == command and i.action is OrderAction.CANCEL]
    at = max(cancels, default=heard_us)  # nothing may have rested at that moment
    after = [i for i in intents if i.action is OrderAction.PLACE and i.ts_intent > at]
    assert all(i.time_in_force is TimeInForce.IOC and i.reduce_only for i in after)
    platform.settle()
    platform.kill()
    platform.audit()


def test_without_kafka_nothing_of_ours_rests_for_long(platform: Platform) -> None:
    """The broker answers nobody any more: the executor cancels everything itself, and ends."""
    kafka, executor = platform.kafka, platform.children[-1]
    os.kill(kafka.child.pid, signal.SIGSTOP)

    is_empty = wait_until(lambda: not platform.open_orders(), timeout_s=2 * DEAD_MAN_S + MARGIN_S, poll_s=0.1)

    assert is_empty, (platform.open_orders(), executor.log_tail())
    platform.wait_for_end(executor)
    assert executor.returncode == 1


def test_direct_cancels_without_anything_of_ours(platform: Platform) -> None:
    """Executor and broker are dead: what is signed by hand empties the book."""
    platform.children[-1].kill()
    platform.kafka.child.kill()
    assert platform.open_orders()

    done = flashmm(platform, "halt", "cancel-all", "--direct", "--yes", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["orders_left"] == 0
    assert platform.open_orders() == []
