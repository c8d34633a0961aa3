"""What `market.bars` must say of a log: a simple program of its own, that shares nothing with the kernel.

It reads the same bytes with fastavro, keeps every trade once, puts it into its minute by event time, and sums up;
longer bars are the sums of their minutes. All sums are of integers. Ten million ticks take it a few minutes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from infra.local.process import wait_until
from infra.runtime.kafka import consumer_config
from infra.runtime.settings import Settings

_MINUTES = {"M1": 1, "M5": 5, "M15": 15, "H1": 60, "H4": 240, "D1": 1440}
_MINUTE_US = 60_000_000
_AVRO = Path(__file__).parents[2] / "schemas" / "avro"
_PRICE, _SIZE = Decimal("1e-9"), Decimal("1e-8")
_DIGITS = 60
_DIGEST_BYTES = 8
_POLL_S = 0.05
"""How long a read waits for as many records as it asked for, which the last one of a partition waits in vain."""

Id = tuple[str, str, int]
"""Symbol, timeframe, start in microseconds."""
Content = tuple[Any, ...]
"""Open, high, low, close, volume, bought, sold, quote volume, vwap, trades, first and last sequence."""


@dataclass(frozen=True)
class Published:
    """What a run published."""

    records: int
    """Bars in the topic, those that were written again included."""
    latest: dict[Id, tuple[str, Content]]
    """State and content of the greatest revision of every bar."""
    disagreements: list[Id]
    """Bars that were published with two contents at one revision: any two different bytes."""
    revisions_missing: dict[Id, list[int]]
    """Revisions of the bars that do not count from 0 without a gap."""


def messages(settings: Settings, topic: str) -> Iterator[Message]:
    """Read a topic, partition by partition, to its present end."""
    consumer = Consumer(consumer_config(settings, "reader-without-commits"))
    for partition in range(settings.kafka_partitions):
        pair = TopicPartition(topic, partition, 0)
        at, end = bounds(consumer, pair)
        pair.offset = at
        consumer.assign([pair])
        while at < end:
            for message in consumer.consume(10_000, _POLL_S):
                if message.error() is None:
                    at = message.offset() + 1
                    yield message
    consumer.close()


def bounds(consumer: Consumer, pair: TopicPartition) -> tuple[int, int]:
    """Give where a partition begins and ends; the broker may not know yet that it leads one that was just made."""
    found: list[tuple[int, int]] = []

    def is_told() -> bool:
        try:
            found.append(consumer.get_watermark_offsets(pair, timeout=10))
        except KafkaException as error:
            if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION:
                raise
        return bool(found)

    assert wait_until(is_told, timeout_s=30)
    return found[0]


def read(settings: Settings, name: str) -> Iterator[tuple[Message, dict[str, Any] | None]]:
    """Read a topic of the catalogue as plain Avro; None where a value is not the record."""
    return _read(settings, name, fastavro.parse_schema(_schema(name)))


def _schema(name: str) -> Any:
    newest = max((_AVRO / f"{name}-value").glob("v*.avsc"), key=lambda path: int(path.stem[1:]))
    return json.loads(newest.read_text())


def _read(settings: Settings, name: str, schema: Any) -> Iterator[tuple[Message, dict[str, Any] | None]]:
    topic = name if name == "market.ticks" else settings.topic_prefix + name
    known = b""
    for message in messages(settings, topic):
        value = message.value() or b""
        known = known or (value[:5] if name != "market.ticks" or len(value) > 40 else b"")
        stream = io.BytesIO(value[5:])
        try:
            datum = fastavro.schemaless_reader(stream, schema, None)
        except (EOFError, ValueError, IndexError, TypeError, OverflowError):
            yield message, None
        else:
            is_whole = value[:5] == known and not stream.read(1)
            yield message, datum if is_whole else None  # type: ignore[misc]


def _plain(schema: Any) -> Any:
    """Give a schema whose decimals are bytes and whose times are integers: they are read three times as fast."""
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if key != "logicalType"}
    return [_plain(each) for each in schema] if isinstance(schema, list) else schema


@dataclass(slots=True)
class _Sum:
    """The trades of an interval; `first` and `last` are (event time, offset, price)."""

    first: tuple[int, int, int] = (1 << 62, 0, 0)
    last: tuple[int, int, int] = (-1, 0, 0)
    high: int = 0
    low: int = 1 << 62
    volume: int = 0
    bought: int = 0
    quote: int = 0
    count: int = 0
    first_sequence: int = 1 << 62
    last_sequence: int = -1

    def add(self, other: _Sum) -> None:
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.high, self.low = max(self.high, other.high), min(self.low, other.low)
        self.volume += other.volume
        self.bought += other.bought
        self.quote += other.quote
        self.count += other.count
        self.first_sequence = min(self.first_sequence, other.first_sequence)
        self.last_sequence = max(self.last_sequence, other.last_sequence)

    def content(self) -> Content:
        prices = (self.first[2], self.high, self.low, self.last[2])
        with localcontext(prec=_DIGITS):
            volume, bought = self.volume * _SIZE, self.bought * _SIZE
            quote = self.quote * _PRICE * _SIZE
            vwap = (quote / volume).quantize(_PRICE, ROUND_HALF_EVEN)
            sums = (volume, bought, volume - bought, quote, vwap, self.count)
            return (*(price * _PRICE for price in prices), *sums, self.first_sequence, self.last_sequence)


@dataclass
class _Log:
    """What a log says, its trades summed up by (symbol, minute)."""

    minutes: dict[tuple[str, int], _Sum] = field(default_factory=lambda: defaultdict(_Sum))
    watermark: dict[int, int] = field(default_factory=dict)
    partition_of: dict[str, int] = field(default_factory=dict)
    poison: set[tuple[int, int]] = field(default_factory=set)


def expected(settings: Settings) -> tuple[dict[Id, Content], set[tuple[int, int]]]:
    """Give the bars that the log makes final, and the (partition, offset) of what is no tick."""
    log = _summed(settings)
    bars: dict[Id, _Sum] = defaultdict(_Sum)
    for (symbol, minute), trades in log.minutes.items():
        for timeframe, minutes in _MINUTES.items():
            bars[symbol, timeframe, minute - minute % (minutes * _MINUTE_US)].add(trades)
    final = {
        bar: trades.content()
        for bar, trades in bars.items()
        if bar[2] + _MINUTES[bar[1]] * _MINUTE_US <= log.watermark[log.partition_of[bar[0]]]
    }
    return final, log.poison


def _summed(settings: Settings) -> _Log:
    log = _Log()
    seen: dict[str, set[str]] = defaultdict(set)
    for message, tick in _read(settings, "market.ticks", fastavro.parse_schema(_plain(_schema("market.ticks")))):
        if tick is None:
            log.poison.add((message.partition(), message.offset()))
            continue
        kind, symbol = tick["kind"], tick["symbol"]
        if kind == "HEARTBEAT" and tick["watermark"] is not None:
            partition = message.partition()
            log.watermark[partition] = max(log.watermark.get(partition, 0), tick["watermark"])
        elif kind == "TRADE" and tick["trade_id"] not in seen[symbol]:
            seen[symbol].add(tick["trade_id"])
            log.partition_of[symbol] = message.partition()
            at, sequence = tick["ts_event"], tick["sequence"]
            price, size = _integer(tick["price"]), _integer(tick["size"])
            bought = size if tick["side"] == "BUY" else 0
            key = (at, message.offset(), price)
            trade = _Sum(key, key, price, price, size, bought, price * size, 1, sequence, sequence)
            log.minutes[symbol, at - at % _MINUTE_US].add(trade)
    return log


def _integer(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


def published(settings: Settings) -> Published:
    """Give what a run published of every bar."""
    plain, whole = (
        fastavro.parse_schema(schema) for schema in (_plain(_schema("market.bars")), _schema("market.bars"))
    )
    revisions: dict[Id, dict[int, bytes]] = defaultdict(dict)
    newest: dict[Id, tuple[int, bytes]] = {}
    disagreements: list[Id] = []
    records = 0
    for message, bar in _read(settings, "market.bars", plain):
        assert bar is not None, f"{message.topic()}[{message.partition()}] holds what is no bar at {message.offset()}"
        records += 1
        bar_id, revision, value = (bar["symbol"], bar["timeframe"], bar["ts_open"]), bar["revision"], message.value()
        digest = hashlib.blake2b(value, digest_size=_DIGEST_BYTES).digest()
        if revisions[bar_id].setdefault(revision, digest) != digest:
            disagreements.append(bar_id)
        if revision >= newest.get(bar_id, (-1, b""))[0]:
            newest[bar_id] = (revision, value)
    latest = {}
    for bar_id, (_, value) in newest.items():
        bar = fastavro.schemaless_reader(io.BytesIO(value[5:]), whole, None)
        latest[bar_id] = (bar["state"], _said(bar))
    missing = {bar_id: sorted(said) for bar_id, said in revisions.items() if len(said) != max(said) + 1}
    return Published(records, latest, disagreements, missing)


def _said(bar: dict[str, Any]) -> Content:
    fields = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "quote_volume", "vwap")
    return (*(bar[name] for name in fields), bar["trade_count"], bar["first_sequence"], bar["last_sequence"])
