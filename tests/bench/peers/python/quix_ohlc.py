"""Quix Streams: a tumbling window of one second by the records' Kafka timestamps; RocksDB, no changelog topic."""

import time

from common import Meter, add, arguments, decoder, first
from quixstreams import Application

options = arguments()
meter = Meter(options.trades)
decode = decoder(options.schema, meter)


def reduce(bar, tick):
    add(bar, tick)
    meter.add()
    return bar


def initialise(tick):
    meter.add()
    return first(tick)


app = Application(
    broker_address=options.bootstrap,
    consumer_group=f"peer-quix-{time.time_ns()}",
    auto_offset_reset="earliest",
    auto_create_topics=False,
    use_changelog_topics=False,
    state_dir=options.state,
    loglevel="ERROR",
    commit_interval=5.0,
)
topic = app.topic(
    options.topic,
    value_deserializer="bytes",
    key_deserializer="bytes",
)
ticks = app.dataframe(topic).apply(decode)
ticks = ticks[ticks["kind"] == "TRADE"]
ticks.tumbling_window(1_000, grace_ms=5_000).reduce(reducer=reduce, initializer=initialise).final()

if __name__ == "__main__":
    app.run()
