"""The Redis sink against a real server: idempotent writes, bounded keys, refusals, an outage, the way from Kafka."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import SecretStr

from infra.local.mock_kafka import MockCluster
from infra.local.redis import RedisServer
from infra.runtime.settings import Settings
from schemas.errors import ConfigurationError, ServiceUnavailable
from schemas.records import DeadLetter, Record, Trade
from schemas.topics import TOPICS
from sinks.redis import HEALTH_KEY, METRICS_KEY, RedisConnector
from sinks.redis_plan import BARS_KEPT
from sinks.runner import SinkRunner
from sinks.stop import Stop
from tests.sink_records import (
    NOW_US,
    SYMBOL,
    VENUE,
    Kafka,
    bar,
    book,
    delivery,
    eventually,
    metric,
    position,
    quote,
    running,
    trade,
)

pytestmark = pytest.mark.redis


def settings_for(url: str, **changes: Any) -> Settings:
    return Settings(redis_url=SecretStr(url), hot_ticks=5, **changes)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """The database of these tests, empty."""
    with redis.Redis.from_url(f"{redis_url.rpartition('/')[0]}/7", decode_responses=True) as client:
        client.flushdb()
        yield client


@pytest.fixture
def url(redis_url: str) -> str:
    return f"{redis_url.rpartition('/')[0]}/7"


@pytest.fixture
def connector(url: str, client: redis.Redis) -> Iterator[RedisConnector]:
    connector = RedisConnector(settings_for(url))
    connector.open()
    yield connector
    connector.close()


def write(connector: RedisConnector, *records: Record, now_us: int = NOW_US) -> list[Any]:
    for offset, record in enumerate(records):
        connector.add(record, delivery(record, offset))
    return list(connector.flush(now_us))


def dump(client: redis.Redis) -> dict[str, Any]:
    return {
        key: client.zrange(key, 0, -1, withscores=True) if client.type(key) == "zset" else client.get(key)
        for key in sorted(client.keys("*"))
    }


def test_latest_values_are_json_with_exact_decimals(connector: RedisConnector, client: redis.Redis) -> None:
    """Avro field names, decimals as texts, under venue and symbol; the primary venue's also under the symbol."""
    assert write(connector, quote(1), replace(quote(2), venue="other"), trade(3), book(4), position(5)) == []

    found = json.loads(client.get(f"flashmm:quote:{VENUE}:{SYMBOL}"))
    assert (found["bid_price"], found["bid_size"], found["ts_recv"]) == ("0.2511", "5", NOW_US + 1)
    assert json.loads(client.get(f"flashmm:quote:{SYMBOL}")) == found
    assert json.loads(client.get(f"flashmm:quote:other:{SYMBOL}"))["venue"] == "other"
    assert json.loads(client.get(f"flashmm:book:{VENUE}:{SYMBOL}"))["bids"] == [{"price": "0.2511", "size": "5"}]
    assert json.loads(client.get(f"flashmm:position:paper:demo:{VENUE}:{SYMBOL}"))["cash"] == "-1.25"
    assert client.ttl(f"flashmm:quote:{VENUE}:{SYMBOL}") > 0


def test_writing_everything_again_changes_nothing(connector: RedisConnector, client: redis.Redis) -> None:
    """A redelivery from any earlier point leaves every key as it was."""
    records = [trade(n) for n in range(9)] + [quote(n) for n in range(9)]
    records += [bar(n, r) for n in range(3) for r in range(3)] + [book(n) for n in range(3)] + [position(3)]
    write(connector, *records)
    before = dump(client)

    write(connector, *records)
    write(connector, *records[3:])
    write(connector, *records[:4])

    assert dump(client) == before


