"""Redis and InfluxDB of the embedded stack, through the clients that the sinks use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from infra.local import influx_standin
from infra.local.influxd import Influxd
from infra.local.ports import is_free
from infra.local.redis import RedisServer


@dataclass(frozen=True)
class Bucket:
    url: str
    org: str
    bucket: str
    token: str


@pytest.fixture
def stand_in() -> Iterator[Bucket]:
    """The stand-in with one bucket."""
    with influx_standin.serve("o", "b", "secret") as server:
        yield Bucket(server.url, "o", "b", "secret")


@pytest.fixture(params=["stand_in", pytest.param("influx", marks=pytest.mark.influx)])
def bucket(request: pytest.FixtureRequest) -> Bucket | Influxd:
    """A bucket of the stand-in, and one of a real InfluxDB 2."""
    found: Bucket | Influxd = request.getfixturevalue(request.param)
    return found


@pytest.mark.redis
def test_redis_keeps_in_memory_and_never_evicts(redis_url: str) -> None:
    """What the sink writes stays until the sink removes it, or the write is refused."""
    with redis.Redis.from_url(redis_url) as client:
        settings = client.config_get("maxmemory*") | client.config_get("save") | client.config_get("appendonly")

    assert settings["maxmemory-policy"] == "noeviction"
    assert int(settings["maxmemory"]) > 0
    assert settings["save"] == ""
    assert settings["appendonly"] == "no"


@pytest.mark.redis
def test_redis_lets_its_port_go_when_stopped(tmp_path: Path) -> None:
    """It is ready when entered, says what it is, and is gone when left."""
    with RedisServer(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()
        assert "redis-server" in server.description

    assert is_free(int(server.url.removesuffix("/0").rpartition(":")[2]))


def write(target: Bucket | Influxd, lines: str, *, gzip: bool = False, **wrong: str) -> int:
    """Write lines and give the status."""
    where = {"org": target.org, "bucket": target.bucket} | wrong
    token = where.pop("token", target.token)
    precision = where.pop("precision", "us")
    with InfluxDBClient(target.url, token, org=where["org"], enable_gzip=gzip) as client:
        writer = client.write_api(write_options=SYNCHRONOUS)
        try:
            writer.write(record=lines, write_precision=precision, **where)
        except ApiException as error:
            return int(error.status)
        finally:
            writer.close()
    return 204


def test_good_lines_are_taken(bucket: Bucket | Influxd) -> None:
    """Every form of tag, field and time that a sink may send, plain and packed."""
    lines = (
        'local_good,venue=v,symbol=SEI/USDC,odd\\ tag=a\\,b f=1.5,i=3i,u=4u,s="a \\"b\\" , c=d",y=t 1700000000000000\n'
        "# a comment\n\n"
        "local_good f=1e3\n"
    )

    assert write(bucket, lines) == 204
    assert write(bucket, lines, gzip=True) == 204


@pytest.mark.parametrize(
    "line",
    [
        "local_bad",
        "local_bad f",
        "local_bad f=",
        "local_bad f=abc",
        'local_bad f="open',
        "local_bad f=1 soon",
        "local_bad,t f=1",
        "local_bad,t= f=1",
        "local_bad f=1,",
        "local_bad f=9223372036854775808i",
        ",t=a f=1",
    ],
)
def test_one_bad_line_refuses_the_request(bucket: Bucket | Influxd, line: str) -> None:
    """The stand-in is as strict as the real server."""
    assert write(bucket, f"local_fine f=1 1\n{line}\nlocal_fine f=2 2") == 400


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"token": "wrong"}, 401),
        ({"bucket": "nowhere"}, 404),
        ({"org": "nobody"}, 404),
        ({"precision": "fortnight"}, 400),
    ],
)
def test_a_wrong_address_is_refused(bucket: Bucket | Influxd, wrong: dict[str, str], status: int) -> None:
    """Token, organisation, bucket and unit of time are checked."""
    assert write(bucket, "local_wrong f=1 1", **wrong) == status


def test_a_field_keeps_its_type(bucket: Bucket | Influxd) -> None:
    """A float where integers are is refused."""
    assert write(bucket, "local_typed f=1i 1700000000000000") == 204
    assert write(bucket, "local_typed f=1.5 1700000000000001") == 422
