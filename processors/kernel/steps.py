"""What the stages of a partition hand to each other: a list of steps, in the order of the log.

The normaliser turns a batch of ticks into steps; every later stage reads them in order, fills in what it adds and emits
its records. All that a stage knows of time is in the steps, so the same log gives the same records however it was cut
into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from schemas.columns import TickColumns
from schemas.enums import BookState
from schemas.reasons import DenyReason
from schemas.records import BookLevel, FeatureVector, Market, Prediction, Record, Tick

__all__ = [
    "AlarmStep",
    "BookView",
    "Emit",
    "GapStep",
    "GridStep",
    "Input",
    "State",
    "Step",
    "Ticks",
    "TradeStep",
    "WatermarkStep",
]

State: TypeAlias = dict[str, Any]
"""What a stage keeps, JSON-able values and tables: it goes into the snapshot (see there) and comes back on restore."""

Emit: TypeAlias = Callable[[Record, int], None]
"""emit(record, ts_trigger): publish a record; ts_trigger is the ts_recv of the tick that triggered it."""


@dataclass(frozen=True, slots=True)
class Input:
    """One record of `market.ticks`; `tick` is None where its bytes were not a tick (already dead-lettered)."""

    offset: int
    tick: Tick | None


@dataclass(frozen=True, slots=True, eq=False)
class Ticks:
    """A decoded batch of records of `market.ticks`; a row that is not `ok` is already dead-lettered."""

    offsets: NDArray[np.int64]
    columns: TickColumns


@dataclass(frozen=True, slots=True)
class TradeStep:
    """An accepted trade. `flags` are the tick's and the normaliser's together."""

    tick: Tick
    offset: int
    flags: int


@dataclass(frozen=True, slots=True)
class WatermarkStep:
    """A source's promise that no trade before `watermark` will follow; None where its venue gives no event times."""

    source: str
    watermark: int | None
    offset: int
    ts_recv: int


@dataclass(frozen=True, slots=True)
class GapStep:
    """A market's data has a hole here (STATUS with GAPPED or STALE, or a dropped message)."""

    market: Market
    offset: int
    ts_recv: int


@dataclass(frozen=True, slots=True)
class BookView:
    """A market's book at a grid point: at most 20 levels a side, best first.

    Attributes:
        ts_change: ts_recv of the last change of the book, or of its last confirmation by the source.
    """

    market: Market
    state: BookState
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    ts_change: int
    ts_event: int | None
    sequence: int | None
    flags: int
    offset: int


@dataclass(slots=True)
class GridStep:
    """A point of the 200 ms grid, evaluated before the record that crosses it.

    Attributes:
        ts_grid: The grid point, microseconds.
        offset: Offset of the record that crossed it: the cause of what is emitted here.
        ts_trigger: ts_recv of that record.
        books: Every market with a book or a quote, as it stood.
        quotes: How many of the quotes of its batch were made before it.
        features, predictions: Filled in by the stages that compute them.
        orders_offset: Up to where in the journal our orders were taken out of the books; None where they show none.
        inference_us: How long each prediction took, where that is measured.
    """

    ts_grid: int
    offset: int
    ts_trigger: int
    books: Mapping[Market, BookView]
    quotes: int = field(default=0, compare=False)
    features: dict[Market, FeatureVector] = field(default_factory=dict)
    predictions: dict[Market, Prediction] = field(default_factory=dict)
    inference_us: dict[Market, int] = field(default_factory=dict)
    orders_offset: int | None = None


@dataclass(frozen=True, slots=True)
class AlarmStep:
    """Between two grid points a market's book stopped being LIVE, or its mid jumped; only the quoter reads it.

    Attributes:
        offset, ts_recv: Of the record that did it.
        reason: BOOK_NOT_LIVE or MARKET_JUMP.
    """

    market: Market
    offset: int
    ts_recv: int
    reason: DenyReason


Step: TypeAlias = TradeStep | WatermarkStep | GapStep | GridStep
