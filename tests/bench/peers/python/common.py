"""What the Python peers share: arguments, the decoder, the meter, the aggregate."""

import argparse
import io
import json
import os
import sys
import time
from pathlib import Path

import fastavro


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--schema", required=True, help="file of the Avro schema")
    parser.add_argument("--trades", type=int, required=True, help="trades in the topic")
    parser.add_argument("--state", required=True, help="empty folder for the engine's files")
    return parser.parse_args()


class Meter:
    """Counts trades from the first one decoded to the last one aggregated; then ends the process."""

    def __init__(self, trades):
        self._trades = trades
        self._done = 0
        self._start = None

    def start(self):
        if self._start is None:
            self._start = time.perf_counter(), time.process_time()

    def add(self, count=1):
        self._done += count
        if self._done >= self._trades:
            self.finish()

    def set(self, done):
        self._done = done
        if self._done >= self._trades:
            self.finish()

    def finish(self):
        start, cpu = self._start
        measured = {
            "ticks": self._done,
            "seconds": time.perf_counter() - start,
            "cpu_s": time.process_time() - cpu,
        }
        print(json.dumps(measured), file=sys.__stdout__, flush=True)  # Faust puts a logger in the place of sys.stdout
        os._exit(0)


def decoder(path, meter):
    """Make the function from a Kafka value to a dict; prices and sizes are integers of the schema's unit."""
    schema = fastavro.parse_schema(_bare(json.loads(Path(path).read_text(encoding="utf-8"))))
    read = fastavro.schemaless_reader

    def decode(value):
        meter.start()
        tick = read(io.BytesIO(value[5:]), schema)
        tick["price"] = int.from_bytes(tick["price"], "big", signed=True)
        tick["size"] = int.from_bytes(tick["size"], "big", signed=True)
        return tick

    return decode


def _bare(schema):
    """Take the logical types off: turning bytes into Decimal and micros into datetime costs more than all else."""
    if isinstance(schema, list):
        return [_bare(branch) for branch in schema]
    if isinstance(schema, dict):
        if "logicalType" in schema:
            return schema["type"]
        return {key: _bare(value) if key in ("type", "fields") else value for key, value in schema.items()}
    return schema


def first(tick):
    """Begin an aggregate: open, high, low, close, volume."""
    price = tick["price"]
    return [price, price, price, price, tick["size"]]


def add(bar, tick):
    """Take a tick into an aggregate."""
    price = tick["price"]
    if price > bar[1]:
        bar[1] = price
    if price < bar[2]:
        bar[2] = price
    bar[3] = price
    bar[4] += tick["size"]
    return bar
