"""Fixtures that every layer of tests shares."""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Generator
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


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, None, None]:
    """Where several processes share the tests, give one of them all that have services of their own, and those first.

    They wait for real time, and not for each other; the other layers go around them, whole files at a time. Groups are
    marked before xdist reads them, and what is first is said after all are shuffled.
    """
    is_shared = hasattr(config, "workerinput")
    if is_shared:
        for item in items:
            group = "services" if _layer(item) in _WITH_SERVICES else item.nodeid.partition("::")[0]
            item.add_marker(pytest.mark.xdist_group(group))
    yield
    if is_shared:
        items.sort(key=lambda item: _layer(item) not in _WITH_SERVICES)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """End the process a minute after a test's time limit: what hangs in a library outside of Python hears no signal."""
    marker = item.get_closest_marker("timeout")
    limit_s = float(marker.args[0] if marker else item.config.getini("timeout"))
    faulthandler.dump_traceback_later(limit_s + 60, exit=True, file=sys.__stderr__)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _layer(item: pytest.Item) -> str:
    return item.path.relative_to(ROOT / "tests").parts[0]
