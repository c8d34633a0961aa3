"""The committed model is what training makes, and the command makes one that loads. It takes a minute of all cores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from infra.training.train import Trained, TrainingPlan, train
from processors.kernel.features import FEATURE_NAMES
from processors.kernel.model import DEFAULT_MODEL, MAX_MODEL_BYTES, Model

COMMITTED = json.loads(DEFAULT_MODEL.with_suffix(".json").read_text(encoding="utf-8"))


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


def _rounded(value: object) -> object:
    """Round floats to nine digits: processors may differ in the last ones."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return value
