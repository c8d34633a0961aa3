"""A small HTTP/1.1 server on the loopback address, for the stand-ins: bounded bodies, one function that answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlsplit

from infra.local.ports import LOOPBACK, choose_port

__all__ = ["HttpServer", "Request", "Response", "json_response"]

_IDLE_S = 120


@dataclass(frozen=True, slots=True)
class Request:
    """One request: path without its query, header names in lower case, a body within the server's limit."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """One answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[[Request], Response]


def json_response(status: int, document: Any, content_type: str = "application/json") -> Response:
    """Answer with one JSON document."""
    return Response(status, json.dumps(document).encode(), {"Content-Type": content_type})


class HttpServer:
    """Serve a function from a thread.

    Args:
        service: What errors call it.
        answer: Called from several threads at once.
        port: Port on 127.0.0.1; a free one where None.
        max_body_bytes: Longer requests are refused with 413.
    """

    def __init__(self, service: str, answer: Answer, *, port: int | None = None, max_body_bytes: int) -> None:
        self.port = choose_port(service, port)

        class Handler(_Handler):
            limit = max_body_bytes
            reply = staticmethod(answer)

        self._server = _Server((LOOPBACK, self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name=service, daemon=True)

    @property
    def url(self) -> str:
        """The base address."""
        return f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no event."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "FlashMM"
    sys_version = ""
    timeout = _IDLE_S
    wbufsize = -1  # headers and body in one write, else each answer waits for the client's delayed ACK
    disable_nagle_algorithm = True
    limit: ClassVar[int]
    reply: ClassVar[Callable[..., Response]]

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        body = self._read_body()
        if isinstance(body, Response):
            self.close_connection = True
            self._send(body)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self._send(type(self).reply(Request(self.command, parts.path, query, headers, body)))

    def _read_body(self) -> bytes | Response:
        if "transfer-encoding" in self.headers:
            return json_response(411, {"message": "send a Content-Length"})
        text = self.headers.get("content-length", "0")
        if not text.isdecimal():
            return json_response(400, {"message": f"Content-Length is {text[:32]!r}"})
        if int(text) > self.limit:
            return json_response(413, {"message": f"the body is longer than {self.limit} bytes"})
        return self.rfile.read(int(text))

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.status != 204:
            self.send_header("Content-Length", str(len(response.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD" and response.status != 204:
            self.wfile.write(response.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  names that the base class calls

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Requests are not logged; what is refused is told to the client."""
