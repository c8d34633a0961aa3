"""A linear model by ridge regression in closed form, and how it is judged.

Everything is float64 in a fixed order: the same data gives the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dataset", "Floats", "Linear", "Scores", "fit", "score", "walk_forward"]

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows of one simulated run: features at a grid point, and what the mid did after it.

    Attributes:
        ts: Grid points, microseconds, not falling.
        features: One row a point and market.
        targets: Change of the mid over the horizon, bps.
    """

    ts: NDArray[np.int64]
    features: Floats
    targets: Floats

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.targets)

    def between(self, start: int, end: int) -> Dataset:
        """Give the rows with start <= ts < end."""
        mask = (self.ts >= start) & (self.ts < end)
        return Dataset(self.ts[mask], self.features[mask], self.targets[mask])

    @staticmethod
    def join(parts: Sequence[Dataset]) -> Dataset:
        """Put runs one after the other."""
        return Dataset(
            np.concatenate([part.ts for part in parts]),
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.targets for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Linear:
    """prediction = ((features - mean) / std) . weights; no intercept, since a market's drift is not known."""

    mean: Floats
    std: Floats
    weights: Floats

    def predict(self, features: Floats) -> Floats:
        """Predict row by row, in bps."""
        return np.asarray(((features - self.mean) / self.std) @ self.weights)


@dataclass(frozen=True, slots=True)
class Scores:
    """A model's errors beside those of the naive forecast, that the mid stays where it is.

    Attributes:
        r2: 1 - mse / naive_mse: what share of the squared moves it explains; negative is worse than naive.
        hit_rate: Share of the moves whose direction it told, of those that were not zero.
        naive_hit_rate: The same of always naming the commoner direction.
    """

    rows: int
    mse: float
    naive_mse: float
    r2: float
    hit_rate: float
    naive_hit_rate: float


def fit(data: Dataset, ridge: float) -> Linear:
    """Fit by least squares with a penalty of `ridge` times the rows on the squared standardised weights.

    A feature that never changes gets the weight 0.
    """
    mean = data.features.mean(axis=0)
    std = data.features.std(axis=0)
    std = np.where(std > 0, std, 1.0)
    x = (data.features - mean) / std
    gram = x.T @ x + ridge * len(data) * np.eye(x.shape[1])
    return Linear(mean, std, np.linalg.solve(gram, x.T @ data.targets))


def score(model: Linear, data: Dataset) -> Scores:
    """Judge a model on data that it was not fitted to."""
    return _scores(model.predict(data.features), data.targets)


def walk_forward(runs: Sequence[Dataset], ridge: float, *, folds: int, embargo_us: int) -> Scores:
    """Judge a penalty by fitting on the past and scoring on what came next, in each of `folds` steps.

    All runs are cut at the same times. Rows whose target reaches into the scored part are left out of the fit.
    """
    data = Dataset.join(runs)
    start, end = int(data.ts.min()), int(data.ts.max()) + 1
    edges = [start + (end - start) * step // (folds + 1) for step in range(1, folds + 2)]
    predictions, targets = [], []
    for edge, following in pairwise(edges):
        model = fit(data.between(start, edge - embargo_us), ridge)
        scored = data.between(edge, following)
        predictions.append(model.predict(scored.features))
        targets.append(scored.targets)
    return _scores(np.concatenate(predictions), np.concatenate(targets))


def _scores(predictions: Floats, targets: Floats) -> Scores:
    mse = float(np.mean((targets - predictions) ** 2))
    naive_mse = float(np.mean(targets**2))
    moves = np.sign(targets)
    moved = moves != 0
    ups = float(np.mean(moves[moved] > 0))
    return Scores(
        rows=len(targets),
        mse=mse,
        naive_mse=naive_mse,
        r2=1 - mse / naive_mse,
        hit_rate=float(np.mean(np.sign(predictions[moved]) == moves[moved])),
        naive_hit_rate=max(ups, 1 - ups),
    )
