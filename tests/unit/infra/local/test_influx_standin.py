"""The stand-in for InfluxDB 2, without HTTP."""

from __future__ import annotations

import gzip
import json

import pytest

from infra.local.http import Request
from infra.local.influx_standin import MAX_BODY_BYTES, InfluxStandIn

CLOCK_US = 1_700_000_000_000_000


@pytest.fixture
def influx() -> InfluxStandIn:
    return InfluxStandIn("o", "b", "secret", clock=lambda: CLOCK_US, remembered_points=3)


def write(influx: InfluxStandIn, lines: str | bytes, *, precision: str = "us", encoding: str = "identity") -> int:
    body = lines.encode() if isinstance(lines, str) else lines
    headers = {"authorization": "Token secret", "content-encoding": encoding}
    query = {"org": "o", "bucket": "b", "precision": precision}
    return influx.answer(Request("POST", "/api/v2/write", query, headers, body)).status


def test_a_point_written_again_is_counted_once(influx: InfluxStandIn) -> None:
    """Same measurement, tags and time overwrite, in whatever unit the time is given."""
    assert write(influx, "m,t=a f=1 1000\nm,t=b f=1 1000\nn f=1 1000") == 204
    assert write(influx, "m,t=a f=2 1", precision="ms") == 204

    assert influx.stats()["points"] == 3
    assert influx.stats()["measurements"] == {"m": 2, "n": 1}
    assert influx.stats()["overwritten"] == 1


def test_it_remembers_only_so_many_points(influx: InfluxStandIn) -> None:
    """Memory is bounded; what is forgotten counts again, and the stand-in says how many it remembers."""
    for time_us in (1, 2, 3, 4, 1):
        write(influx, f"m f=1 {time_us}")

    assert influx.stats()["points"] == 5
    assert influx.stats()["remembered_points"] == 3


def test_a_point_without_time_gets_the_clock(influx: InfluxStandIn) -> None:
    """As the real server does."""
    write(influx, "m f=1")
    write(influx, f"m f=1 {CLOCK_US}")

    assert influx.stats()["points"] == 1


def test_nothing_of_a_bad_request_is_stored(influx: InfluxStandIn) -> None:
    """One bad line refuses all."""
    assert write(influx, "m f=1 1\nm f= 2") == 400

    assert influx.stats()["points"] == 0
    assert influx.stats()["requests"] == {"400": 1}


def test_a_type_conflict_drops_only_its_points(influx: InfluxStandIn) -> None:
    """422 tells of a partial write."""
    assert write(influx, "m f=1 1\nm f=1i 2\nm f=2 3") == 422

    assert influx.stats()["points"] == 2


def test_packed_bodies_are_bounded_too(influx: InfluxStandIn) -> None:
    """A body that unpacks to more than the limit is refused, as is one that does not unpack."""
    assert write(influx, gzip.compress(b"m f=1 1"), encoding="gzip") == 204
    assert write(influx, gzip.compress(b"#" * (MAX_BODY_BYTES + 1)), encoding="gzip") == 413
    assert write(influx, gzip.compress(b"m f=1 1")[:-4], encoding="gzip") == 400
    assert write(influx, b"m f=1 1", encoding="gzip") == 400
    assert write(influx, b"\xff f=1 1") == 400


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({}, {"org": "o", "bucket": "b"}, 401),
        ({"authorization": "Token wrong"}, {"org": "o", "bucket": "b"}, 401),
        ({"authorization": "Basic secret"}, {"org": "o", "bucket": "b"}, 401),
        ({"authorization": "Bearer secret"}, {"org": "o", "bucket": "b"}, 204),
        ({"authorization": "Token secret"}, {"org": "o", "bucket": "c"}, 404),
        ({"authorization": "Token secret"}, {"bucket": "b"}, 404),
        ({"authorization": "Token secret"}, {"org": "o", "bucket": "b", "precision": "m"}, 400),
    ],
)
def test_who_writes_where_is_checked(
    influx: InfluxStandIn, headers: dict[str, str], query: dict[str, str], status: int
) -> None:
    """Token first, then organisation and bucket, then the unit."""
    assert influx.answer(Request("POST", "/api/v2/write", query, headers, b"m f=1 1")).status == status


def test_it_says_that_it_is_a_stand_in(influx: InfluxStandIn) -> None:
    """In its health, its counts, its header, and where a query is asked of it."""
    for method, path in (("GET", "/health"), ("GET", "/stats"), ("POST", "/api/v2/query")):
        answer = influx.answer(Request(method, path, {}, {}, b""))
        assert "stand-in" in json.dumps(json.loads(answer.body))
        assert answer.headers["X-Influxdb-Version"] == "stand-in"
