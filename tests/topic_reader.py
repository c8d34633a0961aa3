"""Reads a topic as it grows: shared by the tests of producers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from infra.runtime.settings import Settings
from schemas.registry import Registry


class Reader:
    """Reads what has come to a topic so far."""

    def __init__(self, settings: Settings, kind: type[Any], topic: str, partitions: int) -> None:
        with Registry(settings.registry_url) as registry:
            self._codec = registry.codec(kind)
        self._consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": topic, "log_level": 0})
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        self.records: list[Any] = []

    def read(self) -> None:
        while (message := self._consumer.poll(0.2)) is not None:
            assert message.error() is None
            self.records.append(self._codec.decode(message.value()))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.to_thread(self.read)

    def close(self) -> None:
        self._consumer.close()
