"""Training is repeatable and honest about its seeds, and the committed model is documented as it is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from infra.training.dataset import simulate
from infra.training.ridge import Dataset
from infra.training.train import TrainingPlan
from processors.kernel.features import FEATURE_NAMES, FEATURES, FeatureConfig
from processors.kernel.model import DEFAULT_MODEL
from schemas.errors import ConfigurationError
from tests.services import ROOT

COMMITTED = json.loads(DEFAULT_MODEL.with_suffix(".json").read_text(encoding="utf-8"))
PAGE = ROOT / "docs" / "model.md"


def test_committed_model_reads_the_features_of_today() -> None:
    """A change of a definition needs a new model."""
    assert COMMITTED["fingerprint"] == FeatureConfig().fingerprint
    assert COMMITTED["features"] == list(FEATURE_NAMES)


def test_documented_scores_are_those_of_the_file() -> None:
    """docs/model.md names the numbers beside the naive ones, whatever they are."""
    page, scores = PAGE.read_text(encoding="utf-8"), COMMITTED["validation"]

    for text in (f"{scores['r2']:+.4f}", f"{scores['mse']:.4f}", f"{scores['naive_mse']:.4f}"):
        assert text in page
    for text in (f"{scores['hit_rate']:.1%}", f"{scores['naive_hit_rate']:.1%}"):
        assert text in page


def test_documented_features_are_those_of_the_code() -> None:
    """docs/model.md has each name with its unit and definition."""
    page = PAGE.read_text(encoding="utf-8")

    for feature in FEATURES:
        assert f"| `{feature.name}` | {feature.unit} | {feature.doc} |" in page


def test_same_seed_gives_the_same_rows() -> None:
    """And another seed others."""
    first, again, other = (simulate(seed, 20, 1_000_000) for seed in (301, 301, 302))

    assert _equal(first, again)
    assert not _equal(first, other)
    assert len(first) > 50


def test_a_row_waits_for_its_target() -> None:
    """No row is nearer to the end than the horizon, and none comes before five seconds of history."""
    data = simulate(301, 20, 2_000_000)
    start, end = 1_767_225_600_000_000, 1_767_225_620_000_000

    assert data.ts.min() >= start + 5_000_000
    assert data.ts.max() + 2_000_000 <= end


@pytest.mark.parametrize("wrong", [{"train_seeds": (1, 101)}, {"validation_seeds": (101,)}, {"seconds": 5}])
def test_plan_whose_scores_would_mean_nothing_is_refused(wrong: dict[str, object]) -> None:
    """The demonstration's seed, a seed on both sides, too little time."""
    with pytest.raises(ConfigurationError):
        replace(TrainingPlan(), **wrong)  # type: ignore[arg-type]


def _equal(one: Dataset, other: Dataset) -> bool:
    return one.targets.tolist() == other.targets.tolist() and one.features.tolist() == other.features.tolist()
