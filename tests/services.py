"""Find the real services that tests run against: from the environment, on PATH, among unpacked binaries."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[1]


def missing(service: str, reason: str) -> NoReturn:
    """Skip the test that needs a service; in continuous integration (CI=true) fail it."""
    message = f"{service} is not here: {reason}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def binary(name: str) -> str | None:
    """Find a service's program on PATH or where `make test` unpacks the binaries."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return shutil.which(name) or shutil.which(name, path=str(cache / "flashmm-services"))
