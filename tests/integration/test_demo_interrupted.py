"""Ctrl-C while the demonstration is still starting ends it there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from infra.local.process import wait_until
from tests.services import ROOT


def test_an_interrupted_start_is_not_brought_to_its_end(tmp_path: Path) -> None:
    """Nothing of it goes on, no summary of a run that never was is printed, and it is no error."""
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.cli", "demo"],
        cwd=ROOT,
        env={**os.environ, "FLASHMM_DATA_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert wait_until(lambda: bool(list(tmp_path.glob("demo-*/kafka/kafka.log"))), timeout_s=30)
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()

    assert (process.returncode, output, errors) == (0, "", "")
    assert not psutil.wait_procs(started, timeout=10)[1]
