"""Reading Avro's binary encoding: positions are never negative, so indexing past the end raises IndexError.

The record's reader turns that into TRUNCATED.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from struct import Struct
from struct import error as struct_error
from sys import intern
from typing import Any

from schemas.binary.decimals import decimal_range
from schemas.errors import CodecError
from schemas.reasons import DeadLetterReason

__all__ = ["Reader", "compile_reader"]

Reader = Callable[[bytes, int], tuple[Any, int]]
"""Reads a value at a position and gives it with the position after it."""
Json = Any

_MALFORMED = DeadLetterReason.MALFORMED
_INT_MAX = (1 << 31) - 1
_DOUBLE = Struct("<d")


def compile_reader(schema: Json, classes: Mapping[str, type]) -> Reader:
    """Compile a schema into its reader.

    Args:
        schema: The schema as JSON.
        classes: Enum and record classes by the name of their type.

    Returns:
        A function that raises CodecError for anything but the record.
    """
    return _reader(schema, classes, {})


def _reader(schema: Json, classes: Mapping[str, type], named: dict[str, Reader]) -> Reader:
    if isinstance(schema, list):
        return _optional_reader(_reader(schema[1], classes, named))
    if isinstance(schema, str):
        return _PRIMITIVE_READERS.get(schema) or named[schema]
    kind = schema["type"]
    if kind == "record":
        reader = _record_reader(schema, classes, named)
        named[schema["name"]] = reader
        return reader
    if kind == "enum":
        members: type[StrEnum] = classes[schema["name"]]
        named[schema["name"]] = _enum_reader([members(symbol) for symbol in schema["symbols"]])
        return named[schema["name"]]
    if kind == "array":
        return _array_reader(_reader(schema["items"], classes, named))
    if kind == "map":
        return _map_reader(_reader(schema["values"], classes, named))
    if schema.get("logicalType") == "decimal":
        return _decimal_reader(schema)
    return _PRIMITIVE_READERS[kind]


def _read_long(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 128:
        return (byte >> 1) ^ -(byte & 1), at + 1
    value = shift = 0
    for byte in data[at : at + 10]:
        at += 1
        if byte < 128:
            value |= byte << shift
            if value >> 64:
                break
            return (value >> 1) ^ -(value & 1), at
        value |= (byte & 127) << shift
        shift += 7
    if byte > 127 and shift < 70:
        raise IndexError
    raise CodecError(_MALFORMED, "a varint of more than 64 bits")


def _read_int(data: bytes, at: int) -> tuple[int, int]:
    value, at = _read_long(data, at)
    if not -_INT_MAX - 1 <= value <= _INT_MAX:
        raise CodecError(_MALFORMED, f"{value} is not a 32-bit int")
    return value, at


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    byte = data[at]
    if byte < 128 and not byte & 1:  # as nearly every length: one byte, not negative
        length = byte >> 1
        at += 1
    else:
        length, at = _read_long(data, at)
        if length < 0:
            raise CodecError(_MALFORMED, f"a length of {length}")
    end = at + length
    if end > len(data):
        raise IndexError
    return data[at:end], end


def _read_string(data: bytes, at: int) -> tuple[str, int]:
    raw, at = _read_bytes(data, at)
    try:
        return raw.decode(), at
    except UnicodeDecodeError as error:
        raise CodecError(_MALFORMED, f"not UTF-8: {error.reason} at byte {error.start}") from None


def _read_boolean(data: bytes, at: int) -> tuple[bool, int]:
    byte = data[at]
    if byte > 1:
        raise CodecError(_MALFORMED, f"a boolean of {byte}")
    return byte == 1, at + 1


def _read_double(data: bytes, at: int) -> tuple[float, int]:
    try:
        return _DOUBLE.unpack_from(data, at)[0], at + 8
    except struct_error:
        raise IndexError from None


_PRIMITIVE_READERS: Mapping[str, Reader] = {
    "long": _read_long,
    "int": _read_int,
    "bytes": _read_bytes,
    "string": _read_string,
    "boolean": _read_boolean,
    "double": _read_double,
}


def _decimal_reader(schema: Mapping[str, Any]) -> Reader:
    least, greatest = decimal_range(schema["precision"])

    def read_decimal(data: bytes, at: int) -> tuple[int, int]:
        raw, at = _read_bytes(data, at)
        if not raw:
            raise CodecError(_MALFORMED, "a decimal of no bytes")
        units = int.from_bytes(raw, "big", signed=True)
        if not least <= units <= greatest:
            raise CodecError(DeadLetterReason.DOES_NOT_FIT, f"a decimal of {len(raw)} bytes is out of range")
        return units, at

    return read_decimal


def _optional_reader(inner: Reader) -> Reader:
    def read_optional(data: bytes, at: int) -> tuple[Any, int]:
        byte = data[at]
        if byte == 0:
            return None, at + 1
        if byte == 2:
            return inner(data, at + 1)
        branch, at = _read_long(data, at)
        if branch == 0:
            return None, at
        if branch == 1:
            return inner(data, at)
        raise CodecError(_MALFORMED, f"branch {branch} of a union of 2")

    return read_optional


def _enum_reader(members: list[StrEnum]) -> Reader:
    count = len(members)

    def read_enum(data: bytes, at: int) -> tuple[StrEnum, int]:
        index, at = _read_long(data, at)
        if not 0 <= index < count:
            raise CodecError(_MALFORMED, f"symbol {index} of an enum of {count}")
        return members[index], at

    return read_enum


def _array_reader(item: Reader) -> Reader:
    def read_array(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        items: list[Any] = []
        while True:
            count, at, end = _read_block(data, at)
            if not count:
                return tuple(items), at
            for _ in range(count):
                value, at = item(data, at)
                items.append(value)
            _check_block(at, end)

    return read_array


def _map_reader(inner: Reader) -> Reader:
    def read_map(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        entries: dict[str, Any] = {}
        while True:
            count, at, end = _read_block(data, at)
            if not count:
                return entries, at
            for _ in range(count):
                key, at = _read_string(data, at)
                entries[key], at = inner(data, at)
            _check_block(at, end)

    return read_map


def _read_block(data: bytes, at: int) -> tuple[int, int, int | None]:
    """Give the number of items of a block, where they start and, if the writer says so, where they end."""
    count, at = _read_long(data, at)
    end = None
    if count < 0:
        size, at = _read_long(data, at)
        count, end = -count, at + size
    # An item of ours takes a byte at least.
    if count > len(data) - at:
        raise IndexError
    return count, at, end


def _check_block(at: int, end: int | None) -> None:
    if end is not None and at != end:
        raise CodecError(_MALFORMED, f"a block ends {at - end} bytes from where it says")


def _record_reader(schema: Mapping[str, Any], classes: Mapping[str, type], named: dict[str, Reader]) -> Reader:
    record = classes[schema["name"]]
    # Interned: keyword arguments are then matched by identity, four times as fast.
    names = [intern(field["name"]) for field in schema["fields"]]
    readers = [_reader(field["type"], classes, named) for field in schema["fields"]]

    def read_record(data: bytes, at: int) -> tuple[Any, int]:
        values: list[Any] = []
        try:
            for read in readers:
                value, at = read(data, at)
                values.append(value)
        except IndexError:
            raise CodecError(DeadLetterReason.TRUNCATED, f"{names[len(values)]}: the body ends early") from None
        except CodecError as error:
            raise CodecError(error.reason, f"{names[len(values)]}: {error.detail}") from None
        return record(**dict(zip(names, values, strict=True))), at

    return read_record
