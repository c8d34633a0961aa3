"""What an executor has to tell people: the makings of an alert."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.enums import Severity
from schemas.records import Market

__all__ = ["Notice"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person should know."""

    severity: Severity
    code: str
    message: str
    market: Market | None = None
