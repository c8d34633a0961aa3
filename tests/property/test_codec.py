"""The codec against two other Avro implementations, and against bytes that are no record."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import avro.io
import avro.schema
import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import enums, records
from schemas.codec import Codec, load_schema
from schemas.errors import CodecError
from schemas.numbers import INT64_MAX, from_units
from schemas.reasons import DeadLetterReason
from schemas.records import Record
from schemas.topics import TOPICS

RECORDS = [topic.record for topic in TOPICS.values() if topic.record is not None]
LONG = st.integers(-INT64_MAX - 1, INT64_MAX)
# What a datetime can hold, so that the other implementations can show it.
MICROS = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=20),
    "bytes": st.binary(max_size=20),
    "long": LONG,
    "int": st.integers(-(1 << 31), (1 << 31) - 1),
    "boolean": st.booleans(),
    "double": st.floats(allow_nan=False),
}

unhurried = settings(deadline=None, max_examples=60)
each_record = pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)


def values_of(schema: Any, named: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a field, as our records carry them.

    Args:
        named: The nested records met so far, by name: a schema defines each once and then names it.
    """
    if isinstance(schema, list):
        return st.none() | values_of(schema[1], named)
    if isinstance(schema, str):
        return PRIMITIVES[schema] if schema in PRIMITIVES else values_of(named[schema], named)
    match schema["type"]:
        case "enum":
            return st.sampled_from(list(getattr(enums, schema["name"])))
        case "array":
            return st.lists(values_of(schema["items"], named), max_size=4).map(tuple)
        case "map":
            return st.dictionaries(st.text(max_size=8), values_of(schema["values"], named), max_size=4)
        case "record":
            named[schema["name"]] = schema
            return built(getattr(records, schema["name"]), schema["fields"], named)
    if schema.get("logicalType") == "decimal":
        greatest = 10**38 - 1
        return st.integers(-greatest, greatest) if schema["precision"] == 38 else LONG
    return MICROS if schema.get("logicalType") == "timestamp-micros" else PRIMITIVES[schema["type"]]


def built(record: type[Record], fields: list[Any], named: dict[str, Any]) -> st.SearchStrategy[Record]:
    return st.builds(record, **{field["name"]: values_of(field["type"], named) for field in fields})


@cache
def records_of(record: type[Record]) -> st.SearchStrategy[Record]:
    return built(record, load_schema(codec_of(record).subject)["fields"], {})


@cache
def codec_of(record: type[Record]) -> Codec:
    return Codec(record, 7)


def shown(value: Any, schema: Any, named: dict[str, Any]) -> Any:
    """What another implementation makes of a value of ours, logical types applied."""
    if isinstance(schema, list):
        return None if value is None else shown(value, schema[1], named)
    if isinstance(schema, str):
        return shown(value, named[schema], named) if schema in named else value
    if schema.get("logicalType") == "decimal":
        return from_units(value, schema["scale"])
    if schema.get("logicalType") == "timestamp-micros":
        return datetime.fromtimestamp(value // 1_000_000, UTC).replace(microsecond=value % 1_000_000)
    match schema["type"]:
        case "record":
            named[schema["name"]] = schema
            return {f["name"]: shown(getattr(value, f["name"]), f["type"], named) for f in schema["fields"]}
        case "array":
            if isinstance(schema["items"], dict):
                named[schema["items"]["name"]] = schema["items"]
            return [shown(item, schema["items"], named) for item in value]
        case "map":
            return dict(value)
        case "enum":
            return str(value)
    return value


@each_record
@unhurried
@given(data=st.data())
def test_a_record_is_the_same_after_encoding_and_decoding(record: type[Record], data: st.DataObject) -> None:
    """What goes into a topic comes out of it."""
    original = data.draw(records_of(record))
    codec = codec_of(record)
    assert codec.decode(codec.encode(original)) == original


@each_record
@unhurried
@given(data=st.data())
def test_fastavro_reads_and_writes_the_same_bytes(record: type[Record], data: st.DataObject) -> None:
    """With its logical types on, fastavro agrees on every value and every byte."""
    original = data.draw(records_of(record))
    codec = codec_of(record)
    value = codec.encode(original)
    schema = load_schema(codec.subject)
    plain = shown(original, schema, {})
    parsed = fastavro.parse_schema(schema)

    assert fastavro.schemaless_reader(io.BytesIO(value[5:]), parsed) == plain
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed, plain)
    assert codec.decode(value[:5] + out.getvalue()) == original


