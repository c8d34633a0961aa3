"""The paper venue is a function of the log: however it is delivered, and wherever its executor is killed."""

from __future__ import annotations

from contextlib import suppress
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.enums import Mode, Side, TickKind, Verdict
from schemas.instruments import Instrument
from schemas.records import QuoteDecision, QuoteLevel, Tick
from tests.decisions import decision_of
from tests.paper_log import Killed, Process, Topics, marked, undisturbed

START_US = 1_700_000_000_000_000
INSTRUMENTS = [
    Instrument(
        venue="v",
        symbol=symbol,
        venue_symbol=symbol,
        group="A",
        has_book=True,
        tick=1,
        lot=1,
        min_size=1,
        min_notional=0,
        maker_fee_ppm=100,
        taker_fee_ppm=100,
    )
    for symbol in ("A/B", "A/C")
]
MARKETS = [(i.venue, i.symbol) for i in INSTRUMENTS]
OTHERS = [("v", "X/Y"), ("w", "A/B"), ("w", "X/Y")]
EXPIRY_US = 3_000_000
SEEDS = st.integers(0, 1 << 40)


def ticks_of(random: Random, count: int) -> list[tuple[int, Tick]]:
    """A partition: snapshots, levels, prints, gaps, holes in the offsets, clocks that go back a little and jump.

    Half of it is of markets that are not traded, many messages of them in a row.
    """
    ticks: list[tuple[int, Tick]] = []
    offset, now_us, message, others = 0, START_US, 0, 0
    while len(ticks) < count:
        message += 1
        steps_us = [100, 5_000, 40_000, 150_000, 900_000, 70_000_000]
        now_us += random.choices(steps_us, [10, 10, 20, 10, 10, 1] if not others else [50, 20, 5, 1, 1, 1])[0]
        others = others - 1 if others else random.choice([0, 0, 0, 0, 1, 5, 20])
        market = random.choice(OTHERS if others else MARKETS)
        kind = random.choices(["snapshot", "level", "trade", "status"], [2, 5, 10, 0.2])[0]
        ahead_us = random.choices([0, 20_000_000], [200, 1])[0]
        if kind == "snapshot":
            levels = [(Side.BUY, p) for p in (95, 96, 97)] + [(Side.SELL, p) for p in (103, 104, 105)]
            parts = [(TickKind.CLEAR, Side.NONE, 0, 0)]
            parts += [(TickKind.LEVEL, side, p, random.randint(1, 9)) for side, p in levels]
        elif kind == "level":
            side = random.choice([Side.BUY, Side.SELL])
            price = random.randint(94, 98) if side is Side.BUY else random.randint(102, 106)
            parts = [(TickKind.LEVEL, side, price, random.randint(0, 9))]
        elif kind == "trade":
            side = random.choice([Side.BUY, Side.SELL])
            price = random.randint(94, 99) if side is Side.SELL else random.randint(101, 106)
            parts = [(TickKind.TRADE, side, price, random.randint(1, 12))]
        else:
            parts = [(TickKind.STATUS, Side.NONE, 0, 0)]
        for ordinal, (tick_kind, side, price, size) in enumerate(parts):
            offset += random.choice([1, 1, 1, 2])
            tick = Tick(
                venue=market[0],
                source="s",
                symbol=market[1],
                kind=tick_kind,
                side=side,
                price=price,
                size=size,
                ts_recv=now_us + ahead_us - random.choice([0, 0, 0, 3_000]),
                session=1,
                message=message,
                ordinal=ordinal,
                first=ordinal == 0,
                last=ordinal == len(parts) - 1,
            )
            ticks.append((offset, tick))
    return ticks


def decisions_of(random: Random, ticks: list[tuple[int, Tick]]) -> list[QuoteDecision]:
    """What a worker decides: at each grid point for each market, in the order of the log."""
    return [
        decision(random, market, grid, offset)
        for offset, _, grid in marked(ticks)
        if grid is not None
        for market in MARKETS
    ]


