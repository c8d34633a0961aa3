"""Ticks that are kept for later, and their form in a snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from operator import attrgetter
from typing import Any

from schemas.clock import Held
from schemas.enums import Side, TickKind
from schemas.records import Tick

__all__ = ["Held", "dump", "load"]

_NAMES = tuple(field.name for field in fields(Tick))
_values = attrgetter(*_NAMES)


def dump(held: Iterable[Held]) -> list[list[Any]]:
    """Give ticks as JSON-able values."""
    return [[offset, *_values(tick)] for offset, tick in held]


def load(rows: Iterable[list[Any]]) -> list[Held]:
    """Take back what `dump` gave."""
    held = []
    for offset, *values in rows:
        named = dict(zip(_NAMES, values, strict=True))
        named["kind"] = TickKind(named["kind"])
        named["side"] = Side(named["side"])
        held.append((offset, Tick(**named)))
    return held
