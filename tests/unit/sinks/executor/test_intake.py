"""What the executor waits for, and when it looks at ticks."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from infra.runtime.settings import Settings
from sinks.executor import intake as intake_module
from sinks.executor.intake import Intake

TICKS_MS = 40


class FakeConsumer:
    """A consumer that has nothing, and notes what it is asked."""

    def __init__(self, *_: Any) -> None:
        self.asked: list[str] = []

    def poll(self, _: float) -> None:
        self.asked.append("wait")

    def consume(self, *_: Any) -> list[Any]:
        self.asked.append("take")
        return []


class Reads:
    """An intake of one partition, its two consumers and its clock."""

    def __init__(self) -> None:
        self.now_us = 1_000_000_000
        self.consumer = FakeConsumer()
        desk: Any = SimpleNamespace(listings=None, counts=Counter(), venue=SimpleNamespace(is_on_log=True))
        decoder: Any = SimpleNamespace(codec=lambda _: None)
        others: Any = self.consumer
        nothing: Any = None
        self.intake = Intake(
            Settings(kafka_partitions=1),
            others,
            decoder,
            desk,
            lambda: self.now_us,
            on_refused=nothing,
            on_instrument=nothing,
        )
        self.ticks: Any = self.intake._bulk_consumer

    def turn(self, after_ms: int) -> tuple[list[str], list[str]]:
        """Read once; give what was asked of the consumer of decisions, and of that of ticks."""
        self.now_us += after_ms * 1_000
        self.consumer.asked.clear()
        self.ticks.asked.clear()
        self.intake.read()
        return list(self.consumer.asked), list(self.ticks.asked)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    monkeypatch.setattr(intake_module, "Consumer", FakeConsumer)
    return Reads()


def test_without_a_decision_ticks_are_taken_now_and_then(reads: Reads) -> None:
    """To look at them costs more than they do; decisions are waited for."""
    assert reads.turn(0) == (["wait", "take"], ["take"])
    assert reads.turn(TICKS_MS // 2) == (["wait", "take"], [])
    assert reads.turn(TICKS_MS // 2) == (["wait", "take"], ["take"])


def test_a_decision_that_was_read_before_its_tick_waits_for_ticks(reads: Reads, make_decision: Any) -> None:
    """And not for the next decision, which comes a grid step later."""
    reads.turn(0)
    cause: Any = None
    reads.intake.merges[0].add_decision(make_decision(), cause, reads.now_us)

    assert reads.turn(1) == (["take"], ["wait", "take"])


def test_a_clock_that_was_set_back_holds_up_no_tick(reads: Reads) -> None:
    """Nor does one that was set ahead."""
    reads.turn(0)
    assert reads.turn(-10_000)[1] == ["take"]
