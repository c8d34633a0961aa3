"""From messages of Kafka to ticks: what is refused, and schemas that are learned on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from schemas.codec import Codec, load_schema
from schemas.columns.timely import END_OF_TIME_US
from schemas.enums import TickKind
from schemas.records import Tick
from schemas.topics import topic_of
from sinks.decoding import Decoder
from sinks.executor.reading import TickReader
from sinks.executor.stretch import Stretch
from tests.unit.sinks.executor.conftest import MARKET

TOPIC = "x.market.ticks"


@dataclass
class Message:
    """As confluent-kafka gives it."""

    at: int
    payload: bytes | None

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return 2

    def offset(self) -> int:
        return self.at

    def value(self) -> bytes | None:
        return self.payload

    def headers(self) -> None:
        return None


class Reading:
    """A reader, what it refuses, and the schema ids that the registry was asked for."""

    def __init__(self, known: dict[int, Any]) -> None:
        self.refused: list[tuple[int, str]] = []
        self.asked: list[int | bytes] = []

        def lookup(schema_id: int | bytes) -> Any:
            self.asked.append(schema_id)
            return known.get(schema_id)  # type: ignore[call-overload]

        decoder = Decoder({TOPIC: Codec(Tick, 1)}, lookup, lambda: 0)
        refuse = lambda delivery, error: self.refused.append((delivery.offset, str(error.reason)))  # noqa: E731
        self._reader = TickReader(TOPIC, decoder, [MARKET], refuse)

    def read(self, *values: bytes | None) -> Sequence[object]:
        messages: Any = [Message(10 + number, value) for number, value in enumerate(values)]
        return [one.offsets.tolist() if isinstance(one, Stretch) else one for one in self._reader.read(messages)]


@pytest.fixture
def reading() -> Reading:
    """One whose registry knows ids 1 and 7."""
    subject = topic_of(Tick).subject
    assert subject is not None
    return Reading({7: load_schema(subject)})


def test_what_is_no_tick_is_refused_and_the_others_are_read(reading: Reading, make_tick: Callable[..., Tick]) -> None:
    """Bytes that are none, a tombstone, and a time that is none: the worker leaves out the same."""
    tick = make_tick(kind=TickKind.CLEAR)
    value = Codec(Tick, 1).encode(tick)
    untimely = Codec(Tick, 1).encode(replace(tick, ts_recv=END_OF_TIME_US))

    assert reading.read(value, value[:8], None, untimely, value) == [(10, tick), (14, tick)]
    assert reading.refused == [(11, "TRUNCATED"), (12, "NOT_FRAMED"), (13, "MALFORMED")]


def test_a_schema_that_the_registry_knows_is_learned(reading: Reading, make_tick: Callable[..., Tick]) -> None:
    """It is asked once, and what it does not know either is refused."""
    tick = make_tick(kind=TickKind.CLEAR)
    seven, nine = (Codec(Tick, number).encode(tick) for number in (7, 9))

    assert reading.read(seven, nine, seven) == [(10, tick), (12, tick)]
    assert reading.read(seven, nine) == [(10, tick)]
    assert reading.refused == [(11, "UNKNOWN_SCHEMA")] * 2
    assert sorted(set(reading.asked)) == [7, 9]
    assert len(reading.asked) == 2
