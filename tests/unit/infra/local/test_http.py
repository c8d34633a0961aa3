"""The small HTTP server of the stand-ins."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from infra.local.http import HttpServer, Request, Response
from infra.local.ports import choose_port, free_port, is_free
from schemas.errors import ConfigurationError


def echo(request: Request) -> Response:
    """Answer with what was understood."""
    return Response(200, f"{request.method} {request.path} {dict(request.query)} {request.body!r}".encode())


@pytest.fixture
def connection() -> Iterator[http.client.HTTPConnection]:
    with HttpServer("echo", echo, max_body_bytes=10) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        yield client
        client.close()


def test_requests_of_one_connection_are_answered_in_turn(connection: http.client.HTTPConnection) -> None:
    """Method, path, query and body arrive; the connection is kept."""
    for body in (b"one", b"two"):
        connection.request("POST", "/a/b?x=1&y=", body)
        answer = connection.getresponse()
        assert answer.read().decode() == f"POST /a/b {{'x': '1', 'y': ''}} {body!r}"


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"x" * 11, 413),
        ({"Content-Length": "-1"}, b"", 400),
        ({"Content-Length": "1e3"}, b"", 400),
        ({"Transfer-Encoding": "chunked"}, b"", 411),
    ],
)
def test_bodies_are_bounded(
    connection: http.client.HTTPConnection, headers: dict[str, str], body: bytes, status: int
) -> None:
    """Nothing is read of a body that is too long or of unknown length."""
    connection.putrequest("POST", "/")
    for name, value in ({"Content-Length": str(len(body))} | headers).items():
        connection.putheader(name, value)
    connection.endheaders(body)

    answer = connection.getresponse()

    assert answer.status == status
    assert answer.getheader("Connection") == "close"


def test_a_port_in_use_is_an_error_that_names_the_service() -> None:
    """Before anything is started."""
    with HttpServer("echo", echo, max_body_bytes=10) as server:
        assert not is_free(server.port)
        with pytest.raises(ConfigurationError, match=f"other: port {server.port}"):
            choose_port("other", server.port)

    assert is_free(server.port)


def test_chosen_ports_are_below_the_ephemeral_range() -> None:
    """An outgoing connection must not take the port before the service does."""
    assert 20_000 <= free_port() < 32_768
