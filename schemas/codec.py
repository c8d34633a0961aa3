"""Avro in the Confluent wire format, one record at a time.

A value is the magic byte 0, a 4-byte big-endian schema id and the Avro body. The header form (magic 1 in the record
header `__value_schema_id`, then a 16-byte schema GUID, the value being the bare body) is accepted when reading.

Decimals stay integers in schema units: the schema is handed to fastavro with its logical types taken off, and the bytes
of a decimal are the two's complement of the unscaled integer (Avro 1.12 specification, "Decimal").
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, cast

import fastavro
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException

from schemas import enums, records
from schemas.errors import CodecError
from schemas.reasons import DeadLetterReason
from schemas.records import Record
from schemas.topics import topic_of

__all__ = [
    "AVRO_ROOT",
    "HEADER_SIZE",
    "SCHEMA_ID_HEADER",
    "Codec",
    "committed_versions",
    "decimal_bytes",
    "load_schema",
    "schema_text",
    "split_header",
]

AVRO_ROOT = Path(__file__).with_name("avro")
HEADER_SIZE = 5
SCHEMA_ID_HEADER = "__value_schema_id"

Json = Any
"""A parsed Avro schema: JSON as `json.loads` gives it."""


def committed_versions(subject: str) -> list[int]:
    """List the released versions of a subject, oldest first; empty for an unknown subject."""
    return sorted(int(path.stem[1:]) for path in (AVRO_ROOT / subject).glob("v*.avsc"))


@cache
def schema_text(subject: str, version: int) -> str:
    """Read a committed schema as its text."""
    return (AVRO_ROOT / subject / f"v{version}.avsc").read_text(encoding="utf-8")


def load_schema(subject: str, version: int | None = None) -> Json:
    """Load a committed schema as JSON; the newest where no version is named."""
    return json.loads(schema_text(subject, version or committed_versions(subject)[-1]))


def split_header(value: bytes | None, headers: Sequence[tuple[str, bytes]] | None = None) -> tuple[int | bytes, bytes]:
    """Split a Kafka value into its schema's id (or GUID, for the header form) and the Avro body.

    Raises:
        CodecError: NOT_FRAMED when neither form is there.
    """
    for name, content in headers or ():
        if name == SCHEMA_ID_HEADER and len(content) == 17 and content[0] == 1:
            return content[1:], value or b""
    if value is None or len(value) < HEADER_SIZE or value[0] != 0:
        raise CodecError(DeadLetterReason.NOT_FRAMED, "no Confluent header (magic byte 0 and a 4-byte schema id)")
    return int.from_bytes(value[1:HEADER_SIZE], "big"), value[HEADER_SIZE:]


class Codec:
    """Encode and decode the records of one subject.

    Args:
        record: Class of the records.
        schema_id: Id that the registry gave to the newest committed schema, written into each header.
        writers: Schemas of further ids that may be read, as JSON, by id or GUID.
    """

    def __init__(self, record: type[Record], schema_id: int, writers: Mapping[int | bytes, Json] | None = None) -> None:
        self.record = record
        self.subject = cast(str, topic_of(record).subject)
        self.schema_id = schema_id
        schema = load_schema(self.subject)
        self._header = b"\x00" + schema_id.to_bytes(4, "big")
        self._names = [field.name for field in fields(record)]
        self._reader = _parse(schema)
        self._writers: dict[int | bytes, Any] = {schema_id: self._reader}
        for key, writer in (writers or {}).items():
            self._writers.setdefault(key, _parse(writer))
        self._to_avro = [_to_avro(f["type"]) for f in schema["fields"]]
        self._from_avro = {f["name"]: _from_avro(f["type"]) for f in schema["fields"]}

    def add_writer(self, schema_id: int | bytes, schema: Json) -> None:
        """Learn a writer's schema, so that its records can be read.

        Raises:
            CodecError: UNKNOWN_SCHEMA, where it is not an Avro schema.
        """
        try:
            self._writers[schema_id] = _parse(schema)
        except (SchemaParseException, ValueError, TypeError, KeyError) as error:
            raise CodecError(DeadLetterReason.UNKNOWN_SCHEMA, f"{self.subject}: not an Avro schema: {error}") from error

    def add_committed(self, schema_id: int, version: int) -> None:
        """Learn the id of a committed version."""
        self.add_writer(schema_id, load_schema(self.subject, version))

    def knows(self, schema_id: int | bytes) -> bool:
        """Tell whether records of this schema id can be read."""
        return schema_id in self._writers

    def encode(self, record: Record) -> bytes:
        """Encode a record with its Confluent header."""
        out = io.BytesIO()
        out.write(self._header)
        fastavro.schemaless_writer(out, self._reader, self._datum(record))
        return out.getvalue()

    def decode(self, value: bytes | None, headers: Sequence[tuple[str, bytes]] | None = None) -> Record:
        """Decode a Kafka value.

        Raises:
            CodecError: not framed, an unknown schema id, truncated, too long or otherwise not the record.
        """
        schema_id, body = split_header(value, headers)
        writer = self._writers.get(schema_id)
        if writer is None:
            shown = schema_id if isinstance(schema_id, int) else schema_id.hex()
            raise CodecError(DeadLetterReason.UNKNOWN_SCHEMA, f"schema id {shown} is not known for {self.subject}")
        stream = io.BytesIO(body)
        try:
            datum = cast(dict[str, Any], fastavro.schemaless_reader(stream, writer, self._reader))
        except EOFError as error:
            raise CodecError(DeadLetterReason.TRUNCATED, f"{self.subject}: the body ends early") from error
        except _DECODE_ERRORS as error:
            raise CodecError(DeadLetterReason.MALFORMED, f"{self.subject}: {error}") from error
        if stream.tell() != len(body):
            raise CodecError(DeadLetterReason.TRUNCATED, f"{self.subject}: {len(body) - stream.tell()} bytes left over")
        try:
            return self.record(**{name: convert(datum[name]) for name, convert in self._from_avro.items()})
        except (ValueError, OverflowError) as error:
            raise CodecError(DeadLetterReason.MALFORMED, f"{self.subject}: {error}") from error

    def _datum(self, record: Record) -> dict[str, Any]:
        return {name: convert(getattr(record, name)) for name, convert in zip(self._names, self._to_avro, strict=True)}


# What fastavro's C reader raises on hostile bytes, found by fuzzing it.
_DECODE_ERRORS = (
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    SchemaParseException,
    SchemaResolutionError,
    StopIteration,
    AssertionError,
)


def _parse(schema: Json) -> Any:
    return fastavro.parse_schema(_without_logical_types(schema))


def _without_logical_types(schema: Json) -> Json:
    if isinstance(schema, list):
        return [_without_logical_types(branch) for branch in schema]
    if isinstance(schema, dict):
        if schema.get("logicalType") in ("decimal", "timestamp-micros"):
            return schema["type"]
        return {
            key: _without_logical_types(value) if key in ("type", "items", "values", "fields") else value
            for key, value in schema.items()
        }
    return schema


def decimal_bytes(units: int) -> bytes:
    """Encode an unscaled integer as the shortest big-endian two's complement."""
    return units.to_bytes((units.bit_length() >> 3) + 1, "big", signed=True)