def decision(random: Random, market: tuple[str, str], ts_grid: int, offset: int) -> QuoteDecision:
    def levels(prices: range) -> tuple[QuoteLevel, ...]:
        chosen = random.sample(prices, random.choice([0, 1, 1, 2]))
        return tuple(QuoteLevel(price=p, size=random.choice([3, 3, 8])) for p in chosen)

    return decision_of(
        decision_id=f"{market}|{ts_grid}",
        mode=Mode.PAPER,
        account="demo",
        venue=market[0],
        symbol=market[1],
        ts_grid=ts_grid,
        epoch=1,
        verdict=random.choice([Verdict.QUOTE] * 6 + [Verdict.DENIED]),
        bids=levels(range(95, 98)),
        asks=levels(range(103, 106)),
        mid=100,
        cause_partition=0,
        cause_first_offset=offset,
        cause_offset=offset,
    )


def deliver(random: Random, topics: Topics, ticks: list[tuple[int, Tick]], decisions: list[QuoteDecision]) -> None:
    """Deliver two topics to one process, cut and interleaved at random."""
    process = Process(topics, INSTRUMENTS, expiry_us=EXPIRY_US)
    for market in MARKETS:
        process.merge.follow(market, 0)
    ticks_left, decisions_left = list(ticks), list(enumerate(decisions))
    while ticks_left or decisions_left:
        is_tick = decisions_left == [] or (ticks_left != [] and random.random() < 0.5)
        count = random.choice([1, 3, 40])
        if not is_tick:
            for place, one in decisions_left[:count]:
                process.decision(place, one)
            del decisions_left[:count]
            continue
        if random.random() < 0.7:
            process.ticks(ticks_left[:count])
        else:
            for offset, tick in ticks_left[:count]:
                process.tick(offset, tick)
        del ticks_left[:count]
    process.keep()


@settings(deadline=None)
@given(SEEDS)
def test_however_two_topics_are_interleaved_the_same_is_done(seed: int) -> None:
    """And however ticks are cut into batches: the same intents, the same executions and the same end."""
    random = Random(seed)
    ticks = ticks_of(random, 150)
    decisions = decisions_of(random, ticks)
    one, other = Topics(), Topics()

    deliver(random, one, ticks, decisions)
    deliver(random, other, ticks, decisions)

    assert one.journal == other.journal
    assert one.executions == other.executions
    assert one.checkpoint == other.checkpoint


@settings(deadline=None)
@given(SEEDS)
def test_wherever_it_is_killed_the_log_says_what_happened(seed: int) -> None:
    """Killed again and again between any two acts, while ticks and decisions go on, hearing nothing now and then.

    In the end the log has the executions of one process that was never killed over the same ticks and journal, in the
    same order; every one is there once.
    """
    random = Random(seed)
    ticks = ticks_of(random, 150)
    decisions = decisions_of(random, ticks)
    topics = Topics()
    while ticks:
        with suppress(Killed):
            run(random, topics, ticks, decisions)
    survivor = Process(topics, INSTRUMENTS, expiry_us=EXPIRY_US)
    survivor.take_over()

    assert survivor.desk.counts["replay_differences"] == 0
    ids = [report.execution_id for report in topics.executions]
    assert len(ids) == len(set(ids))
    assert topics.executions == undisturbed(topics, INSTRUMENTS)


def run(random: Random, topics: Topics, ticks: list[tuple[int, Tick]], decisions: list[QuoteDecision]) -> None:
    """Run a process over what comes, until it is killed; what is written while it is dead is there when it starts."""
    for _ in range(random.choice([0, 0, 5, 30])):
        write_tick(topics, ticks)
    write_decisions(topics, decisions)
    process = Process(topics, INSTRUMENTS, fuse=random.randint(0, 60), expiry_us=EXPIRY_US)
    read = len(topics.decisions)
    process.take_over()
    while ticks:
        act = random.random()
        if act < 0.7:
            count = random.choice([1, 1, 1, 8])
            for _ in range(count):
                write_tick(topics, ticks)
            process.ticks(topics.ticks[-count:])
        elif act < 0.95:
            write_decisions(topics, decisions)
            while read < len(topics.decisions):
                read += 1
                process.decision(read - 1, topics.decisions[read - 1])
        elif act < 0.98:
            process.keep()
        else:
            process.silence(random.sample(MARKETS, 1))


def write_tick(topics: Topics, ticks: list[tuple[int, Tick]]) -> None:
    if ticks:
        topics.ticks.append(ticks.pop(0))


def write_decisions(topics: Topics, decisions: list[QuoteDecision]) -> None:
    """Write the decisions whose ticks are written."""
    end = topics.ticks[-1][0] if topics.ticks else -1
    while decisions and decisions[0].cause_offset <= end:
        topics.decisions.append(decisions.pop(0))
