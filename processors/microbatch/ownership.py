"""One set of stages publishes to an output topic: a lease in `state.snapshots`, under `owner|<topic>`.

Two groups with different stage sets would both publish what their sets have in common, twice. A worker announces its
set for every topic that it publishes to and renews the lease; workers of the same set share it. The log decides: an
announcement counts if the topic is free, or held by the same set, at that place of the log. So of two sets that start
at the same time all workers see the same one win, and those of the other stop.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from aiokafka.structs import TopicPartition

from processors.kernel.pipeline import Stage
from processors.microbatch.publisher import Pending
from processors.microbatch.readers import bounds, group_less_reader, read_between
from schemas.errors import ConfigurationError
from schemas.topics import TOPICS

if TYPE_CHECKING:
    from processors.microbatch.engine import MicroBatchEngine

__all__ = ["LEASE_US", "Leases", "Ownership", "announcements"]

LEASE_US = 10_000_000
_RENEW_US = 3_000_000
_POLL_MS = 1_000
_LOOK_BACK = 512  # offsets: many times what is written during a lease
_PARTITION = 0

_OUTPUTS: Mapping[Stage, Sequence[str]] = {
    Stage.NORMALISE: ("market.trades", "market.quotes", "market.books"),
    Stage.BARS: ("market.bars",),
    Stage.FEATURES: ("signals.features",),
    Stage.INFERENCE: ("signals.predictions",),
    Stage.QUOTING: ("trading.quotes",),
}


def announcements(stages: Iterable[Stage], stage_set: str, now_us: int) -> list[tuple[bytes, bytes]]:
    """Give the (key, value) records that renew the lease of every topic that these stages publish to."""
    body = json.dumps({"stage_set": stage_set, "until_us": now_us + LEASE_US}).encode()
    return [(f"owner|{topic}".encode(), body) for stage in sorted(stages) for topic in _OUTPUTS[stage]]


class Leases:
    """Who holds the topics that a set of stages publishes to, by the announcements in log order."""

    def __init__(self, stages: Iterable[Stage], stage_set: str) -> None:
        self._ours = {f"owner|{topic}".encode(): topic for stage in stages for topic in _OUTPUTS[stage]}
        self._stage_set = stage_set
        self._held: dict[str, tuple[str, int]] = {}

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """Take the next record of the log.

        Raises:
            ConfigurationError: it is an announcement of our set, and another set holds the topic.
        """
        topic = self._ours.get(key or b"")
        if topic is None:
            return
        try:
            lease = json.loads(value or b"")
            stage_set, until_us = str(lease["stage_set"]), int(lease["until_us"])
        except (ValueError, TypeError, KeyError):
            return  # not an announcement: nobody holds anything by it
        holder, held_until_us = self._held.get(topic, (stage_set, 0))
        if holder == stage_set or held_until_us <= until_us - LEASE_US:
            self._held[topic] = (stage_set, until_us)
        elif stage_set == self._stage_set:
            raise _refused(topic, holder)

    def refuse_other(self, now_us: int) -> None:
        """Check that no other set's lease lives.

        Raises:
            ConfigurationError: one does.
        """
        for topic, (holder, until_us) in sorted(self._held.items()):
            if holder != self._stage_set and until_us > now_us:
                raise _refused(topic, holder)


def _refused(topic: str, holder: str) -> ConfigurationError:
    return ConfigurationError(
        "FLASHMM_STAGES",
        f"{topic} is published by workers of the stages {holder}",
        "Run the same stages, stop those workers and wait 10 s, or set FLASHMM_TOPIC_PREFIX",
    )


class Ownership:
    """What one worker does about the leases."""

    def __init__(self, engine: MicroBatchEngine) -> None:
        self._engine = engine
        self._topic = TOPICS["state.snapshots"].full_name(engine.prefix)
        self._leases = Leases(engine.config.stages, engine.stage_set)
        self._read = 0
        self._announced_us = 0

    async def claim(self) -> None:
        """Make sure that no other set of stages publishes to the topics of this one, and announce it.

        Raises:
            ConfigurationError: one does.
        """
        async with group_less_reader(self._engine.bootstrap, [(self._topic, _PARTITION)]) as reader:
            begin, end = await bounds(reader, self._topic, _PARTITION)
            async for record in read_between(reader, self._topic, _PARTITION, max(begin, end - _LOOK_BACK), end):
                # Of the past, so what was refused then is no matter now.
                try:
                    self._leases.take(record.key, record.value)
                except ConfigurationError:
                    continue
        self._leases.refuse_other(self._engine.clock())
        self._read = end
        self._announce()

    async def keep(self) -> None:
        """Renew the lease until cancelled.

        Raises:
            ConfigurationError: another set of stages took a topic of this one first.
        """
        pair = TopicPartition(self._topic, _PARTITION)
        async with group_less_reader(self._engine.bootstrap, [pair], wait_ms=_POLL_MS) as reader:
            reader.seek(pair, self._read)
            while True:
                if self._engine.clock() - self._announced_us >= _RENEW_US:
                    self._announce()
                for records in (await reader.getmany(timeout_ms=_POLL_MS)).values():
                    for record in records:
                        self._leases.take(record.key, record.value)

    def _announce(self) -> None:
        self._announced_us = now = self._engine.clock()
        for key, value in announcements(self._engine.config.stages, self._engine.stage_set, now):
            self._engine.publisher.add(self._topic, _PARTITION, Pending(key, value, now))