@cache
def apache_schema(subject: str) -> Any:
    return avro.schema.parse(json.dumps(load_schema(subject)))


@each_record
@unhurried
@given(data=st.data())
def test_apache_avro_reads_and_writes_the_same_record(record: type[Record], data: st.DataObject) -> None:
    """With its logical types on, Apache Avro agrees on every value."""
    original = data.draw(records_of(record))
    codec = codec_of(record)
    value = codec.encode(original)
    schema = apache_schema(codec.subject)
    plain = shown(original, load_schema(codec.subject), {})

    assert avro.io.DatumReader(schema).read(avro.io.BinaryDecoder(io.BytesIO(value[5:]))) == plain
    out = io.BytesIO()
    avro.io.DatumWriter(schema).write(plain, avro.io.BinaryEncoder(out))
    assert codec.decode(value[:5] + out.getvalue()) == original


@each_record
@unhurried
@given(data=st.data())
def test_a_record_cut_short_or_run_on_is_truncated(record: type[Record], data: st.DataObject) -> None:
    """Every proper prefix of a body ends early, and nothing may follow it."""
    codec = codec_of(record)
    value = codec.encode(data.draw(records_of(record)))
    for length in range(5, len(value)):
        with pytest.raises(CodecError) as caught:
            codec.decode(value[:length])
        assert caught.value.reason is DeadLetterReason.TRUNCATED
    with pytest.raises(CodecError) as caught:
        codec.decode(value + data.draw(st.binary(min_size=1, max_size=3)))
    assert caught.value.reason is DeadLetterReason.TRUNCATED


def assert_a_record_or_a_reason(codec: Codec, value: bytes) -> None:
    try:
        decoded = codec.decode(value)
    except CodecError:
        return
    assert type(decoded) is codec.record
    codec.decode(codec.encode(decoded))


@each_record
@unhurried
@given(body=st.binary(max_size=400))
def test_random_bytes_give_a_record_or_a_reason(record: type[Record], body: bytes) -> None:
    """Nothing but CodecError comes out of bytes that are no record."""
    assert_a_record_or_a_reason(codec_of(record), b"\x00\x00\x00\x00\x07" + body)


@st.composite
def mutated(draw: st.DrawFn, value: bytes) -> bytes:
    """A value with a few bytes replaced, inserted or removed."""
    out = bytearray(value)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(5, max(5, len(out) - 1)))
        removed = draw(st.integers(0, 2))
        out[at : at + removed] = draw(st.binary(max_size=11) | st.sampled_from([b"\xff" * 9 + b"\x01", b"\x80" * 10]))
    return bytes(out)


@each_record
@unhurried
@given(data=st.data())
def test_damaged_records_give_a_record_or_a_reason(record: type[Record], data: st.DataObject) -> None:
    """Nothing but CodecError comes out of a record with damaged bytes."""
    codec = codec_of(record)
    assert_a_record_or_a_reason(codec, data.draw(mutated(codec.encode(data.draw(records_of(record))))))


def older(schema: Any) -> Any:
    """A writer's schema of another version: another order, nothing that has a default, a field of its own."""
    first, *rest = (field for field in reversed(schema["fields"]) if "default" not in field)
    extra = {"name": "extra", "type": {"type": "array", "items": "string"}}
    return {**schema, "fields": [first, extra, *reversed(rest)]}


def carried(default: Any) -> Any:
    """A field's default as our records carry it."""
    return tuple(default) if isinstance(default, list) else default


@each_record
@unhurried
@given(data=st.data())
def test_another_version_is_resolved_to_the_newest(record: type[Record], data: st.DataObject) -> None:
    """Fields are matched by name, missing ones take their default, unknown ones are skipped; damage gives a reason."""
    newest = load_schema(codec_of(record).subject)
    writer = older(newest)
    codec = Codec(record, 7, {8: writer})
    original = data.draw(records_of(record))
    defaults = {field["name"]: carried(field["default"]) for field in newest["fields"] if "default" in field}
    out = io.BytesIO()
    out.write(b"\x00\x00\x00\x00\x08")
    fastavro.schemaless_writer(out, fastavro.parse_schema(writer), {**shown(original, newest, {}), "extra": ["x"]})

    assert codec.decode(out.getvalue()) == replace(original, **defaults)
    assert_a_record_or_a_reason(codec, data.draw(mutated(out.getvalue())))
