"""Write a model as TorchScript, with its description beside it."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from infra.training.ridge import Linear

__all__ = ["export"]


class _Network(torch.nn.Module):  # type: ignore[misc]  # torch ships no types that strict checking accepts
    """The linear model with its standardisation inside, in float64."""

    def __init__(self, model: Linear) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(model.mean))
        self.register_buffer("std", torch.from_numpy(model.std))
        self.register_buffer("weights", torch.from_numpy(model.weights))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Predict for one vector, or for each row of a matrix."""
        return torch.matmul((features - self.mean) / self.std, self.weights)


def export(model: Linear, description: Mapping[str, Any], folder: Path) -> Path:
    """Write `MODEL_ID.pt` and `MODEL_ID.json` into a folder, made if it is not there; gives the former."""
    folder.mkdir(parents=True, exist_ok=True)
    content = _torchscript(model)
    path = folder / f"{description['model_id']}.pt"
    path.write_bytes(content)
    document = {**description, "sha256": hashlib.sha256(content).hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return path


def _torchscript(model: Linear) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Known and decided: TorchScript is the format, although upstream points to torch.export.
        warnings.filterwarnings("ignore", r"`torch\.jit\.(script|save)` is deprecated", FutureWarning)
        torch.jit.save(torch.jit.script(_Network(model)), buffer)
    # The debug files hold the paths of the machine that trained; nothing reads them.
    stripped = io.BytesIO()
    with zipfile.ZipFile(buffer) as archive, zipfile.ZipFile(stripped, "w") as kept:
        for member in archive.infolist():
            if not member.filename.endswith(".debug_pkl"):
                kept.writestr(zipfile.ZipInfo(member.filename), archive.read(member))
    return stripped.getvalue()
