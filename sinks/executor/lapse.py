"""Ticks that have passed: of markets that are not traded, only when and where. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lapse"]


@dataclass(frozen=True, slots=True, eq=False)
class Lapse:
    """Ticks of other markets that have passed, one behind another.

    Attributes:
        offsets: Ascending.
        clocks: The clock of the partition at each.
    """

    offsets: NDArray[np.int64]
    clocks: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets)
