"""The topic catalogue: what each topic carries, how it is keyed, kept and partitioned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, unique

from schemas import records
from schemas.records import Record

__all__ = ["DEFAULT_PARTITIONS", "TOPICS", "Priority", "Topic", "topic_of"]

DEFAULT_PARTITIONS = 4
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


@unique
class Priority(IntEnum):
    """Who gets more of a broker that takes less than there is to write: the lowest number most."""

    CRITICAL = 0
    """Accounts: decisions, orders, executions, positions. Written by producers of their own."""
    HIGH = 1
    """What the next decision or a trader's screen rests on: quotes and books."""
    MEDIUM = 2
    """The record of what happened: ticks, trades and bars."""
    LOW = 3
    """What can wait: signals, snapshots and what the platform says of itself."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the catalogue.

    Attributes:
        name: Name without the prefix of a run.
        record: Class of its values; None for bytes that are not Avro (state).
        key: What the key is made of, in words; several parts are joined by `|`.
        priority: How much of a slow broker it gets.
        is_output: Whether `FLASHMM_TOPIC_PREFIX` applies: all but the shared inputs.
        is_compacted: Whether the broker keeps only the last record of each key.
        retention_ms: How long records are kept; -1 for ever.
        config: Further broker settings.
    """

    name: str
    record: type[Record] | None
    key: str
    priority: Priority
    doc: str
    is_output: bool = True
    is_compacted: bool = False
    retention_ms: int = 7 * _DAY_MS
    config: Mapping[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str | None:
        """The registry subject of the values (TopicNameStrategy); None where they are not Avro."""
        return f"{self.name}-value" if self.record is not None else None

    def full_name(self, prefix: str) -> str:
        """The name under a run's topic prefix."""
        return f"{prefix}{self.name}" if self.is_output else self.name

    def broker_config(self) -> dict[str, str]:
        """The settings to create the topic with."""
        config = {
            "cleanup.policy": "compact" if self.is_compacted else "delete",
            "retention.ms": str(self.retention_ms),
            **self.config,
        }
        if self.is_compacted:
            config |= {"min.cleanable.dirty.ratio": "0.1", "delete.retention.ms": str(_DAY_MS)}
        return config


_CATALOGUE = (
    Topic(
        "market.ticks",
        records.Tick,
        "group",
        Priority.MEDIUM,
        "What producers read, decoded and exact, not yet judged.",
        is_output=False,
    ),
    Topic("market.trades", records.Trade, "group", Priority.MEDIUM, "Normalised trades, one for one."),
    Topic("market.quotes", records.Quote, "group", Priority.HIGH, "Best bid and ask, on change."),
    Topic("market.books", records.Book, "group", Priority.HIGH, "Top 20 levels, conflated to 10 Hz."),
    Topic(
        "market.bars", records.Bar, "group", Priority.MEDIUM, "OHLC bars M1 M5 M15 H1 H4 D1.", retention_ms=30 * _DAY_MS
    ),
    Topic("signals.features", records.FeatureVector, "group", Priority.LOW, "Feature vectors at 5 Hz."),
    Topic("signals.predictions", records.Prediction, "group", Priority.LOW, "Model predictions at 5 Hz."),
    Topic(
        "trading.quotes",
        records.QuoteDecision,
        "group",
        Priority.CRITICAL,
        "Every quote decision: a target, not a command.",
    ),
    Topic("trading.orders", records.OrderIntent, "group", Priority.CRITICAL, "The executor's intent journal."),
    Topic("trading.executions", records.ExecutionReport, "group", Priority.CRITICAL, "What became of each order."),
    Topic(
        "trading.positions",
        records.Position,
        "mode|account|venue|symbol",
        Priority.CRITICAL,
        "Positions, with the executions that they include; partitioned by group.",
        is_compacted=True,
        retention_ms=-1,
    ),
    Topic(
        "account.balances",
        records.Balance,
        "mode|account|venue|asset",
        Priority.CRITICAL,
        "Money of an account, and what its loss is measured from.",
        is_compacted=True,
        retention_ms=-1,
    ),
    Topic(
        "control.commands",
        records.Command,
        "mode|account",
        Priority.CRITICAL,
        "Halts and resumes, by people and breakers; kept for audit.",
        retention_ms=-1,
    ),
    Topic(
        "reference.instruments",
        records.Instrument,
        "venue|symbol",
        Priority.CRITICAL,
        "Markets' static facts; partitioned by group. No instrument, no quote.",
        is_compacted=True,
        retention_ms=-1,
    ),
    Topic(
        "state.snapshots",
        None,
        "stage set|partition|slot|part",
        Priority.LOW,
        "Chunks and manifests of the workers' state.",
        is_compacted=True,
        retention_ms=-1,
        config={"segment.bytes": str(16 * 1024 * 1024), "segment.ms": str(_HOUR_MS)},
    ),
    Topic(
        "state.executor",
        None,
        "executor|mode|account|partition",
        Priority.LOW,
        "Where the paper venue stands in each partition: a restart goes on from there.",
        is_compacted=True,
        retention_ms=-1,
        config={"segment.bytes": str(16 * 1024 * 1024), "segment.ms": str(_HOUR_MS)},
    ),
    Topic(
        "ops.alerts", records.Alert, "component", Priority.LOW, "What a person should know.", retention_ms=30 * _DAY_MS
    ),
    Topic("ops.metrics", records.Metric, "component", Priority.LOW, "Counters and gauges.", retention_ms=_DAY_MS),
    Topic(
        "ops.dead-letters",
        records.DeadLetter,
        "component",
        Priority.LOW,
        "Bytes that did not become a record, and why.",
    ),
)

TOPICS: Mapping[str, Topic] = {topic.name: topic for topic in _CATALOGUE}
_BY_RECORD = {topic.record: topic for topic in _CATALOGUE if topic.record is not None}


def topic_of(record: type[Record]) -> Topic:
    """Give the topic that carries a class of records."""
    return _BY_RECORD[record]
