"""`flashmm simulate` as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_COMMAND = "from infra.cli.simulate import simulate_app; simulate_app()"


@contextmanager
def _running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_one_line_of_json_and_ends_cleanly_when_interrupted(number: signal.Signals) -> None:
    """The addresses are on stdout, they answer, and an interrupt ends the process with code 0 and no noise."""
    with _running("--json", "--seed", "3") as process:
        assert process.stdout is not None
        addresses = json.loads(process.stdout.readline())
        assert set(addresses) == {"ws_url", "clob_url", "rpc_url", "chain_id"}
        with urllib.request.urlopen(f"{addresses['rpc_url']}/status", timeout=10) as answer:
            assert json.load(answer)["result"]["node_info"]["network"] == addresses["chain_id"]
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (0, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_simulated_citrex_is_a_process_of_its_own(number: signal.Signals) -> None:
    """Its addresses are on stdout, it says that it is simulated, and an interrupt ends it without noise."""
    with _running("citrex", "--json", "--rate", "2") as process:
        assert process.stdout is not None
        addresses = json.loads(process.stdout.readline())
        assert addresses["chain_id"] not in (1328, 1329)
        with urllib.request.urlopen(f"{addresses['rest_url']}/depth?symbol=seiperp", timeout=10) as answer:
            assert json.load(answer)["bids"]
        with urllib.request.urlopen(addresses["rest_url"].removesuffix("/v1"), timeout=10) as answer:
            assert json.load(answer)["simulated"] is True
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (0, "", "")


def test_people_get_a_banner_that_says_simulated() -> None:
    """Without --json the first line says what this is."""
    with _running() as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("SIMULATED Sei node")
