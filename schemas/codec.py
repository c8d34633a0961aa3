"""Avro in the Confluent wire format, one record at a time.

A value is the magic byte 0, a 4-byte big-endian schema id and the Avro body. The header form (magic 1 in the record
header `__value_schema_id`, then a 16-byte schema GUID, the value being the bare body) is accepted when reading.

Records written with the newest committed schema are read by the strict decoder of `schemas.binary`. Those of another
known schema are first resolved to it by fastavro (Avro 1.12 specification, "Schema resolution").
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, cast

import fastavro
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException

from schemas import enums, records
from schemas.binary import compile_reader, compile_writer
from schemas.errors import CodecError
from schemas.reasons import DeadLetterReason
from schemas.records import Record
from schemas.resolution import read_problems
from schemas.topics import TOPICS, topic_of

__all__ = [
    "AVRO_ROOT",
    "HEADER_SIZE",
    "SCHEMA_ID_HEADER",
    "Codec",
    "SchemaId",
    "committed_subjects",
    "committed_versions",
    "load_schema",
    "schema_text",
    "split_header",
]

AVRO_ROOT = Path(__file__).with_name("avro")
HEADER_SIZE: Final = 5
SCHEMA_ID_HEADER: Final = "__value_schema_id"

Json = Any
"""A parsed Avro schema: JSON as `json.loads` gives it."""
SchemaId = int | bytes
"""What names a writer's schema: a registry's id, or the 16 bytes of a GUID."""

_CLASSES: Mapping[str, type] = {
    name: value for module in (enums, records) for name, value in vars(module).items() if isinstance(value, type)
}


def committed_subjects() -> list[str]:
    """List the subjects that have committed schemas, in the catalogue's order."""
    return [topic.subject for topic in TOPICS.values() if topic.subject is not None]


def committed_versions(subject: str) -> list[int]:
    """List the committed versions of a subject, oldest first; empty for an unknown subject."""
    return sorted(int(path.stem[1:]) for path in (AVRO_ROOT / subject).glob("v*.avsc"))


@cache
def schema_text(subject: str, version: int) -> str:
    """Read a committed schema as its text."""
    return (AVRO_ROOT / subject / f"v{version}.avsc").read_text(encoding="utf-8")


def load_schema(subject: str, version: int | None = None) -> Json:
    """Load a committed schema as JSON; the newest where no version is named."""
    return json.loads(schema_text(subject, version or committed_versions(subject)[-1]))


