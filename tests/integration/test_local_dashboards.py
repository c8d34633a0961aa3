"""Grafana's dashboards against a real InfluxDB."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS

from infra.local.influxd import Influxd

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = sorted((ROOT / "infra/grafana/dashboards").glob("*.json"))
TIME_NS = 1_700_000_000_000_000_000
# What Grafana puts into a query.
MACROS = """
v = {{defaultBucket: "{bucket}", timeRangeStart: 2023-11-14T00:00:00Z, timeRangeStop: 2023-11-15T00:00:00Z,
windowPeriod: 1m}}
"""


def queries() -> list[tuple[str, str]]:
    found = []
    for path in DASHBOARDS:
        dashboard: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for panel in dashboard["panels"]:
            found += [(panel["title"], target["query"]) for target in panel["targets"]]
        found += [(variable["name"], variable["query"]["query"]) for variable in dashboard["templating"]["list"]]
    return found


def flux(bucket: str, query: str) -> str:
    imports = "\n".join(re.findall("^import .*$", query, re.MULTILINE))
    body = re.sub("^import .*$", "", query, flags=re.MULTILINE)
    values = {"venue": "sim-sei-clob", "symbol": "SEI/USDC"}
    body = re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], body)
    return imports + "\n" + MACROS.format(bucket=bucket) + body


@pytest.mark.influx
@pytest.mark.parametrize(("title", "query"), queries())
def test_a_panel_finds_the_points_that_it_is_about(influx: Influxd, title: str, query: str) -> None:
    """Its query is good Flux, and answers with the points whose measurement and fields it names."""
    measurement = re.search(r'_measurement == "(\w+)"', query)
    fields = re.findall(r'_field == "(\w+)"', query) or ["any"]
    tags = "venue=sim-sei-clob,symbol=SEI/USDC,side=BUY,mode=PAPER,timeframe=M1,stage=s,component=c"
    name = measurement[1] if measurement else "quotes"
    lines = [
        f"{name},{tags} {','.join(f'{field}={value}' for field in fields)} {TIME_NS + value * 10**9}"
        for value in (1, 2, 3)
    ]
    with InfluxDBClient(influx.url, influx.token, org=influx.org) as client:
        writer = client.write_api(write_options=SYNCHRONOUS)
        writer.write(influx.bucket, record=lines)
        writer.close()

        tables = client.query_api().query(flux(influx.bucket, query))

    assert [record for table in tables for record in table.records], title
