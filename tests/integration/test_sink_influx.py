"""The InfluxDB sink against a real server: exact and idempotent points, refusals found, wrong settings, from Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from influxdb_client import InfluxDBClient
from pydantic import SecretStr

from infra.local.influxd import Influxd
from infra.local.mock_kafka import MockCluster
from infra.runtime.settings import Settings
from schemas.enums import OrderStatus
from schemas.errors import ConfigurationError, ServiceUnavailable
from schemas.records import Metric, Record, Trade
from schemas.topics import TOPICS
from sinks.influx import InfluxConnector, _Line
from sinks.runner import SinkRunner
from sinks.stop import Stop
from tests.sink_records import (
    NOW_US,
    VENUE,
    Kafka,
    balance,
    bar,
    delivery,
    eventually,
    execution,
    metric,
    position,
    price,
    quote,
    running,
    trade,
)

pytestmark = pytest.mark.influx


@pytest.fixture
def settings(influx: Influxd, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """A bucket of this test's own."""
    bucket = f"sink-{request.node.name}"
    with InfluxDBClient(influx.url, influx.token, org=influx.org) as client:
        made = client.buckets_api().create_bucket(bucket_name=bucket)
        yield Settings(
            influxdb_url=influx.url,
            influxdb_token=SecretStr(influx.token),
            influxdb_org=influx.org,
            influxdb_bucket=bucket,
        )
        client.buckets_api().delete_bucket(made)


@pytest.fixture
def connector(settings: Settings) -> Iterator[InfluxConnector]:
    connector = InfluxConnector(settings)
    connector.open()
    yield connector
    connector.close()


def write(connector: InfluxConnector, *records: Record) -> list[Any]:
    for offset, record in enumerate(records):
        connector.add(record, delivery(record, offset))
    return list(connector.flush(NOW_US))


def line(text: str, offset: int) -> _Line:
    return _Line(text, delivery(trade(0), offset))


def rows(settings: Settings, measurement: str) -> list[dict[str, Any]]:
    """The points of a measurement by time: fields and tags together."""
    flux = (
        f'from(bucket: "{settings.influxdb_bucket}") |> range(start: 0) '
        f'|> filter(fn: (r) => r._measurement == "{measurement}") '
        '|> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value") |> group() '
        '|> sort(columns: ["_time"]) |> drop(columns: ["_start", "_stop"])'
    )
    token = settings.influxdb_token.get_secret_value()
    with InfluxDBClient(settings.influxdb_url, token, org=settings.influxdb_org) as client:
        return [record.values for table in client.query_api().query(flux) for record in table.records]


def test_points_are_exact(connector: InfluxConnector, settings: Settings) -> None:
    """Integers in schema units beside floats, tags that tell markets, modes and accounts apart."""
    held = position(3, mark=price("0.26"), unrealised_pnl=10**15, funding=7, accrued_funding=-1)
    assert write(connector, trade(1), quote(2), bar(0, 0), held, execution(4), balance(5)) == []

    (tick,) = rows(settings, "ticks")
    assert (tick["price_units"], tick["price"], tick["side"]) == (price("0.2512"), 0.2512, "BUY")
    (fill,) = rows(settings, "fills")
    assert (fill["fee_exact"], fill["mode"], fill["account"]) == ("-0.00000000000000003", "paper", "demo")
    (found,) = rows(settings, "positions")
    assert (found["cash_exact"], found["quantity_units"]) == ("-1.25", 500_000_000)
    assert (found["unrealised_pnl_exact"], found["mark"]) == ("0.01", 0.26)
    assert (found["funding_exact"], found["accrued_funding_exact"]) == ("0.000000000000000007", "-0.000000000000000001")
    (money,) = rows(settings, "balances")
    assert (money["equity_exact"], money["asset"], money["venue"]) == ("100.000000000000000001", "USDC", VENUE)
    assert money["drawdown"] == pytest.approx(3)
    assert rows(settings, "bars")[0]["timeframe"] == "M1"
    assert rows(settings, "quotes")[0]["state"] == "LIVE"


def test_writing_everything_again_changes_nothing(connector: InfluxConnector, settings: Settings) -> None:
    """The same points overwrite themselves, and the last revision of a bar stays."""
    records = [trade(n) for n in range(20)] + [bar(0, 0), bar(0, 1), bar(0, 2)] + [metric("worker", NOW_US)]
    write(connector, *records)
    before = {name: rows(settings, name) for name in ("ticks", "bars", "counters", "gauges")}

    write(connector, *records)
    write(connector, *records[7:])

    assert {name: rows(settings, name) for name in before} == before
    assert [row["revision"] for row in before["bars"]] == [2]