def test_ticks_are_bounded_by_count(connector: RedisConnector, client: redis.Redis) -> None:
    """The newest ones stay, in the order of their receipt, also across flushes."""
    write(connector, *(trade(n) for n in range(4)))
    write(connector, *(trade(n) for n in range(4, 8)), *(quote(n) for n in range(20)))

    held = client.zrange(f"flashmm:ticks:{VENUE}:{SYMBOL}", 0, -1, withscores=True)
    assert [(json.loads(text)["trade_id"], score) for text, score in held] == [
        (f"t{n}", NOW_US + n) for n in range(3, 8)
    ]
    assert client.zcard(f"flashmm:quotes:{VENUE}:{SYMBOL}") == 5


def test_a_bar_is_replaced_only_by_a_greater_revision(connector: RedisConnector, client: redis.Redis) -> None:
    """One member per interval, within a flush and across flushes."""
    write(connector, bar(0, 2), bar(0, 1), bar(1, 0))
    write(connector, bar(0, 1))
    write(connector, bar(1, 3))

    held = [json.loads(text) for text in client.zrange(f"flashmm:bars:{VENUE}:{SYMBOL}:M1", 0, -1)]
    assert [one["revision"] for one in held] == [2, 3]
    assert json.loads(client.get(f"flashmm:bar:{VENUE}:{SYMBOL}:M1"))["ts_open"] == held[1]["ts_open"]


def test_bars_are_bounded(connector: RedisConnector, client: redis.Redis) -> None:
    """The oldest go first."""
    write(connector, *(bar(n, 0) for n in range(BARS_KEPT + 3)))

    key = f"flashmm:bars:{VENUE}:{SYMBOL}:M1"
    assert client.zcard(key) == BARS_KEPT
    assert json.loads(client.zrange(key, 0, 0)[0])["ts_open"] == bar(3, 0).ts_open


def test_subscribers_are_told(connector: RedisConnector, client: redis.Redis) -> None:
    """Every record goes out on its market's channel, after its values are written."""
    with client.pubsub(ignore_subscribe_messages=True) as subscriber:
        subscriber.psubscribe("flashmm:pub:*")
        eventually(lambda: client.pubsub_numpat() == 1)
        subscriber.get_message(timeout=1)
        write(connector, trade(1), bar(0, 1))
        messages = [subscriber.get_message(timeout=5) for _ in range(2)]

    assert [m["channel"] for m in messages if m] == [
        f"flashmm:pub:trades:{VENUE}:{SYMBOL}",
        f"flashmm:pub:bars:{VENUE}:{SYMBOL}:M1",
    ]


def test_health_and_metrics_are_written_and_expire(connector: RedisConnector, client: redis.Redis) -> None:
    """They go out with a flush, also an empty one, and do not outlive the sink."""
    write(connector, metric("worker", NOW_US), metric("producer.sei", NOW_US), book(0))

    assert json.loads(client.get(HEALTH_KEY))["status"] == "healthy"
    assert json.loads(client.get(METRICS_KEY))["components"]["worker"]["1"]["counters"] == {"ticks": 10}
    assert 0 < client.ttl(HEALTH_KEY) <= 15

    write(connector, now_us=NOW_US + 31_000_000)
    assert json.loads(client.get(HEALTH_KEY))["status"] == "unhealthy"


def test_a_key_of_another_type_refuses_only_its_records(connector: RedisConnector, client: redis.Redis) -> None:
    """The others are written."""
    client.set(f"flashmm:ticks:{VENUE}:{SYMBOL}", "in the way")

    refused = write(connector, trade(1), quote(2))

    assert [(r.delivery.offset, r.reason) for r in refused] == [(0, "REFUSED")]
    assert client.get(f"flashmm:quote:{VENUE}:{SYMBOL}") is not None


def test_a_full_server_is_a_matter_of_time(connector: RedisConnector, client: redis.Redis) -> None:
    """Everything is held, and written when there is room."""
    limit = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(ServiceUnavailable):
            write(connector, trade(1), bar(0, 0))
    finally:
        client.config_set("maxmemory", limit)

    assert connector.flush(NOW_US) == []
    assert client.zcard(f"flashmm:ticks:{VENUE}:{SYMBOL}") == 1


