"""Train the linear model: simulate, choose the penalty walking forward, fit, judge on other seeds, export."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

from infra.training.dataset import VENUE, simulate
from infra.training.ridge import Dataset, Linear, Scores, fit, score, walk_forward
from processors.kernel.drift import Reference
from processors.kernel.features import FEATURE_NAMES, FeatureConfig
from schemas.errors import ConfigurationError

__all__ = ["DEMO_SEED", "Trained", "TrainingPlan", "train"]

DEMO_SEED = 1
"""The demonstration's market; a model trained on it would have seen the exam."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """What a model is trained on, and how.

    Attributes:
        seconds: Simulated time of each seed.
        horizon_ms: How far ahead the model looks; a multiple of the grid's 200 ms.
        ridges: Penalties to choose from.
        folds: Steps of the walk-forward validation.

    Raises:
        ConfigurationError: the demonstration's seed is in it, a seed is in both parts, or there is too little time.
    """

    model_id: str = "linear-v1"
    train_seeds: tuple[int, ...] = (101, 102, 103, 104)
    validation_seeds: tuple[int, ...] = (201, 202, 203, 204)
    seconds: int = 150
    horizon_ms: int = 1_000
    ridges: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
    folds: int = 4

    def __post_init__(self) -> None:
        """Refuse a plan whose scores would mean nothing."""
        if DEMO_SEED in (*self.train_seeds, *self.validation_seeds):
            raise ConfigurationError("seeds", f"{DEMO_SEED} is the demonstration's", "Train on others")
        if set(self.train_seeds) & set(self.validation_seeds):
            raise ConfigurationError("seeds", "some are both trained and validated on", "Keep them apart")
        if self.seconds < _LEAST_SECONDS:
            raise ConfigurationError(
                "--seconds", f"{self.seconds} is too short to walk forward in", f"Give at least {_LEAST_SECONDS}"
            )


_LEAST_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted model and how it did.

    Attributes:
        walk_forward: Scores of each penalty on the training seeds; the best one was taken.
        validation: Scores on the seeds that it has not seen.
        reference: How the features were distributed in training: what drift is measured against.
    """

    plan: TrainingPlan
    model: Linear
    ridge: float
    rows: int
    walk_forward: dict[float, Scores]
    validation: Scores
    reference: Reference

    def description(self) -> dict[str, Any]:
        """Give what is written beside the model."""
        plan = self.plan
        return {
            "model_id": plan.model_id,
            "fingerprint": FeatureConfig().fingerprint,
            "features": list(FEATURE_NAMES),
            "target": f"change of the mid over {plan.horizon_ms} ms, bps",
            "horizon_ms": plan.horizon_ms,
            "training": {
                "data": f"simulated market {VENUE}",
                "seeds": list(plan.train_seeds),
                "seconds_per_seed": plan.seconds,
                "rows": self.rows,
                "ridge": self.ridge,
            },
            "walk_forward": {
                "folds": plan.folds,
                "by_ridge": {str(ridge): asdict(scores) for ridge, scores in self.walk_forward.items()},
            },
            "validation": {"seeds": list(plan.validation_seeds), **asdict(self.validation)},
            "parameters": {
                "mean": self.model.mean.tolist(),
                "std": self.model.std.tolist(),
                "weights": self.model.weights.tolist(),
            },
            "reference": self.reference.to_json(),
        }


def train(plan: TrainingPlan, progress: Callable[[str], None]) -> Trained:
    """Train by the plan; the same plan gives the same model."""
    seeds = (*plan.train_seeds, *plan.validation_seeds)
    progress(f"simulating {plan.seconds} s of each of {len(seeds)} seeds")
    simulated = _simulate(seeds, plan)
    runs, unseen = simulated[: len(plan.train_seeds)], simulated[len(plan.train_seeds) :]
    embargo_us = plan.horizon_ms * 1_000
    progress("choosing the penalty, walking forward")
    scores = {ridge: walk_forward(runs, ridge, folds=plan.folds, embargo_us=embargo_us) for ridge in plan.ridges}
    ridge = min(scores, key=lambda candidate: scores[candidate].mse)
    data = Dataset.join(runs)
    model = fit(data, ridge)
    reference = Reference.of(data.features.T.tolist())
    return Trained(plan, model, ridge, len(data), scores, score(model, Dataset.join(unseen)), reference)


def _simulate(seeds: Sequence[int], plan: TrainingPlan) -> list[Dataset]:
    """Simulate the seeds, a process a core; each is a market of its own, so nothing depends on how many there are."""
    processes = min(len(seeds), os.cpu_count() or 1)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        one = partial(simulate, seconds=plan.seconds, horizon_us=plan.horizon_ms * 1_000)
        return list(pool.map(one, seeds))
