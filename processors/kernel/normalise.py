"""The first stage: judge every tick of a partition, keep its books, let its time pass.

Each record is accepted, rejected with its reason, or held until a later one decides. What is accepted becomes trades,
quotes and books, and the steps that the later stages read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import cast

import numpy as np
from numpy.typing import NDArray

from processors.kernel.books import BookLimits
from processors.kernel.clock import GRID_US, PartitionClock, is_watchdog
from processors.kernel.counters import OnReject, TickCounters
from processors.kernel.fastlane import FastLane
from processors.kernel.held import Held
from processors.kernel.judge import invalid
from processors.kernel.lane import LANE
from processors.kernel.markets import Cursor, Limits, Markets
from processors.kernel.memory import Memory
from processors.kernel.messages import Place, Stream
from processors.kernel.names import Names
from processors.kernel.spike import SpikeLimits
from processors.kernel.steprows import StepRows
from processors.kernel.steps import Emit, GridStep, Input, State, Step
from processors.kernel.tradetable import TradeTable
from schemas.columns import TickColumns
from schemas.columns.rows import Rows
from schemas.enums import Flag, TickKind
from schemas.numbers import INT64_MAX
from schemas.reasons import RejectReason
from schemas.records import Book, Record, Tick

__all__ = ["NormaliseConfig", "Normaliser"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NormaliseConfig:
    """The limits of the stage; times in microseconds.

    Attributes:
        max_age_us: A TRADE or TOP older than this when received is rejected, unless it was filled in (REPLAYED).
        max_ahead_us: A record further ahead of the partition's clock is a candidate for its next value.
        skew_us: An event time further after its receipt than this is flagged CLOCK_SKEW.
        spike_threshold, spike_confirm_prints, spike_confirm_us: See `processors.kernel.spike`.
        dedup_window: Trade keys remembered per market.
        dedup_keys: Trade keys remembered per partition; where its markets have more, each has an equal share.
        stale_us: A book whose source is silent for longer is STALE.
        max_message_records: Longer venue messages are dropped; a snapshot of 5,000 levels a side fits.
        book_depth: Levels a side that are published.
        max_levels: Levels a side that are kept; beyond, the worst is forgotten.
    """

    max_age_us: int = 60_000_000
    max_ahead_us: int = 5_000_000
    skew_us: int = 500_000
    spike_threshold: Fraction = Fraction(1, 10)
    spike_confirm_prints: int = 3
    spike_confirm_us: int = 5_000_000
    dedup_window: int = 1_024
    dedup_keys: int = 32_768
    stale_us: int = 10_000_000
    max_message_records: int = 20_000
    book_depth: int = 20
    max_levels: int = 20_000


class Normaliser:
    """The normalise stage of one partition.

    Args:
        topic, partition: Where the ticks come from; part of every record's cause.
        names: The partition's numbers, which trades and rows of steps are told in.
        is_stepwise: Whether the later stages read each step as an object; else they may come as rows.
        publish_trades: Whether `trades` gives the accepted ones; all else is the same.
        on_reject: Told of every record that is not accepted: (offset, tick, reason).
    """

    def __init__(
        self,
        config: NormaliseConfig,
        topic: str,
        partition: int,
        names: Names,
        *,
        is_stepwise: bool = True,
        publish_trades: bool = True,
        on_reject: OnReject | None = None,
    ) -> None:
        self._config = config
        self._names = names
        self._is_stepwise = is_stepwise
        self._is_told = on_reject is not None
        self._max_message_records = config.max_message_records
        self._counters = TickCounters(on_reject)
        self._clock = PartitionClock(config.max_ahead_us, config.max_message_records)
        self._streams: dict[tuple[str, str, str], Stream] = {}
        self._trades = TradeTable(names, topic, partition, is_published=publish_trades)
        self._cursor = Cursor(topic, partition, _nowhere, self._trades)
        self._memory = Memory(names, config.dedup_window, config.dedup_keys)
        limits = Limits(
            SpikeLimits(config.spike_threshold, config.spike_confirm_prints, config.spike_confirm_us),
            BookLimits(config.book_depth, config.max_levels, config.stale_us),
            config.max_age_us,
            config.skew_us,
        )
        self._limits = limits
        self._markets = Markets(limits, self._counters, self._cursor, self._memory)
        self._is_trimmed = False

    @property
    def received(self) -> int:
        """Records that were applied: always `accepted`, the sum of `rejected`, and `held` together."""
        return self._counters.received

    @property
    def accepted(self) -> int:
        """Records that were accepted."""
        return self._counters.accepted

    @property
    def rejected(self) -> dict[RejectReason, int]:
        """Records that were rejected, by reason."""
        return self._counters.rejected

    @property
    def held(self) -> int:
        """Records that a later one will decide on."""
        return len(self.pending())

    def pending(self) -> list[Held]:
        """Give the records that are held, by offset; where a log ends they are rejected as PENDING."""
        held = [*self._clock.candidate, *self._markets.pending()]
        for stream in self._streams.values():
            held += stream.open
        return sorted(held, key=lambda entry: entry[0])

    @property
    def clock_us(self) -> int | None:
        """The partition's clock; None before its first record."""
        return self._clock.now_us

    def books(self) -> list[Book]:
        """Give the book of every market, with all its levels, as it stands at the clock."""
        return self._markets.books()

    def mark_gap(self) -> None:
        """Note that a part of the log before the next record is missing, e.g. trimmed before it was read."""
        self._is_trimmed = True

    def run(self, inputs: Sequence[Input], emit: Emit) -> list[Step]:
        """Apply records in the order of the log; emits quotes and books, and keeps trades for `trades`."""
        self._trades.begin(b"")
        with self._emitting(emit) as steps:
            for entry in inputs:
                self._take(entry.offset, entry.tick)
        return cast(list[Step], steps)

    def run_columns(self, offsets: NDArray[np.int64], columns: TickColumns, emit: Emit) -> list[Step | StepRows]:
        """Apply a decoded batch; the same as `run`, with plain trades in compiled code."""
        self._trades.begin(columns.text)
        lane = FastLane(self._memory, self._trades, columns, offsets)
        with self._emitting(emit) as steps:
            at = 0
            while at < len(columns):
                if lane.is_trade(at) and self._is_plain_here():
                    at = self._overtake(lane, at, len(columns))
                    if at == len(columns):
                        break
                self._take(int(offsets[at]), columns.tick(at))
                at += 1
        return steps

    def _is_plain_here(self) -> bool:
        return not self._is_trimmed and self._clock.now_us is not None and not self._clock.candidate

    def trades(self) -> Rows:
        """Give the trades of the last batch."""
        return self._trades.take()

    @contextmanager
    def _emitting(self, emit: Emit) -> Iterator[list[Step | StepRows]]:
        cursor = self._cursor
        cursor.emit = emit
        steps: list[Step | StepRows] = []
        cursor.steps = steps
        yield steps
        cursor.emit = _nowhere
        cursor.steps = []

    def _overtake(self, lane: FastLane, begin: int, end: int) -> int:
        """Take plain trades in compiled code; give the first row that is left."""
        limits = self._lane_limits()
        at, steps = lane.take(limits, begin, end)
        if at == begin:
            return at
        done = limits[0]
        cursor = self._cursor
        self._clock.now_us = cursor.now_us = int(done["clock_us"])
        cursor.offset, cursor.ts_recv = int(done["offset"]), int(lane.ts_recv(at - 1))
        counters = self._counters
        counters.received += at - begin
        counters.accepted += int(done["accepted"])
        for reason, name in ((RejectReason.DUPLICATE, "duplicates"), (RejectReason.TOO_OLD, "too_old")):
            if done[name]:
                counters.rejected[reason] = counters.rejected.get(reason, 0) + int(done[name])
        if self._is_stepwise:
            cursor.steps += lane.steps_of(steps)
        elif len(steps):
            cursor.steps.append(steps)
        return at

    def _lane_limits(self) -> NDArray[np.void]:
        config, cursor = self._config, self._cursor
        threshold = config.spike_threshold
        limits = np.zeros(1, LANE)
        limits[0] = (
            config.max_ahead_us,
            config.max_age_us,
            config.skew_us,
            threshold.numerator,
            threshold.denominator,
            INT64_MAX // max(threshold.numerator, threshold.denominator),
            self._names.text(cursor.topic),
            cursor.partition,
            not self._is_stepwise and not self._markets.has_books,
            not self._is_told,
            self._trades.is_published,
            self._clock.now_us,
            cursor.offset,
            *[0] * 5,
        )
        return limits

    def _take(self, offset: int, tick: Tick | None) -> None:
        self._counters.received += 1
        if tick is None:
            self._counters.reject(offset, None, RejectReason.UNDECODABLE)
            return
        cursor = self._cursor
        cursor.offset = offset
        cursor.ts_recv = ts_recv = tick.ts_recv
        if self._is_trimmed:
            self._is_trimmed = False
            self._markets.lose_all()
        if not self._clock.is_plain(ts_recv):
            verdict = self._clock.judge(offset, tick)
            if verdict.forgotten:
                self._counters.reject_all(verdict.forgotten, RejectReason.CLOCK_SKEW)
                self._markets.lose(verdict.forgotten)
            for early, candidate in verdict.confirmed:
                self._pass_time(candidate.ts_recv)
                self._place(early, replace(candidate, flags=candidate.flags | Flag.CLOCK_SKEW))
            if verdict.is_held:
                return
        self._pass_time(ts_recv)
        self._place(offset, tick)

    def _pass_time(self, ts_recv: int) -> None:
        clock = self._clock
        points = clock.advance(ts_recv)
        cursor = self._cursor
        cursor.now_us = clock.now_us or 0
        for point in points:
            self._markets.evaluate(point, is_published=point == points[-1])
            if not point % GRID_US:
                cursor.steps.append(GridStep(point, cursor.offset, cursor.ts_recv, self._markets.views()))

    def _place(self, offset: int, tick: Tick) -> None:
        if is_watchdog(tick):
            self._counters.accepted += 1
            return
        key = (tick.source, tick.venue, tick.symbol)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = self._new_stream(key, tick.session)
        place = stream.place(tick)
        if place is Place.SEEN:
            self._counters.reject(offset, tick, RejectReason.DUPLICATE)
            return
        if place is Place.OLD_SESSION:
            # A newer connection speaks for the market; but a trade is a trade, and known by its key.
            if tick.kind is TickKind.TRADE:
                self._message([(offset, tick)])
            else:
                self._counters.reject(offset, tick, RejectReason.OUT_OF_ORDER)
            return
        self._markets.hear(tick.source, tick.session)
        if place is Place.NEW_SESSION:
            self._counters.reject_all(stream.interrupt(), RejectReason.INCOMPLETE_MESSAGE)
            if tick.symbol:
                self._markets.restart(tick.market)
        if tick.first and tick.last:
            if stream.open:
                self._drop(stream.interrupt())
            self._message([(offset, tick)])
            return
        assembly = stream.add(offset, tick, self._max_message_records)
        if assembly.dropped is not None:
            self._drop(assembly.dropped, is_news=assembly.is_news)
        if assembly.complete is not None:
            self._message(assembly.complete)

    def _new_stream(self, key: tuple[str, str, str], session: int) -> Stream:
        return Stream(self._memory.streams, self._memory.new_stream(*key), session)

    def _drop(self, held: Sequence[Held], *, is_news: bool = True) -> None:
        self._counters.reject_all(held, RejectReason.INCOMPLETE_MESSAGE)
        if is_news:
            self._markets.lose(held)

    def _message(self, held: Sequence[Held]) -> None:
        reasons = [invalid(tick) for _, tick in held]
        if not any(reasons):
            self._markets.apply(held)
            return
        for (offset, tick), reason in zip(held, reasons, strict=True):
            self._counters.reject(offset, tick, reason or RejectReason.BAD_MESSAGE)
        # A lone trade that is none leaves no hole.
        if len(held) > 1 or held[0][1].kind is not TickKind.TRADE:
            self._markets.lose(held)

    def state(self) -> State:
        """Give all that a restart needs."""
        return {
            "counters": self._counters.state(),
            "clock": self._clock.state(),
            "streams": [[*key, stream.state()] for key, stream in self._streams.items()],
            "markets": self._markets.state(),
            "seen": self._memory.seen.state(),
            "offset": self._cursor.offset,
            "is_trimmed": self._is_trimmed,
        }

    def restore(self, state: State) -> None:
        """Take back what `state` gave; the names are restored before."""
        self._counters.restore(state["counters"])
        self._clock.restore(state["clock"])
        config = self._config
        self._memory = Memory(self._names, config.dedup_window, config.dedup_keys)
        self._markets = Markets(self._limits, self._counters, self._cursor, self._memory)
        self._streams = {}
        for source, venue, symbol, saved in state["streams"]:
            key = (source, venue, symbol)
            self._streams[key] = self._new_stream(key, 0)
            self._streams[key].restore(saved)
        self._markets.restore(state["markets"])
        self._memory.seen.restore(state["seen"])
        self._cursor.offset = state["offset"]
        self._is_trimmed = state["is_trimmed"]
        self._cursor.now_us = self._clock.now_us or 0


def _nowhere(record: Record, ts_trigger: int) -> None:
    """Take what is emitted outside a run: nothing is."""
