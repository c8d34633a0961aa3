"""InfluxDB line protocol, read strictly (InfluxDB v2 reference, "Line protocol").

    measurement[,tag=value…] field=value[,field=value…] [timestamp]

Values of fields: `1.5` or `1` a float, `1i` an integer of 64 bits, `1u` an unsigned one, `"text"`, `true` and its kin.
A backslash escapes comma, equals sign and blank in names and tags, and quote and backslash in text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from schemas.errors import ProtocolError
from schemas.reasons import DeadLetterReason

__all__ = ["FieldType", "Point", "parse_line", "parse_lines"]

_INT64 = 2**63
_TRUE = {"t", "T", "true", "True", "TRUE"}
_FALSE = {"f", "F", "false", "False", "FALSE"}
_NAME = r"(?:\\.|[^\\,= \n])+"
_MEASUREMENT = re.compile(r"(?:\\.|[^\\, \n])+")
_TAG = re.compile(rf",({_NAME})=({_NAME})")
_FIELD = re.compile(rf'({_NAME})=("(?:\\.|[^"\\])*"|[^", \n]+)', re.DOTALL)
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"([+-]?[0-9]{1,20})i")
_UNSIGNED = re.compile(r"([0-9]{1,20})u")
_TIMESTAMP = re.compile(r"-?[0-9]{1,20}")
_QUOTED_LINE = re.compile(r'(?:\\.|"(?:\\.|[^"\\])*"|[^"\n\\])*', re.DOTALL)


class FieldType(StrEnum):
    """What kind of values a field has."""

    FLOAT = "float"
    INTEGER = "integer"
    UNSIGNED = "unsigned"
    STRING = "string"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Point:
    """One point: its series (measurement and sorted tags), the types of its fields, its time in the request's unit."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, FieldType], ...]
    timestamp: int | None


def parse_lines(text: str) -> Iterator[Point]:
    """Parse a request's lines; blank lines and comments are skipped.

    Raises:
        ProtocolError: a line is not line protocol.
    """
    start = 0
    while start < len(text):
        end = _end_of_line(text, start)
        line = text[start:end].rstrip("\r")
        if line.strip() and not line.lstrip().startswith("#"):
            yield parse_line(line)
        start = end + 1


def parse_line(line: str) -> Point:
    """Parse one line.

    Raises:
        ProtocolError: it is not line protocol.
    """
    measurement = _MEASUREMENT.match(line)
    if measurement is None:
        raise _bad(line, "missing measurement")
    position = measurement.end()
    tags: list[tuple[str, str]] = []
    while line.startswith(",", position):
        tag = _TAG.match(line, position)
        if tag is None:
            raise _bad(line, "invalid tag format")
        tags.append((tag[1], tag[2]))
        position = tag.end()
    if len({name for name, _ in tags}) != len(tags):
        raise _bad(line, "duplicate tags")
    if not line.startswith(" ", position):
        raise _bad(line, "missing fields")
    fields, position = _parse_fields(line, position + 1)
    rest = line[position:].strip(" ")
    if rest and not _TIMESTAMP.fullmatch(rest):
        raise _bad(line, "bad timestamp")
    timestamp = int(rest) if rest else None
    if timestamp is not None and not -_INT64 <= timestamp < _INT64:
        raise _bad(line, "time outside range")
    return Point(measurement[0], tuple(sorted(tags)), tuple(fields), timestamp)


def _parse_fields(line: str, position: int) -> tuple[list[tuple[str, FieldType]], int]:
    fields: list[tuple[str, FieldType]] = []
    while True:
        match = _FIELD.match(line, position)
        if match is None:
            raise _bad(line, "invalid field format")
        fields.append((match[1], _type_of(line, match[2])))
        position = match.end()
        if not line.startswith(",", position):
            break
        position += 1
    if position < len(line) and line[position] != " ":
        raise _bad(line, "invalid field format")
    return fields, position


def _type_of(line: str, value: str) -> FieldType:
    if value.startswith('"'):
        return FieldType.STRING
    if value in _TRUE or value in _FALSE:
        return FieldType.BOOLEAN
    if match := _INTEGER.fullmatch(value):
        if -_INT64 <= int(match[1]) < _INT64:
            return FieldType.INTEGER
        raise _bad(line, "integer out of range")
    if match := _UNSIGNED.fullmatch(value):
        if int(match[1]) < 2 * _INT64:
            return FieldType.UNSIGNED
        raise _bad(line, "unsigned integer out of range")
    if _FLOAT.fullmatch(value) and math.isfinite(float(value)):
        return FieldType.FLOAT
    raise _bad(line, "invalid number")


def _end_of_line(text: str, start: int) -> int:
    """Find the line's end: a line feed outside quoted text, or the first one where a quote is never closed."""
    end = text.find("\n", start)
    if end < 0:
        end = len(text)
    if text.find('"', start, end) < 0 or text[start:end].lstrip().startswith("#"):
        return end
    match = _QUOTED_LINE.match(text, start)
    if match is None or (match.end() < len(text) and text[match.end()] != "\n"):
        return end
    return match.end()


def _bad(line: str, problem: str) -> ProtocolError:
    return ProtocolError(DeadLetterReason.MALFORMED, f"unable to parse '{line[:256]}': {problem}")
