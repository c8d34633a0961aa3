"""Training is repeatable, honest about its seeds, and the committed model is what it makes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from infra.training.dataset import simulate
from infra.training.ridge import Dataset
from infra.training.train import Trained, TrainingPlan, train
from processors.kernel.features import FEATURE_NAMES, FEATURES, FeatureConfig
from processors.kernel.model import DEFAULT_MODEL, MAX_MODEL_BYTES, Model
from schemas.errors import ConfigurationError
from tests.services import ROOT

COMMITTED = json.loads(DEFAULT_MODEL.with_suffix(".json").read_text(encoding="utf-8"))
PAGE = ROOT / "docs" / "model.md"


@pytest.fixture(scope="module")
def rebuilt() -> Trained:
    """The committed model, trained again on the same seeds."""
    return train(TrainingPlan(), lambda message: None)


@pytest.mark.slow
def test_committed_model_is_what_training_makes(rebuilt: Trained) -> None:
    """Weights, penalty, rows and scores are those beside the file, to the last digits of the arithmetic."""
    description = json.loads(json.dumps(rebuilt.description()))
    committed = {key: value for key, value in COMMITTED.items() if key != "sha256"}

    assert _rounded(description) == _rounded(committed)


@pytest.mark.slow
@pytest.mark.torch
def test_committed_file_holds_the_weights_beside_it(rebuilt: Trained) -> None:
    """What is loaded predicts what the trained line predicts."""
    pytest.importorskip("torch", reason="torch is not installed: pip install 'flashmm[model]'")
    model = Model.load()
    rows = np.random.default_rng(3).normal(size=(50, len(FEATURE_NAMES))) * 5

    predictions = [model.predict(row) for row in rows.tolist()]

    assert predictions == pytest.approx(rebuilt.model.predict(rows), abs=1e-6)
    assert DEFAULT_MODEL.stat().st_size < MAX_MODEL_BYTES


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


@pytest.mark.torch
def test_command_writes_a_model_that_loads(tmp_path: Path) -> None:
    """`flashmm train --out DIR --seconds N --json` prints what it wrote."""
    pytest.importorskip("torch", reason="torch is not installed: pip install 'flashmm[model]'")
    from infra.cli.main import build

    result = CliRunner().invoke(build("train"), ["train", "--out", str(tmp_path), "--seconds", "20", "--json"])

    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert Model.load(Path(document["path"])).model_id == document["model_id"]
    assert set(document["validation"]) >= {"r2", "mse", "naive_mse", "hit_rate", "naive_hit_rate"}


def _equal(one: Dataset, other: Dataset) -> bool:
    return one.targets.tolist() == other.targets.tolist() and one.features.tolist() == other.features.tolist()


def _rounded(value: object) -> object:
    """Round floats to nine digits: processors may differ in the last ones."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return value
