"""Whether a model still sees what it was trained on: the population stability index (PSI) of its features.

The values of each feature in training are cut into bins of about equal share. Of a window of live vectors the share in
each bin is compared with that: the sum of (live - trained) * ln(live / trained). 0 is the same distribution; above 0.25
is commonly called a shift, for independent samples. Those of one market are not independent, so a window is long and
its limit is a setting.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from processors.kernel.steps import State

__all__ = ["BINS", "DriftMeter", "Reference"]

BINS = 10
_LEAST_SHARE = 1e-4
"""An empty bin counts as this: the logarithm of nothing is no number."""


@dataclass(frozen=True, slots=True)
class Reference:
    """How a model's features were distributed where it was trained.

    Attributes:
        edges: Of each feature, the inner edges of its bins, rising: one more bin than edges; a value on an edge is
            in the bin above it.
        shares: Of each feature, the share of its values in each bin.

    Raises:
        ValueError: the two do not belong together.
    """

    edges: tuple[tuple[float, ...], ...]
    shares: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        """Refuse what cannot be compared with."""
        is_whole = len(self.edges) == len(self.shares) and all(
            len(shares) == len(edges) + 1
            and all(low < high for low, high in pairwise(edges))
            and math.isclose(sum(shares), 1.0, abs_tol=1e-6)
            for edges, shares in zip(self.edges, self.shares, strict=False)
        )
        if not is_whole:
            raise ValueError("edges and shares of the reference do not belong together")

    @classmethod
    def of(cls, columns: Sequence[Sequence[float]]) -> Reference:
        """Cut the values of each feature into bins at their quantiles; equal ones fall into one."""
        edges, shares = [], []
        for values in columns:
            ordered = sorted(values)
            cuts = sorted({ordered[len(ordered) * part // BINS] for part in range(1, BINS)} - {ordered[0]})
            counts = [0] * (len(cuts) + 1)
            for value in ordered:
                counts[bisect_right(cuts, value)] += 1
            edges.append(tuple(cuts))
            shares.append(tuple(count / len(ordered) for count in counts))
        return cls(tuple(edges), tuple(shares))

    @classmethod
    def from_json(cls, document: Any) -> Reference:
        """Read what `to_json` gave.

        Raises:
            ValueError: it is not such a thing.
        """
        try:
            edges, shares = (
                tuple(tuple(float(value) for value in feature) for feature in document[name])
                for name in ("edges", "shares")
            )
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a reference: {error!r}") from error
        return cls(edges, shares)

    def to_json(self) -> State:
        """Give it as JSON-able values."""
        return {"edges": [list(edges) for edges in self.edges], "shares": [list(shares) for shares in self.shares]}


class DriftMeter:
    """The PSI of one market, window after window.

    Args:
        window: Vectors in each; the newest whole one counts.

    Attributes:
        psi: Mean over the features; None before the first window is full.
    """

    def __init__(self, reference: Reference, window: int) -> None:
        self.psi: float | None = None
        self._reference = reference
        self._window = window
        self._seen = 0
        self._counts = self._empty()

    def add(self, values: Sequence[float]) -> None:
        """Take a vector."""
        for counts, edges, value in zip(self._counts, self._reference.edges, values, strict=True):
            counts[bisect_right(edges, value)] += 1
        self._seen += 1
        if self._seen == self._window:
            self.psi = self._index()
            self._seen, self._counts = 0, self._empty()

    def _empty(self) -> list[list[int]]:
        return [[0] * len(shares) for shares in self._reference.shares]

    def _index(self) -> float:
        total = 0.0
        for counts, shares in zip(self._counts, self._reference.shares, strict=True):
            for count, trained in zip(counts, shares, strict=True):
                live, trained = max(count / self._seen, _LEAST_SHARE), max(trained, _LEAST_SHARE)
                total += (live - trained) * math.log(live / trained)
        return total / len(self._counts)

    def state(self) -> list[Any]:
        """Give what is remembered."""
        return [self.psi, self._seen, self._counts]

    def restore(self, state: list[Any]) -> None:
        """Take back what `state` gave; what was counted by another reference is not taken."""
        psi, seen, counts = state
        if [len(feature) for feature in counts] == [len(shares) for shares in self._reference.shares]:
            self.psi, self._seen, self._counts = psi, seen, counts
