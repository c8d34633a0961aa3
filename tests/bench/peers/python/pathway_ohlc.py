"""Pathway: a group-by on symbol and second, counted in its output."""

import time

import pathway as pw
from common import Meter, arguments, decoder

options = arguments()
meter = Meter(options.trades)
decode = decoder(options.schema, meter)
counts = {}
total = 0


@pw.udf
def read(value: bytes) -> tuple[str, str, int, int, int]:
    tick = decode(value)
    return tick["kind"], tick["symbol"], (tick["ts_event"] or 0) // 1_000_000, tick["price"], tick["size"]


def on_change(key, row, time, is_addition):
    global total
    if is_addition:
        total += row["count"] - counts.get(key, 0)
        counts[key] = row["count"]
        meter.set(total)


records = pw.io.kafka.read(
    {
        "bootstrap.servers": options.bootstrap,
        "group.id": f"peer-pathway-{time.time_ns()}",
        "auto.offset.reset": "earliest",
        "session.timeout.ms": "6000",
    },
    topic=options.topic,
    format="raw",
    autocommit_duration_ms=100,
)
ticks = records.select(tick=read(pw.this.data)).select(
    kind=pw.this.tick[0], symbol=pw.this.tick[1], second=pw.this.tick[2], price=pw.this.tick[3], size=pw.this.tick[4]
)
trades = ticks.filter(pw.this.kind == "TRADE")
bars = trades.groupby(pw.this.symbol, pw.this.second).reduce(
    pw.this.symbol,
    pw.this.second,
    open=pw.reducers.earliest(pw.this.price),
    high=pw.reducers.max(pw.this.price),
    low=pw.reducers.min(pw.this.price),
    close=pw.reducers.latest(pw.this.price),
    volume=pw.reducers.sum(pw.this.size),
    count=pw.reducers.count(),
)
pw.io.subscribe(bars, on_change)

if __name__ == "__main__":
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
