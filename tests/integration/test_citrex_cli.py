"""Commands that speak to Citrex by themselves, against the simulated exchange: no Kafka is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from infra.runtime.clock import wall_clock_us
from tests.citrex_client import KEYS, Client
from tests.citrex_process import CitrexProcess, citrex_process
from tests.services import ROOT


@pytest.fixture(scope="module")
def exchange() -> Iterator[CitrexProcess]:
    with citrex_process("--rate", "0") as process:
        yield process


def flashmm(exchange: CitrexProcess, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with an account at the exchange."""
    settings = {
        "FLASHMM_KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "FLASHMM_QUOTED_VENUES": "sim-citrex",
        "FLASHMM_CITREX_REST_URL": exchange.url,
        "FLASHMM_CITREX_PRIVATE_KEY": KEYS[1],
    }
    command = [sys.executable, "-m", "infra.cli", *arguments]
    environ = dict(os.environ) | settings | environment
    return subprocess.run(command, cwd=ROOT, env=environ, text=True, capture_output=True, timeout=60, check=False)


def rest(exchange: CitrexProcess) -> Client:
    """Let an order of the account rest."""
    client = Client(KEYS[1])
    order = client.order(is_buy=True, price="0.4", size="10", expiration_ms=wall_clock_us() // 1_000 + 60_000)
    request = client.place(order)
    asked = urllib.request.Request(f"{exchange.url}/{request.target}", request.body, method=request.method)
    with urllib.request.urlopen(asked) as response:
        assert response.status == 200
    assert exchange.account(client.signer.address)["openOrders"] != []
    return client


def test_everything_is_cancelled_without_kafka(exchange: CitrexProcess) -> None:
    """Again until it is done; it says what is left."""
    client = rest(exchange)
    exchange.fault("lose_request", "cancel_all")

    done = flashmm(exchange, "halt", "cancel-all", "--direct", "--yes", "--json")

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["venue"], result["orders_left"], result["is_done"]) == ("sim-citrex", 0, True)
    assert exchange.account(client.signer.address)["openOrders"] == []


def test_a_cancel_that_cannot_be_done_is_a_failure(exchange: CitrexProcess) -> None:
    """Nobody may believe that nothing rests."""
    exchange.fault("error", "cancel_all", count=100)
    done = flashmm(exchange, "halt", "cancel-all", "--direct", "--yes")
    exchange.control("heal", now=True)

    assert done.returncode == 1
    assert "no definite answer" in done.stdout


def test_a_preflight_says_what_it_found(exchange: CitrexProcess) -> None:
    """Every check by name; the exit code tells whether all passed."""
    good = flashmm(exchange, "preflight", "--json")
    bad = flashmm(exchange, "preflight", "--json", FLASHMM_MAX_GROSS_QUOTE="10000000")

    assert (good.returncode, bad.returncode) == (0, 1), good.stderr + bad.stderr
    assert failed(good) == []
    assert failed(bad) == ["margin"]


def test_what_is_logged_is_no_part_of_the_answer(exchange: CitrexProcess) -> None:
    """Requests that were not answered are told on stderr; stdout is one document."""
    done = flashmm(exchange, "preflight", "--json", FLASHMM_CITREX_REST_URL="http://127.0.0.1:1/v1")

    assert done.returncode == 1
    assert "book SEI/USDC-PERP" in failed(done)


def failed(done: subprocess.CompletedProcess[str]) -> list[str]:
    checks: list[dict[str, Any]] = json.loads(done.stdout)["checks"]
    return [check["name"] for check in checks if not check["is_passed"]]


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"FLASHMM_CITREX_PRIVATE_KEY": ""}, "FLASHMM_CITREX_PRIVATE_KEY"),
        ({"FLASHMM_CITREX_PRIVATE_KEY": KEYS[1] + "00"}, "FLASHMM_CITREX_PRIVATE_KEY"),
        ({"FLASHMM_CITREX_REST_URL": ""}, "FLASHMM_CITREX_REST_URL"),
        ({"FLASHMM_QUOTED_VENUES": "binance"}, "FLASHMM_QUOTED_VENUES"),
    ],
)
def test_what_is_missing_is_named(exchange: CitrexProcess, changes: dict[str, str], setting: str) -> None:
    """And the key is not repeated."""
    done = flashmm(exchange, "preflight", **changes)

    assert done.returncode == 4
    assert setting in done.stderr
    assert KEYS[1].removeprefix("0x") not in done.stderr + done.stdout
