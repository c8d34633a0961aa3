"""JSON-RPC 2.0 over a WebSocket as Tendermint nodes speak it: acks, events, errors, subscriptions' frames.

An event carries the id of its subscribe request; an ack is told from it by `result == {}`
(tendermint rpc/coretypes/responses.go, ResultSubscribe).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeAlias

from schemas.errors import ProtocolError
from schemas.reasons import DeadLetterReason

__all__ = ["Ack", "Frame", "FrameId", "Result", "RpcError", "parse_frame", "subscribe_frame"]

FrameId: TypeAlias = str | int | None


@dataclass(frozen=True, slots=True)
class Ack:
    """The answer to a subscribe: an empty result."""

    id: FrameId


@dataclass(frozen=True, slots=True)
class Result:
    """A result that is not empty: an event of a subscription, or the answer to another request."""

    id: FrameId
    body: dict[str, Any]

    @property
    def query(self) -> str | None:
        """The query of the subscription, where the node repeats it."""
        query = self.body.get("query")
        return query if isinstance(query, str) else None


@dataclass(frozen=True, slots=True)
class RpcError:
    """A refusal. `message` is the fixed text of the code, `data` the detail."""

    id: FrameId
    code: int
    message: str
    data: str

    @property
    def text(self) -> str:
        """Message and detail together."""
        return f"{self.message}: {self.data}" if self.data else self.message


Frame: TypeAlias = Ack | Result | RpcError


def subscribe_frame(id_: str, query: str, *, method: str = "subscribe") -> str:
    """Write a subscribe request."""
    return json.dumps({"jsonrpc": "2.0", "method": method, "id": id_, "params": {"query": query}})


def parse_frame(document: Any) -> Frame:
    """Tell what a frame is.

    Raises:
        ProtocolError: MALFORMED where it is not JSON-RPC, UNKNOWN_MESSAGE where it is neither result nor error.
    """
    if not isinstance(document, dict):
        raise ProtocolError(DeadLetterReason.MALFORMED, "a frame must be a JSON object")
    id_ = document.get("id")
    if isinstance(id_, bool) or not isinstance(id_, str | int | None):
        raise ProtocolError(DeadLetterReason.MALFORMED, "id must be a text or an integer")
    error = document.get("error")
    if error is not None:
        return _error(id_, error)
    result = document.get("result")
    if result == {} or not document:
        return Ack(id_)
    if isinstance(result, dict):
        return Result(id_, result)
    raise ProtocolError(DeadLetterReason.UNKNOWN_MESSAGE, "neither a result nor an error")


def _error(id_: FrameId, error: object) -> RpcError:
    if not isinstance(error, dict):
        raise ProtocolError(DeadLetterReason.MALFORMED, "error must be an object")
    code, message, data = error.get("code"), error.get("message", ""), error.get("data")
    if isinstance(code, bool) or not isinstance(code, int) or not isinstance(message, str):
        raise ProtocolError(DeadLetterReason.MALFORMED, "error needs an integer code and a text message")
    return RpcError(
        id_, code, message, data if isinstance(data, str) else "" if data is None else json.dumps(str(data))
    )
