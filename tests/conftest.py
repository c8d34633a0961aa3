"""Fixtures that every layer of tests shares."""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[1]
_WITH_SERVICES = ("integration", "e2e", "chaos")


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder of real recordings; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("FLASHMM_SAMPLE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}: set FLASHMM_SAMPLE_DATA")
    return folder


@pytest.fixture(autouse=True)
def events() -> Iterator[None]:
    """What a test makes of the log of events ends with it: a command of ours configures it for its whole process."""
    yield
    structlog.reset_defaults()


class OneForServices(LoadScopeScheduling):
    """Give one of the processes that share the tests all that depend on services and on when they answer.

    They wait for real time, and not for each other; the other layers go around them, whole files at a time.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "services" if path.split("/")[1] in _WITH_SERVICES else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Schedule by what tests need; xdist's own groups are marks, which it does not find in pytest 9.2."""
    return OneForServices(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the tests, begin with those that wait for services: they take longest."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.relative_to(ROOT / "tests").parts[0] not in _WITH_SERVICES)


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
