"""Taking an account over: what the log says of it, before anything new is decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import TopicPartition

from infra.runtime.clock import Clock
from infra.runtime.settings import Settings
from schemas.records import QuoteDecision, Tick
from schemas.topics import topic_of
from sinks.decoding import Decoder
from sinks.executor.account.positions import with_instrument, zero_position
from sinks.executor.bookkeeping import Bookkeeping
from sinks.executor.desk import Desk
from sinks.executor.journal import Journal
from sinks.executor.merge import Merge
from sinks.executor.notice import Notice
from sinks.executor.paper.resume import WARM_UP_TICKS, PaperLife
from sinks.executor.paper.venue import PaperVenue
from sinks.executor.port import RemoteVenue
from sinks.executor.reading import TickReader
from sinks.executor.recovery import recovered_orders
from sinks.executor.restore import Restored, last_balances, restore
from sinks.log import log_reader

__all__ = ["TakeOver"]


class TakeOver:
    """Restores an account, and keeps what the next one needs.

    Args:
        merges: By partition.
        on_tick: Told of every tick that is read again.
        tell: Tells people.
    """

    def __init__(
        self,
        settings: Settings,
        decoder: Decoder,
        desk: Desk,
        merges: Mapping[int, Merge],
        journal: Journal,
        books: Bookkeeping,
        clock: Clock,
        *,
        on_tick: Callable[[Tick], None],
        tell: Callable[[Notice], None],
    ) -> None:
        self._settings = settings
        self._decoder = decoder
        self._desk = desk
        self._books = books
        self._clock = clock
        self._ticks = topic_of(Tick).full_name(settings.topic_prefix)
        self._decisions = topic_of(QuoteDecision).full_name(settings.topic_prefix)
        self._life: PaperLife | None = None
        if isinstance(desk.venue, PaperVenue):
            # What is no tick is described when it is read by whoever goes on from there.
            reader = TickReader(self._ticks, decoder, desk.listings, lambda delivery, error: None)
            parts = (settings, decoder, reader, desk, desk.venue, merges, journal)
            self._life = PaperLife(*parts, on_tick=on_tick, report=books.add, tell=tell)

    def run(self, partitions: Iterable[int]) -> list[TopicPartition]:
        """Restore everything; gives where to read ticks and decisions on: those from now, these from where we stand.

        Raises:
            ServiceUnavailable: the broker does not answer in time.
        """
        desk, found = self._desk, {}
        for partition in partitions:
            with log_reader(self._settings, self._decoder) as log:
                # Asked for before the ticks are read again: what is decided meanwhile is for us.
                decisions_end = log.ends(self._decisions, partition)[1]
            restored = restore(self._settings, self._decoder, desk.mode, partition)
            desk.remember(restored.nonces)
            self._restore_positions(restored, partition)
            found[partition] = restored, decisions_end
        if desk.money is not None:
            # As it stood with the positions of the log; what is found beyond changes both.
            desk.money.restore(last_balances(self._settings, self._decoder, desk.mode))
        starts = []
        for partition, (restored, decisions_end) in found.items():
            starts.append(TopicPartition(self._ticks, partition, self._resume(partition, restored)))
            starts.append(TopicPartition(self._decisions, partition, decisions_end))
        return starts

    def _resume(self, partition: int, restored: Restored) -> int:
        """Go on where orders were left; gives where to read ticks."""
        if self._life is not None:
            ticks_from = self._life.resume(partition, self._clock())
            self._books.flush()
        else:
            with log_reader(self._settings, self._decoder) as log:
                begin, end = log.ends(self._ticks, partition)
            ticks_from = max(begin, end - WARM_UP_TICKS)
        if isinstance(self._desk.venue, RemoteVenue):
            self._recover(restored)
        else:
            self._end_orphans(restored)
        self.keep([partition])
        return ticks_from

    def keep(self, partitions: Iterable[int]) -> None:
        """Write down what the next one needs to go on from here, once all executions are written."""
        if self._life is not None:
            self._life.keep(partitions)

    def _restore_positions(self, restored: Restored, partition: int) -> None:
        desk, changed, now_us = self._desk, [], self._clock()
        for market in desk.markets_of(partition):
            position = restored.positions.get(market)
            if position is None:
                end = restored.executions_end
                position = zero_position(desk.mode, desk.account, market, partition, end, now_us)
            position = with_instrument(position, desk.listings[market].instrument)
            if position != restored.written.get(market):
                changed.append(position)
            desk.positions[market] = position
        self._books.positions(changed)

    def _recover(self, restored: Restored) -> None:
        """Take up the orders of a venue that has a memory of its own: what became of them, it knows."""
        desk = self._desk
        now_us = self._clock()
        recovered = recovered_orders(restored.intents, restored.reports, now_us - 10 * desk.expiry_us)
        listed = [one for one in recovered if one.order.market in desk.listings]
        desk.recover(listed, [report.trade_id for report in restored.reports if report.trade_id is not None], now_us)

    def _end_orphans(self, restored: Restored) -> None:
        """End the orders that were open and that the venue, having none or another memory, knows nothing of."""
        desk = self._desk
        orphans = [report for report in restored.cancelled(self._clock()) if report.market in desk.listings]
        self._books.reports([report for report in orphans if not desk.knows(report.order_id)])
