"""A market's mids at the points of the grid, over a sliding window: what returns and volatility are computed from.

A mid is held as bid + ask, twice the mid, so that it stays an integer.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from processors.kernel.steps import BookView
from schemas.enums import BookState

__all__ = ["MidSamples", "trusted_mid2"]


def trusted_mid2(view: BookView) -> int | None:
    """Give bid + ask of a book that is LIVE, two-sided and not crossed; else None."""
    if view.state is not BookState.LIVE or not view.bids or not view.asks:
        return None
    bid, ask = view.bids[0].price, view.asks[0].price
    return bid + ask if bid < ask else None


class MidSamples:
    """The samples of one market, oldest first.

    Args:
        window_us: How long samples are kept; one more is kept at or before the window's start.
        max_hole_us: A sample later than this after the one before starts the history anew.
    """

    def __init__(self, window_us: int, max_hole_us: int) -> None:
        self._window_us = window_us
        self._max_hole_us = max_hole_us
        self._ts: list[int] = []
        self._mid2: list[int] = []
        self._offset: list[int] = []

    def add(self, ts_grid: int, mid2: int, offset: int) -> bool:
        """Append a sample; True when it started the history anew. `offset` is the book's last change."""
        is_fresh = not self._ts or ts_grid - self._ts[-1] > self._max_hole_us
        if is_fresh:
            self._ts, self._mid2, self._offset = [], [], []
        self._ts.append(ts_grid)
        self._mid2.append(mid2)
        self._offset.append(offset)
        stale = bisect_right(self._ts, ts_grid - self._window_us) - 1
        if stale > 0:
            del self._ts[:stale], self._mid2[:stale], self._offset[:stale]
        return is_fresh

    @property
    def span_us(self) -> int:
        """Time from the oldest sample to the newest."""
        return self._ts[-1] - self._ts[0] if self._ts else 0

    @property
    def first_offset(self) -> int:
        """Offset behind the oldest sample.

        Raises:
            IndexError: there is no sample.
        """
        return self._offset[0]

    def mid2_before(self, age_us: int) -> int | None:
        """Give the newest sample that is at least `age_us` older than the last one; None where none is."""
        if not self._ts:
            return None
        index = bisect_right(self._ts, self._ts[-1] - age_us) - 1
        return self._mid2[index] if index >= 0 else None

    def range_within(self, age_us: int) -> tuple[int, int, int]:
        """Give the lowest, the newest and the highest of the samples at most `age_us` older than the last one.

        Raises:
            IndexError: there is no sample.
        """
        recent = self._mid2[bisect_left(self._ts, self._ts[-1] - age_us) :]
        return min(recent), recent[-1], max(recent)

    def squared_changes(self) -> int:
        """Sum the squared changes from sample to sample: the realised variance over `span_us`, times four."""
        return sum((b - a) ** 2 for a, b in zip(self._mid2, self._mid2[1:], strict=False))

    def state(self) -> list[list[int]]:
        """Give the samples as differences from one to the next, which are short in a snapshot."""
        return [_differences(column) for column in (self._ts, self._mid2, self._offset)]

    def restore(self, state: list[list[int]]) -> None:
        """Take back what `state` gave."""
        self._ts, self._mid2, self._offset = (_sums(column) for column in state)


def _differences(values: list[int]) -> list[int]:
    return [value - before for before, value in zip([0, *values], values, strict=False)]


def _sums(differences: list[int]) -> list[int]:
    total, values = 0, []
    for difference in differences:
        total += difference
        values.append(total)
    return values
