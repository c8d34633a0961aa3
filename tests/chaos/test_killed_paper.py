"""A paper executor that is killed again and again: the log says what one that never was would have said."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from infra.local.process import Child
from infra.runtime.clock import wall_clock_us
from schemas.clock import GRID_US
from schemas.enums import Mode, OrderStatus, Side, TickKind, Verdict
from schemas.instruments import DEFAULT_PATH, Instruments, partition_for
from schemas.records import ExecutionReport, OrderIntent, Position, QuoteDecision, QuoteLevel, Tick
from sinks.executor.account.positions import apply_fill, zero_position
from sinks.instruments import load_instruments
from tests.chaos.conftest import IS_LONG, Run, StartRun
from tests.paper_log import Topics, undisturbed
from tests.services import ROOT
from tests.sink_records import SYMBOL, VENUE, Kafka, price, size

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(3_600 if IS_LONG else 400),
]

KILLS = 30 if IS_LONG else 3
STEP_US = 20_000
WITHIN_S = 60


@dataclass
class Market:
    """Writes a partition's ticks, and decisions at the points of the grid, as a worker would."""

    kafka: Kafka
    partition: int
    random: random.Random
    now_us: int = field(default_factory=lambda: wall_clock_us() // GRID_US * GRID_US)
    offset: int = -1
    message: int = 0

    def go_on(self, steps: int = 1) -> None:
        """Let time pass: a print each step, a snapshot each second."""
        for _ in range(steps):
            before_us, self.now_us = self.now_us, self.now_us + STEP_US
            crossing = self.offset + 1
            if self.message % 50 == 0:
                self._book()
            else:
                side = self.random.choice([Side.BUY, Side.SELL])
                at = self.random.choice(["0.2500", "0.2499"] if side is Side.SELL else ["0.2510", "0.2511"])
                self._message((TickKind.TRADE, side, at, str(self.random.randint(1, 60))))
            if self.now_us // GRID_US > before_us // GRID_US:
                self._decide(crossing)

    def until(self, condition: Callable[[], bool]) -> None:
        """Go on until something holds."""
        deadline = time.monotonic() + WITHIN_S
        while not condition():
            assert time.monotonic() < deadline, "the condition never held"
            self.go_on(25)

    def _book(self) -> None:
        levels = [(Side.BUY, "0.2500"), (Side.BUY, "0.2499"), (Side.SELL, "0.2510"), (Side.SELL, "0.2511")]
        sizes = [str(self.random.randint(10, 100)) for _ in levels]
        parts = [(TickKind.LEVEL, side, at, of) for (side, at), of in zip(levels, sizes, strict=True)]
        self._message((TickKind.CLEAR, Side.NONE, "0", "0"), *parts)

    def _message(self, *parts: tuple[TickKind, Side, str, str]) -> None:
        self.message += 1
        ticks = [
            Tick(
                venue=VENUE,
                source="test",
                symbol=SYMBOL,
                kind=kind,
                side=side,
                price=price(at),
                size=size(of),
                ts_recv=self.now_us,
                session=1,
                message=self.message,
                ordinal=ordinal,
                first=ordinal == 0,
                last=ordinal == len(parts) - 1,
            )
            for ordinal, (kind, side, at, of) in enumerate(parts)
        ]
        self.kafka.write(*ticks, partition=self.partition)
        self.offset += len(ticks)

    def _decide(self, cause_offset: int) -> None:
        ts_grid = self.now_us // GRID_US * GRID_US
        bid, ask = self.random.choice(["0.2500", "0.2501"]), self.random.choice(["0.2509", "0.2510"])
        decision = QuoteDecision(
            decision_id=f"paper|demo|{VENUE}|{SYMBOL}|{ts_grid}",
            mode=Mode.PAPER,
            account="demo",
            venue=VENUE,
            symbol=SYMBOL,
            ts_grid=ts_grid,
            epoch=1,
            verdict=Verdict.QUOTE,
            reasons=(),
            bids=(QuoteLevel(price=price(bid), size=size("40")),),
            asks=(QuoteLevel(price=price(ask), size=size("40")),),
            mid=price("0.2505"),
            fair=price("0.2505"),
            sigma=0.0,
            gamma=0.0,
            kappa=0.0,
            horizon_s=0.0,
            signal_bps=0.0,
            clamps=(),
            config_hash="",
            cause_topic="market.ticks",
            cause_partition=self.partition,
            cause_first_offset=cause_offset,
            cause_offset=cause_offset,
        )
        self.kafka.write(decision, partition=self.partition)


def start_executor(run: Run, number: int) -> Child:
    settings = run.settings
    executor = Child(
        f"executor-{number}",
        [sys.executable, "-m", "infra.cli", "sink", "executor"],
        log=run.folder / f"executor-{number}.log",
        environment={
            "FLASHMM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
            "FLASHMM_REGISTRY_URL": settings.registry_url,
            "FLASHMM_TOPIC_PREFIX": settings.topic_prefix,
            "FLASHMM_SNAPSHOT_INTERVAL_MS": "1000",
            "FLASHMM_EXECUTOR_MODE": "paper",
            "FLASHMM_MAX_GROSS_QUOTE": "1000000",
        },
        cwd=ROOT,
    )
    executor.start()
    run.workers.append(executor)
    return executor


def test_a_killed_paper_executor_goes_on_where_it_was(start_run: StartRun) -> None:
    """Executions are those of one run over the same ticks and journal, byte for byte; positions are theirs."""
    run = start_run("paper.")
    load_instruments(run.settings)
    kafka, partition = Kafka(run.settings), partition_for(b"SEI", run.settings.kafka_partitions)
    market = Market(kafka, partition, random.Random(7))

    def intents() -> int:
        return len(kafka.read(OrderIntent, partition))

    def fills() -> int:
        return sum(bool(report.last_size) for report in kafka.read(ExecutionReport, partition))

    def grown(known: tuple[int, int]) -> Callable[[], bool]:
        return lambda: intents() > known[0] + 4 and fills() > known[1]

    dead: list[range] = []
    for number in range(KILLS):
        known = intents(), fills()
        executor = start_executor(run, number)
        market.until(grown(known))
        market.go_on(market.random.randint(0, 30))
        executor.kill()
        dead.append(range(market.offset + 1, market.offset + 40))
        market.go_on(40)
    known = intents(), fills()
    executor = start_executor(run, KILLS)
    market.until(grown(known))
    assert executor.stop(grace_s=30) == 0, executor.log_tail()

    said = kafka.read(ExecutionReport, partition)
    topics = Topics(ticks=list(enumerate(kafka.read(Tick, partition))), journal=kafka.read(OrderIntent, partition))
    instrument = Instruments.load(DEFAULT_PATH).get(VENUE, SYMBOL)
    assert instrument is not None
    wanted = undisturbed(topics, [instrument], partition)
    assert len({report.execution_id for report in said}) == len(said)
    assert said == wanted
    assert "EXECUTOR_RESTARTED" not in {report.reason for report in said}
    assert {report.status for report in said} >= {OrderStatus.OPEN, OrderStatus.PARTIAL, OrderStatus.CANCELLED}

    counted = zero_position(Mode.PAPER, "demo", (VENUE, SYMBOL), partition, 0, 0)
    for offset, report in enumerate(said):
        if report.last_size:
            counted = apply_fill(counted, report, offset, 0)
    held = [p for p in kafka.read(Position, partition) if p.market == (VENUE, SYMBOL)][-1]
    assert held.quantity == counted.quantity
    assert (held.cash, held.fees, held.fill_count) == (counted.cash, counted.fees, counted.fill_count)
    unseen = sum(bool(report.last_size) for report in said if any(report.cause_offset in span for span in dead))
    print(f"{len(said)} executions, {counted.fill_count} fills, {unseen} of them while dead, {KILLS} kills")
