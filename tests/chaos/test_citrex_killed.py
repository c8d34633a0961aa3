"""Trading on an exchange with a ledger of its own, while everything of ours is killed and answers are lost."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.jvm_kafka import JvmKafka
from infra.local.process import wait_until
from schemas.records import OrderIntent
from tests.chaos.citrex_platform import EXPIRY_MS, Platform
from tests.chaos.conftest import IS_LONG, STARTS_WITHIN_S, start_kafka
from tests.citrex_process import citrex_process

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(3_600 if IS_LONG else 400),
]

ROUNDS = 40 if IS_LONG else 3
FAULTS = ("lose_request", "lose_reply", "fill_lose_reply", "error_after", "malformed", "delay_request", "fill_late")


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[JvmKafka]:
    """A real Kafka of this test's own, which it may kill."""
    kafka = JvmKafka(tmp_path / "kafka")
    try:
        start_kafka(kafka)
        yield kafka
    finally:
        kafka.stop()


@pytest.fixture
def platform(kafka: JvmKafka, registry: str, tmp_path: Path) -> Iterator[Platform]:
    """The platform, trading."""
    with (
        citrex_process("--rate", "3", "--funding-s", "20") as exchange,
        Platform(kafka, registry, exchange, tmp_path) as platform,
    ):
        yield platform


def trading(platform: Platform) -> None:
    """Wait until orders rest at the exchange."""
    is_so = wait_until(lambda: bool(platform.open_orders()), timeout_s=STARTS_WITHIN_S, poll_s=0.2)
    assert is_so, "\n".join(f"{child.name}: {child.returncode} {child.log_tail()}" for child in platform.children)


def test_whatever_is_killed_no_order_is_sent_twice_and_the_books_are_equal(platform: Platform) -> None:
    """Executor, worker and broker by SIGKILL, one executor between journal and venue, replies lost all the while.

    Then everything of ours is dead: the exchange's book is empty of our orders once they have expired. The next
    executor finds every order's fate and every trade: ledger and log agree to the unit.
    """
    chance = random.Random(7)
    platform.producer()
    worker, executor = platform.worker(), platform.executor()
    trading(platform)
    for number in range(ROUNDS):
        for _ in range(3):
            platform.exchange.fault(chance.choice(FAULTS), delay_ms=chance.randrange(100, 2_000))
        time.sleep(chance.uniform(1, 4))
        match ("executor", "worker", "planted", "broker")[number % 4 if IS_LONG else number % 3]:
            case "executor":
                executor.kill()
                executor = platform.executor()
            case "worker":
                worker.kill()
                worker = platform.worker()
            case "planted":
                executor.kill()
                platform.executor(dies_after_orders=chance.randrange(3, 10)).wait()
                executor = platform.executor()
            case "broker":
                platform.kafka.child.kill()
                platform.kafka.start()
                platform.kafka.wait_ready()
                if not executor.is_alive:
                    executor = platform.executor()
        trading(platform)
    for child in platform.children:
        child.kill()

    dead = time.monotonic()
    bound_s = EXPIRY_MS / 1e3 + 1
    assert wait_until(lambda: not platform.open_orders(), timeout_s=bound_s + 5)
    assert time.monotonic() - dead < bound_s + 2
    platform.exchange.control("heal", now=True)
    platform.executor()
    platform.settle()
    platform.audit()
    placed = len(platform.ledger()["nonces"])
    print(f"{len(platform.read(OrderIntent))} intents, {placed} orders placed, {platform.trades()} trades")
    assert placed > 5
