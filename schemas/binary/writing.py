"""Writing Avro's binary encoding: the shortest form of everything, one block an array."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from operator import attrgetter
from struct import Struct
from struct import error as struct_error
from typing import Any

from schemas.binary.decimals import decimal_range
from schemas.errors import CodecError
from schemas.reasons import DeadLetterReason

__all__ = ["Writer", "compile_writer", "encode_long"]

Writer = Callable[[Any], bytes]
Json = Any

_INT_MAX = (1 << 31) - 1
_DOUBLE = Struct("<d")


def compile_writer(schema: Json, classes: Mapping[str, type]) -> Writer:
    """Compile a schema into its writer, the inverse of the reader.

    Returns:
        A function that raises CodecError for a value that the schema cannot hold.
    """
    return _writer(schema, classes, {})


def _writer(schema: Json, classes: Mapping[str, type], named: dict[str, Writer]) -> Writer:
    if isinstance(schema, list):
        return _optional_writer(_writer(schema[1], classes, named))
    if isinstance(schema, str):
        return _PRIMITIVE_WRITERS.get(schema) or named[schema]
    kind = schema["type"]
    if kind == "record":
        writer = _record_writer(schema, classes, named)
        named[schema["name"]] = writer
        return writer
    if kind == "enum":
        symbols = {symbol: encode_long(index) for index, symbol in enumerate(schema["symbols"])}
        named[schema["name"]] = symbols.__getitem__
        return symbols.__getitem__
    if kind == "array":
        return _array_writer(_writer(schema["items"], classes, named))
    if kind == "map":
        return _map_writer(_writer(schema["values"], classes, named))
    if schema.get("logicalType") == "decimal":
        return _decimal_writer(schema)
    return _PRIMITIVE_WRITERS[kind]


_ONE_BYTE = [bytes((value,)) for value in range(128)]


def encode_long(value: int) -> bytes:
    """Encode a 64-bit integer as a zig-zag varint.

    Raises:
        OverflowError: more than 64 bits.
    """
    zigzag = value << 1 if value >= 0 else ~(value << 1)
    if zigzag < 128:
        return _ONE_BYTE[zigzag]
    if zigzag >> 64:
        raise OverflowError(f"{value} is not a 64-bit long")
    out = bytearray()
    while zigzag > 127:
        out.append(zigzag & 127 | 128)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


def _write_int(value: int) -> bytes:
    if not -_INT_MAX - 1 <= value <= _INT_MAX:
        raise OverflowError(f"{value} is not a 32-bit int")
    return encode_long(value)


def _write_bytes(value: bytes) -> bytes:
    return encode_long(len(value)) + value


def _write_string(value: str) -> bytes:
    raw = value.encode()
    return encode_long(len(raw)) + raw


_PRIMITIVE_WRITERS: Mapping[str, Writer] = {
    "long": encode_long,
    "int": _write_int,
    "bytes": _write_bytes,
    "string": _write_string,
    "boolean": {False: b"\x00", True: b"\x01"}.__getitem__,
    "double": _DOUBLE.pack,
}


def _decimal_writer(schema: Mapping[str, Any]) -> Writer:
    digits = schema["precision"]
    least, greatest = decimal_range(digits)

    def write_decimal(units: int) -> bytes:
        if not least <= units <= greatest:
            raise CodecError(DeadLetterReason.DOES_NOT_FIT, f"{units} does not fit a decimal of {digits} digits")
        raw = units.to_bytes(((units if units >= 0 else ~units).bit_length() >> 3) + 1, "big", signed=True)
        return _ONE_BYTE[len(raw) << 1] + raw

    return write_decimal


def _optional_writer(inner: Writer) -> Writer:
    def write_optional(value: Any) -> bytes:
        return b"\x00" if value is None else b"\x02" + inner(value)

    return write_optional


def _array_writer(item: Writer) -> Writer:
    def write_array(values: Any) -> bytes:
        if not values:
            return b"\x00"
        return b"".join((encode_long(len(values)), *map(item, values), b"\x00"))

    return write_array


def _map_writer(inner: Writer) -> Writer:
    def write_map(values: Mapping[str, Any]) -> bytes:
        if not values:
            return b"\x00"
        entries = (_write_string(key) + inner(value) for key, value in values.items())
        return b"".join((encode_long(len(values)), *entries, b"\x00"))

    return write_map


def _record_writer(schema: Mapping[str, Any], classes: Mapping[str, type], named: dict[str, Writer]) -> Writer:
    names = [field["name"] for field in schema["fields"]]
    assert names == [field.name for field in fields(classes[schema["name"]])]
    writers = [_writer(field["type"], classes, named) for field in schema["fields"]]
    values_of = attrgetter(*names)

    def write_record(record: Any) -> bytes:
        parts: list[bytes] = []
        try:
            for write, value in zip(writers, values_of(record), strict=True):
                parts.append(write(value))
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError, struct_error) as error:
            field = names[len(parts)]
            raise CodecError(DeadLetterReason.MALFORMED, f"{field}: {type(error).__name__}: {error}") from error
        except CodecError as error:
            raise CodecError(error.reason, f"{names[len(parts)]}: {error.detail}") from None
        return b"".join(parts)

    return write_record
