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

ROUNDS = 40 if IS_LONG else 5
MARGIN_S = 2
"""Of this machine: an order expires at its decision plus its lifetime, by the exchange's clock, which is ours."""
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


class Parts:
    """The worker and the executor, and what may happen to them."""

    def __init__(self, platform: Platform, chance: random.Random) -> None:
        self.platform = platform
        self.chance = chance
        self.worker = platform.worker()
        self.executor = platform.executor()

    def wait_for_trading(self) -> None:
        """Wait until another order was placed."""
        before = self.platform.placed()

        def is_so() -> bool:
            if not self.executor.is_alive:
                self.executor = self.platform.executor()
            return self.platform.placed() > before

        children = self.platform.children
        assert wait_until(is_so, timeout_s=STARTS_WITHIN_S, poll_s=0.2), "\n".join(
            f"{child.name}: {child.returncode} {child.log_tail()}" for child in children
        )

    def kill_executor(self) -> None:
        self.executor.kill()
        self.executor = self.platform.executor()

    def kill_worker(self) -> None:
        self.worker.kill()
        self.worker = self.platform.worker()

    def kill_between_journal_and_venue(self) -> None:
        self.executor.kill()
        self.platform.wait_for_end(self.platform.executor(dies_after_orders=self.chance.randrange(3, 10)))
        self.executor = self.platform.executor()

    def kill_broker(self) -> None:
        """An executor that could not journal for too long has ended; whoever watches over it starts it again."""
        self.platform.kafka.child.kill()
        self.platform.kafka.start()
        self.platform.kafka.wait_ready()

    def start_another_executor(self) -> None:
        """The older one says that it is fenced, and ends."""
        newer = self.platform.executor()
        self.platform.wait_for_end(self.executor)
        assert self.executor.returncode == 1
        assert "is fenced" in self.executor.log_tail()
        self.executor = newer


WHAT_HAPPENS = (
    Parts.kill_executor,
    Parts.kill_worker,
    Parts.kill_between_journal_and_venue,
    Parts.start_another_executor,
    Parts.kill_broker,
)


def test_whatever_is_killed_no_order_is_sent_twice_and_the_books_are_equal(platform: Platform) -> None:
    """Executor, worker and broker by SIGKILL, an executor between journal and venue, replies lost all the while.

    Then everything of ours is dead: the exchange's book is empty of our orders once they have expired. The next
    executor finds every order's fate and every trade: ledger and log agree to the unit.
    """
    chance = random.Random(7)
    platform.producer()
    parts = Parts(platform, chance)
    parts.wait_for_trading()
    for number in range(ROUNDS):
        for _ in range(3 if IS_LONG else 1):
            platform.exchange.fault(chance.choice(FAULTS), delay_ms=chance.randrange(100, 2_000))
        time.sleep(chance.uniform(0, 4))
        what = chance.choice(WHAT_HAPPENS) if IS_LONG else WHAT_HAPPENS[number]
        what(parts)
        parts.wait_for_trading()
        print(f"{what.__name__}: {platform.placed()} orders placed, {platform.trades()} trades")
    assert "EXECUTOR_FENCED" in platform.alerts()
    platform.kill()

    is_empty = wait_until(lambda: not platform.open_orders(), timeout_s=EXPIRY_MS / 1e3 + MARGIN_S)
    assert is_empty, platform.open_orders()
    platform.exchange.control("heal", now=True)
    platform.executor()
    platform.settle()
    platform.audit()
    print(f"{len(platform.read(OrderIntent))} intents")