def test_trades_of_one_microsecond_are_all_kept(connector: InfluxConnector, settings: Settings) -> None:
    """Up to a thousand of a market, by their numeric ids or by their places in the log."""
    numbered = [trade(0, trade_id=str(10_000 + n), cause_offset=7) for n in range(300)]
    placed = [trade(0, trade_id=f"0xab-{n}", cause_offset=n, symbol="WETH/USDC") for n in range(300)]

    write(connector, *numbered, *placed)

    assert len(rows(settings, "ticks")) == 600
    assert connector.counters()["points"] == 600
    assert connector.counters()["overwritten"] == 0


def test_one_bad_line_is_found_and_the_rest_is_written(connector: InfluxConnector, settings: Settings) -> None:
    """A field whose type changed is refused; halves find it."""
    write(connector, metric("worker", NOW_US, gauges={}, counters={"n": 1}))
    connector._lines[("bad",)] = line(f"counters,component=worker,instance=1 n=1.5 {NOW_US}001", 70)
    connector._lines[("worse",)] = line("this is no line", 71)

    refused = write(connector, *(trade(n) for n in range(50)))

    assert sorted((r.delivery.offset, r.reason) for r in refused) == [(70, "REFUSED"), (71, "REFUSED")]
    assert len(rows(settings, "ticks")) == 50


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"influxdb_token": SecretStr("hunter2")}, "INFLUXDB_TOKEN"),
        ({"influxdb_bucket": "nowhere"}, "INFLUXDB_BUCKET"),
        ({"influxdb_org": "nobody"}, "INFLUXDB_ORG"),
    ],
)
def test_wrong_settings_end_the_sink(settings: Settings, changes: dict[str, Any], setting: str) -> None:
    """The message names the setting and never the token."""
    connector = InfluxConnector(settings.model_copy(update=changes))
    with pytest.raises(ConfigurationError, match=setting) as caught:
        write(connector, trade(0))
    connector.close()

    assert "hunter2" not in str(caught.value)


def test_an_address_that_does_not_answer_is_named(settings: Settings) -> None:
    """With the setting to correct."""
    connector = InfluxConnector(settings.model_copy(update={"influxdb_url": "http://127.0.0.1:1"}))

    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1 .* INFLUXDB_URL"):
        connector.open()
    with pytest.raises(ServiceUnavailable):
        write(connector, trade(0))
    connector.close()


def test_latencies_have_a_measurement_of_their_own(connector: InfluxConnector, settings: Settings) -> None:
    """One point for each stage, percentiles in milliseconds."""
    gauges = {"latency_ms.tick_to_bar.p50": 3.5, "latency_ms.tick_to_bar.p99": 9.0, "queued": 4.0}

    write(connector, metric("worker", NOW_US, gauges=gauges))

    (latency,) = rows(settings, "latency")
    assert (latency["stage"], latency["p50_ms"], latency["p99_ms"]) == ("tick_to_bar", 3.5, 9.0)
    assert rows(settings, "gauges")[0]["queued"] == 4.0


def test_records_come_from_kafka(mock_kafka: MockCluster, development_registry_url: str, settings: Settings) -> None:
    """Offsets are committed after the write; the sink's own counters arrive too."""
    settings = settings.model_copy(
        update={"kafka_bootstrap": mock_kafka.bootstrap, "registry_url": development_registry_url}
    )
    for topic in TOPICS.values():
        mock_kafka.create_topic(topic.name, 1)
    kafka = Kafka(settings)
    kafka.write(*(trade(n) for n in range(10)), execution(1), replace(execution(2), status=OrderStatus.OPEN))

    stop = Stop()
    with running(SinkRunner(InfluxConnector(settings), settings, stop=stop).run, stop):
        eventually(lambda: len(rows(settings, "ticks")) == 10)
        eventually(lambda: any(row["component"] == "sink.influx" for row in rows(settings, "counters")))

    assert kafka.committed("flashmm-sink.influx", Trade) == 10
    assert len(rows(settings, "fills")) == 1
    assert kafka.committed("flashmm-sink.influx", Metric) >= 1
