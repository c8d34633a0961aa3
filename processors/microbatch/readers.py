"""Read partitions without a consumer group: what a restore needs, and the inputs beside the ticks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.structs import TopicPartition

from schemas.errors import ServiceUnavailable

__all__ = ["bounds", "group_less_reader", "read_between"]

_RETRY_S = 0.2
_WAIT_MS = 20


@asynccontextmanager
async def group_less_reader(
    bootstrap: str, partitions: Sequence[tuple[str, int]] = (), *, timeout_s: float = 20, wait_ms: int = _WAIT_MS
) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer that belongs to no group and commits nothing, assigned to these partitions.

    Args:
        wait_ms: How long a fetch waits at the broker for a first record, and what is assigned meanwhile for the fetch.

    Raises:
        ServiceUnavailable: no broker could be reached in time.
    """
    consumer = await _connected(bootstrap, timeout_s, wait_ms)
    try:
        consumer.assign([TopicPartition(*pair) for pair in partitions])
        yield consumer
    finally:
        await consumer.stop()


async def _connected(bootstrap: str, timeout_s: float, wait_ms: int) -> AIOKafkaConsumer:
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=wait_ms,
            isolation_level="read_committed",  # what a fenced executor left half written never happened
        )
        try:
            await consumer.start()
        except KafkaError as error:
            await consumer.stop()
            is_over = asyncio.get_running_loop().time() > deadline
            if is_over or not isinstance(error, KafkaConnectionError):
                raise ServiceUnavailable("Kafka", bootstrap, str(error), fix="Set FLASHMM_KAFKA_BOOTSTRAP") from error
            await asyncio.sleep(_RETRY_S)
        except BaseException:
            await consumer.stop()
            raise
        else:
            return consumer


async def bounds(reader: AIOKafkaConsumer, topic: str, partition: int) -> tuple[int, int]:
    """Give the offsets of a partition's first record and after its last one."""
    pair = TopicPartition(topic, partition)
    return (await reader.beginning_offsets([pair]))[pair], (await reader.end_offsets([pair]))[pair]


async def read_between(
    reader: AIOKafkaConsumer, topic: str, partition: int, start: int, end: int
) -> AsyncIterator[Any]:
    """Read the records of an assigned partition from `start` up to, without, `end`; other partitions are paused.

    Waits for as long as it takes: callers bound the whole of what they do.
    """
    pair = TopicPartition(topic, partition)
    reader.pause(*reader.assignment())
    reader.seek(pair, start)
    reader.resume(pair)
    at = start
    while at < end:
        for fetched in (await reader.getmany(pair, timeout_ms=200)).values():
            for record in fetched:
                if record.offset < end:
                    yield record
        at = await reader.position(pair)
    reader.pause(pair)
