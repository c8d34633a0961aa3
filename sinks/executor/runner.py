"""The executor's shell: Kafka in and out around a `Desk`.

One executor has an account, with all its markets: rules about the account need to see all of it. The journal keeps any
other out. On taking the account over, positions are restored from the log, orders that a crash left open are reported
cancelled, and reading starts at the end of `trading.quotes`: a decision that nobody acted on in its time is not acted
on later.
"""

from __future__ import annotations

import time

from confluent_kafka import Consumer, TopicPartition

from infra.runtime.clock import Clock, wall_clock_us
from infra.runtime.kafka import consumer_config
from infra.runtime.latency import LatencyWindow
from infra.runtime.logging import get_logger
from infra.runtime.settings import Settings
from schemas.clock import GRID_US
from schemas.enums import Mode, OrderAction, Severity
from schemas.errors import CodecError, ConfigurationError, Fenced, ServiceUnavailable
from schemas.reasons import OrderReason
from schemas.records import (
    Alert,
    Cause,
    DeadLetter,
    Instrument,
    Market,
    Metric,
    QuoteDecision,
    Tick,
)
from schemas.topics import topic_of
from sinks.connector import dead_letter
from sinks.decoding import Decoder, Delivery
from sinks.executor.account.limits import limits_of, starting_of
from sinks.executor.bookkeeping import Bookkeeping
from sinks.executor.citrex.venue import citrex_venue
from sinks.executor.control.commands import CommandLog, command_key, supervisor_of
from sinks.executor.desk import Desk
from sinks.executor.dry_run import DryRunVenue
from sinks.executor.intake import Intake
from sinks.executor.journal import Journal
from sinks.executor.lapse import Lapse
from sinks.executor.listings import LiveListings
from sinks.executor.merge import Merge
from sinks.executor.notice import Notice
from sinks.executor.paper.venue import PaperVenue
from sinks.executor.port import Listings, Orders, Request, Venue
from sinks.executor.remote import keeper_of
from sinks.executor.takeover import TakeOver
from sinks.executor.targets import Tolerance
from sinks.instruments import read_instruments
from sinks.ops import Outgoing, RecordProducer, check_broker, outgoing_dead_letter, outgoing_metric
from sinks.stop import Stop

__all__ = ["ExecutorRunner", "venue_of"]

log = get_logger(__name__)

_COMPONENT = "executor"
_POLL_S = 0.01
_METRICS_US = 1_000_000
_VALUED_US = 1_000_000
_SENDING_US = 30_000
_CLOSE_S = 3.0
_TOPICS = (
    "market.ticks",
    "trading.quotes",
    "trading.executions",
    "trading.orders",
    "trading.positions",
    "account.balances",
    "reference.instruments",
)


def venue_of(settings: Settings, listings: Listings, clock: Clock = wall_clock_us) -> Venue:
    """Give the adapter of the mode.

    Raises:
        ConfigurationError: its settings do not allow it to trade.
    """
    match settings.executor_mode:
        case Mode.PAPER:
            return PaperVenue(listings)
        case Mode.DRY_RUN:
            return DryRunVenue()
        case Mode.CITREX:
            return citrex_venue(settings, listings, clock)


