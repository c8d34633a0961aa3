"""What `market.bars` must say of a log: a simple program of its own, that shares nothing with the kernel.

It reads the same bytes with fastavro, keeps every trade once, puts it into its interval by event time, and sums up.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import Consumer, Message, TopicPartition

from infra.runtime.kafka import consumer_config
from infra.runtime.settings import Settings

_MINUTES = {"M1": 1, "M5": 5, "M15": 15, "H1": 60, "H4": 240, "D1": 1440}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AVRO = Path(__file__).parents[2] / "schemas" / "avro"

Id = tuple[str, str, int]
"""Symbol, timeframe, start in microseconds."""
Content = tuple[Any, ...]
"""Open, high, low, close, volume, bought, sold, quote volume, vwap, trades, first and last sequence."""


@dataclass(frozen=True)
class Published:
    """What a run published."""

    latest: dict[Id, tuple[str, Content]]
    """State and content of the greatest revision of every bar."""
    disagreements: list[Id]
    """Bars that were published with two contents at one revision."""
    revisions_missing: dict[Id, list[int]]
    """Revisions of the bars that do not count from 0 without a gap."""


def messages(settings: Settings, topic: str) -> Iterator[Message]:
    """Read a topic, partition by partition, to its present end."""
    consumer = Consumer(consumer_config(settings, "reader-without-commits"))
    for partition in range(settings.kafka_partitions):
        pair = TopicPartition(topic, partition, 0)
        at, end = consumer.get_watermark_offsets(pair, timeout=10)
        pair.offset = at
        consumer.assign([pair])
        while at < end:
            for message in consumer.consume(10_000, 0.5):
                if message.error() is None:
                    at = message.offset() + 1
                    yield message
    consumer.close()


def read(settings: Settings, name: str) -> Iterator[tuple[Message, dict[str, Any] | None]]:
    """Read a topic of the catalogue as plain Avro; None where a value is not the record."""
    schema = fastavro.parse_schema(json.loads((_AVRO / f"{name}-value" / "v1.avsc").read_text()))
    topic = name if name == "market.ticks" else settings.topic_prefix + name
    known = b""
    for message in messages(settings, topic):
        value = message.value() or b""
        known = known or (value[:5] if name != "market.ticks" or len(value) > 40 else b"")
        stream = io.BytesIO(value[5:])
        try:
            datum = fastavro.schemaless_reader(stream, schema, schema)
        except (EOFError, ValueError, IndexError, TypeError, OverflowError):
            yield message, None
        else:
            is_whole = value[:5] == known and not stream.read(1)
            yield message, datum if is_whole else None  # type: ignore[misc]


def expected(settings: Settings) -> tuple[dict[Id, Content], set[tuple[int, int]]]:
    """Give the bars that the log makes final, and the (partition, offset) of what is no tick."""
    trades: dict[Id, list[tuple[int, int, Decimal, Decimal, str, int]]] = defaultdict(list)
    seen: set[tuple[str, str]] = set()
    watermark: dict[int, int] = {}
    partition_of: dict[str, int] = {}
    poison: set[tuple[int, int]] = set()
    for message, tick in read(settings, "market.ticks"):
        partition, offset = message.partition(), message.offset()
        if tick is None:
            poison.add((partition, offset))
        elif tick["kind"] == "HEARTBEAT" and tick["watermark"] is not None:
            watermark[partition] = max(watermark.get(partition, 0), _micros(tick["watermark"]))
        elif tick["kind"] == "TRADE" and (tick["symbol"], tick["trade_id"]) not in seen:
            seen.add((tick["symbol"], tick["trade_id"]))
            partition_of[tick["symbol"]] = partition
            at = _micros(tick["ts_event"])
            for timeframe, minutes in _MINUTES.items():
                length = minutes * 60_000_000
                trades[tick["symbol"], timeframe, at - at % length].append(
                    (at, offset, tick["price"], tick["size"], tick["side"], tick["sequence"])
                )
    final = {
        bar: _content(prints)
        for bar, prints in trades.items()
        if bar[2] + _MINUTES[bar[1]] * 60_000_000 <= watermark[partition_of[bar[0]]]
    }
    return final, poison


def _content(prints: list[tuple[int, int, Decimal, Decimal, str, int]]) -> Content:
    prints = sorted(prints, key=lambda each: each[:2])
    prices = [each[2] for each in prints]
    volume = sum((each[3] for each in prints), Decimal(0))
    bought = sum((each[3] for each in prints if each[4] == "BUY"), Decimal(0))
    quote_volume = sum((each[2] * each[3] for each in prints), Decimal(0))
    vwap = (quote_volume / volume).quantize(Decimal("1e-9"), ROUND_HALF_EVEN)
    sequences = [each[5] for each in prints]
    return (
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        volume,
        bought,
        volume - bought,
        quote_volume,
        vwap,
        len(prints),
        min(sequences),
        max(sequences),
    )


def published(settings: Settings) -> Published:
    """Give what a run published of every bar."""
    revisions: dict[Id, dict[int, tuple[str, Content, Any]]] = defaultdict(dict)
    disagreements: list[Id] = []
    for message, bar in read(settings, "market.bars"):
        assert bar is not None, f"{message.topic()}[{message.partition()}] holds what is no bar at {message.offset()}"
        bar_id = (bar["symbol"], bar["timeframe"], _micros(bar["ts_open"]))
        said = (bar["state"], _said(bar), tuple(map(str, bar.values())))
        if revisions[bar_id].setdefault(bar["revision"], said) != said:
            disagreements.append(bar_id)
    latest = {bar_id: said[max(said)][:2] for bar_id, said in revisions.items()}
    missing = {bar_id: sorted(said) for bar_id, said in revisions.items() if sorted(said) != list(range(len(said)))}
    return Published(latest, disagreements, missing)


def _said(bar: dict[str, Any]) -> Content:
    fields = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "quote_volume", "vwap")
    return (*(bar[name] for name in fields), bar["trade_count"], bar["first_sequence"], bar["last_sequence"])


def _micros(moment: datetime | int) -> int:
    return moment if isinstance(moment, int) else (moment - _EPOCH) // timedelta(microseconds=1)
