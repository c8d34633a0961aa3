"""The paper venue's life beyond this process: checkpoints of it, and taking it up again from the last one.

A checkpoint is written every few seconds to `state.executor`, by the producer that only the owner of the account has.
Since the venue is a function of the ticks and of the journal, what happened after it is found by running it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from infra.runtime.settings import Settings
from schemas.enums import Mode, Severity
from schemas.errors import StateError
from schemas.records import ExecutionReport, OrderIntent, QuoteDecision, Tick
from schemas.topics import TOPICS, topic_of
from sinks.decoding import Decoder, delivery_of
from sinks.executor.desk import Desk
from sinks.executor.journal import Journal
from sinks.executor.lapse import Lapse
from sinks.executor.merge import Merge
from sinks.executor.notice import Notice
from sinks.executor.paper.checkpoint import MOST_BYTES, Checkpoint, load, pack, unpack
from sinks.executor.paper.replay import Replay, recovered
from sinks.executor.paper.venue import PaperVenue
from sinks.executor.reading import TickReader
from sinks.executor.stretch import Stretch
from sinks.log import LogReader, log_reader

__all__ = ["WARM_UP_TICKS", "PaperLife"]

_Kind = TypeVar("_Kind", OrderIntent, ExecutionReport)

WARM_UP_TICKS = 20_000
"""Enough of the past to know a book that is sent as snapshots."""
_MOST_REPLAYED = 500_000


class PaperLife:
    """Keeps the paper venue of an account, and takes it up again.

    Args:
        merges: By partition.
        on_tick: Told of every tick that is read again.
        report: Writes executions.
        tell: Tells people.
    """

    def __init__(
        self,
        settings: Settings,
        decoder: Decoder,
        reader: TickReader,
        desk: Desk,
        venue: PaperVenue,
        merges: Mapping[int, Merge],
        journal: Journal,
        *,
        on_tick: Callable[[Tick], None],
        report: Callable[[Sequence[ExecutionReport]], None],
        tell: Callable[[Notice], None],
    ) -> None:
        self._settings = settings
        self._decoder = decoder
        self._reader = reader
        self._desk = desk
        self._venue = venue
        self._merges = merges
        self._journal = journal
        self._on_tick = on_tick
        self._report = report
        self._tell = tell
        self._topic = TOPICS["state.executor"].full_name(settings.topic_prefix)
        self._ticks = topic_of(Tick).full_name(settings.topic_prefix)
        self._ends: dict[tuple[type[OrderIntent | ExecutionReport], int], int] = {}
        self._kept: dict[int, int] = {}
        self._large: set[int] = set()

    def resume(self, partition: int, now_us: int) -> int:
        """Take a partition up from its last checkpoint; without one that fits the log, from a little before its end.

        Gives where to read ticks on.

        Raises:
            ServiceUnavailable: the broker does not answer in time.
        """
        with log_reader(self._settings, self._decoder) as log:
            for kind in (OrderIntent, ExecutionReport):
                self._ends[kind, partition] = log.ends(self._full_name(kind), partition)[1]
            begin, end = log.ends(self._ticks, partition)
            checkpoint = self._last(log, partition, begin, end)
            if checkpoint is None:
                start = max(begin, end - WARM_UP_TICKS)
                self._merges[partition].offset = self._venue.partition(partition).offset = start - 1
                self._desk.begin(partition, start - 1, 0, [])
                return start
            self._run_again(log, partition, checkpoint, begin, end)
        merge = self._merges[partition]
        for resting in self._venue.partition(partition).orders:
            merge.follow(resting.order.market, now_us)
        return end

    def keep(self, partitions: Iterable[int]) -> None:
        """Write checkpoints of the partitions that have moved on, when all executions are written."""
        states = {}
        for partition in partitions:
            paper = self._venue.partition(partition)
            if paper.offset != self._kept.get(partition):
                value = pack(paper, self._end(OrderIntent, partition), self._end(ExecutionReport, partition))
                if len(value) <= MOST_BYTES:
                    states[partition] = (self._key(partition), value)
                else:
                    self._note_size(partition, len(value))
        self._journal.keep(self._topic, states)
        self._kept.update({partition: self._venue.partition(partition).offset for partition in states})
        self._desk.counts["checkpoints"] += len(states)

    def _note_size(self, partition: int, size: int) -> None:
        self._desk.counts["checkpoints_too_large"] += 1
        if partition not in self._large:
            self._large.add(partition)
            message = f"that of partition {partition} has {size} bytes: a restart reads all ticks since the one before"
            self._tell(Notice(Severity.WARNING, "CHECKPOINT_TOO_LARGE", message))

    def _end(self, kind: type[OrderIntent | ExecutionReport], partition: int) -> int:
        return max(self._journal.end_of(kind, partition), self._ends[kind, partition])

    def _last(self, log: LogReader, partition: int, begin: int, end: int) -> Checkpoint | None:
        value = log.last_value(self._topic, partition, self._key(partition).encode())
        if value is None:
            return None
        try:
            checkpoint = unpack(value)
            if not begin <= checkpoint.tick_offset + 1 <= end:
                raise StateError(f"it stands at tick {checkpoint.tick_offset} of a log from {begin} to {end}")
            fresh = self._venue.new_partition(partition)
            load(checkpoint, fresh)
        except StateError as error:
            self._desk.counts["checkpoints_refused"] += 1
            self._tell(Notice(Severity.CRITICAL, "CHECKPOINT_REFUSED", f"partition {partition}: {error}; orders end"))
            return None
        self._venue.replace(partition, fresh)
        return checkpoint

    def _run_again(self, log: LogReader, partition: int, checkpoint: Checkpoint, begin: int, end: int) -> None:
        paper, merge, desk = self._venue.partition(partition), self._merges[partition], self._desk
        merge.offset = checkpoint.tick_offset
        merge.clock.now_us = paper.clock_us or None
        desk.begin(partition, paper.offset, paper.clock_us, [resting.intent for resting in paper.orders])
        desk.recover(recovered(paper), [], 0)
        replay = Replay(desk, self._ours(log, ExecutionReport, partition, checkpoint.executions_end))
        self._report(replay.begin(self._ours(log, OrderIntent, partition, checkpoint.intents_end)))
        start = max(begin, checkpoint.tick_offset + 1 - WARM_UP_TICKS)
        reached = self._read(log, partition, start, end, replay)
        if reached < end:
            # Nothing of ours is left, and the log is long: the books are known again with their next snapshots.
            paper.lose_books()
            self._read(log, partition, end - WARM_UP_TICKS, end, replay)
        differences = replay.end()
        if differences:
            message = f"{differences} executions of partition {partition} do not come out as the log has them"
            self._tell(Notice(Severity.CRITICAL, "REPLAY_DIFFERS", message))

    def _read(self, log: LogReader, partition: int, start: int, end: int, replay: Replay) -> int:
        """Read ticks again, as long as it matters; gives the offset after the last one."""
        merge, paper = self._merges[partition], self._venue.partition(partition)
        for messages in log.batches(self._ticks, partition, start, end):
            for read in self._reader.read(messages):
                if not isinstance(read, Stretch):
                    self._on_tick(read[1])
                merge.add(read)
                for merged, cause in merge.take():
                    assert not isinstance(merged, QuoteDecision)
                    if isinstance(merged, Lapse):
                        self._report(replay.pass_over(merged, cause))
                    else:
                        self._report(replay.on_tick(merged, cause))
            offset = delivery_of(messages[-1]).offset
            if end - offset > _MOST_REPLAYED and offset >= merge.offset and not paper.orders:
                return offset + 1
        return end

    def _ours(self, log: LogReader, kind: type[_Kind], partition: int, start: int) -> list[_Kind]:
        begin, end = log.ends(self._full_name(kind), partition)
        owner = (self._desk.mode, self._desk.account)
        records = log.records(self._full_name(kind), partition, max(begin, start), end)
        return [record for record, _ in records if isinstance(record, kind) and (record.mode, record.account) == owner]

    def _full_name(self, kind: type[OrderIntent | ExecutionReport]) -> str:
        return topic_of(kind).full_name(self._settings.topic_prefix)

    def _key(self, partition: int) -> str:
        return f"executor|{Mode.PAPER}|{self._desk.account}|{partition}"
