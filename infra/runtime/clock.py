"""The wall clock, passed in wherever time is needed so that tests can hold it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Clock", "wall_clock_us"]

Clock: TypeAlias = Callable[[], int]
"""Gives microseconds since the epoch, UTC."""


def wall_clock_us() -> int:
    """Give the machine's time in microseconds since the epoch, UTC."""
    return time.time_ns() // 1_000
