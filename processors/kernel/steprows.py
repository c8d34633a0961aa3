"""Steps as rows of numbers: how the bars stage reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from processors.kernel.names import Names
from processors.kernel.steps import GridStep, Step, TradeStep, WatermarkStep
from schemas.enums import Side

__all__ = ["GAP", "GRID", "STEP", "TRADE", "WATERMARK", "StepRows", "joined", "step_rows"]

TRADE, WATERMARK, GAP, GRID = range(4)

STEP = np.dtype(
    [
        *((name, "<i1") for name in ("kind", "is_null", "is_buy", "has_sequence")),
        *((name, "<i4") for name in ("flags", "market", "source")),
        *((name, "<i8") for name in ("offset", "ts_recv", "at_us", "price", "size", "sequence")),
    ]
)
"""A step, as long as a line of a processor's cache. `at_us` is a trade's event time, a watermark, or a grid point, and
`is_null` says that there is none; `ts_recv` is that of the record that triggered it."""

StepRows: TypeAlias = NDArray[np.void]
"""Steps as rows of `STEP`."""

_NO_TRADE = (0, 0, 0)


def step_rows(steps: Sequence[Step | StepRows], names: Names) -> NDArray[np.void]:
    """Give steps, those that are rows already among them, as rows of `STEP`."""
    parts: list[StepRows] = []
    for is_rows, run in groupby(steps, key=lambda step: isinstance(step, np.ndarray)):
        if is_rows:
            parts += cast(Iterable[StepRows], run)
        else:
            parts.append(np.array([_row(step, names) for step in cast(Iterable[Step], run)], STEP))
    return joined(parts)


def joined(parts: Sequence[StepRows]) -> StepRows:
    """Give rows as one array; NumPy's own concatenation thinks about the fields for as long as a batch takes."""
    if len(parts) == 1:
        return parts[0]
    return np.frombuffer(bytearray().join(part.data for part in parts), STEP)


def _row(step: Step, names: Names) -> tuple[int, ...]:
    if isinstance(step, TradeStep):
        tick = step.tick
        return (
            TRADE,
            tick.ts_event is None,
            tick.side is Side.BUY,
            tick.sequence is not None,
            step.flags,
            names.market(tick.market),
            names.text(tick.source),
            step.offset,
            tick.ts_recv,
            tick.ts_event or 0,
            tick.price,
            tick.size,
            tick.sequence or 0,
        )
    if isinstance(step, GridStep):
        return (GRID, 0, 0, 0, 0, 0, 0, step.offset, step.ts_trigger, step.ts_grid, *_NO_TRADE)
    if isinstance(step, WatermarkStep):
        is_null, source = step.watermark is None, names.text(step.source)
        return (
            WATERMARK,
            is_null,
            0,
            0,
            0,
            0,
            source,
            step.offset,
            step.ts_recv,
            step.watermark or 0,
            *_NO_TRADE,
        )
    market = names.market(step.market)
    return (GAP, 0, 0, 0, 0, market, 0, step.offset, step.ts_recv, 0, *_NO_TRADE)
