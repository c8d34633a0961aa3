"""InfluxDB's line protocol (InfluxDB 2 reference, "Line protocol"), nanosecond precision. Pure.

One line is one point; a point with the measurement, tags and time of another replaces it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Field", "Point"]

Field = int | float | str | bool
_INT64 = 1 << 63

_ESCAPE_MEASUREMENT = str.maketrans({",": "\\,", " ": "\\ ", "\n": " ", "\r": " "})
_ESCAPE_KEY = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ ", "\n": " ", "\r": " "})
_ESCAPE_TEXT = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": " ", "\r": " "})


@dataclass(frozen=True, slots=True)
class Point:
    """One point; fields that are None or not finite, and empty tags, are left out.

    Attributes:
        time_ns: Nanoseconds since the epoch.
    """

    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, Field | None]
    time_ns: int

    @property
    def series(self) -> tuple[str, tuple[tuple[str, str], ...], int]:
        """What identifies the point: another one with the same replaces it."""
        return (self.measurement, tuple(sorted(self.tags.items())), self.time_ns)

    def line(self) -> str | None:
        """Write the point as a line without its end; None where no field is left."""
        written = [f"{_key(name)}={text}" for name, text in _fields(self.fields) if _key(name)]
        if not written:
            return None
        head = self.measurement.translate(_ESCAPE_MEASUREMENT)
        for name, value in sorted(self.tags.items()):
            if _key(name) and _key(value):
                head += f",{_key(name)}={_key(value)}"
        return f"{head} {','.join(written)} {self.time_ns}"


def _key(text: str) -> str:
    # A backslash at the end would escape what follows.
    return text.rstrip("\\").translate(_ESCAPE_KEY)


def _fields(fields: Mapping[str, Field | None]) -> list[tuple[str, str]]:
    return [(name, text) for name, value in fields.items() if (text := _field(value)) is not None]


def _field(value: Field | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i" if -_INT64 <= value < _INT64 else None
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else None
    return f'"{value.translate(_ESCAPE_TEXT)}"'
