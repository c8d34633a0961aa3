"""The first stage: judge every tick of a partition, keep its books, let its time pass.

Each record is accepted, rejected with its reason, or held until a later one decides. What is accepted becomes trades,
quotes and books, and the steps that the later stages read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from processors.kernel import lane as lanes
from processors.kernel.bookdesk import Books
from processors.kernel.clock import PartitionClock
from processors.kernel.config import NormaliseConfig
from processors.kernel.counters import OnReject, TickCounters
from processors.kernel.cursor import Cursor
from processors.kernel.fastlane import FastLane, new_lanes
from processors.kernel.held import Held
from processors.kernel.judge import invalid
from processors.kernel.markets import Markets
from processors.kernel.memory import Memory
from processors.kernel.messages import Place, Stream
from processors.kernel.names import Names
from processors.kernel.parts import Parts
from processors.kernel.steprows import StepRows
from processors.kernel.steps import GridStep, Input, State, Step
from processors.kernel.tradetable import TradeTable
from schemas.clock import GRID_US, is_watchdog
from schemas.columns import TickColumns
from schemas.columns.rows import Rows
from schemas.enums import Flag, TickKind
from schemas.reasons import RejectReason
from schemas.records import Book, Tick

__all__ = ["NormaliseConfig", "Normaliser"]

_COUNTS = {
    "accepted": None,
    "duplicates": RejectReason.DUPLICATE,
    "too_old": RejectReason.TOO_OLD,
    "out_of_order": RejectReason.OUT_OF_ORDER,
}
"""What compiled code counts in one call."""


class Normaliser:
    """The normalise stage of one partition.

    Args:
        topic, partition: Where the ticks come from; part of every record's cause.
        names: The partition's numbers, which trades and rows of steps are told in.
        is_stepwise: Whether the later stages read grid points and holes as objects; else they may come as rows too.
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
        self._trades = TradeTable(names, topic, partition, is_published=publish_trades)
        self._cursor = Cursor(topic, partition, self._trades)
        self._lanes = new_lanes(
            self._config, self._names, self._cursor, is_stepwise=self._is_stepwise, is_told=self._is_told
        )
        self._forget()
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
        candidates, spikes = len(self._clock.candidate), len([*self._markets.pending()])
        return candidates + spikes + sum(stream.count for stream in self._streams.values())

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
        return self._books.whole()

    def mark_gap(self) -> None:
        """Note that a part of the log before the next record is missing, e.g. trimmed before it was read."""
        self._is_trimmed = True

    def run(self, inputs: Sequence[Input]) -> list[Step]:
        """Apply records in the order of the log; keeps what is published for `take`."""
        self._trades.begin(b"")
        with self._stepping() as steps:
            for entry in inputs:
                self._take(entry.offset, entry.tick)
        return cast(list[Step], steps)

    def run_columns(self, offsets: NDArray[np.int64], columns: TickColumns) -> list[Step | StepRows]:
        """Apply a decoded batch; the same as `run`, with most of it in compiled code."""
        self._trades.begin(columns.text)
        lane = FastLane(self._memory, self._books, self._parts, self._trades, columns, offsets)
        with self._stepping() as steps:
            at = 0
            while at < len(columns):
                if not self._is_trimmed and self._clock.now_us is not None and not self._clock.candidate:
                    at = self._overtake(lane, at)
                    if at == len(columns) or self._is_provided(columns, at):
                        continue
                self._take(int(offsets[at]), columns.tick(at))
                at += 1
            self._parts.keep()
        return steps

    def take(self) -> list[Rows]:
        """Hand over the trades, the quotes and the conflated books of the last batch."""
        return [self._trades.take(), self._books.take_quotes(), *self._books.take_books()]

    @contextmanager
    def _stepping(self) -> Iterator[list[Step | StepRows]]:
        cursor = self._cursor
        self._books.begin()
        steps: list[Step | StepRows] = []
        cursor.steps = steps
        yield steps
        cursor.steps = []

    def _overtake(self, lane: FastLane, begin: int) -> int:
        """Take rows in compiled code; give the first that is left."""
        cursor, counters, done = self._cursor, self._counters, self._lanes[0]
        done["clock_us"], done["offset"], done["ts_recv"] = self._clock.now_us, cursor.offset, cursor.ts_recv
        for name in _COUNTS:
            done[name] = 0
        at, steps = lane.take(self._lanes, begin)
        self._clock.now_us = cursor.now_us = int(done["clock_us"])
        cursor.offset, cursor.ts_recv = int(done["offset"]), int(done["ts_recv"])
        counters.received += at - begin
        counters.accepted += int(done["accepted"])
        for name, reason in _COUNTS.items():
            if reason is not None and done[name]:
                counters.rejected[reason] = counters.rejected.get(reason, 0) + int(done[name])
        if len(steps):
            cursor.steps += lane.steps_of(steps) if self._is_stepwise else [steps]
        return at

    def _is_provided(self, columns: TickColumns, row: int) -> bool:
        """Provide what compiled code stopped for at a row; False where the row itself is for the normaliser."""
        lane = self._lanes[0]
        match int(lane["why"]):
            case lanes.OF_GRID:
                self._reach(int(lane["point_us"]))
            case lanes.OF_ROOM if lane["book"] < 0:
                self._books.fit()
            case lanes.OF_ROOM:
                self._books.fit_levels(int(lane["book"]), int(lane["bids"]), int(lane["asks"]))
            case lanes.OF_ROW:
                return False
            case why:
                tick = columns.tick(row)
                assert tick is not None
                self._provide(why, tick)
        return True

    def _provide(self, why: int, tick: Tick) -> None:
        if why == lanes.OF_STREAM:
            self._stream_of(tick)
        elif why == lanes.OF_BOOK:
            self._books.open(tick.market)
        elif why == lanes.OF_JUDGE:
            self._markets.judge_of(tick.market)
        else:
            stream = self._stream_of(tick)
            stream.enter(tick)
            self._renew(stream, tick)

    def _forget(self) -> None:
        """Begin with nothing remembered."""
        self._memory = Memory(self._names, self._config.dedup_window, self._config.dedup_keys)
        self._parts = Parts(self._memory, self._config.max_message_records)
        self._books = Books(self._lanes, self._memory, self._cursor)
        self._markets = Markets(self._config, self._counters, self._cursor, self._memory, self._books)
        self._streams: dict[tuple[str, str, str], Stream] = {}

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
            self._books.evaluate(point, is_published=point == points[-1])
            if not point % GRID_US:
                self._reach(point)

    def _reach(self, point_us: int) -> None:
        cursor, quotes = self._cursor, int(self._lanes["quotes"][0])
        cursor.steps.append(GridStep(point_us, cursor.offset, cursor.ts_recv, self._books.views(), quotes))

    def _place(self, offset: int, tick: Tick) -> None:
        if is_watchdog(tick):
            self._counters.accepted += 1
            return
        stream = self._stream_of(tick)
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
            self._renew(stream, tick)
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

    def _renew(self, stream: Stream, tick: Tick) -> None:
        """Take a market's newer connection: what the old one had begun will not be ended."""
        self._markets.hear(tick.source, tick.session)
        self._counters.reject_all(stream.interrupt(), RejectReason.INCOMPLETE_MESSAGE)
        if tick.symbol:
            self._markets.restart(tick.market)

    def _stream_of(self, tick: Tick) -> Stream:
        key = (tick.source, tick.venue, tick.symbol)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = self._new_stream(key, tick.session)
        return stream

    def _new_stream(self, key: tuple[str, str, str], session: int) -> Stream:
        return Stream(self._memory, self._parts, self._memory.new_stream(*key), session)

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
        self._lanes = new_lanes(
            self._config, self._names, self._cursor, is_stepwise=self._is_stepwise, is_told=self._is_told
        )
        self._forget()
        for source, venue, symbol, saved in state["streams"]:
            key = (source, venue, symbol)
            self._streams[key] = self._new_stream(key, 0)
            self._streams[key].restore(saved)
        self._markets.restore(state["markets"])
        self._memory.seen.restore(state["seen"])
        self._cursor.offset = state["offset"]
        self._is_trimmed = state["is_trimmed"]
        self._cursor.now_us = self._clock.now_us or 0
