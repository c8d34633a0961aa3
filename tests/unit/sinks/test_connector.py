"""The decisions of a sink's loop: what is flushed when, and what may be committed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from schemas.codec import Codec, Json, load_schema
from schemas.enums import Severity
from schemas.errors import ServiceUnavailable, TerminalError
from schemas.reasons import DeadLetterReason
from schemas.records import Alert, Record
from sinks.connector import Limits, Refused, SinkLoop
from sinks.decoding import Decoder, Delivery

TOPIC = "ops.alerts"
LIMITS = Limits(batch_records=3, flush_interval_us=100, backoff_initial_us=10, backoff_max_us=35)
CODEC = Codec(Alert, 1)


def delivery(offset: int, *, partition: int = 0, schema_id: int = 1) -> Delivery:
    alert = Alert(component="test", severity=Severity.INFO, code=str(offset), message="", ts_alert=offset)
    value = CODEC.encode(alert)
    return Delivery(TOPIC, partition, offset, value[:1] + schema_id.to_bytes(4, "big") + value[5:])


class FakeConnector:
    """Holds records until a flush, which fails as often as told."""

    name = "fake"
    topics = (TOPIC,)

    def __init__(self) -> None:
        self.added: list[Record] = []
        self.written: list[Record] = []
        self.failures: list[Exception] = []
        self.refused: list[Refused] = []

    def open(self) -> None: ...

    def add(self, record: Record, delivery: Delivery) -> None:
        self.added.append(record)

    def flush(self, now_us: int) -> Sequence[Refused]:
        if self.failures:
            raise self.failures.pop(0)
        self.written += self.added
        self.added = []
        refused, self.refused = self.refused, []
        return refused

    def counters(self) -> Mapping[str, int]:
        return {}

    def close(self) -> None: ...


def no_schema(schema_id: int | bytes) -> Json | None:
    return None


def loop(connector: FakeConnector, lookup: Callable[[int | bytes], Json | None] = no_schema) -> SinkLoop:
    decoder = Decoder({TOPIC: Codec(Alert, 1)}, lookup, clock=lambda: 0)
    return SinkLoop(connector, decoder, LIMITS, component="sink.fake")


def unavailable() -> ServiceUnavailable:
    return ServiceUnavailable("Fake", "nowhere", "down")


def test_a_batch_waits_for_its_interval() -> None:
    """Records are held until the oldest is old enough, then flushed and committed after the last one."""
    connector = FakeConnector()
    sink = loop(connector)
    sink.feed([delivery(4), delivery(5)])

    assert sink.step(1_000) is None
    assert sink.step(1_099) is None
    flushed = sink.step(1_100)

    assert flushed is not None
    assert flushed.offsets == {(TOPIC, 0): 6}
    assert len(connector.written) == 2


def test_a_full_batch_is_flushed_at_once() -> None:
    """The count bounds a batch, and the rest goes into the next one."""
    connector = FakeConnector()
    sink = loop(connector)
    sink.feed(delivery(n) for n in range(5))

    first = sink.step(0)
    assert first is not None
    assert first.offsets == {(TOPIC, 0): 3}
    second = sink.step(0, force=True)
    assert second is not None
    assert second.offsets == {(TOPIC, 0): 5}


def test_a_failed_flush_commits_nothing_and_is_tried_again() -> None:
    """Back-off doubles up to its bound, nothing more is read meanwhile, and all is committed at last."""
    connector = FakeConnector()
    connector.failures = [unavailable() for _ in range(4)]
    sink = loop(connector)
    sink.feed([delivery(0)])

    attempts = []
    for now_us in range(100, 300):
        flushed = sink.step(now_us, force=now_us == 100)
        if flushed is not None and flushed.failure is not None:
            assert flushed.offsets == {}
            assert sink.room == 0
            attempts.append(now_us)
        elif flushed is not None:
            break

    assert attempts == [100, 110, 130, 165]
    assert now_us == 200
    assert flushed is not None
    assert flushed.offsets == {(TOPIC, 0): 1}
    assert sink.room == LIMITS.batch_records
    assert sink.counts["retries"] == 4


def test_a_terminal_failure_passes_through() -> None:
    """Nothing catches what trying again cannot cure."""
    connector = FakeConnector()
    connector.failures = [TerminalError("never")]
    sink = loop(connector)

    with pytest.raises(TerminalError):
        sink.step(0, force=True)


def test_undecodable_bytes_become_a_dead_letter_and_the_rest_goes_on() -> None:
    """A truncated record is described with its position and bytes; its neighbours are written."""
    connector = FakeConnector()
    sink = loop(connector)
    whole = delivery(1).value
    assert whole is not None
    sink.feed([delivery(0), Delivery(TOPIC, 0, 1, whole[:-3]), Delivery(TOPIC, 0, 2, None)])

    flushed = sink.step(7)

    assert flushed is not None
    assert flushed.offsets == {(TOPIC, 0): 3}
    assert [letter.reason for letter in flushed.dead_letters] == [
        DeadLetterReason.TRUNCATED,
        DeadLetterReason.NOT_FRAMED,
    ]
    truncated = flushed.dead_letters[0]
    assert (truncated.source, truncated.source_partition, truncated.source_offset) == (TOPIC, 0, 1)
    assert truncated.payload == whole[:-3]
    assert truncated.ts_seen == 7
    assert len(connector.written) == 1


def test_a_refused_record_becomes_a_dead_letter() -> None:
    """What the destination will never take is committed as a dead letter."""
    connector = FakeConnector()
    refused = delivery(0)
    connector.refused = [Refused(refused, DeadLetterReason.REFUSED, "wrong type")]
    sink = loop(connector)
    sink.feed([refused])

    flushed = sink.step(0, force=True)

    assert flushed is not None
    assert [(x.reason, x.detail) for x in flushed.dead_letters] == [("REFUSED", "wrong type")]
    assert flushed.offsets == {(TOPIC, 0): 1}
    assert sink.counts["dead_letters"] == 1


def test_the_registry_is_asked_once_for_an_unknown_schema() -> None:
    """An id that it does not know makes dead letters, without a request for each."""
    asked: list[int | bytes] = []
    sink = loop(FakeConnector(), lambda schema_id: asked.append(schema_id))  # type: ignore[func-returns-value]
    sink.feed([delivery(0, schema_id=99), delivery(1, schema_id=99)])

    flushed = sink.step(0, force=True)

    assert flushed is not None
    assert [letter.reason for letter in flushed.dead_letters] == [DeadLetterReason.UNKNOWN_SCHEMA] * 2
    assert asked == [99]


def test_a_schema_that_the_registry_knows_is_learnt() -> None:
    """A record written with a newer id is read through its own schema."""
    connector = FakeConnector()
    sink = loop(connector, lambda _: load_schema("ops.alerts-value"))
    sink.feed([delivery(0, schema_id=99)])

    sink.step(0, force=True)

    assert len(connector.written) == 1


def test_a_schema_of_another_subject_makes_a_dead_letter() -> None:
    """A record that another topic's schema wrote cannot be read as ours."""
    sink = loop(FakeConnector(), lambda _: load_schema("market.trades-value"))
    sink.feed([delivery(0, schema_id=99)])

    flushed = sink.step(0, force=True)

    assert flushed is not None
    assert len(flushed.dead_letters) == 1


