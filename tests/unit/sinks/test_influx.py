"""The InfluxDB sink's answers to a server's answers; points themselves are in the integration tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from influxdb_client.rest import ApiException
from urllib3.exceptions import ReadTimeoutError

from infra.runtime.settings import Settings
from schemas.errors import ConfigurationError, ServiceUnavailable
from schemas.reasons import DeadLetterReason
from sinks.influx import InfluxConnector
from tests.sink_records import NOW_US, delivery, trade

Answer = Callable[[list[str]], None]


class FakeWriteApi:
    """Takes lines as `answer` says; remembers what was written and in how many requests."""

    def __init__(self) -> None:
        self.answer: Answer = lambda lines: None
        self.written: set[str] = set()
        self.requests = 0

    def write(self, *, record: str, **_: Any) -> None:
        self.requests += 1
        lines = record.split("\n")
        self.answer(lines)
        self.written |= set(lines)

    def close(self) -> None: ...


@pytest.fixture
def api() -> FakeWriteApi:
    return FakeWriteApi()


@pytest.fixture
def connector(api: FakeWriteApi) -> Iterator[InfluxConnector]:
    connector = InfluxConnector(Settings())
    connector._write_api.close()
    connector._write_api = api
    yield connector
    connector.close()


def test_an_address_that_is_none_is_a_wrong_setting() -> None:
    """Not a server that might come up later."""
    with pytest.raises(ConfigurationError, match="INFLUXDB_URL: 'localhost:8086' is not an HTTP address"):
        InfluxConnector(Settings(influxdb_url="localhost:8086"))


def add(connector: InfluxConnector, count: int) -> None:
    for n in range(count):
        connector.add(trade(n), delivery(trade(n), n))


def refuse(status: int, marker: str) -> Answer:
    def answer(lines: list[str]) -> None:
        if any(marker in line for line in lines):
            raise ApiException(status=status, reason="refused")

    return answer


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, DeadLetterReason.REFUSED),
        (422, DeadLetterReason.REFUSED),
        (413, DeadLetterReason.TOO_LARGE),
    ],
)
def test_the_refused_line_is_found_by_halves(
    connector: InfluxConnector, api: FakeWriteApi, status: int, reason: DeadLetterReason
) -> None:
    """All others are written, in a number of requests that grows with the logarithm."""
    api.answer = refuse(status, '"t700"')
    add(connector, 1_000)

    refused = connector.flush(NOW_US)

    assert [(r.delivery.offset, r.reason) for r in refused] == [(700, reason)]
    assert len(api.written) == 999
    assert api.requests <= 22
    assert connector.counters()["points"] == 999


def overloaded(lines: list[str]) -> None:
    raise ApiException(status=503, reason="busy")


def limited(lines: list[str]) -> None:
    raise ApiException(status=429, reason="slow down")


def silent(lines: list[str]) -> None:
    raise ReadTimeoutError(None, "/api/v2/write", "no answer")  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", [overloaded, limited, silent])
def test_what_passes_is_tried_again_with_everything(
    connector: InfluxConnector, api: FakeWriteApi, answer: Answer
) -> None:
    """The batch is held until the server takes it."""
    api.answer = answer
    add(connector, 3)
    with pytest.raises(ServiceUnavailable):
        connector.flush(NOW_US)

    api.answer = lambda lines: None
    assert connector.flush(NOW_US) == []
    assert len(api.written) == 3


def test_a_failure_between_halves_loses_nothing(connector: InfluxConnector, api: FakeWriteApi) -> None:
    """What was refused before it is found again."""
    bad = refuse(400, '"t1"')

    def answer(lines: list[str]) -> None:
        bad(lines)
        if api.requests == 6:
            overloaded(lines)

    api.answer = answer
    add(connector, 8)
    with pytest.raises(ServiceUnavailable):
        connector.flush(NOW_US)

    assert [r.delivery.offset for r in connector.flush(NOW_US)] == [1]
    assert len(api.written) == 7


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_setting_is_not_tried_again(connector: InfluxConnector, api: FakeWriteApi, status: int) -> None:
    """It ends the sink, and names no token."""
    api.answer = refuse(status, "")
    add(connector, 1)

    with pytest.raises(ConfigurationError, match="INFLUXDB_"):
        connector.flush(NOW_US)


def test_points_that_would_overwrite_each_other_are_counted(connector: InfluxConnector) -> None:
    """More than a thousand trades of a microsecond do not fit; a redelivery is no overwriting."""
    first, second = trade(0, trade_id="1"), trade(0, trade_id="1001")
    connector.add(first, delivery(first, 0))
    connector.add(first, delivery(first, 0))
    assert connector.counters()["overwritten"] == 0

    connector.add(second, delivery(second, 1))
    assert connector.counters()["overwritten"] == 1
