"""Two workers, three markets, one account on a real broker: its cap holds, though the markets ask for more."""

from __future__ import annotations

import threading
from pathlib import Path
from random import Random

import pytest

from infra.runtime.settings import Settings
from infra.runtime.topics import create_topics
from schemas.enums import Mode, OrderAction, OrderStatus, Side, TickKind, Verdict
from schemas.instruments import Instruments, partition_for
from schemas.numbers import NOTIONAL_SCALE, to_units
from schemas.records import (
    ExecutionReport,
    Instrument,
    Market,
    Metric,
    OrderIntent,
    Position,
    QuoteDecision,
    QuoteLevel,
    Tick,
)
from sinks.executor.identity import GRID_US
from sinks.executor.runner import ExecutorRunner
from sinks.instruments import load_instruments
from sinks.stop import Stop
from tests.decisions import decision_of
from tests.quoted_market import PARTITIONS, grid_now_us
from tests.sink_records import Kafka, eventually, price, running, size

CAP = "100"
WORKERS: dict[str, dict[Market, tuple[str, str]]] = {
    "one": {("sim-sei-clob", "SEI/USDC"): ("0.25", "240"), ("sei-clob", "SEI/USDC"): ("0.25", "240")},
    "two": {("sim-sei-clob", "WETH/USDC"): ("3000", "0.02")},
}
"""By worker: the mid of each of its markets, and a size worth 60 there. A worker has a partition, so a group."""
MARKETS = {market: wanted for markets in WORKERS.values() for market, wanted in markets.items()}
ENDED = {OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED, OrderStatus.FILLED}


def instrument_of(market: Market) -> Instrument:
    instrument = Instruments.load().get(*market)
    assert instrument is not None
    return instrument


def partition_of(market: Market) -> int:
    return partition_for(instrument_of(market).group.encode(), PARTITIONS)


def tick(market: Market, message: int, at_us: int, *parts: tuple[TickKind, Side, int, int]) -> list[Tick]:
    return [
        Tick(
            venue=market[0],
            source="sim",
            symbol=market[1],
            kind=kind,
            side=side,
            price=at,
            size=of,
            ts_recv=at_us,
            session=1,
            message=message,
            ordinal=ordinal,
            first=ordinal == 0,
            last=ordinal == len(parts) - 1,
        )
        for ordinal, (kind, side, at, of) in enumerate(parts)
    ]


def decision(market: Market, ts_grid: int, bid: int, ask: int, of: int) -> QuoteDecision:
    return decision_of(
        decision_id=f"{market}|{ts_grid}",
        mode=Mode.PAPER,
        account="demo",
        venue=market[0],
        symbol=market[1],
        ts_grid=ts_grid,
        epoch=1,
        verdict=Verdict.QUOTE,
        bids=(QuoteLevel(price=bid, size=of),),
        asks=(QuoteLevel(price=ask, size=of),),
        mid=(bid + ask) // 2,
        cause_partition=partition_of(market),
        cause_first_offset=0,
        cause_offset=0,
    )


def quote(kafka: Kafka, worker: str, start_us: int) -> None:
    """Write what a feed and a worker would, when its time comes: a book, decisions that move, prints that fill some."""
    random = Random(worker)
    message = 0
    for ts_grid in range(start_us, start_us + 8 * GRID_US, GRID_US):
        eventually(lambda due=ts_grid: grid_now_us() >= due)
        for market, (mid_text, size_text) in WORKERS[worker].items():
            partition, mid, of = partition_of(market), price(mid_text), size(size_text)
            tick_size = instrument_of(market).tick
            bid, ask = mid - random.randint(1, 3) * tick_size, mid + random.randint(1, 3) * tick_size
            message += 1
            book = [(TickKind.CLEAR, Side.NONE, 0, 0)]
            book += [(TickKind.LEVEL, Side.BUY, mid * 9 // 10, of), (TickKind.LEVEL, Side.SELL, mid * 11 // 10, of)]
            kafka.write(*tick(market, message, ts_grid, *book), partition=partition)
            kafka.write(decision(market, ts_grid, bid, ask, of), partition=partition)
            message += 1
            side = random.choice([Side.BUY, Side.SELL])
            print_ = (TickKind.TRADE, side, bid if side is Side.SELL else ask, of // random.choice([2, 4, 8]))
            kafka.write(*tick(market, message, ts_grid + 150_000, print_), partition=partition)


def worst(kafka: Kafka) -> int:
    """Value of all positions if every order fills that the log has as open, counted from the log alone, in 1e-17.

    Read while it is written: intents first and their ends last, so that nothing counts that was not open together.
    """
    partitions = range(PARTITIONS)
    intents = [intent for n in partitions for intent in kafka.read(OrderIntent, n)]
    held = {position.market: position.quantity for n in partitions for position in kafka.read(Position, n)}
    reports = [report for n in partitions for report in kafka.read(ExecutionReport, n)]
    ended = {report.order_id for report in reports if report.status in ENDED}
    filled = {report.order_id: report.filled_size for report in reports}
    total = 0
    for market, (mid, _) in MARKETS.items():
        left = [
            (intent.side, intent.size - filled.get(intent.order_id, 0))
            for intent in intents
            if intent.action is OrderAction.PLACE and intent.market == market and intent.order_id not in ended
        ]
        buys = sum(of for side, of in left if side is Side.BUY)
        sells = sum(of for side, of in left if side is Side.SELL)
        position = held.get(market, 0)
        total += max(abs(position + buys), abs(position - sells)) * price(mid)
    return total


@pytest.mark.kafka
def test_the_cap_of_an_account_holds_over_all_its_markets(
    kafka_bootstrap: str, development_registry_url: str, tmp_path: Path
) -> None:
    """Each of three markets asks for 60 a side all the time; the account may have 100, and asks are denied for it."""
    create_topics(kafka_bootstrap, partitions=PARTITIONS, prefixes=["cap."])
    settings = Settings(
        kafka_bootstrap=kafka_bootstrap,
        registry_url=development_registry_url,
        data_dir=tmp_path,
        topic_prefix="cap.",
        quoted_venues="sim-sei-clob,sei-clob",
        max_gross_quote=CAP,
        dead_man_ms=60_000,
    )
    load_instruments(settings)
    kafka, stop, start_us = Kafka(settings), Stop(), grid_now_us()
    runner = ExecutorRunner(settings, stop=stop)
    # Marks are the mids of decisions, within three ticks of those here.
    cap = to_units(CAP, NOTIONAL_SCALE, bits=128) * 1_005 // 1_000
    with running(runner.run, stop):
        eventually(lambda: len(runner.owned) == PARTITIONS)
        workers = [threading.Thread(target=quote, args=(Kafka(settings), worker, start_us)) for worker in WORKERS]
        for worker in workers:
            worker.start()
        seen: list[int] = []

        def all_is_said() -> bool:
            seen.append(worst(kafka))
            ended = not any(worker.is_alive() for worker in workers)
            return ended and seen[-1] > 0 and _count(kafka, "denied_gross_notional") > 0

        eventually(all_is_said)
        assert max(seen) <= cap
    assert _count(kafka, "fills") > 0
    assert {p.market for n in range(PARTITIONS) for p in kafka.read(Position, n)} >= set(MARKETS)


def _count(kafka: Kafka, name: str) -> int:
    metrics = [metric for n in range(PARTITIONS) for metric in kafka.read(Metric, n)]
    return max((metric.counters.get(name, 0) for metric in metrics), default=0)