def test_a_wrong_password_is_a_wrong_setting(url: str) -> None:
    """The password is not in the message."""
    connector = RedisConnector(settings_for(url.replace("redis://", "redis://nobody:hunter2@")))

    with pytest.raises(ConfigurationError, match="REDIS_URL") as caught:
        connector.open()

    assert "hunter2" not in str(caught.value)


def test_an_address_that_does_not_answer_is_named() -> None:
    """With the setting to correct."""
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1 .* REDIS_URL"):
        RedisConnector(settings_for("redis://127.0.0.1:1/0")).open()


@pytest.fixture(params=["mock", pytest.param("jvm", marks=pytest.mark.kafka)])
def kafka_settings(request: pytest.FixtureRequest, url: str, development_registry_url: str) -> Settings:
    """A mock cluster and a real broker, with the topics of a run of this test's own."""
    prefix = "sink-redis."
    if request.param == "mock":
        cluster = request.getfixturevalue("mock_kafka")
        for topic in TOPICS.values():
            cluster.create_topic(topic.full_name(prefix), 1)
        bootstrap = cluster.bootstrap
    else:
        bootstrap = request.getfixturevalue("kafka_bootstrap")
        wanted = [NewTopic(topic.full_name(prefix), 1, 1) for topic in TOPICS.values() if topic.is_output]
        admin = AdminClient({"bootstrap.servers": bootstrap})
        for made in admin.create_topics(wanted).values():
            made.result(20)
    return settings_for(url, kafka_bootstrap=bootstrap, registry_url=development_registry_url, topic_prefix=prefix)


def test_records_come_from_kafka_and_bad_ones_go_to_dead_letters(kafka_settings: Settings, client: redis.Redis) -> None:
    """A truncated record and one with an unknown schema id hold nothing up; offsets are committed past them."""
    settings = kafka_settings
    kafka = Kafka(settings)
    kafka.write(trade(0))
    kafka.write_bytes(Trade, b"\x00\x00\x00\x00\x01junk")
    kafka.write_bytes(Trade, b"not framed")
    kafka.write(trade(3))

    stop = Stop()
    with running(SinkRunner(RedisConnector(settings), settings, stop=stop).run, stop):
        eventually(lambda: client.zcard(f"flashmm:ticks:{VENUE}:{SYMBOL}") == 2)
        eventually(lambda: client.exists(HEALTH_KEY) == 1)

    assert kafka.committed("sink-redis.flashmm-sink.redis", Trade) == 4
    letters = kafka.read(DeadLetter)
    assert [(x.component, x.reason, x.source_offset) for x in letters] == [
        ("sink.redis", "UNKNOWN_SCHEMA", 1),
        ("sink.redis", "NOT_FRAMED", 2),
    ]
    assert letters[1].payload == b"not framed"


@pytest.mark.slow
def test_an_outage_loses_nothing(mock_kafka: MockCluster, development_registry_url: str, tmp_path: Path) -> None:
    """While the server is away nothing is committed; when it is back everything is written."""
    for topic in TOPICS.values():
        mock_kafka.create_topic(topic.name, 1)
    server = RedisServer(tmp_path)
    server.start()
    try:
        server.wait_ready()
        settings = settings_for(server.url, kafka_bootstrap=mock_kafka.bootstrap, registry_url=development_registry_url)
        kafka = Kafka(settings)
        client = redis.Redis.from_url(server.url)
        stop = Stop()
        runner = SinkRunner(RedisConnector(settings), settings, stop=stop)
        with running(runner.run, stop):
            kafka.write(trade(0))
            eventually(lambda: kafka.committed("flashmm-sink.redis", Trade) == 1)
            server.stop()
            kafka.write(trade(1))
            eventually(lambda: runner.counters["retries"] >= 2)
            assert kafka.committed("flashmm-sink.redis", Trade) == 1
            server.start()
            server.wait_ready()
            eventually(lambda: kafka.committed("flashmm-sink.redis", Trade) == 2)
        assert client.zcard(f"flashmm:ticks:{VENUE}:{SYMBOL}") == 1
        client.close()
    finally:
        server.stop()