def _identity(value: Any) -> Any:
    return value


def _is_decimal(schema: Json) -> bool:
    return isinstance(schema, dict) and schema.get("logicalType") == "decimal"


def _to_avro(schema: Json) -> Callable[[Any], Any]:
    if isinstance(schema, list):
        inner = _to_avro(schema[1])
        return _identity if inner is _identity else lambda value: None if value is None else inner(value)
    if _is_decimal(schema):
        return decimal_bytes
    if isinstance(schema, dict) and schema["type"] == "array":
        items = schema["items"]
        if (isinstance(items, str) and items[0].isupper()) or isinstance(items, dict):
            return lambda levels: [{"price": decimal_bytes(x.price), "size": decimal_bytes(x.size)} for x in levels]
        return list
    if isinstance(schema, dict) and schema["type"] == "map":
        return dict
    if isinstance(schema, dict) and schema["type"] == "enum":
        return str
    return _identity


def _from_avro(schema: Json) -> Callable[[Any], Any]:
    if isinstance(schema, list):
        inner = _from_avro(schema[1])
        return _identity if inner is _identity else lambda value: None if value is None else inner(value)
    if _is_decimal(schema):
        bound = 128 if schema["precision"] > 19 else 64
        return lambda raw: _from_decimal_bytes(raw, bound)
    if isinstance(schema, dict) and schema["type"] == "array":
        items = schema["items"]
        if isinstance(items, dict):
            level = getattr(records, items["name"])
        elif items[0].isupper():
            level = getattr(records, items)
        else:
            return tuple
        return lambda levels: tuple(
            level(price=_from_decimal_bytes(x["price"], 64), size=_from_decimal_bytes(x["size"], 64)) for x in levels
        )
    if isinstance(schema, dict) and schema["type"] == "enum":
        symbols: type[StrEnum] = getattr(enums, schema["name"])
        return symbols
    return _identity


def _from_decimal_bytes(raw: bytes, bits: int) -> int:
    units = int.from_bytes(raw, "big", signed=True)
    if not -(1 << (bits - 1)) <= units < 1 << (bits - 1):
        raise OverflowError(f"a decimal of {len(raw)} bytes does not fit {bits} bits")
    return units
