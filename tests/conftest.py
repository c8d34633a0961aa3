"""Fixtures that every layer of tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_WITH_SERVICES = ("integration", "e2e", "chaos", "bench")


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder of real recordings; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("FLASHMM_SAMPLE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}: set FLASHMM_SAMPLE_DATA")
    return folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the tests, give one of them all that have services of their own, and those first.

    They wait for real time, and not for each other; the other layers go around them, whole files at a time.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _layer(item) not in _WITH_SERVICES)
        for item in items:
            group = "services" if _layer(item) in _WITH_SERVICES else item.nodeid.partition("::")[0]
            item.add_marker(pytest.mark.xdist_group(group))


def _layer(item: pytest.Item) -> str:
    return item.path.relative_to(ROOT / "tests").parts[0]
