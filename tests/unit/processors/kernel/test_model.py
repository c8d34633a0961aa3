"""The model: what is loaded is what was trained, on these features, and predicts the same every time."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from processors.kernel.drift import Reference
from processors.kernel.features import FEATURE_NAMES, FeatureBuilder, FeatureConfig
from processors.kernel.model import MAX_MODEL_BYTES, Inference, Model
from processors.kernel.names import Names
from processors.kernel.steps import Step
from schemas.errors import ConfigurationError
from schemas.records import Prediction
from tests.kernel_steps import MARKET, Emitted, quiet

pytestmark = pytest.mark.torch

WIDTH = len(FEATURE_NAMES)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """A model whose prediction is the sum of the features, each less 1 and halved."""
    np = pytest.importorskip("numpy")
    pytest.importorskip("torch", reason="torch is not installed: pip install 'flashmm[model]'")
    from infra.training.export import export
    from infra.training.ridge import Linear

    description = {
        "model_id": "sum",
        "fingerprint": FeatureConfig().fingerprint,
        "horizon_ms": 1_000,
        "reference": Reference.of([[0.0, 1.0, 2.0, 3.0]] * WIDTH).to_json(),
    }
    return export(Linear(np.ones(WIDTH), np.full(WIDTH, 2.0), np.ones(WIDTH)), description, tmp_path)


def rewrite(path: Path, **changes: object) -> None:
    description = path.with_suffix(".json")
    document = json.loads(description.read_text()) | changes
    description.write_text(json.dumps(document))


def test_prediction_is_the_line_that_was_exported(model_file: Path) -> None:
    """Standardisation is inside the file."""
    model = Model.load(model_file)

    assert model.predict([3.0] * WIDTH) == pytest.approx(WIDTH)
    assert model.predict([1.0] * WIDTH) == 0.0
    assert (model.model_id, model.horizon_ms) == ("sum", 1_000)


def test_export_is_reproducible_and_names_no_machine(model_file: Path, tmp_path: Path) -> None:
    """The same weights give the same bytes, without the paths of where they were trained."""
    from infra.training.export import export
    from infra.training.ridge import Linear

    np = pytest.importorskip("numpy")
    again = export(
        Linear(np.ones(WIDTH), np.full(WIDTH, 2.0), np.ones(WIDTH)),
        {"model_id": "sum", "fingerprint": "f", "horizon_ms": 1},
        tmp_path / "again",
    )

    assert again.read_bytes() == model_file.read_bytes()
    assert str(Path.cwd()).encode() not in again.read_bytes()


def test_other_features_are_refused(model_file: Path) -> None:
    """A model reads only the set that it was trained on."""
    with pytest.raises(ConfigurationError, match="was trained on features"):
        Model.load(model_file, "another fingerprint")


def test_file_that_is_not_the_described_one_is_refused(model_file: Path) -> None:
    """The checksum in the description is that of the file."""
    model_file.write_bytes(model_file.read_bytes() + b"\0")

    with pytest.raises(ConfigurationError, match="SHA-256"):
        Model.load(model_file)


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04 nor this"])
def test_damaged_file_is_refused(model_file: Path, content: bytes) -> None:
    """Bytes that are no TorchScript, even where the checksum says that they are meant."""
    import hashlib

    model_file.write_bytes(content)
    rewrite(model_file, sha256=hashlib.sha256(content).hexdigest())

    with pytest.raises(ConfigurationError, match="TorchScript"):
        Model.load(model_file)


def test_network_of_another_width_is_refused(tmp_path: Path) -> None:
    """Found when it is loaded, not at the first prediction."""
    np = pytest.importorskip("numpy")
    pytest.importorskip("torch")
    from infra.training.export import export
    from infra.training.ridge import Linear

    description = {
        "model_id": "narrow",
        "fingerprint": FeatureConfig().fingerprint,
        "horizon_ms": 1_000,
        "reference": Reference.of([[0.0, 1.0]] * WIDTH).to_json(),
    }
    path = export(Linear(np.ones(3), np.ones(3), np.ones(3)), description, tmp_path)

    with pytest.raises(ConfigurationError, match="TorchScript model of these features"):
        Model.load(path)


@pytest.mark.parametrize("wrong", [{"sha256": None}, {"horizon_ms": "1000"}, {"model_id": 5}])
def test_incomplete_description_is_refused(model_file: Path, wrong: dict[str, object]) -> None:
    """Each part that is read is checked."""
    rewrite(model_file, **wrong)

    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Model.load(model_file)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {"edges": []},
        {"edges": [[1.0]] * 3, "shares": [[0.5, 0.5]] * 3},
        {"edges": [[1.0]] * WIDTH, "shares": [[0.5, 0.4]] * WIDTH},
        {"edges": [[2.0, 1.0]] * WIDTH, "shares": [[0.5, 0.25, 0.25]] * WIDTH},
        {"edges": [["x"]] * WIDTH, "shares": [[0.5, 0.5]] * WIDTH},
    ],
)
def test_a_model_says_what_its_features_were(model_file: Path, wrong: object) -> None:
    """Else nobody could tell whether they drift."""
    rewrite(model_file, reference=wrong)

    with pytest.raises(ConfigurationError, match="in training"):
        Model.load(model_file)


def test_missing_file_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    """The message names the file and the command that rebuilds it."""
    with pytest.raises(ConfigurationError, match=r"nothing\.pt.*flashmm train"):
        Model.load(tmp_path / "nothing.pt")


def test_too_large_a_file_is_refused(tmp_path: Path) -> None:
    """The bound is looked at before the file is read."""
    path = tmp_path / "large.pt"
    with path.open("wb") as file:
        file.truncate(MAX_MODEL_BYTES + 1)

    with pytest.raises(ConfigurationError, match="larger"):
        Model.load(path)


def test_without_torch_the_error_says_how_to_install_it(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(ConfigurationError, match=r"flashmm\[model\]"):
        Model.load(model_file)


def stepped() -> list[Step]:
    steps: list[Step] = [*quiet(30)]
    FeatureBuilder(FeatureConfig(), Names(), "market.ticks", 2).run(steps, Emitted())
    return steps


def test_warm_vectors_become_predictions(model_file: Path) -> None:
    """One for each warm vector, with model and features named, and none before."""
    model, steps, emitted = Model.load(model_file), stepped(), Emitted()

    Inference(model, "market.ticks", 2).run(steps, emitted)

    assert len(emitted.records) == 5
    last = emitted.records[-1]
    assert isinstance(last, Prediction)
    vector = steps[-1].features[MARKET]  # type: ignore[union-attr]
    assert steps[-1].predictions == {MARKET: last}  # type: ignore[union-attr]
    assert last.return_bps == model.predict(vector.values)
    assert (last.model_hash, last.fingerprint) == (model.sha256, vector.fingerprint)
    assert (last.ts_grid, last.cause_partition, last.cause_offset) == (vector.ts_grid, 2, 29)


def test_model_free_makes_no_predictions() -> None:
    """None is a choice, not a stand-in."""
    emitted = Emitted()

    Inference(None, "market.ticks", 2).run(stepped(), emitted)

    assert emitted.records == []


def test_vectors_of_other_features_stop_the_stage() -> None:
    """A model and features that do not belong together never make a prediction."""
    stranger = SimpleNamespace(model_id="m", fingerprint="another")

    with pytest.raises(ConfigurationError, match="reads features"):
        Inference(stranger, "market.ticks", 2).run(stepped(), Emitted())  # type: ignore[arg-type]
