"""Ticks that speak of a time that is none are no ticks: worker and executor must leave out the same ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numba import from_dtype, int64, types

from schemas.codec import Codec
from schemas.columns import TickColumns, decode_ticks
from schemas.columns.layout import layout_of
from schemas.columns.spans import Spans
from schemas.compiled import Array, compiled
from schemas.errors import CodecError
from schemas.reasons import DeadLetterReason
from schemas.records import Tick

__all__ = ["END_OF_TIME_US", "decode_timely"]

END_OF_TIME_US = 1 << 53
"""In the year 2255. A tick that speaks of a later time, or one before 1970, is a dead letter."""


def decode_timely(values: Spans, codec: Codec) -> TickColumns:
    """Decode a batch of ticks; one with a time that is none is an error of its row, like bytes that are no tick."""
    columns = decode_ticks(values, codec)
    untimely = _untimely(columns)
    if not untimely:
        return columns
    columns.ok[list(untimely)] = False
    return replace(columns, errors={**columns.errors, **untimely})


@compiled(int64(types.Array(from_dtype(layout_of(Tick).dtype), 1, "C")))
def _all_bits(rows: Array) -> int:
    """Give the bits that any time has: no less than the greatest, or negative where one is."""
    bits = 0
    for i in range(len(rows)):
        row = rows[i]
        bits |= row.ts_recv | row.ts_event | row.watermark
    return bits


def _untimely(columns: TickColumns) -> dict[int, CodecError]:
    """Find the ticks with a time that is none: sums with it could not be held, and the clock would never go on."""
    errors: dict[int, CodecError] = {}
    if 0 <= _all_bits(columns.rows) < END_OF_TIME_US:
        return errors
    for name in ("ts_recv", "ts_event", "watermark"):
        column = getattr(columns, name)
        for row in np.flatnonzero((column < 0) | (column >= END_OF_TIME_US)).tolist():
            detail = f"{name} is {int(column[row])}, not microseconds since 1970"
            errors[row] = CodecError(DeadLetterReason.MALFORMED, detail)
    return errors
