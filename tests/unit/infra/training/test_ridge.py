"""The trainer's arithmetic: it finds a known line, never looks ahead, and scores honestly."""

from __future__ import annotations

import numpy as np
import pytest

from infra.training.ridge import Dataset, fit, score, walk_forward

STEP = 200_000


def line(rows: int, weights: list[float], *, noise: float = 0.0, seed: int = 7) -> Dataset:
    """Targets that are a known line of standard normal features, and noise."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, len(weights)))
    targets = features @ np.array(weights) + noise * rng.normal(size=rows)
    return Dataset(np.arange(rows, dtype=np.int64) * STEP, features, targets)


def test_known_line_is_found() -> None:
    """Without noise or penalty the predictions are the targets."""
    data = line(500, [2.0, -1.0, 0.0])
    data = Dataset(data.ts, data.features, data.targets - data.features.mean(axis=0) @ [2.0, -1.0, 0.0])

    assert fit(data, 0.0).predict(data.features) == pytest.approx(data.targets, abs=1e-9)


def test_penalty_shrinks() -> None:
    """More ridge, smaller weights."""
    data = line(500, [2.0, -1.0], noise=1.0)

    loose, tight = (np.abs(fit(data, ridge).weights).sum() for ridge in (0.0, 1.0))

    assert tight < loose


def test_constant_feature_gets_no_weight() -> None:
    """A feature that never changes neither divides by zero nor counts."""
    data = line(100, [1.0, 0.0])
    data.features[:, 1] = 3.0

    model = fit(data, 0.01)

    assert model.weights[1] == 0.0
    assert np.isfinite(model.predict(data.features)).all()


def test_scores_stand_beside_the_naive_forecast() -> None:
    """A useful model beats it out of sample; one fitted to noise does not."""
    model = fit(line(2_000, [2.0, -1.0], noise=1.0), 0.01)
    useless = fit(line(40, [0.0] * 20, noise=1.0), 0.0)

    good = score(model, line(500, [2.0, -1.0], noise=1.0, seed=8))
    bad = score(useless, line(500, [0.0] * 20, noise=1.0, seed=8))

    assert good.r2 > 0.7
    assert good.mse < good.naive_mse
    assert good.hit_rate > good.naive_hit_rate
    assert bad.r2 < 0
    assert bad.mse > bad.naive_mse


def test_walk_forward_does_not_see_the_future() -> None:
    """Rows after the scored part do not change a score, and those inside the embargo are not fitted to."""
    data = line(600, [1.0], noise=0.5)
    scores = walk_forward([data], 0.01, folds=2, embargo_us=5 * STEP)
    poisoned = Dataset(data.ts, data.features, data.targets.copy())
    poisoned.targets[195:200] = 1e9  # reach into the first scored part, which begins at row 200

    first_fold = walk_forward([poisoned.between(0, 400 * STEP)], 0.01, folds=1, embargo_us=5 * STEP)

    assert first_fold == walk_forward([data.between(0, 400 * STEP)], 0.01, folds=1, embargo_us=5 * STEP)
    assert scores.rows == 400
