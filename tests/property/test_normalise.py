"""The same log gives the same records, however it is cut into batches and wherever a worker restarts."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.kernel.bars import BarConfig, EmptyPolicy
from processors.kernel.normalise import NormaliseConfig
from processors.kernel.snapshot import freeze, thaw
from processors.kernel.steps import Input
from schemas.enums import Flag, Side, TickKind
from schemas.records import Bar, Book, Quote, Tick, Trade
from tests.ticks import T0, Feed, Run

_STEPS_US = (0, 1, 40_000, 150_000, 900_000, 4_000_000, 20_000_000, 70_000_000)


def hostile_log(seed: int, length: int) -> list[Tick | None]:
    """A log with everything in it: jumps, duplicates, spikes, broken messages, gaps, reconnects, junk."""
    random = Random(seed)
    feeds = [Feed("A/USDC", source="one"), Feed("B/USDC", source="one"), Feed("B/USDC", source="two")]
    now = T0
    price = 1_000
    log: list[Tick | None] = []
    while len(log) < length:
        now += random.choice(_STEPS_US[: random.choice((4, 5, 8))])
        price = max(10, price + random.randint(-3, 3))
        feed = random.choice(feeds)
        event = random.choice((now, now - random.randrange(120_000_000), None))
        flags = random.choice((0, 0, 0, int(Flag.REPLAYED), int(Flag.AGGREGATE)))
        side = random.choice((Side.BUY, Side.SELL))
        match random.randrange(14):
            case 0 | 1 | 2 | 3:
                jump = random.choice((1, 1, 1, 1, 2))
                log.append(feed.trade(now, price * jump, random.randint(1, 9), side, ts_event=event, flags=flags))
            case 4:
                log.append(feed.trade(now, price, 1, side, ts_event=event, trade_id=random.choice(("7", None))))
            case 5:
                log += feed.top(now, price, price + 1, sequence=random.choice((None, now)))
            case 6 | 7:
                bids = [(price - random.randint(0, 5), random.randint(0, 3)) for _ in range(random.randint(0, 3))]
                asks = [(price + random.randint(0, 5), random.randint(0, 3)) for _ in range(random.randint(1, 3))]
                ticks = feed.levels(now, bids, asks, clear=random.random() < 0.4)
                if random.random() < 0.2:
                    ticks.pop(random.randrange(len(ticks)))
                log += ticks
            case 8 | 9:
                log.append(feed.heartbeat(now, random.choice((None, now - 1_000_000))))
            case 10:
                log.append(feed.status(now, random.choice((0, Flag.GAPPED, Flag.STALE))))
            case 11:
                log.append(random.choice(log) if log else None)
            case 12:
                bad = random.choice(({"price": 0}, {"side": Side.NONE}, {"kind": TickKind.UNKNOWN}))
                log.append(replace(feed.trade(now), **bad))
            case 13 if random.random() < 0.2:
                feed.session += 1
                feed.number = 0
    return log[:length]


def run_whole(run: Run, log: list[Tick | None]) -> Run:
    run.run([Input(offset, tick) for offset, tick in enumerate(log)])
    return run


def new_run() -> Run:
    return Run(
        NormaliseConfig(dedup_window=8, max_message_records=5, book_depth=3),
        BarConfig(emit_empty=EmptyPolicy.CARRY_CLOSE, correction_us=120_000_000),
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(1, 249), max_size=8), restarts=st.booleans())
def test_neither_batches_nor_restarts_change_what_comes_out(seed: int, cuts: list[int], restarts: bool) -> None:
    """Records, triggers, steps, rejects and counts are functions of the log alone."""
    log = hostile_log(seed, 250)
    whole = run_whole(new_run(), log)

    cut = new_run()
    bounds = [0, *sorted(set(cuts)), len(log)]
    for begin, end in pairwise(bounds):
        cut.run([Input(offset, log[offset]) for offset in range(begin, end)])
        if restarts:
            cut.restart(thaw(freeze(cut.snapshot())))

    for kind in (Trade, Quote, Book, Bar):  # each has its own topic; their order among each other is nobody's
        assert cut.triggered(kind) == whole.triggered(kind)
    assert cut.steps == whole.steps
    assert cut.rejects == whole.rejects
    assert cut.snapshot() == whole.snapshot()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_record_is_accepted_rejected_or_held(seed: int) -> None:
    """After each record, and each reject is told once, with an offset of its own."""
    run = new_run()

    for offset, tick in enumerate(hostile_log(seed, 250)):
        run.run([Input(offset, tick)])  # checks the sum

    rejected = [offset for offset, _ in run.rejects]
    pending = [offset for offset, _ in run.normaliser.pending()]
    assert len({*rejected, *pending}) == len(rejected) + len(pending)
    assert len(rejected) == sum(run.normaliser.rejected.values())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_ids_have_one_content_per_revision_and_causes_never_go_back(seed: int) -> None:
    """What a consumer may rely on when it reads a record twice."""
    run = run_whole(new_run(), hostile_log(seed, 250))

    revisions: dict[str, int] = {}
    for bar in run.bars:
        assert bar.revision == revisions.get(bar.bar_id, -1) + 1
        revisions[bar.bar_id] = bar.revision
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.cause_first_offset <= bar.cause_offset
    for records in (run.quotes, run.books, run.bars):
        causes = [record.cause_offset for record in records]  # type: ignore[attr-defined]
        assert causes == sorted(causes)
    ids = [(trade.market, trade.cause_first_offset) for trade in run.trades]
    assert len(set(ids)) == len(ids)
