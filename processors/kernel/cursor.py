"""The record in progress, and where what follows from it goes."""

from __future__ import annotations

from dataclasses import dataclass, field

from processors.kernel.steprows import StepRows
from processors.kernel.steps import Step
from processors.kernel.tradetable import TradeTable

__all__ = ["Cursor"]


@dataclass(slots=True)
class Cursor:
    """The record in progress, and where what follows from it goes.

    Attributes:
        offset, ts_recv: Of the record being applied: the cause and the trigger of all that is published.
        now_us: The partition's clock.
        trades: Takes the accepted ones.
    """

    topic: str
    partition: int
    trades: TradeTable
    steps: list[Step | StepRows] = field(default_factory=list)
    offset: int = 0
    ts_recv: int = 0
    now_us: int = 0
