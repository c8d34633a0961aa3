"""Stock Faust: one agent, state in a plain dict (a Table with its changelog is three to four times slower)."""

import sys
import time

import faust
from common import Meter, add, arguments, decoder, first

options = arguments()
meter = Meter(options.trades)
decode = decoder(options.schema, meter)
app = faust.App(
    f"peer-faust-{time.time_ns()}",  # every run reads from the beginning
    broker=f"kafka://{options.bootstrap}",
    store="memory://",
    datadir=options.state,
    topic_disable_leader=True,
    topic_allow_declare=False,
    web_enabled=False,
    consumer_auto_offset_reset="earliest",
    cython_optimizations=True,
)
topic = app.topic(options.topic, value_serializer="raw", key_serializer="raw", value_type=bytes, key_type=bytes)
bars = {}


@app.agent(topic)
async def ohlc(stream):
    async for value in stream:
        tick = decode(value)
        if tick["kind"] != "TRADE":
            continue
        key = tick["symbol"], tick["ts_event"] // 1_000_000
        bar = bars.get(key)
        if bar is None:
            bars[key] = first(tick)
        else:
            add(bar, tick)
        meter.add()


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "-l", "error", "--without-web"]
    app.main()
