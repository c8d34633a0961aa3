"""Read partitions without a consumer group: what a restore needs, and the inputs beside the ticks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from schemas.errors import ServiceUnavailable

__all__ = ["group_less_reader", "read_to_end"]


@asynccontextmanager
async def group_less_reader(bootstrap: str, partitions: Sequence[tuple[str, int]]) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer that belongs to no group and commits nothing, assigned to these partitions."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False, fetch_max_wait_ms=20
    )
    try:
        await consumer.start()
    except KafkaError as error:
        raise ServiceUnavailable("Kafka", bootstrap, str(error), fix="Set FLASHMM_KAFKA_BOOTSTRAP") from error
    try:
        consumer.assign([TopicPartition(*pair) for pair in partitions])
        yield consumer
    finally:
        await consumer.stop()


async def read_to_end(
    consumer: AIOKafkaConsumer, topic: str, partition: int, start: int | None, *, timeout_s: float = 60
) -> tuple[list[Any], int]:
    """Read a partition from `start` (None: its beginning) to the end that it has now; gives records and that end.

    Raises:
        ServiceUnavailable: the end was not reached in time.
    """
    pair = TopicPartition(topic, partition)
    end = (await consumer.end_offsets([pair]))[pair]
    begin = (await consumer.beginning_offsets([pair]))[pair]
    at = begin if start is None else max(begin, start)
    records: list[Any] = []
    others = [other for other in consumer.assignment() if other != pair]
    consumer.pause(*others)
    consumer.seek(pair, at)
    try:
        async with asyncio.timeout(timeout_s):
            while at < end:
                for fetched in (await consumer.getmany(pair, timeout_ms=200)).values():
                    records += fetched
                at = await consumer.position(pair)
    except TimeoutError:
        raise ServiceUnavailable(
            "Kafka", f"{topic}[{partition}]", f"offset {end} was not reached in {timeout_s} s"
        ) from None
    finally:
        consumer.resume(*others)
    return [record for record in records if record.offset < end], end
