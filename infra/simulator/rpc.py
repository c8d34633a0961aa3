"""JSON-RPC as a Tendermint node of the Sei fork reads and writes it (rpc/jsonrpc/types/types.go)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from infra.simulator.hub import RequestId
from schemas.errors import ContractError

__all__ = ["Code", "RPCError", "Request", "dumps", "error", "params_of", "parse_request", "result"]


class Code(IntEnum):
    """JSON-RPC error codes; the message of each is fixed, what happened is in `data`."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603


_MESSAGES = {
    Code.PARSE_ERROR: "Parse error",
    Code.INVALID_REQUEST: "Invalid request",
    Code.METHOD_NOT_FOUND: "Method not found",
    Code.INVALID_PARAMS: "Invalid params",
    Code.INTERNAL_ERROR: "Internal error",
}
_VALID_ID = re.compile(r'^(?:".*"|-?\d+)$')


class RPCError(ContractError):
    """A request that the node answers with an error."""

    def __init__(self, code: Code, data: str) -> None:
        self.code = code
        self.data = data
        super().__init__(data)


@dataclass(frozen=True, slots=True)
class Request:
    """A request; `id` is None for a notification, which is never answered."""

    id: RequestId | None
    method: str
    params: object


def dumps(document: object) -> str:
    """Write JSON without spaces."""
    return json.dumps(document, separators=(",", ":"))


def parse_request(text: str | bytes) -> Request:
    """Read a request.

    Raises:
        RPCError: PARSE_ERROR: not JSON, not an object, a wrong version, or an id that is neither text nor integer.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise _unreadable(str(problem)) from None
    if not isinstance(document, Mapping):
        raise _unreadable(f"cannot unmarshal {_json_kind(document)} into a request")
    if document.get("jsonrpc", "") not in ("", "2.0"):
        raise _unreadable(f"invalid version: {dumps(document['jsonrpc'])}")
    method = document.get("method", "")
    if not isinstance(method, str):
        raise _unreadable(f"cannot unmarshal {_json_kind(method)} into the method")
    request_id = document.get("id")
    if request_id is not None and not _VALID_ID.match(dumps(request_id)):
        raise _unreadable(f"invalid request ID: {dumps(dumps(request_id))}")
    return Request(request_id, method, document.get("params", ""))


def params_of(request: Request, *names: str) -> dict[str, Any]:
    """Give a request's parameters by name, from an object or from an array in this order.

    Raises:
        RPCError: INVALID_PARAMS.
    """
    params = request.params
    if params is None:
        return {}
    if isinstance(params, list):
        if len(params) != len(names):
            raise RPCError(Code.INVALID_PARAMS, f"got {len(params)} arguments, want {len(names)}")
        return dict(zip(names, params, strict=True))
    if not isinstance(params, dict):
        raise RPCError(Code.INVALID_PARAMS, "parameters must be an object or an array")
    return params


def result(request_id: RequestId, document: object) -> str:
    """Write a successful answer."""
    return dumps({"jsonrpc": "2.0", "id": request_id, "result": document})


def error(request_id: RequestId | None, problem: RPCError) -> str:
    """Write an error; without an id where the request could not be read."""
    head: dict[str, object] = {"jsonrpc": "2.0"}
    if request_id is not None:
        head["id"] = request_id
    body = {"code": int(problem.code), "message": _MESSAGES[problem.code], "data": problem.data}
    return dumps({**head, "error": body})


def _unreadable(detail: str) -> RPCError:
    return RPCError(Code.PARSE_ERROR, f"unmarshaling request: {detail}")


def _json_kind(value: object) -> str:
    kinds = {list: "array", str: "string", bool: "bool", int: "number", float: "number", dict: "object"}
    return kinds.get(type(value), "null")
