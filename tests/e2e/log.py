"""A log of ticks for tests of the worker: several markets, with what real feeds do wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from infra.runtime.kafka import consumer_config, producer_config
from infra.runtime.settings import Settings
from schemas.codec import Codec
from schemas.enums import BarState, Side, TickKind, Timeframe
from schemas.instruments import partition_for
from schemas.records import Bar, Record, Tick
from schemas.registry import Registry
from schemas.topics import topic_of

SOURCE = "made"
SYMBOLS = ("SEI/USDC", "BTC/USDC", "ETH/USDC", "SOL/USDC", "ATOM/USDC", "OSMO/USDC")
_START_US = 1_700_000_040_000_000  # a whole minute
_SECOND = 1_000_000


def made_ticks(seed: int, count: int, seconds: int) -> Iterator[Tick]:
    """Make trades with late, duplicate and out-of-order ones, and a heartbeat a second with a watermark."""
    random_ = random.Random(seed)
    session, message, beat, greatest = _START_US, 0, 0, 0
    price = {symbol: 1_000_000_000 * (index + 1) for index, symbol in enumerate(SYMBOLS)}
    last: Tick | None = None
    for number in range(count):
        now = _START_US + number * seconds * _SECOND // count
        while beat <= (now - _START_US) // _SECOND:
            beat += 1
            message += 1
            yield _tick(
                session, message, now, kind=TickKind.HEARTBEAT, watermark=greatest - _SECOND if greatest else None
            )
        if last is not None and random_.random() < 0.01:
            yield last
            continue
        symbol = random_.choice(SYMBOLS)
        price[symbol] += random_.choice((-1, 0, 1)) * 100_000
        age = random_.choice((1, 5, 20, 200)) * 1_000 if random_.random() < 0.99 else random_.randrange(2, 50) * _SECOND
        event = now - age
        greatest = max(greatest, event)
        message += 1
        last = _tick(
            session,
            message,
            now,
            kind=TickKind.TRADE,
            symbol=symbol,
            side=random_.choice((Side.BUY, Side.SELL)),
            price=price[symbol],
            size=random_.randrange(1, 10**10),
            ts_event=event,
            sequence=number,
            trade_id=str(number),
        )
        yield last


def _tick(session: int, message: int, now: int, **fields: Any) -> Tick:
    values: dict[str, Any] = {"symbol": "", "side": Side.NONE, "price": 0, "size": 0, **fields}
    return Tick(
        venue="made",
        source=SOURCE,
        ts_recv=now,
        session=session,
        message=message,
        ordinal=0,
        first=True,
        last=True,
        **values,
    )


def codec_of(settings: Settings, record: type[Record]) -> Codec:
    """Make the codec of a record with the ids of the run's registry."""
    with Registry(settings.registry_url) as registry:
        return registry.codec(record)


def write(settings: Settings, ticks: Iterator[Tick]) -> None:
    """Write ticks into `market.ticks`: those of a market to its group's partition, heartbeats to every one."""
    codec = codec_of(settings, Tick)
    producer = Producer(producer_config(settings, **{"queue.buffering.max.messages": 2_000_000}))
    partitions = settings.kafka_partitions
    for tick in ticks:
        value = codec.encode(tick)
        group = tick.symbol.partition("/")[0].encode()
        for partition in [partition_for(group, partitions)] if group else range(partitions):
            producer.produce("market.ticks", value, key=group or SOURCE.encode(), partition=partition)
    assert producer.flush(30) == 0


def read_all(settings: Settings, record: type[Record]) -> list[Record]:
    """Read every record of a topic, partition by partition."""
    codec = codec_of(settings, record)
    consumer = Consumer(consumer_config(settings, "reader-without-commits"))
    topic = topic_of(record).full_name(settings.topic_prefix)
    records: list[Record] = []
    for partition in range(settings.kafka_partitions):
        pair = TopicPartition(topic, partition, 0)
        low, end = consumer.get_watermark_offsets(pair, timeout=10)
        consumer.assign([pair])
        at = low
        while at < end:
            for message in consumer.consume(10_000, 0.5):
                if message.error() is None:
                    at = message.offset() + 1
                    records.append(codec.decode(message.value(), message.headers()))
    consumer.close()
    return records


def final_minutes(bars: list[Record]) -> Mapping[str, Bar]:
    """Give the latest revision of every M1 bar that is final or corrected, by id."""
    latest: dict[str, Bar] = {}
    for bar in bars:
        assert isinstance(bar, Bar)
        if bar.timeframe is Timeframe.M1 and bar.state is not BarState.PARTIAL:
            held = latest.get(bar.bar_id)
            if held is None or bar.revision >= held.revision:
                latest[bar.bar_id] = bar
    return latest
