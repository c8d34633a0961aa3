"""The normalise stage, with most of it in compiled code, against the plain one of `tests.oracle`."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.kernel.names import Names
from processors.kernel.normalise import NormaliseConfig, Normaliser
from processors.kernel.snapshot import freeze, thaw
from processors.kernel.steprows import step_rows
from processors.kernel.steps import GapStep, GridStep, Input, Step
from schemas.codec import Codec
from schemas.columns import Spans, decode_ticks
from schemas.enums import Flag, Side, TickKind
from schemas.numbers import INT64_MAX
from schemas.reasons import RejectReason
from schemas.records import Book, Quote, Record, Tick, Trade
from tests.oracle import normalise as oracle
from tests.property.test_fast_lane import trades_log
from tests.property.test_normalise import hostile_log
from tests.ticks import T0, Feed

TOPIC = "market.ticks"
CODEC = Codec(Tick, 7)
KINDS = (Trade, Quote, Book)
CODECS = {kind: Codec(kind, 7) for kind in KINDS}


def books_log(seed: int, length: int) -> list[Tick | None]:
    """Mostly messages of levels and tops, whole and near, among them everything that ends a run of them."""
    random = Random(seed)
    feeds = [Feed(f"{name}/USDC", source=source) for name in "AB" for source in ("one", "two")][: random.choice((2, 4))]
    now, price = T0, 1_000
    step_us = random.choice((50, 5_000, 90_000, 400_000))
    log: list[Tick | None] = []
    open_: list[list[Tick]] = []
    while len(log) < length:
        now += random.randrange(step_us)
        price = max(30, price + random.randint(-3, 3))
        feed = random.choice(feeds)
        case = random.randrange(40)
        ticks: list[Tick] = []
        if case < 16:
            ticks = feed.levels(now, _levels(random, price, -1), _levels(random, price, 1), clear=random.random() < 0.1)
        elif case < 24:
            sequence = random.choice((None, now, now))
            ticks = feed.top(
                now,
                random.choice((price, price, price, None)),
                random.choice((price + 1, price + 1, price - 1, None)),
                random.randint(1, 4),
                sequence=sequence,
                ts_event=now - random.choice((0, 0, 1_000, 70_000_000)),
            )
        elif case < 27:
            ticks = [feed.trade(now, price, random.randint(1, 9))]
        elif case < 29:
            ticks = [feed.heartbeat(now, random.choice((None, now - 1_000_000)))]
        elif case == 29:
            ticks = [feed.status(now, random.choice((0, int(Flag.GAPPED), int(Flag.STALE))))]
        elif case == 30:
            ticks = feed.message(
                now, [{"kind": random.choice(list(TickKind)), "side": Side.BUY, "price": 1, "size": 1}]
            )
        elif case == 31:
            ticks = [_watchdog(now + random.choice((0, 200_000, 7_000_000)))]
        elif case == 32:
            ticks = feed.levels(now, _levels(random, price, -1), _levels(random, price, 1))
            ticks += feed.top(now, price, price + 1)
            first = ticks[0].message
            ticks = [
                replace(t, message=first, ordinal=k, first=k == 0, last=k == len(ticks) - 1)
                for k, t in enumerate(ticks)
            ]
        elif case == 33:
            ticks = feed.levels(now, [(price, 1)], [(price + 1, 2)])
            at = random.randrange(len(ticks))
            ticks[at] = replace(ticks[at], **random.choice(_EXTREMES))
        elif case == 34:
            ticks = feed.top(now, price, price + 1)
            ticks[random.randrange(2)] = replace(
                ticks[0], ordinal=1, first=False, last=True, **random.choice(_EXTREMES)
            )
        elif case == 35 and random.random() < 0.4:
            feed.session += random.choice((-1, 1, 1))
            feed.number = 0
        elif case == 36 and random.random() < 0.4:
            now += random.choice((300_000, 6_000_000, 11_000_000))
        elif case == 37:
            log.append(random.choice((None, random.choice(log) if log else None)))
        elif case == 38:
            ticks = feed.top(now, price * 2, price * 2 + 1)
        else:
            ticks = feed.levels(now, _levels(random, price, -1), _levels(random, price, 1))
            del ticks[random.randrange(len(ticks)) :: 7]
        if random.random() < 0.1:
            ticks = [replace(tick, tx_hash="0x" + "ab" * 4, trade_id="\u00e9", block_height=5) for tick in ticks]
        if random.random() < 0.15:
            ticks = [replace(tick, ts_recv=tick.ts_recv + 30_000 * k) for k, tick in enumerate(ticks)]
        open_.append(ticks)
        while open_ and (len(open_) > 2 or random.random() < 0.9):
            # Another source's parts may come in between.
            chosen = random.choice(open_)
            count = len(chosen) if random.random() < 0.8 else random.randint(0, len(chosen))
            log += chosen[:count]
            del chosen[:count]
            open_ = [ticks for ticks in open_ if ticks]
    return log[:length]


def _levels(random: Random, price: int, sign: int) -> list[tuple[int, int]]:
    return [
        (max(1, price + sign * random.randint(-1, 12)), random.choice((0, 1, 2, 3)))
        for _ in range(random.randint(1, 6))
    ]


def _watchdog(at: int) -> Tick:
    return Feed("", venue="", source="watchdog").heartbeat(at)


_EXTREMES: tuple[dict[str, Any], ...] = (
    {"price": INT64_MAX},
    {"price": 1, "size": INT64_MAX},
    {"price": 0},
    {"price": -INT64_MAX - 1},
    {"size": -1},
    {"size": -INT64_MAX - 1},
    {"side": Side.NONE},
    {"ts_event": -INT64_MAX - 1},
    {"ts_event": INT64_MAX},
    {"sequence": -INT64_MAX - 1},
    {"sequence": INT64_MAX},
    {"flags": 2**31 - 1},
    {"flags": -(2**31)},
    {"ts_recv": T0 - 10**9},
    {"session": -INT64_MAX - 1},
)


class Plain:
    """The oracle, fed at once."""

    def __init__(self, config: NormaliseConfig, log: list[Tick | None], trims: set[int]) -> None:
        self.records: dict[type[Record], list[tuple[Record, int]]] = {kind: [] for kind in KINDS}
        self.rejects: list[tuple[int, RejectReason]] = []
        self.normaliser = oracle.Normaliser(
            config, TOPIC, 2, on_reject=lambda offset, _, reason: self.rejects.append((offset, reason))
        )
        self.steps: list[Step] = []
        for offset, tick in enumerate(log):
            if offset in trims:
                self.normaliser.mark_gap()
            self.steps += self.normaliser.run([Input(3 * offset, tick)], self._emit)

    def _emit(self, record: Record, ts_trigger: int) -> None:
        self.records[type(record)].append((record, ts_trigger))


class Compiled:
    """The stage itself, fed in batches."""

    def __init__(self, config: NormaliseConfig, *, is_stepwise: bool, is_told: bool, is_object: bool) -> None:
        self.config = config
        self.options = {"is_stepwise": is_stepwise}
        self.is_told = is_told
        self.is_object = is_object
        self.records: dict[type[Record], list[tuple[Record, int]]] = {kind: [] for kind in KINDS}
        self.rejects: list[tuple[int, RejectReason]] = []
        self.steps: list[Any] = []
        self._new(Names())

    def _new(self, names: Names) -> None:
        self.names = names
        self.normaliser = Normaliser(
            self.config,
            TOPIC,
            2,
            names,
            on_reject=(lambda offset, _, reason: self.rejects.append((offset, reason))) if self.is_told else None,
            **self.options,
        )

    def feed(self, begin: int, log: list[Tick | None]) -> None:
        steps: Any
        offsets = np.arange(3 * begin, 3 * (begin + len(log)), 3)
        if self.is_object:
            steps = self.normaliser.run([Input(int(offset), tick) for offset, tick in zip(offsets, log, strict=True)])
        else:
            values = [b"junk" if tick is None else CODEC.encode(tick) for tick in log]
            steps = self.normaliser.run_columns(offsets, decode_ticks(Spans.of(values), CODEC))
        self.steps += steps
        for rows in self.normaliser.take():
            codec, values, ends = CODECS[rows.record], rows.encode(CODECS[rows.record]), [0]
            for record, ts_trigger in zip(rows.records(), rows.values["ts_trigger"].tolist(), strict=True):
                self.records[rows.record].append((record, ts_trigger))
                ends.append(int(values.ends[len(ends) - 1]))
                assert bytes(values.data[ends[-2] : ends[-1]]) == codec.encode(record)

    def restart(self) -> None:
        frozen = freeze({"names": self.names.state(), "normalise": self.normaliser.state()})
        state = thaw(frozen)
        self._new(Names())
        self.names.restore(state["names"])
        self.normaliser.restore(state["normalise"])
        assert freeze({"names": self.names.state(), "normalise": self.normaliser.state()}) == frozen


@pytest.mark.parametrize("make", [books_log, hostile_log, trades_log])
@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.integers(1, 299), max_size=6),
    trims=st.sets(st.integers(0, 299), max_size=1),
    options=st.fixed_dictionaries({name: st.booleans() for name in ("is_stepwise", "is_told", "is_object")}),
    restarts=st.booleans(),
    config=st.sampled_from(
        [
            NormaliseConfig(dedup_window=8, max_message_records=7, book_depth=3, max_levels=5),
            NormaliseConfig(dedup_window=8, book_depth=2, stale_us=400_000),
        ]
    ),
)
def test_compiled_code_means_what_the_plain_stage_means(
    make: Any,
    seed: int,
    cuts: list[int],
    trims: set[int],
    options: dict[str, bool],
    restarts: bool,
    config: NormaliseConfig,
) -> None:
    """The same records, triggers, steps, rejects, counts and state, however the log is cut."""
    log = make(seed, 300)
    plain = Plain(config, log, trims)
    fast = Compiled(config, **options)
    for begin, end in pairwise([0, *sorted({*cuts, *trims} - {0}), len(log)]):
        if begin in trims:
            fast.normaliser.mark_gap()
        fast.feed(begin, log[begin:end])
        if restarts:
            fast.restart()

    for kind in KINDS:
        assert fast.records[kind] == plain.records[kind]
    if fast.is_told:
        assert fast.rejects == plain.rejects
    assert fast.normaliser.rejected == plain.normaliser.rejected
    assert fast.normaliser.pending() == plain.normaliser.pending()
    assert fast.normaliser.held == plain.normaliser.held
    assert fast.normaliser.books() == plain.normaliser.books()
    assert _sorted(fast.normaliser.state()) == _sorted(plain.normaliser.state())
    assert _told(step_rows(fast.steps, fast.names), fast.names) == _told(step_rows(plain.steps, fast.names), fast.names)
    if options["is_stepwise"]:
        objects = [
            [step for step in steps if isinstance(step, GapStep | GridStep)] for steps in (fast.steps, plain.steps)
        ]
        assert objects[0] == objects[1]


def _sorted(state: dict[str, Any]) -> Any:
    """Give a state without the order of its sources, which is nobody's, without the trade keys and the books' levels.

    The levels are compared as books; compiled code keeps them in one table beside the rest, the plain stage by book.
    """
    books = state["markets"]["books"]
    rest = books["books"] if isinstance(books, dict) else [[venue, symbol, of[2:]] for venue, symbol, of in books]
    whole = {**state, "seen": None, "markets": {**state["markets"], "books": rest}}
    return json.loads(json.dumps(whole, sort_keys=True))


def _told(rows: Any, names: Names) -> list[tuple[Any, ...]]:
    """Give the steps by what the bars stage reads."""
    return [tuple(row) for row in rows.tolist()]
