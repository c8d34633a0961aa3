"""The registry's client where there is no registry."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from schemas.errors import ConfigurationError, ServiceUnavailable
from schemas.records import Tick
from schemas.registry import Registry


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class _NoRegistry(BaseHTTPRequestHandler):
    """Answers everything with a page, as some other server would."""

    def do_GET(self) -> None:
        self.send_response(200 if "ids" in self.path else 503)
        self.end_headers()
        self.wfile.write(b"<html>hello</html>")

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def no_registry() -> Iterator[str]:
    """An HTTP server that is no registry."""
    with HTTPServer(("127.0.0.1", 0), _NoRegistry) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_address_that_does_not_answer_is_named(closed_port: int) -> None:
    """The error says which service, where, and what to set."""
    with Registry(f"http://127.0.0.1:{closed_port}") as registry:
        for ask in (
            lambda: registry.codec(Tick),
            lambda: registry.register("market.ticks-value", 1),
            lambda: registry.schema(1),
            registry.subjects,
        ):
            with pytest.raises(ServiceUnavailable, match=rf"registry at .*:{closed_port} .*FLASHMM_REGISTRY_URL"):
                ask()


def test_a_server_that_is_no_registry_is_unavailable(no_registry: str) -> None:
    """Neither a page in place of a schema nor an error of a proxy passes for an answer."""
    with Registry(no_registry) as registry:
        for ask in (lambda: registry.schema(1), lambda: registry.codec(Tick), lambda: registry.schema(bytes(16))):
            with pytest.raises(ServiceUnavailable):
                ask()


@pytest.mark.parametrize("url", ["127.0.0.1:8081", "ftp://127.0.0.1", ""])
def test_what_is_no_address_is_a_wrong_setting(url: str) -> None:
    """A URL without a protocol that the client speaks is found before anything is sent."""
    with pytest.raises(ConfigurationError, match="FLASHMM_REGISTRY_URL"):
        Registry(url)
