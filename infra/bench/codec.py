"""What it costs to read and write one record, in one thread, without Kafka."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from typing import Any

import avro.io
import avro.name
import avro.schema
import fastavro
import numpy as np

from infra.bench.ticks import DUPLICATE_EVERY, TickMaker
from schemas.codec import Codec
from schemas.columns import Spans, TickColumns, decode_ticks
from schemas.columns.layout import layout_of
from schemas.columns.rows import Rows, row_dtype
from schemas.records import Bar, Record, Tick, Trade

__all__ = ["codec_results", "without_logical_types"]

_BATCHES = (4_096, 512)
_HEADER = 5
_REPEATS = 5
_NAMES: dict[type[Record], str] = {Tick: "ticks", Trade: "trades", Bar: "bars"}
Results = list[dict[str, object]]


def codec_results(records: int) -> Results:
    """Measure each reader and writer; the best of five passes, in nanoseconds of its thread a record.

    fastavro and avro read and write without logical types, which is what they are fastest at.

    Args:
        records: Records a pass of the compiled codec; the slower ones get fewer.
    """
    codec = Codec(Tick, 1)
    maker = TickMaker(codec, markets=100, start_us=1_760_000_000_000_000, rate=100_000)
    ticks = maker.ticks(0, -(-records // DUPLICATE_EVERY) * DUPLICATE_EVERY)
    values = [ticks.value(row) for row in range(len(ticks))]
    results: Results = []
    for size in _BATCHES:
        batches = [Spans.of(values[at : at + size]) for at in range(0, len(values), size)]
        results.append(
            _result(f"decode-columns-ticks-{size}", lambda batch: decode_ticks(batch, codec), batches, len(values))
        )
    results += _readers(codec, values)
    columns = decode_ticks(Spans.of(values), codec)
    for kind in _NAMES:
        results += _writers(_rows(kind, columns))
    return results


def _rows(kind: type[Record], columns: TickColumns) -> Rows:
    """Make records of ticks: each field that a tick has too, and for the others one of its numbers."""
    layout, given = layout_of(kind), layout_of(Tick).columns
    values = np.zeros(len(columns), row_dtype(kind))
    for name in layout.columns:
        if name in given:
            values[name] = columns.rows[name]
        elif name in ("open", "high", "low", "close", "vwap"):
            values[name] = columns.price
        elif name in ("volume", "buy_volume", "sell_volume", "quote_volume_low"):
            values[name] = columns.size
        elif name.startswith("ts_"):
            values[name] = columns.ts_recv
        elif name.endswith(("_sequence", "_offset")):
            values[name] = columns.sequence
    values["nulls"] = 0
    for name, bit in layout.null_bits.items():
        if name in given:
            values["nulls"] |= np.where(columns.is_null(name), bit, 0)
    return Rows(kind, values, columns.strings, columns.text)


def _readers(codec: Codec, values: Sequence[bytes]) -> Results:
    """Measure those that read one tick at a time."""
    some, few = values[: len(values) // 10], values[: len(values) // 100]
    fast = fastavro.parse_schema(without_logical_types(codec.schema))
    reader = avro.io.DatumReader(_avro_schema(codec))

    def read_fast(value: bytes) -> Any:
        return fastavro.schemaless_reader(io.BytesIO(value[_HEADER:]), fast)

    def read_slow(value: bytes) -> Any:
        return reader.read(avro.io.BinaryDecoder(io.BytesIO(value[_HEADER:])))

    return [
        _result("decode-codec-ticks", codec.decode, some, len(some)),
        _result("decode-fastavro-ticks", read_fast, some, len(some)),
        _result("decode-avro-ticks", read_slow, few, len(few)),
    ]


def _writers(rows: Rows) -> Results:
    """Measure all writers of one kind of record."""
    codec, name, count = Codec(rows.record, 1), _NAMES[rows.record], len(rows)
    results: Results = []
    for size in _BATCHES:
        batches = [
            Rows(rows.record, rows.values[at : at + size], rows.strings, rows.text) for at in range(0, count, size)
        ]
        results.append(_result(f"encode-columns-{name}-{size}", lambda batch: batch.encode(codec), batches, count))
    some = list(Rows(rows.record, rows.values[: count // 10], rows.strings, rows.text).records())
    fast = fastavro.parse_schema(without_logical_types(codec.schema))
    writer = avro.io.DatumWriter(_avro_schema(codec))
    data = [fastavro.schemaless_reader(io.BytesIO(codec.encode(record)[_HEADER:]), fast) for record in some]

    def write_fast(datum: Any) -> None:
        fastavro.schemaless_writer(io.BytesIO(), fast, datum)

    def write_slow(datum: Any) -> None:
        writer.write(datum, avro.io.BinaryEncoder(io.BytesIO()))

    few = data[: count // 100]
    return [
        *results,
        _result(f"encode-codec-{name}", codec.encode, some, len(some)),
        _result(f"encode-fastavro-{name}", write_fast, data, len(data)),
        _result(f"encode-avro-{name}", write_slow, few, len(few)),
    ]


def _avro_schema(codec: Codec) -> Any:
    return avro.schema.make_avsc_object(without_logical_types(codec.schema), avro.name.Names())


def _result(name: str, function: Callable[[Any], object], inputs: Sequence[Any], records: int) -> dict[str, object]:
    best = float("inf")
    for _ in range(_REPEATS):
        start = time.thread_time()
        for one in inputs:
            function(one)
        best = min(best, time.thread_time() - start)
    return {"name": name, "ns_per_record": round(best / records * 1e9, 1), "records": records}


def without_logical_types(schema: Any) -> Any:
    """Take the logical types off a schema: decimals are then bytes, times integers."""
    if isinstance(schema, list):
        return [without_logical_types(branch) for branch in schema]
    if isinstance(schema, dict):
        if "logicalType" in schema:
            return schema["type"]
        return {
            key: without_logical_types(value) if key in ("type", "fields") else value for key, value in schema.items()
        }
    return schema