def test_a_silent_registry_holds_up_only_what_needs_it() -> None:
    """Records before the unknown id are written; it is tried again, and nothing is lost."""
    answers: list[Json | Exception] = [unavailable(), load_schema("ops.alerts-value")]

    def lookup(schema_id: int | bytes) -> Json | None:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    connector = FakeConnector()
    sink = loop(connector, lookup)
    sink.feed([delivery(0), delivery(1, schema_id=99)])

    first = sink.step(0)
    assert first is not None
    assert first.failure is not None
    assert first.offsets == {(TOPIC, 0): 1}
    assert sink.room == 0

    second = sink.step(10, force=True)
    assert second is not None
    assert second.offsets == {(TOPIC, 0): 2}
    assert len(connector.written) == 2


def test_revoked_partitions_are_never_committed() -> None:
    """What was held of them is read again by their new owner."""
    connector = FakeConnector()
    connector.failures = [unavailable()]
    sink = loop(connector)
    sink.feed([delivery(0, partition=0), delivery(0, partition=1)])
    sink.step(0, force=True)

    sink.forget([(TOPIC, 0)])
    flushed = sink.step(50, force=True)

    assert flushed is not None
    assert flushed.offsets == {(TOPIC, 1): 1}


def test_an_idle_sink_is_flushed_once_a_second() -> None:
    """A connector can write what depends on time alone."""
    sink = loop(FakeConnector())

    assert sink.step(1_000_000) is not None
    assert sink.step(1_999_999) is None
    assert sink.step(2_000_000) is not None
