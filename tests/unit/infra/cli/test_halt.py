"""`flashmm halt` where nothing answers, and what it refuses."""

from __future__ import annotations

import socket

import pytest
from typer.testing import CliRunner, Result

from infra.cli.main import build
from schemas.errors import ConfigurationError, ServiceUnavailable


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses that refuse connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("FLASHMM_KAFKA_BOOTSTRAP", f"127.0.0.1:{port}")
    monkeypatch.setenv("FLASHMM_REGISTRY_URL", f"http://127.0.0.1:{port}")


def flashmm(*arguments: str) -> Result:
    return CliRunner().invoke(build(arguments[0]), list(arguments))


@pytest.mark.parametrize("arguments", [("halt", "widen"), ("halt", "status"), ("resume",)])
def test_it_says_what_does_not_answer(arguments: tuple[str, ...]) -> None:
    """Exit code 1 comes of this error."""
    assert isinstance(flashmm(*arguments).exception, ServiceUnavailable)


def test_rungs_have_names() -> None:
    """Another one is a wrong usage."""
    assert flashmm("halt", "everything").exit_code == 2


def test_direct_cancels_and_nothing_else() -> None:
    """It is for a Kafka that is away, and a venue that orders rest at."""
    assert flashmm("halt", "flatten", "--direct").exit_code == 2
    assert isinstance(flashmm("halt", "cancel-all", "--direct", "--yes").exception, ConfigurationError)
