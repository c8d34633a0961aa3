"""What a person at the command line sees and says of an account: its commands, its positions and orders, a new command.

Everything is read from the log: the executor need not run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from infra.runtime.clock import wall_clock_us
from infra.runtime.settings import Settings
from schemas.enums import Mode
from schemas.errors import ServiceUnavailable, TimedOut
from schemas.instruments import partition_for
from schemas.records import Cause, Command, ExecutionReport, Position
from sinks.decoding import Decoder
from sinks.executor.control.commands import CommandLog, check_commands, command_key
from sinks.executor.control.ladder import Ladder
from sinks.executor.restore import restore
from sinks.ops import Outgoing, RecordProducer

__all__ = ["AuditTrail", "Entry", "Holdings", "await_empty", "read_audit", "read_holdings", "send_command"]

_ANSWER_S = 10.0
_CLOSE_S = 1.0
_LOOK_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True)
class Entry:
    """A command of the account as the log has it; without one, bytes that are none, and why."""

    offset: int
    command: Command | None
    problem: str = ""


class AuditTrail:
    """All commands of an account, and the rung that they leave in force."""

    def __init__(self, mode: Mode, account: str) -> None:
        self.ladder = Ladder(mode, account)
        self.entries: list[Entry] = []
        self._owner = (mode, account)

    def on_command(self, command: Command, cause: Cause) -> None:
        """Take the next command of the log."""
        if (command.mode, command.account) == self._owner:
            self.entries.append(Entry(cause.offset, command))
        self.ladder.take(command, cause)

    def on_unreadable_command(self, cause: Cause, why: str, now_us: int) -> None:
        """Take bytes of the account's commands that are none."""
        self.entries.append(Entry(cause.offset, None, why))
        self.ladder.take_unreadable(cause, why, now_us)

    def started(self) -> None:
        """Do nothing: all of it is the past."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """Positions that are not nothing, and orders last reported open."""

    positions: tuple[Position, ...]
    open_orders: tuple[ExecutionReport, ...]


def read_audit(settings: Settings, mode: Mode, account: str) -> AuditTrail:
    """Read all commands of an account.

    Raises:
        ServiceUnavailable: Kafka or the registry does not answer.
    """
    trail = AuditTrail(mode, account)
    log = CommandLog(settings, trail, mode, account, wall_clock_us)
    try:
        log.catch_up()
    finally:
        log.close()
    return trail


def read_holdings(settings: Settings, mode: Mode, account: str) -> Holdings:
    """Read what an account holds and has open, as far as its executor has written it down.

    Raises:
        ServiceUnavailable: Kafka or the registry does not answer.
    """
    names = ("trading.positions", "trading.executions", "trading.orders")
    decoder = Decoder.for_topics(names, settings, wall_clock_us)
    owner = settings.model_copy(update={"account": account})
    positions: list[Position] = []
    orders: list[ExecutionReport] = []
    for partition in range(settings.kafka_partitions):
        restored = restore(owner, decoder, mode, partition)
        positions += [position for position in restored.positions.values() if position.quantity]
        orders += restored.orphans.values()
    return Holdings(
        tuple(sorted(positions, key=lambda position: position.market)),
        tuple(sorted(orders, key=lambda report: (report.market, report.order_id))),
    )


def send_command(settings: Settings, command: Command) -> int:
    """Write a command, and give its offset once the broker has acknowledged it.

    Raises:
        TimedOut: it was not acknowledged in time: whether it is in the log is not known.
        ServiceUnavailable: Kafka or the registry does not answer.
        ConfigurationError: the topic does not exist, or has another number of partitions than the settings.
    """
    producer = RecordProducer(settings, (Command,))
    check_commands(AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0}), settings)
    deadline = time.monotonic() + _ANSWER_S
    key = command_key(command.mode, command.account)
    partition = partition_for(key.encode(), settings.kafka_partitions)
    try:
        (offset,) = producer.write([Outgoing(command, key, partition)], lambda: time.monotonic() > deadline)
    except ServiceUnavailable as error:
        detail = "the command was not acknowledged; whether it is in the log is not known"
        fix = "Look with `flashmm halt status`; `flashmm halt cancel-all --direct` does without Kafka"
        raise TimedOut("Kafka", settings.kafka_bootstrap, detail, fix=fix) from error
    finally:
        producer.close(_CLOSE_S)
    return offset


def await_empty(settings: Settings, mode: Mode, account: str, within_s: float) -> Holdings:
    """Wait until the log says that nothing of an account is open, `within_s` at most; give what it says then.

    Raises:
        ServiceUnavailable: Kafka or the registry does not answer.
    """
    deadline = time.monotonic() + within_s
    while (holdings := read_holdings(settings, mode, account)).open_orders and time.monotonic() < deadline:
        time.sleep(_LOOK_AGAIN_S)
    return holdings
