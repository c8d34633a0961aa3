"""A paper executor without Kafka: topics as lists, a process that can be killed between any two of its acts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from schemas.clock import GRID_US, PartitionClock
from schemas.codec import Codec
from schemas.columns import Spans, decode_ticks
from schemas.enums import Mode
from schemas.instruments import Instrument
from schemas.records import Cause, ExecutionReport, Market, OrderIntent, QuoteDecision, Tick
from sinks.executor.account.positions import zero_position
from sinks.executor.account.rules import AccountLimits
from sinks.executor.desk import Desk
from sinks.executor.lapse import Lapse
from sinks.executor.merge import Merge
from sinks.executor.paper.checkpoint import load, pack, unpack
from sinks.executor.paper.replay import Replay, recovered
from sinks.executor.paper.venue import PaperVenue
from sinks.executor.port import Listing, Orders
from sinks.executor.stretch import Read, read_ticks

CODEC = Codec(Tick, 1)
LIMITS = AccountLimits(
    order_notional=10**30, gross_notional=10**33, open_orders=10_000, sends_per_s=10**9, sends_for_cancels=1
)


class Killed(Exception):
    """The process is no more."""


@dataclass
class Topics:
    """What the broker has. Offsets of `ticks` are what they say; of all others, places in the list."""

    ticks: list[tuple[int, Tick]] = field(default_factory=list)
    decisions: list[QuoteDecision] = field(default_factory=list)
    journal: list[OrderIntent] = field(default_factory=list)
    executions: list[ExecutionReport] = field(default_factory=list)
    checkpoint: bytes | None = None


class Process:
    """An executor of one partition, over topics that outlive it.

    Args:
        fuse: Acts until it dies; None is never.
        expiry_us: From an order's grid point to its end.
    """

    def __init__(
        self,
        topics: Topics,
        instruments: list[Instrument],
        fuse: int | None = None,
        *,
        partition: int = 0,
        expiry_us: int = 60_000_000,
    ) -> None:
        self.partition = partition
        listings = {(i.venue, i.symbol): Listing(i, partition) for i in instruments}
        self.topics = topics
        self.fuse = fuse
        self.venue = PaperVenue(listings)
        self.desk = Desk(self.venue, listings, "demo", LIMITS, expiry_us=expiry_us)
        for market in listings:
            self.desk.positions[market] = zero_position(Mode.PAPER, "demo", market, partition, 0, 0)
        self.merge = Merge("market.ticks", partition, self.desk.counts, is_waiting=True)

    def take_over(self) -> None:
        """Go on from the last checkpoint, over all that is in the log."""
        topics, desk, merge = self.topics, self.desk, self.merge
        intents, executions = list(topics.journal), list(topics.executions)
        desk.remember(intent.nonce for intent in intents if intent.nonce is not None)
        if topics.checkpoint is not None:
            checkpoint = unpack(topics.checkpoint)
            paper = self.venue.new_partition(self.partition)
            load(checkpoint, paper)
            self.venue.replace(self.partition, paper)
            merge.offset, merge.clock.now_us = checkpoint.tick_offset, paper.clock_us or None
            desk.begin(self.partition, paper.offset, paper.clock_us, [resting.intent for resting in paper.orders])
            desk.recover(recovered(paper), [], 0)
            intents = intents[checkpoint.intents_end :]
            executions = executions[checkpoint.executions_end :]
        replay = Replay(desk, executions)
        self._write(replay.begin(intents))
        for read in self.read(list(topics.ticks)):
            merge.add(read)
            for merged, cause in merge.take():
                assert not isinstance(merged, QuoteDecision)
                is_lapse = isinstance(merged, Lapse)
                self._write(replay.pass_over(merged, cause) if is_lapse else replay.on_tick(merged, cause))
        replay.end()
        for resting in self.venue.partition(self.partition).orders:
            merge.follow(resting.order.market, 0)
        self.keep()

    def read(self, ticks: Sequence[tuple[int, Tick]]) -> Sequence[Read]:
        """Give ticks as one batch of bytes comes out of Kafka."""
        if not ticks:
            return ()
        columns = decode_ticks(Spans.of([CODEC.encode(tick) for _, tick in ticks]), CODEC)
        return list(read_ticks(np.array([offset for offset, _ in ticks]), columns, self.desk.listings))

    def ticks(self, ticks: Sequence[tuple[int, Tick]]) -> None:
        """Read a batch of ticks."""
        for read in self.read(ticks):
            self.merge.add(read)
        self.go_on()

    def tick(self, offset: int, tick: Tick) -> None:
        """Read a tick as a record, whosever market it is of."""
        self.merge.add((offset, tick))
        self.go_on()

    def decision(self, place: int, decision: QuoteDecision) -> None:
        """Read a decision."""
        self.merge.add_decision(decision, Cause("trading.quotes", self.partition, place, place), 0)
        self.go_on()

    def go_on(self) -> None:
        """Deal with what is next."""
        for merged, cause in self.merge.take():
            if isinstance(merged, QuoteDecision):
                self._carry_out(self.desk.decide(merged, cause, 0))
            elif isinstance(merged, Lapse):
                self._write(self.desk.pass_over(merged, cause))
            else:
                self._write(self.desk.on_tick(merged, cause, 0))

    def silence(self, markets: list[Market]) -> None:
        """Hear of nobody for too long, by the wall clock."""
        self._carry_out(self.desk.silenced(markets, 0))
        for market in markets:
            self.merge.forget(market)
        self.go_on()

    def keep(self) -> None:
        """Write a checkpoint."""
        self._act()
        topics = self.topics
        topics.checkpoint = pack(self.venue.partition(self.partition), len(topics.journal), len(topics.executions))

    def _carry_out(self, orders: Orders | None) -> None:
        if orders is not None:
            self._act()
            self.topics.journal += orders.intents
            self._act()
            self._write(self.desk.submit(orders, 0))

    def _write(self, reports: list[ExecutionReport]) -> None:
        if reports:
            self._act()
            self.topics.executions += reports
            self._act()

    def _act(self) -> None:
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise Killed


def undisturbed(topics: Topics, instruments: list[Instrument], partition: int = 0) -> list[ExecutionReport]:
    """Give what one process says that had the whole journal from the start and was never killed."""
    fresh = replace(topics, executions=[], checkpoint=None)
    process = Process(fresh, instruments, partition=partition)
    process.take_over()
    assert process.desk.counts["replay_differences"] == 0
    return fresh.executions


def marked(ticks: list[tuple[int, Tick]]) -> Iterator[tuple[int, Tick, int | None]]:
    """Give ticks as the clock lets them pass, with the grid point that each crosses."""
    clock = PartitionClock()
    for offset, tick in ticks:
        passing = [(offset, tick)]
        if not clock.is_plain(tick.ts_recv):
            verdict = clock.judge(offset, tick)
            passing = verdict.confirmed + ([] if verdict.is_held else passing)
        for held in passing:
            points = [point for point in clock.advance(held[1].ts_recv) if point % GRID_US == 0]
            yield *held, points[0] if points else None
