"""Bytewax: a tumbling window of one second on event time, no recovery store."""

from datetime import UTC, datetime, timedelta

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower, fold_window
from bytewax.run import cli_main
from bytewax.testing import TestingSink
from common import Meter, add, arguments, decoder, first

options = arguments()
meter = Meter(options.trades)
decode = decoder(options.schema, meter)


def fold(bar, tick):
    meter.add()
    return first(tick) if bar is None else add(bar, tick)


def time_of(tick):
    return datetime.fromtimestamp(tick["ts_event"] / 1_000_000, UTC)


flow = Dataflow("ohlc")
records = op.input("read", flow, KafkaSource([options.bootstrap], [options.topic], batch_size=1_000, tail=False))
ticks = op.map("decode", records, lambda message: decode(message.value))
trades = op.filter("trades", ticks, lambda tick: tick["kind"] == "TRADE")
keyed = op.key_on("symbol", trades, lambda tick: tick["symbol"])
bars = fold_window(
    "bars",
    keyed,
    # Its watermark also advances by the wall clock, which outruns the time of a log that is read slowly.
    EventClock(time_of, wait_for_system_duration=timedelta(minutes=10)),
    TumblingWindower(length=timedelta(seconds=1), align_to=datetime(2023, 1, 1, tzinfo=UTC)),
    lambda: None,
    fold,
    lambda one, other: one,
)
op.output("write", bars.down, TestingSink([]))

if __name__ == "__main__":
    cli_main(flow)
