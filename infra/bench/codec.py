"""What it costs to read and write one tick, in one thread, without Kafka."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from typing import Any

import avro.io
import avro.name
import avro.schema
import fastavro

from infra.bench.ticks import DUPLICATE_EVERY, TickMaker
from schemas.codec import Codec
from schemas.columns import Spans, decode_ticks
from schemas.records import Tick

__all__ = ["codec_results", "without_logical_types"]

_BATCH = 4_096
_HEADER = 5
_REPEATS = 5


def codec_results(records: int) -> list[dict[str, object]]:
    """Measure each reader and writer; the best of five passes, in nanoseconds a record.

    fastavro and avro read and write without logical types, which is what they are fastest at.

    Args:
        records: Ticks a pass of the compiled codec; the slower ones get fewer.
    """
    codec = Codec(Tick, 1)
    maker = TickMaker(codec, markets=100, start_us=1_760_000_000_000_000, rate=100_000)
    ticks = maker.ticks(0, -(-records // DUPLICATE_EVERY) * DUPLICATE_EVERY)
    values = [ticks.value(row) for row in range(len(ticks))]
    batches = [values[at : at + _BATCH] for at in range(0, len(values), _BATCH)]
    some, few = values[: len(values) // 10], values[: len(values) // 100]
    decoded = [codec.decode(value) for value in some]
    fast = fastavro.parse_schema(without_logical_types(codec.schema))
    rows = [fastavro.schemaless_reader(io.BytesIO(value[_HEADER:]), fast) for value in some]
    slow = avro.schema.make_avsc_object(without_logical_types(codec.schema), avro.name.Names())
    reader, writer = avro.io.DatumReader(slow), avro.io.DatumWriter(slow)

    def read_fast(value: bytes) -> Any:
        return fastavro.schemaless_reader(io.BytesIO(value[_HEADER:]), fast)

    def write_fast(row: Any) -> None:
        fastavro.schemaless_writer(io.BytesIO(), fast, row)

    def read_slow(value: bytes) -> Any:
        return reader.read(avro.io.BinaryDecoder(io.BytesIO(value[_HEADER:])))

    def write_slow(row: Any) -> None:
        writer.write(row, avro.io.BinaryEncoder(io.BytesIO()))

    return [
        _result(
            "decode-columns",
            lambda batch: decode_ticks(batch, codec),
            [Spans.of(batch) for batch in batches],
            len(values),
        ),
        _result("decode-codec", codec.decode, some, len(some)),
        _result("decode-fastavro", read_fast, some, len(some)),
        _result("decode-avro", read_slow, few, len(few)),
        _result("encode-codec", codec.encode, decoded, len(decoded)),
        _result("encode-fastavro", write_fast, rows, len(rows)),
        _result("encode-avro", write_slow, rows[: len(few)], len(few)),
    ]


def _result(name: str, function: Callable[[Any], object], inputs: Sequence[Any], records: int) -> dict[str, object]:
    best = float("inf")
    for _ in range(_REPEATS):
        start = time.perf_counter()
        for one in inputs:
            function(one)
        best = min(best, time.perf_counter() - start)
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
