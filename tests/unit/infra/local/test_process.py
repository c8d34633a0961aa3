"""Children: started, watched, measured, and ended for certain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from infra.local.process import Child, is_running, wait_until
from schemas.errors import ServiceUnavailable


def python(code: str, folder: Path, **options: bool) -> Child:
    return Child("thing", [sys.executable, "-c", code], log=folder / "logs" / "thing.log", **options)


SLEEP = "import time; print('up', flush=True); time.sleep(600)"


def said_up(child: Child) -> bool:
    return "up" in child.log.read_text()


def test_a_child_is_ready_when_its_probe_says_so(tmp_path: Path) -> None:
    """It runs in a session of its own, its output in its log."""
    child = python(SLEEP, tmp_path)
    child.start()
    try:
        child.wait_ready(lambda: said_up(child), timeout_s=20)

        assert child.is_alive
        assert os.getsid(child.pid) != os.getsid(0)
        assert child.sample_rss() > 0
        assert child.rss_peak_bytes > 0
    finally:
        child.stop()

    assert not child.is_alive
    assert child.returncode == -signal.SIGTERM
    assert child.sample_rss() == 0


def test_a_child_that_ends_is_an_error_that_names_it_and_its_log(tmp_path: Path) -> None:
    """The end of the log is in the message."""
    child = python("import sys; sys.exit('cannot open the thing')", tmp_path)
    child.start()

    with pytest.raises(ServiceUnavailable, match=r"thing .*status 1.*cannot open the thing.*thing\.log"):
        child.wait_ready(lambda: False, timeout_s=20)


def test_a_child_that_is_never_ready_is_an_error(tmp_path: Path) -> None:
    """It is not waited for any longer than told."""
    child = python(SLEEP, tmp_path)
    child.start()
    try:
        with pytest.raises(ServiceUnavailable, match="not ready within"):
            child.wait_ready(lambda: False, timeout_s=0.1)
    finally:
        child.stop()


@pytest.mark.parametrize("is_bound", [True, False])
def test_a_program_that_does_not_exist_is_an_error(tmp_path: Path, is_bound: bool) -> None:
    """With its name, whether it ends with us or not."""
    child = Child("thing", ["/no/such/program"], log=tmp_path / "log", is_bound=is_bound)

    def start() -> None:
        child.start()
        child.wait_ready(lambda: False, timeout_s=20)

    with pytest.raises(ServiceUnavailable, match="/no/such/program"):
        start()


def test_a_child_that_ignores_the_request_is_killed_with_its_own_children(tmp_path: Path) -> None:
    """Nothing is left behind."""
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('up', inner.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    child = python(code, tmp_path)
    child.start()
    child.wait_ready(lambda: said_up(child), timeout_s=20)
    inner = int(child.log.read_text().split()[1])

    child.stop(grace_s=0.2)

    assert child.returncode == -signal.SIGKILL
    assert wait_until(lambda: not is_running(inner), timeout_s=10)


def test_a_frozen_child_is_woken_to_end(tmp_path: Path) -> None:
    """SIGSTOP does not make it wait for the kill."""
    child = python(SLEEP, tmp_path)
    child.start()
    child.wait_ready(lambda: said_up(child), timeout_s=20)
    os.kill(child.pid, signal.SIGSTOP)

    assert child.stop(grace_s=20) == -signal.SIGTERM


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_a_bound_child_ends_with_its_parent(tmp_path: Path) -> None:
    """Also when the parent is killed and can do nothing about it."""
    code = (
        "import time\nfrom pathlib import Path\nfrom infra.local.process import Child\n"
        f"child = Child('inner', ['sleep', '600'], log=Path({str(tmp_path / 'inner.log')!r}))\n"
        "child.start()\nprint(child.pid, flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        inner = int(parent.stdout.readline())
        assert wait_until(lambda: psutil.Process(inner).name() == "sleep", timeout_s=20)
        parent.kill()

    assert wait_until(lambda: not is_running(inner), timeout_s=10)
