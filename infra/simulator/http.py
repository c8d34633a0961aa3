"""A minimal HTTP/1.1 server for JSON answers: one request per connection, everything bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import parse_qsl, urlsplit

__all__ = ["Answer", "HTTPRequest", "Route", "serve_http"]

_MAX_HEAD = 16 * 1024
_MAX_BODY = 64 * 1024
_MAX_PARAMETERS = 20
_TIMEOUT_S = 10.0

Answer: TypeAlias = tuple[HTTPStatus, str]
"""Status and JSON body."""


@dataclass(frozen=True, slots=True)
class HTTPRequest:
    """A request; `path` without its query."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes


Route: TypeAlias = Callable[[HTTPRequest], Answer]


class _Refused(Exception):
    def __init__(self, status: HTTPStatus) -> None:
        self.status = status
        super().__init__(status.phrase)


async def serve_http(route: Route, host: str, port: int) -> asyncio.Server:
    """Serve a route on an address; port 0 takes a free one.

    Raises:
        OSError: the address cannot be bound.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                writer.write(_response(*await _answer(reader, route)))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client left or is too slow; there is nobody to tell
        finally:
            writer.close()

    return await asyncio.start_server(handle, host, port, limit=_MAX_HEAD)


async def _answer(reader: asyncio.StreamReader, route: Route) -> Answer:
    try:
        return route(await _read(reader))
    except _Refused as refused:
        return refused.status, f'{{"error":"{refused.status.phrase}"}}'


async def _read(reader: asyncio.StreamReader) -> HTTPRequest:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.LimitOverrunError:
        raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE) from None
    line, *lines = head.split("\r\n")
    try:
        method, target, _ = line.split(" ")
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, max_num_fields=_MAX_PARAMETERS))
        headers = {name.strip().lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
        length = int(headers.get("content-length", "0"))
    except ValueError:
        raise _Refused(HTTPStatus.BAD_REQUEST) from None
    if not 0 <= length <= _MAX_BODY:
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return HTTPRequest(method, parts.path, query, await reader.readexactly(length))


def _response(status: HTTPStatus, body: str) -> bytes:
    content = body.encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + content