def split_header(value: bytes | None, headers: Sequence[tuple[str, bytes]] | None = None) -> tuple[SchemaId, bytes]:
    """Split a Kafka value into its schema's id (or GUID, for the header form) and the Avro body.

    Raises:
        CodecError: NOT_FRAMED when neither form is there.
    """
    for name, content in headers or ():
        # A header's value may be null, whatever its type says.
        if name == SCHEMA_ID_HEADER and content and len(content) == 17 and content[0] == 1:
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

    def __init__(self, record: type[Record], schema_id: int, writers: Mapping[SchemaId, Json] | None = None) -> None:
        self.record = record
        self.subject = cast(str, topic_of(record).subject)
        self.schema_id = schema_id
        self.schema = load_schema(self.subject)
        self.header = b"\x00" + schema_id.to_bytes(4, "big")
        self._read = compile_reader(self.schema, _CLASSES)
        self._write = compile_writer(self.schema, _CLASSES)
        self._resolved = _parse(self.schema)
        self._decoders: dict[SchemaId, Callable[[bytes], Record]] = {schema_id: self._decode_body}
        self._newest_ids: frozenset[SchemaId] = frozenset({schema_id})
        for key, writer in (writers or {}).items():
            if key != schema_id:
                self.add_writer(key, writer)

    def add_writer(self, schema_id: SchemaId, schema: Json) -> None:
        """Learn a writer's schema, so that its records can be read.

        Records of a schema that this subject's cannot read stay refused, as UNKNOWN_SCHEMA, saying why.
        """
        if _bare(schema) == _bare(self.schema):
            self._newest_ids |= {schema_id}
            self._decoders[schema_id] = self._decode_body
        else:
            self._newest_ids -= {schema_id}
            self._decoders[schema_id] = self._resolver(_shown(schema_id), schema)

    def add_committed(self, schema_id: SchemaId, version: int) -> None:
        """Learn the id of a committed version."""
        self.add_writer(schema_id, load_schema(self.subject, version))

    def knows(self, schema_id: SchemaId) -> bool:
        """Tell whether this schema id was learned, be it as one to refuse."""
        return schema_id in self._decoders

    def newest_ids(self) -> frozenset[SchemaId]:
        """Give the ids of the newest committed schema, whose records need no resolution."""
        return self._newest_ids

    def encode(self, record: Record) -> bytes:
        """Encode a record with its Confluent header.

        Raises:
            CodecError: DOES_NOT_FIT for a decimal beyond its precision, MALFORMED for any other value that the schema
                cannot hold.
        """
        try:
            return self.header + self._write(record)
        except CodecError as error:
            raise CodecError(error.reason, f"{self.subject}: {error.detail}") from error

    def decode(self, value: bytes | None, headers: Sequence[tuple[str, bytes]] | None = None) -> Record:
        """Decode a Kafka value.

        Raises:
            CodecError: not framed, an unknown schema id, truncated, too long or otherwise not the record.
        """
        schema_id, body = split_header(value, headers)
        decode = self._decoders.get(schema_id)
        if decode is None:
            detail = f"schema id {_shown(schema_id)} is not known for {self.subject}"
            raise CodecError(DeadLetterReason.UNKNOWN_SCHEMA, detail)
        try:
            return decode(body)
        except CodecError as error:
            raise CodecError(error.reason, f"{self.subject}: {error.detail}") from error.__cause__

    def _resolver(self, shown: str, schema: Json) -> Callable[[bytes], Record]:
        if problems := read_problems(self.schema, schema):
            return partial(_refuse, f"schema id {shown}: {'; '.join(problems)}")
        try:
            return partial(self._decode_resolved, _parse(schema))
        except _HOSTILE as error:
            return partial(_refuse, f"schema id {shown}: {error}")

    def _decode_body(self, body: bytes) -> Record:
        record, end = self._read(body, 0)
        if end != len(body):
            raise CodecError(DeadLetterReason.TRUNCATED, f"{len(body) - end} bytes left over")
        return cast(Record, record)

    def _decode_resolved(self, writer: Any, body: bytes) -> Record:
        stream = io.BytesIO(body)
        try:
            datum = fastavro.schemaless_reader(stream, writer, self._resolved)
            newest = io.BytesIO()
            if stream.tell() == len(body):
                fastavro.schemaless_writer(newest, self._resolved, datum)
        except EOFError as error:
            raise CodecError(DeadLetterReason.TRUNCATED, "the body ends early") from error
        except _HOSTILE as error:
            raise CodecError(DeadLetterReason.MALFORMED, f"{type(error).__name__}: {error}") from error
        if stream.tell() != len(body):
            raise CodecError(DeadLetterReason.TRUNCATED, f"{len(body) - stream.tell()} bytes left over")
        return self._decode_body(newest.getvalue())


# What fastavro raises on hostile bytes and odd schemas, found by fuzzing it.
_HOSTILE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    SchemaParseException,
    SchemaResolutionError,
)


def _shown(schema_id: SchemaId) -> str:
    return str(schema_id) if isinstance(schema_id, int) else schema_id.hex()


def _parse(schema: Json) -> Any:
    return fastavro.parse_schema(_without_logical_types(schema))


def _without_logical_types(schema: Json) -> Json:
    """Take the logical types off, so that fastavro neither rounds a decimal nor bounds a time."""
    if isinstance(schema, list):
        return [_without_logical_types(branch) for branch in schema]
    if isinstance(schema, dict):
        if "logicalType" in schema and schema["type"] in ("bytes", "long", "int", "string"):
            return schema["type"]
        return {
            key: _without_logical_types(value) if key in ("type", "items", "values", "fields") else value
            for key, value in schema.items()
        }
    return schema


def _bare(schema: Json) -> Json:
    """Take off what does not change the bytes or how they are read: documentation and defaults of fields."""
    if isinstance(schema, list):
        return [_bare(branch) for branch in schema]
    if isinstance(schema, dict):
        return {key: _bare(value) for key, value in schema.items() if key not in ("doc", "default")}
    return schema


def _refuse(detail: str, _body: bytes) -> Record:
    raise CodecError(DeadLetterReason.UNKNOWN_SCHEMA, detail)
