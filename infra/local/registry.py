"""The development registry: Confluent's schema registry API, served from memory over the committed schemas.

For machines without a real registry. It says what it is: in the body of `GET /` and in the header `X-Registry`.
Nothing survives it, and it does not need to: ids are made of the schemas' content.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from infra.local.http import HttpServer, Request, Response, json_response
from infra.local.registry_store import Level, Mode, Refusal, RegistryStore, Version
from schemas.codec import committed_subjects, committed_versions, schema_text
from schemas.compatibility import level_of

__all__ = ["DESCRIPTION", "MAX_BODY_BYTES", "RegistryApi", "committed_store", "main", "serve"]

DESCRIPTION = "development registry (stand-in: in memory, Avro only, no access control)"
MAX_BODY_BYTES = 1024 * 1024
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"

Query = Mapping[str, str]


def committed_store() -> RegistryStore:
    """Build a store that has every committed version of every subject."""
    store = RegistryStore()
    for subject in committed_subjects():
        store.set_level(Level(level_of(subject)), subject)
        for version in committed_versions(subject):
            store.register(subject, schema_text(subject, version))
    return store


class RegistryApi:
    """The HTTP API of a store: paths, JSON shapes and error codes of Confluent's registry."""

    def __init__(self, store: RegistryStore) -> None:
        self._store = store
        subject = "/subjects/([^/]+)"
        version = f"{subject}/versions/([^/]+)"
        schema = "/schemas/ids/([0-9]{1,10})"
        compatibility = f"/compatibility{subject}/versions"
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Any]]] = [
            (method, re.compile(path), function)
            for method, path, function in (
                ("GET", "/", lambda *_: {"registry": DESCRIPTION}),
                ("GET", "/contexts", lambda *_: ["."]),
                ("GET", "/subjects", self._subjects),
                ("POST", subject, self._lookup),
                ("DELETE", subject, self._delete),
                ("GET", f"{subject}/versions", lambda q, _, s: store.versions(s, deleted=_flag(q, "deleted"))),
                ("POST", f"{subject}/versions", self._register),
                ("GET", version, self._version),
                ("DELETE", version, self._delete_version),
                ("GET", f"{version}/schema", lambda q, _, s, v: json.loads(self._version(q, _, s, v)["schema"])),
                ("GET", f"{version}/referencedby", lambda q, _, s, v: self._version(q, _, s, v) and []),
                ("GET", "/schemas/types", lambda *_: ["AVRO"]),
                ("GET", schema, self._schema),
                ("GET", f"{schema}/schema", lambda _, __, i: json.loads(store.by_id(int(i)))),
                ("GET", f"{schema}/subjects", lambda q, _, i: [v["subject"] for v in self._uses(q, i)]),
                ("GET", f"{schema}/versions", lambda q, _, i: self._uses(q, i)),
                ("GET", "/schemas/guids/([0-9A-Fa-f-]{36})", lambda _, __, guid: _describe(store.by_guid(guid))),
                ("GET", "/config", lambda *_: {"compatibilityLevel": store.level()}),
                ("PUT", "/config", self._set_level),
                ("DELETE", "/config", self._reset_level),
                ("GET", "/config/([^/]+)", self._level),
                ("PUT", "/config/([^/]+)", self._set_level),
                ("DELETE", "/config/([^/]+)", self._reset_level),
                ("POST", compatibility, self._compatibility),
                ("POST", f"{compatibility}/([^/]+)", self._compatibility),
                ("GET", "/mode", lambda *_: {"mode": store.mode()}),
                ("PUT", "/mode", self._set_mode),
                ("GET", "/mode/([^/]+)", lambda _, __, s: {"mode": store.mode(s)}),
                ("PUT", "/mode/([^/]+)", self._set_mode),
                ("DELETE", "/mode/([^/]+)", self._reset_mode),
            )
        ]

    def answer(self, request: Request) -> Response:
        """Answer one request."""
        try:
            document = self._dispatch(request)
            status = 200
        except Refusal as refusal:
            status, document = refusal.status, {"error_code": refusal.code, "message": refusal.message}
        response = json_response(status, document, _CONTENT_TYPE)
        return Response(status, response.body, {**response.headers, "X-Registry": DESCRIPTION})

    def _dispatch(self, request: Request) -> Any:
        allowed = False
        for method, path, function in self._routes:
            match = path.fullmatch(request.path)
            if match is None:
                continue
            if method == request.method:
                return function(request.query, _document(request.body), *map(unquote, match.groups()))
            allowed = True
        if allowed:
            raise Refusal(405, 405, "HTTP 405 Method Not Allowed")
        raise Refusal(404, 404, "HTTP 404 Not Found")

    def _subjects(self, query: Query, _body: Any) -> list[str]:
        found = self._store.subjects(deleted=_flag(query, "deleted"), prefix=query.get("subjectPrefix", ""))
        start, limit = _number(query, "offset", 0), _number(query, "limit", -1)
        return found[start:] if limit < 0 else found[start : start + limit]

    def _register(self, _query: Query, body: Any, subject: str) -> dict[str, Any]:
        return _describe(self._store.register(subject, _schema_of(body)))

    def _lookup(self, query: Query, body: Any, subject: str) -> dict[str, Any]:
        deleted = _flag(query, "deleted")
        self._store.versions(subject, deleted=deleted)
        return _describe(self._store.lookup(subject, _schema_of(body), deleted=deleted))

    def _version(self, query: Query, _body: Any, subject: str, number: str) -> dict[str, Any]:
        return _describe(self._store.version(subject, number, deleted=_flag(query, "deleted")))

    def _delete(self, query: Query, _body: Any, subject: str) -> list[int]:
        return self._store.delete(subject, permanent=_flag(query, "permanent"))

    def _delete_version(self, query: Query, _body: Any, subject: str, number: str) -> int:
        return self._store.delete(subject, number, permanent=_flag(query, "permanent"))[0]

    def _schema(self, _query: Query, _body: Any, schema_id: str) -> dict[str, Any]:
        return {"schema": self._store.by_id(int(schema_id)), "schemaType": "AVRO"}

    def _uses(self, query: Query, schema_id: str) -> list[dict[str, Any]]:
        uses = self._store.uses(int(schema_id), deleted=_flag(query, "deleted"))
        return [{"subject": version.subject, "version": version.number} for version in uses]

    def _level(self, query: Query, _body: Any, subject: str) -> dict[str, Any]:
        level = self._store.own_level(subject)
        if level is None and not _flag(query, "defaultToGlobal"):
            raise Refusal(404, 40408, f"Subject '{subject}' does not have subject-level compatibility configured")
        return {"compatibilityLevel": level or self._store.level()}

    def _set_level(self, _query: Query, body: Any, subject: str | None = None) -> dict[str, Any]:
        wanted = body.get("compatibility") if isinstance(body, dict) else None
        if wanted not in list(Level):
            raise Refusal(422, 42203, f"Invalid compatibility level, one of {', '.join(Level)} is needed")
        self._store.set_level(Level(wanted), subject)
        return {"compatibility": wanted}

    def _reset_level(self, _query: Query, _body: Any, subject: str | None = None) -> dict[str, Any]:
        before = self._store.level(subject)
        self._store.set_level(None, subject)
        return {"compatibilityLevel": before}

    def _compatibility(self, query: Query, body: Any, subject: str, number: str | None = None) -> dict[str, Any]:
        problems = self._store.compatibility(subject, _schema_of(body), number)
        verdict: dict[str, Any] = {"is_compatible": not problems}
        return {**verdict, "messages": problems} if _flag(query, "verbose") else verdict

    def _set_mode(self, _query: Query, body: Any, subject: str | None = None) -> dict[str, Any]:
        wanted = body.get("mode") if isinstance(body, dict) else None
        if wanted not in list(Mode):
            raise Refusal(422, 42204, f"Invalid mode, one of {', '.join(Mode)} is needed")
        self._store.set_mode(Mode(wanted), subject)
        return {"mode": wanted}

    def _reset_mode(self, _query: Query, _body: Any, subject: str) -> dict[str, Any]:
        before = self._store.mode(subject)
        self._store.set_mode(None, subject)
        return {"mode": before}


