"""The price model: a TorchScript file with a description beside it, and the stage that runs it.

`NAME.pt` holds the network, standardisation included; `NAME.json` says which features it reads, how far ahead it looks,
what it was trained on, how it scored, and the checksum of the `.pt`. `flashmm train` writes both. torch is imported
only when a model is loaded: without one the platform quotes model-free.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processors.kernel.drift import Reference
from processors.kernel.features import FEATURE_NAMES, FeatureConfig
from processors.kernel.steprows import StepRows
from processors.kernel.steps import Emit, GridStep, State, Step
from schemas.errors import ConfigurationError
from schemas.records import FeatureVector, Prediction

__all__ = ["DEFAULT_MODEL", "MAX_MODEL_BYTES", "Inference", "Model"]

DEFAULT_MODEL = Path(__file__).with_name("models") / "linear-v1.pt"
MAX_MODEL_BYTES = 5_000_000
_FIX = "Rebuild it with `flashmm train --out DIR`, or unset FLASHMM_MODEL_PATH for the built-in model"


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model.

    Attributes:
        model_id: Name.
        sha256: Checksum of its file, hexadecimal; in every prediction and decision that rests on it.
        fingerprint: Of the features that it reads.
        horizon_ms: How far ahead it looks.
        reference: How those features were distributed in its training.
    """

    model_id: str
    sha256: str
    fingerprint: str
    horizon_ms: int
    reference: Reference
    _module: Any = field(repr=False, compare=False)

    @classmethod
    def load(cls, path: Path = DEFAULT_MODEL, fingerprint: str = FeatureConfig().fingerprint) -> Model:
        """Load a model and what describes it, and check that they belong together and to these features.

        Raises:
            ConfigurationError: torch is not installed; a file is missing, damaged, over 5 MB or not what its
                description says; or the model was trained on other features than `fingerprint`.
        """
        description, content = _read(path)
        digest = hashlib.sha256(content).hexdigest()
        if description["sha256"] != digest:
            raise ConfigurationError(
                str(path), f"its SHA-256 is {digest}, its description says {description['sha256']}", _FIX
            )
        if description["fingerprint"] != fingerprint:
            raise ConfigurationError(
                str(path),
                f"was trained on features {description['fingerprint']}, these are {fingerprint}",
                _FIX,
            )
        return cls(
            model_id=description["model_id"],
            sha256=digest,
            fingerprint=fingerprint,
            horizon_ms=description["horizon_ms"],
            reference=_reference(path, description),
            _module=_load_module(path, content),
        )

    def predict(self, values: Sequence[float]) -> float:
        """Give the expected change of the mid over the horizon, in bps, for one feature vector.

        One vector at a time, in float64 and rounded to 1e-9 bps: how many markets share a grid point, or which
        vector instructions the processor has, does not change what is published.
        """
        import torch

        with torch.inference_mode():
            return round(float(self._module(torch.tensor(values, dtype=torch.float64))), 9)


class Inference:
    """The stage that makes predictions, of one partition. Without a model it makes none.

    Args:
        timer_us: A clock that only rises, to measure each prediction by; None: they are not measured.
    """

    def __init__(
        self, model: Model | None, topic: str, partition: int, timer_us: Callable[[], int] | None = None
    ) -> None:
        self._timer_us = timer_us
        self._model = model
        self._topic = topic
        self._partition = partition

    def run(self, steps: Sequence[Step | StepRows], emit: Emit) -> None:
        """Put a prediction into each grid step for every warm feature vector, and emit it.

        Raises:
            ConfigurationError: the vectors are not of the features that the model was trained on.
        """
        if self._model is None:
            return
        for step in steps:
            if isinstance(step, GridStep):
                for market, vector in step.features.items():
                    if vector.is_warm:
                        began_us = self._timer_us() if self._timer_us else 0
                        prediction = self._predict(self._model, step, vector)
                        if self._timer_us:
                            step.inference_us[market] = self._timer_us() - began_us
                        step.predictions[market] = prediction
                        emit(prediction, step.ts_trigger)

    def _predict(self, model: Model, step: GridStep, vector: FeatureVector) -> Prediction:
        if vector.fingerprint != model.fingerprint:
            raise ConfigurationError(
                model.model_id, f"reads features {model.fingerprint}, these are {vector.fingerprint}", _FIX
            )
        return Prediction(
            venue=vector.venue,
            symbol=vector.symbol,
            ts_grid=vector.ts_grid,
            model_id=model.model_id,
            model_hash=model.sha256,
            fingerprint=vector.fingerprint,
            horizon_ms=model.horizon_ms,
            return_bps=model.predict(vector.values),
            flags=vector.flags,
            cause_topic=self._topic,
            cause_partition=self._partition,
            cause_first_offset=vector.cause_first_offset,
            cause_offset=step.offset,
        )

    def state(self) -> State:
        """Give what is remembered: nothing, a prediction rests on its vector alone."""
        return {}

    def restore(self, state: State) -> None:
        """Take back what `state` gave."""


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    beside = path.with_suffix(".json")
    try:
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise ConfigurationError(str(path), f"is larger than {MAX_MODEL_BYTES} bytes", _FIX)
        content = path.read_bytes()
        description = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(str(path), f"cannot be read with {beside.name} beside it: {error}", _FIX) from error
    expected = {"model_id": str, "sha256": str, "fingerprint": str, "horizon_ms": int}
    for name, kind in expected.items():
        if not isinstance(description, dict) or not isinstance(description.get(name), kind):
            raise ConfigurationError(str(beside), f"has no {name}, or one of another type", _FIX)
    return description, content


def _reference(path: Path, description: dict[str, Any]) -> Reference:
    try:
        reference = Reference.from_json(description.get("reference"))
        if len(reference.edges) != len(FEATURE_NAMES):
            raise ValueError(f"has {len(reference.edges)} features, these are {len(FEATURE_NAMES)}")
    except ValueError as error:
        raise ConfigurationError(str(path), f"says not what its features were in training: {error}", _FIX) from None
    return reference


def _load_module(path: Path, content: bytes) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ConfigurationError(
            str(path), "needs torch, which is not installed", "Install it: pip install 'flashmm[model]'"
        ) from error
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            # Known and decided: TorchScript is the format, although upstream points to torch.export.
            warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated", FutureWarning)
            module = torch.jit.load(io.BytesIO(content), map_location="cpu").eval()
        probe = float(module(torch.zeros(len(FEATURE_NAMES), dtype=torch.float64)))
    except (RuntimeError, ValueError, TypeError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise ConfigurationError(
            str(path), f"is not a TorchScript model of these features: {first_line}", _FIX
        ) from error
    if not math.isfinite(probe):
        raise ConfigurationError(str(path), f"predicts {probe} for features of zero", _FIX)
    return module
