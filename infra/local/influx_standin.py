"""A stand-in for InfluxDB 2 that takes writes as strictly as the real one, counts the points, and keeps none of them.

Answers follow InfluxDB 2.9: 400 refuses the whole request for one bad line, 401 a bad token, 404 an unknown
organisation or bucket, 422 the points whose field has another type than before. It says what it is in `/health`,
`/ping` and the header `X-Influxdb-Version`; `GET /stats` gives its counts.
"""

from __future__ import annotations

import argparse
import hmac
import signal
import threading
import zlib
from collections import Counter
from typing import Any

from infra.local.http import HttpServer, Request, Response, json_response
from infra.local.line_protocol import FieldType, Point, parse_lines
from infra.runtime.clock import Clock, wall_clock_us
from infra.runtime.settings import load_settings
from schemas.errors import ConfigurationError, ProtocolError

__all__ = ["DESCRIPTION", "MAX_BODY_BYTES", "InfluxStandIn", "main", "serve"]

DESCRIPTION = "stand-in for InfluxDB 2 (checks and counts writes, keeps no points, answers no queries)"
MAX_BODY_BYTES = 32 * 1024 * 1024
_NS_PER = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_REMEMBERED_POINTS = 200_000
_MAX_FIELDS = 10_000


class InfluxStandIn:
    """The state of one bucket and the API over it.

    Args:
        org: The one organisation it has.
        bucket: The one bucket it has.
        token: The one token it takes.
        clock: Gives the time of points that carry none.
        remembered_points: How many latest points it can tell from new ones. A point written again after so many others
            counts twice.
    """

    def __init__(
        self,
        org: str,
        bucket: str,
        token: str,
        *,
        clock: Clock = wall_clock_us,
        remembered_points: int = _REMEMBERED_POINTS,
    ) -> None:
        self._org = org
        self._bucket = bucket
        self._token = token
        self._clock = clock
        self._remembered_points = remembered_points
        self._lock = threading.Lock()
        self._seen: dict[int, None] = {}
        self._types: dict[tuple[str, str], FieldType] = {}
        self._points: Counter[str] = Counter()
        self._overwritten = 0
        self._requests: Counter[str] = Counter()

    def answer(self, request: Request) -> Response:
        """Answer one request."""
        response = self._dispatch(request)
        return Response(response.status, response.body, {**response.headers, "X-Influxdb-Version": "stand-in"})

    def stats(self) -> dict[str, Any]:
        """Give the counts: distinct points by measurement, points written again, requests by status."""
        with self._lock:
            return {
                "influx": DESCRIPTION,
                "points": self._points.total(),
                "measurements": dict(self._points),
                "overwritten": self._overwritten,
                "remembered_points": self._remembered_points,
                "requests": dict(self._requests),
            }

    def _dispatch(self, request: Request) -> Response:
        match request.method, request.path:
            case "POST", "/api/v2/write":
                response = self._write(request)
                with self._lock:
                    self._requests[str(response.status)] += 1
                return response
            case (("GET" | "HEAD"), "/ping"):
                return Response(204, headers={"X-Influxdb-Build": "stand-in"})
            case "GET", "/health":
                return json_response(
                    200, {"name": "influxdb", "status": "pass", "message": DESCRIPTION, "version": "stand-in"}
                )
            case "GET", "/stats":
                return json_response(200, self.stats())
        return _refuse(404, "not found", f"path not found; this is a {DESCRIPTION}")

    def _write(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme not in ("Token", "Bearer") or not hmac.compare_digest(token.encode(), self._token.encode()):
            return _refuse(401, "unauthorized", "unauthorized access")
        for name, wanted in (("org", self._org), ("bucket", self._bucket)):
            if request.query.get(name) != wanted:
                return _refuse(404, "not found", f'{name} "{request.query.get(name, "")[:64]}" not found')
        unit_ns = _NS_PER.get(request.query.get("precision", "ns"))
        if unit_ns is None:
            return _refuse(400, "invalid", "invalid precision; valid precision units are ns, us, ms, and s")
        body = _decoded(request)
        if isinstance(body, Response):
            return body
        try:
            points = list(parse_lines(body.decode()))
        except UnicodeDecodeError as error:
            return _refuse(400, "invalid", f"unable to parse: {error.reason}")
        except ProtocolError as error:
            return _refuse(400, "invalid", error.detail)
        with self._lock:
            conflicts = [problem for point in points if (problem := self._store(point, unit_ns))]
        if conflicts:
            return _refuse(422, "unprocessable entity", f"partial write: {conflicts[0]} dropped={len(conflicts)}")
        return Response(204)

    def _store(self, point: Point, unit_ns: int) -> str | None:
        for name, kind in point.fields:
            known = self._types.get((point.measurement, name))
            if known not in (None, kind):
                return (
                    f'field type conflict: input field "{name}" on measurement "{point.measurement}" '
                    f"is type {kind}, already exists as type {known}"
                )
            if known is None and len(self._types) >= _MAX_FIELDS:
                return f"more than {_MAX_FIELDS} fields"
            self._types[point.measurement, name] = kind
        time_ns = self._clock() * 1_000 if point.timestamp is None else point.timestamp * unit_ns
        key = hash((point.measurement, point.tags, time_ns))
        if key in self._seen:
            self._overwritten += 1
            return None
        self._seen[key] = None
        self._points[point.measurement] += 1
        if len(self._seen) > self._remembered_points:
            del self._seen[next(iter(self._seen))]
        return None


def _decoded(request: Request) -> bytes | Response:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding == "identity":
        return request.body
    if encoding != "gzip":
        return _refuse(400, "invalid", f"unsupported content encoding {encoding[:32]!r}")
    unpacker = zlib.decompressobj(wbits=31)
    try:
        body = unpacker.decompress(request.body, MAX_BODY_BYTES)
    except zlib.error as error:
        return _refuse(400, "invalid", f"bad gzip: {error}")
    if unpacker.unconsumed_tail:
        return _refuse(413, "request too large", f"the body is longer than {MAX_BODY_BYTES} bytes")
    if not unpacker.eof:
        return _refuse(400, "invalid", "bad gzip: unexpected end")
    return body


def _refuse(status: int, code: str, message: str) -> Response:
    return json_response(status, {"code": code, "message": message})


def serve(org: str, bucket: str, token: str, *, port: int | None = None) -> HttpServer:
    """Give a stand-in with one bucket, to be entered as a context."""
    api = InfluxStandIn(org, bucket, token)
    return HttpServer("influx", api.answer, port=port, max_body_bytes=MAX_BODY_BYTES)


def main() -> None:
    """Serve until SIGTERM or SIGINT; organisation, bucket and token are those of the settings."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.influx_standin", description=DESCRIPTION)
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    arguments = parser.parse_args()
    settings = load_settings()
    token = settings.influxdb_token.get_secret_value()
    if not token:
        raise ConfigurationError("INFLUXDB_TOKEN", "is not set", "Set any token that writers shall use")
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with serve(settings.influxdb_org, settings.influxdb_bucket, token, port=arguments.port):
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