def _describe(version: Version) -> dict[str, Any]:
    return {
        "subject": version.subject,
        "version": version.number,
        "id": version.schema_id,
        "guid": version.guid,
        "schemaType": "AVRO",
        "schema": version.text,
    }


def _document(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, 400, "Unable to process JSON") from None


def _schema_of(body: Any) -> str:
    text = body.get("schema") if isinstance(body, dict) else None
    if not isinstance(text, str):
        raise Refusal(422, 42201, "Empty schema: the field 'schema' must be a string")
    if body.get("schemaType") not in (None, "AVRO") or body.get("references"):
        raise Refusal(422, 42201, f"Only Avro without references is served by a {DESCRIPTION}")
    return text


def _flag(query: Query, name: str) -> bool:
    return query.get(name, "").lower() == "true"  # clients of Python send True


def _number(query: Query, name: str, default: int) -> int:
    text = query.get(name, "")
    return int(text) if re.fullmatch("-?[0-9]{1,9}", text) else default


def serve(*, port: int | None = None) -> HttpServer:
    """Give a development registry over the committed schemas, to be entered as a context."""
    api = RegistryApi(committed_store())
    return HttpServer("registry", api.answer, port=port, max_body_bytes=MAX_BODY_BYTES)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.registry", description=DESCRIPTION)
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    arguments = parser.parse_args()
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with serve(port=arguments.port):
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