class ExecutorRunner:
    """Run the executor of one (mode, account) until told to stop; then every order is cancelled.

    Raises:
        ServiceUnavailable: Kafka or the registry does not answer.
        ConfigurationError: nothing can be quoted, a committed schema is not registered, or the topics have another
            number of partitions than the settings.
    """

    def __init__(self, settings: Settings, *, stop: Stop, clock: Clock = wall_clock_us) -> None:
        self._settings = settings
        self._stop = stop
        self._clock = clock
        # A group name is demanded, but nothing joins it: all partitions are assigned by hand.
        self._consumer = Consumer(consumer_config(settings, f"{settings.topic_prefix}flashmm-{_COMPONENT}"))
        self._check_partitions()
        self._decoder = Decoder.for_topics(_TOPICS, settings, self._clock)
        table, self._instruments_read = read_instruments(settings, self._decoder)
        self._listings = LiveListings(table, settings.csv("quoted_venues"), settings.kafka_partitions, clock())
        listings = self._listings
        mode, account = settings.executor_mode, settings.account
        self._desk = Desk(
            venue_of(settings, listings, clock),
            listings,
            account,
            limits_of(settings),
            expiry_us=settings.order_expiry_ms * 1_000,
            tolerance=Tolerance(
                price_bps=settings.refresh_bps,
                open_pct=settings.refresh_open_pct,
                max_age_us=settings.order_expiry_ms * 750,
            ),
        )
        self._remote = keeper_of(self._desk, self._note)
        self._money = self._desk.count_money(starting_of(settings))
        self._valued_us = 0
        self._sent_us = self._tidied_us = 0
        self._supervisor = supervisor_of(settings, self._desk)
        self._commands = CommandLog(settings, self._supervisor, mode, account, clock)
        self._latency = LatencyWindow()
        self._intake = Intake(
            settings,
            self._consumer,
            self._decoder,
            self._desk,
            clock,
            on_refused=self._refuse,
            on_instrument=self._take_instrument,
        )
        self._owned: frozenset[int] = frozenset()
        self._metrics_us = 0
        self._outbox: list[Request] = []
        # Orders in a book that outlives this process must not wait for a broker that is away: end, and cancel them.
        patience_s = settings.dead_man_ms / 1e3 if self._remote is not None else None
        self._journal = Journal(settings, mode, account, stop.has_run_out, patience_s)
        self._books = Bookkeeping(self._journal, self._desk, self._money, clock)
        self._takeover = TakeOver(
            settings,
            self._decoder,
            self._desk,
            self._intake.merges,
            self._journal,
            self._books,
            clock,
            on_tick=self._supervisor.on_tick,
            tell=self._note,
        )
        self._kept_us = clock()
        self._producer = RecordProducer(settings, (DeadLetter, Metric, Alert))

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that it executes: all, once it has the account."""
        return self._owned

    @property
    def banner(self) -> str:
        """What orders go to, in words."""
        return self._desk.venue.banner

    def run(self) -> None:
        """Connect, then execute until told to stop.

        Raises:
            ServiceUnavailable: Kafka does not answer at the start.
            Fenced: another executor has the account.
        """
        try:
            fence = self._journal.open()
            self._commands.catch_up()
            rung = self._supervisor.ladder.level
            log.info("executor_started", venue=self.banner, fence=fence, rung=rung and str(rung), **self._identity)
            self._tell()
            self._take_over()
            if self._remote is not None:
                self._remote.open(self._clock())
            while not self._stop.is_requested:
                self._turn()
            self._leave()
            self._keep()
            self._publish_metric()
        except Fenced as error:
            log.critical("executor_fenced", because=str(error), **self._identity)
            self._alert(Severity.CRITICAL, "EXECUTOR_FENCED", str(error))
            raise
        except ServiceUnavailable as error:
            if not self._stop.is_requested:
                raise
            log.warning("executor_gave_up", because=str(error))
        finally:
            self._owned = frozenset()
            if self._remote is not None:
                self._remote.part(self._clock())
            self._intake.close()
            self._commands.close()
            self._journal.close()
            self._producer.close(_CLOSE_S)
            log.info("executor_stopped", venue=self.banner, **self._identity, **self._desk.counts)

    @property
    def _identity(self) -> dict[str, str]:
        return {"mode": str(self._desk.mode), "account": self._desk.account}

    def _check_partitions(self) -> None:
        counts = check_broker(self._consumer, self._settings)
        for kind in (Tick, QuoteDecision):
            topic = topic_of(kind).full_name(self._settings.topic_prefix)
            if counts.get(topic, self._settings.kafka_partitions) != self._settings.kafka_partitions:
                problem = f"is {self._settings.kafka_partitions}, but {topic} has {counts[topic]} partitions"
                raise ConfigurationError("FLASHMM_KAFKA_PARTITIONS", problem, "Set it to the topic's number")

    def _turn(self) -> None:
        self._obey()
        self._intake.read()
        self._follow_all()
        now_us = self._clock()
        if not self._supervisor.is_silent:
            events = self._desk.venue.poll(now_us)
            self._books.add(self._desk.take(events))
            self._books.book()
            self._books.settle(events, now_us)
        if self._remote is not None:
            self._remote.attend(now_us, is_silent=self._supervisor.is_silent)
        self._money.observe(now_us)
        for merge in self._intake.merges.values():
            self._mind_silence(merge, now_us)
        self._intake.make_room()
        self._tidy_up(now_us)
        if now_us - self._metrics_us >= _METRICS_US:
            self._publish_metric()

    def _obey(self) -> None:
        """Do what the ladder and the breakers ask for, before anything else is decided."""
        self._books.book()
        self._commands.follow()
        now_us = self._clock()
        self._supervisor.hear(is_heard=self._commands.is_heard(now_us))
        for orders in self._supervisor.turn(now_us):
            self._carry_out(orders)
        self._tell()

    def _tell(self) -> None:
        notices, self._supervisor.notices = self._supervisor.notices, []
        for notice in notices:
            self._note(notice)
        commands, self._supervisor.commands = self._supervisor.commands, []
        key = command_key(self._desk.mode, self._desk.account)
        self._journal.write([Outgoing(command, key, self._commands.partition) for command in commands])

    def _note(self, notice: Notice) -> None:
        log.warning("executor_notice", code=notice.code, message=notice.message, **self._identity)
        self._alert(notice.severity, notice.code, notice.message, notice.market)

    def _publish_metric(self) -> None:
        self._metrics_us = self._clock()
        self._desk.tidy(self._metrics_us)
        self._producer.send(outgoing_metric(self._metric(self._metrics_us)))

    def _refuse(self, delivery: Delivery, error: CodecError) -> None:
        self._desk.counts["dead_letters"] += 1
        letter = dead_letter(delivery, _COMPONENT, error.reason, error.detail, self._clock())
        self._producer.write([outgoing_dead_letter(letter)], self._stop.has_run_out)

    def _follow_all(self) -> None:
        """Deal with what is next in every partition, as far as its order is known, and send what comes of it.

        What partitions decide at one grid point is sent together: a transaction right behind another costs 20 ms more.
        """
        ahead = list(self._intake.merges.values())
        while ahead:
            ahead = [merge for merge in ahead if not self._follow(merge)]
            self._send()

    def _follow(self, merge: Merge) -> bool:
        """Deal with what is next in a partition; False where orders are to be sent before its next tick."""
        for merged, cause in merge.take():
            if isinstance(merged, QuoteDecision):
                self._decide(merged, cause)
                # The ticks that follow may be what these orders meet.
                if self._outbox and self._remote is None and not merge.has_decision:
                    return False
            elif isinstance(merged, Lapse):
                self._books.add(self._desk.pass_over(merged, cause))
            else:
                self._supervisor.on_tick(merged)
                self._books.add(self._desk.on_tick(merged, cause, self._clock()))
        return True

    def _decide(self, decision: QuoteDecision, cause: Cause) -> None:
        if self._commands.follow():
            self._obey()
        self._books.book()
        now_us = self._clock()
        self._listings.advance(now_us)
        self._line_up(self._desk.decide(decision, cause, now_us))

    def _mind_silence(self, merge: Merge, now_us: int) -> None:
        """Cancel where decisions have stopped coming, and let the ticks go on without them."""
        silent = merge.silent(now_us)
        if silent:
            self._carry_out(self._desk.silenced(silent, now_us))
            for market in silent:
                merge.forget(market)

    def _take_instrument(self, instrument: Instrument) -> None:
        if not self._listings.take(instrument) and instrument.venue in self._settings.csv("quoted_venues"):
            log.warning("new_market_waits_for_restart", venue=instrument.venue, symbol=instrument.symbol)

    def _carry_out(self, orders: Orders | None) -> None:
        """Journal intents, and submit them only when the journal is acknowledged."""
        self._line_up(orders)
        self._send()

    def _line_up(self, orders: Orders | None) -> None:
        """Have orders carried out with those before and after them: one transaction costs as much as another."""
        if orders is not None:
            self._outbox += orders.requests

    def _send(self) -> None:
        """Carry out what is lined up."""
        if not self._outbox:
            return
        orders = Orders(tuple(self._outbox))
        self._outbox.clear()
        self._books.intents(orders)
        self._sent_us = now_us = self._clock()
        for intent in orders.intents:
            if intent.action is OrderAction.PLACE and intent.reason != OrderReason.FLATTENED:
                self._latency.observe("tick_to_order", now_us - intent.ts_cause)
                self._supervisor.observe_latency(now_us - intent.ts_cause, now_us)
        self._books.add(self._desk.submit(orders, now_us))

    def _tidy_up(self, now_us: int) -> None:
        """Write what can wait, in one transaction; not while other partitions' decisions of a grid point may come."""
        since_us = now_us - self._sent_us
        if since_us < _SENDING_US and now_us - self._tidied_us < GRID_US:
            return
        self._tidied_us = now_us
        # The next orders come a grid step after these: in its second half they would wait.
        patience = 1 if since_us % GRID_US < GRID_US // 2 else 2
        with self._journal.together():
            self._books.flush()
            if now_us - self._valued_us >= patience * _VALUED_US:
                self._valued_us = now_us
                self._books.money(self._money.revalued(now_us), now_us)
            if now_us - self._kept_us >= patience * self._settings.snapshot_interval_ms * 1_000:
                self._keep()

    def _take_over(self) -> None:
        """Restore every partition from the log, then read on: decisions from now, ticks from where the venue stands."""
        partitions = range(self._settings.kafka_partitions)
        starts = self._takeover.run(partitions)
        instruments = topic_of(Instrument).full_name(self._settings.topic_prefix)
        starts += [TopicPartition(instruments, number, offset) for number, offset in self._instruments_read.items()]
        self._intake.assign(starts)
        self._owned = frozenset(partitions)

    def _keep(self) -> None:
        self._books.flush()
        self._kept_us = self._clock()
        self._takeover.keep(self._owned)

    def _leave(self) -> None:
        self._carry_out(self._desk.cancel_all(self._clock()))
        if self._remote is not None:
            while self._desk.blotter.live_count and not self._stop.has_run_out():
                self._books.reports(self._desk.take(self._desk.venue.poll(self._clock())))
                time.sleep(_POLL_S)

    def _alert(self, severity: Severity, code: str, message: str, market: Market | None = None) -> None:
        venue, symbol = market or (None, None)
        alert = Alert(
            component=_COMPONENT,
            severity=severity,
            code=code,
            message=message,
            venue=venue,
            symbol=symbol,
            ts_alert=self._clock(),
        )
        self._producer.send(Outgoing(alert, _COMPONENT))

    def _metric(self, now_us: int) -> Metric:
        return Metric(
            component=_COMPONENT,
            instance=f"{self._desk.mode}|{self._desk.account}",
            ts_metric=now_us,
            counters={**self._desk.counts, **(self._remote.counters if self._remote is not None else {})},
            gauges={f"latency_ms.{name}": value for name, value in self._latency.gauges().items()}
            | self._supervisor.gauges()
            | self._money.gauges(),
        )
