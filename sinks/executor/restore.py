"""What the log says of a partition's positions and orders, read when an executor takes the partition over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from infra.runtime.settings import Settings
from schemas.enums import Mode, OrderStatus
from schemas.reasons import OrderReason
from schemas.records import Balance, ExecutionReport, Market, OrderIntent, Position
from schemas.topics import topic_of
from sinks.decoding import Decoder
from sinks.executor.account.positions import apply_fill
from sinks.log import log_reader

__all__ = ["Restored", "last_balances", "restore"]

_REPORTS_SEARCHED = 20_000
_INTENTS_SEARCHED = 20_000
_OPEN = (OrderStatus.OPEN, OrderStatus.PARTIAL)


@dataclass(slots=True)
class Restored:
    """A partition as the log left it.

    Attributes:
        written: The last positions of the log; `positions` are these with the later executions.
        orphans: Orders last reported open: their executor did not live to cancel them.
        executions_end: Offset after the last execution.
        nonces: Of the orders that the journal holds, as far back as an order can live.
        intents, reports: What was asked and told of orders, as far back, in the order of the log.
    """

    positions: dict[Market, Position] = field(default_factory=dict)
    written: dict[Market, Position] = field(default_factory=dict)
    orphans: dict[str, ExecutionReport] = field(default_factory=dict)
    executions_end: int = 0
    nonces: set[int] = field(default_factory=set)
    intents: list[OrderIntent] = field(default_factory=list)
    reports: list[ExecutionReport] = field(default_factory=list)

    def take_position(self, position: Position) -> None:
        """Take a position; the last one of a market holds."""
        self.positions[position.market] = self.written[position.market] = position

    def take_execution(self, report: ExecutionReport, offset: int) -> None:
        """Take an execution in the order of the log, after the positions."""
        self.reports.append(report)
        if report.status in _OPEN:
            self.orphans[report.order_id] = report
        else:
            self.orphans.pop(report.order_id, None)
        position = self.positions.get(report.market)
        if position is not None:
            self.positions[report.market] = apply_fill(position, report, offset, report.ts_recv)

    def cancelled(self, now_us: int) -> list[ExecutionReport]:
        """Give the reports that end the orphans."""
        return [
            replace(
                report,
                execution_id=f"{report.order_id}|restart",
                status=OrderStatus.CANCELLED,
                last_price=None,
                last_size=None,
                fee=0,
                ts_event=now_us,
                ts_recv=now_us,
                reason=OrderReason.EXECUTOR_RESTARTED,
            )
            for report in self.orphans.values()
        ]


def restore(settings: Settings, decoder: Decoder, mode: Mode, partition: int) -> Restored:
    """Read a partition's positions and the executions after them, to their ends.

    Raises:
        ServiceUnavailable: the broker does not answer in time.
    """
    restored = Restored()
    positions = topic_of(Position).full_name(settings.topic_prefix)
    executions = topic_of(ExecutionReport).full_name(settings.topic_prefix)
    orders = topic_of(OrderIntent).full_name(settings.topic_prefix)
    owner = (mode, settings.account)
    with log_reader(settings, decoder) as log:
        start, end = log.ends(positions, partition)
        for record, _ in log.records(positions, partition, start, end):
            if isinstance(record, Position) and (record.mode, record.account) == owner:
                restored.take_position(record)
        start, end = log.ends(executions, partition)
        restored.executions_end = end
        first = max(start, _first_needed(restored.positions, end))
        for record, offset in log.records(executions, partition, first, end):
            if isinstance(record, ExecutionReport) and (record.mode, record.account) == owner:
                restored.take_execution(record, offset)
        start, end = log.ends(orders, partition)
        first = max(start, end - _INTENTS_SEARCHED)
        for record, _ in log.records(orders, partition, first, end):
            if isinstance(record, OrderIntent) and (record.mode, record.account) == owner and record.nonce is not None:
                restored.nonces.add(record.nonce)
                restored.intents.append(record)
    return restored


def last_balances(settings: Settings, decoder: Decoder, mode: Mode) -> list[Balance]:
    """Read the last record of the account's money at each venue.

    Raises:
        ServiceUnavailable: the broker does not answer in time.
    """
    topic = topic_of(Balance).full_name(settings.topic_prefix)
    found: dict[tuple[str, str], Balance] = {}
    with log_reader(settings, decoder) as log:
        for partition in range(settings.kafka_partitions):
            for record, _ in log.records(topic, partition, *log.ends(topic, partition)):
                if isinstance(record, Balance) and (record.mode, record.account) == (mode, settings.account):
                    found[record.venue, record.asset] = record
    return list(found.values())


def _first_needed(positions: Mapping[Market, Position], end: int) -> int:
    return min([position.executions_offset for position in positions.values()] + [max(0, end - _REPORTS_SEARCHED)])
