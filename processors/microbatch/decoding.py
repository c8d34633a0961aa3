"""Fetched values to columns of ticks, wherever time permits: the consumer's thread decodes while kernels run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from schemas.codec import Codec
from schemas.columns import Spans, TickColumns, decode_ticks
from schemas.errors import CodecError
from schemas.reasons import DeadLetterReason

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


def _untimely(columns: TickColumns) -> dict[int, CodecError]:
    """Find the ticks with a time that is none: sums with it could not be held, and the clock would never go on."""
    errors = {}
    for name in ("ts_recv", "ts_event", "watermark"):
        column = getattr(columns, name)
        # As unsigned numbers the negative ones are the greatest.
        if len(column) and int(column.view(np.uint64).max()) >= END_OF_TIME_US:
            for row in np.flatnonzero((column < 0) | (column >= END_OF_TIME_US)).tolist():
                detail = f"{name} is {int(column[row])}, not microseconds since 1970"
                errors[row] = CodecError(DeadLetterReason.MALFORMED, detail)
    return errors
