"""The first stage in plain Python, by the rules of `docs/`: the oracle of the compiled one.

Each record is accepted, rejected with its reason, or held until a later one decides. What is accepted becomes trades,
quotes and books, and the steps that the later stages read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from processors.kernel.clock import PartitionClock
from processors.kernel.counters import OnReject, TickCounters
from processors.kernel.held import Held
from processors.kernel.normalise import NormaliseConfig
from processors.kernel.steps import Emit, GridStep, Input, State, Step
from schemas.clock import GRID_US, is_watchdog
from schemas.enums import Flag, TickKind
from schemas.reasons import RejectReason
from schemas.records import Book, Record, Tick
from tests.oracle.books import BookLimits
from tests.oracle.judge import invalid
from tests.oracle.markets import Cursor, Limits, Markets
from tests.oracle.messages import Place, Stream
from tests.oracle.spike import SpikeLimits

__all__ = ["Normaliser"]


class Normaliser:
    """The normalise stage of one partition.

    Args:
        topic, partition: Where the ticks come from; part of every record's cause.
        on_reject: Told of every record that is not accepted: (offset, tick, reason).
    """

    def __init__(
        self, config: NormaliseConfig, topic: str, partition: int, *, on_reject: OnReject | None = None
    ) -> None:
        self._max_message_records = config.max_message_records
        self._counters = TickCounters(on_reject)
        self._clock = PartitionClock(config.max_ahead_us, config.max_message_records)
        self._streams: dict[tuple[str, str, str], Stream] = {}
        self._cursor = Cursor(topic, partition, _nowhere)
        limits = Limits(
            SpikeLimits(config.spike_threshold, config.spike_confirm_prints, config.spike_confirm_us),
            BookLimits(config.book_depth, config.max_levels, config.stale_us),
            config.max_age_us,
            config.skew_us,
            config.dedup_window,
        )
        self._markets = Markets(limits, self._counters, self._cursor)
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
        """Apply records in the order of the log; emits trades, quotes and books."""
        cursor = self._cursor
        cursor.emit = emit
        steps: list[Step] = []
        cursor.steps = steps
        for entry in inputs:
            self._take(entry.offset, entry.tick)
        cursor.emit = _nowhere
        cursor.steps = []
        return steps

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
            stream = self._streams[key] = Stream(tick.session)
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
        """Give all that a restart needs, as JSON-able values."""
        return {
            "counters": self._counters.state(),
            "clock": self._clock.state(),
            "streams": [[*key, stream.state()] for key, stream in self._streams.items()],
            "markets": self._markets.state(),
            "offset": self._cursor.offset,
            "is_trimmed": self._is_trimmed,
        }


def _nowhere(record: Record, ts_trigger: int) -> None:
    """Take what is emitted outside a run: nothing is."""
