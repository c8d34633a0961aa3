"""What a Tendermint node says of transactions and blocks: parsing only, no state.

Sei's node is a fork of Tendermint 0.35 that writes the JSON of 0.34 (sei-tendermint types/events.go): attributes in
base64, a `result.events` map of `type.key` to plain values, `index` left out when 0, no `code`. CometBFT from 0.37 on
writes plain attributes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any

from producers.sei.mapping import ChainEvent
from producers.wire import rfc3339_us
from schemas.errors import ProtocolError
from schemas.reasons import DeadLetterReason
from schemas.wire import long_of, parse_json, short_text

__all__ = [
    "Encoding",
    "Header",
    "Outcome",
    "RawEvent",
    "Transaction",
    "decode_event",
    "encoding_by_index",
    "encoding_by_keys",
    "parse_block",
    "parse_block_results",
    "parse_header",
    "parse_transaction",
    "unwrap",
]


@unique
class Encoding(Enum):
    """How a node writes the attributes of events."""

    PLAIN = "plain"
    BASE64 = "base64"


@unique
class Outcome(Enum):
    """Whether a transaction took effect."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """The frame does not tell: `block_results` does."""


@dataclass(frozen=True, slots=True)
class RawEvent:
    """An event as written: keys and values not decoded, None where the node wrote null."""

    type: str
    attributes: tuple[tuple[str | None, str | None], ...]


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction and what it did.

    Attributes:
        tx_hash: SHA-256 of its bytes in upper-case hex; None where neither it nor the bytes are known.
        encoding: How its attributes are written; None where only the attributes themselves could tell.
    """

    height: int
    index: int
    tx_hash: str | None
    outcome: Outcome
    events: tuple[RawEvent, ...]
    encoding: Encoding | None


@dataclass(frozen=True, slots=True)
class Header:
    """A block's header; `num_txs` is None where the node does not say."""

    chain_id: str | None
    height: int
    time_us: int
    num_txs: int | None


def parse_transaction(value: object, index: object) -> Transaction:
    """Parse the value of a Tx event, with the event's flat `events` map.

    Raises:
        ProtocolError: MALFORMED.
    """
    tx = _object(_object(value, "Tx value").get("TxResult"), "TxResult")
    flat = _flat(index)
    result = _object(tx.get("result"), "TxResult.result")
    events = _events(result.get("events"))
    stated_hash = flat.get("tx.hash")
    return Transaction(
        height=long_of(tx.get("height"), "height"),
        index=long_of(tx.get("index", 0), "index"),
        tx_hash=short_text(stated_hash[0], "tx.hash") if stated_hash else _hash(tx.get("tx")),
        outcome=_live_outcome(result, flat),
        events=events,
        encoding=encoding_by_index(events, flat),
    )


def parse_header(value: object) -> Header:
    """Parse the value of a NewBlockHeader or NewBlock event, or of a `block` answer.

    Raises:
        ProtocolError: MALFORMED.
    """
    body = _object(value, "block value")
    block = body.get("block")
    holder = _object(block, "block") if block is not None else body
    header = _object(holder.get("header"), "header")
    count = body.get("num_txs")
    if count is None and block is not None:
        count = len(_list(_object(holder.get("data", {}), "block.data").get("txs"), "block.data.txs"))
    chain_id = header.get("chain_id")
    return Header(
        chain_id=short_text(chain_id, "chain_id") if chain_id is not None else None,
        height=long_of(header.get("height"), "height"),
        time_us=rfc3339_us(header.get("time")),
        num_txs=None if count is None else long_of(count, "num_txs"),
    )


def parse_block(body: bytes) -> tuple[Header, tuple[str | None, ...]]:
    """Parse the answer to `block?height=`: the header, and the hash of each transaction.

    Raises:
        ProtocolError: MALFORMED, or the node answered with an error.
    """
    result = unwrap(body)
    data = _object(_object(result.get("block"), "block").get("data", {}), "block.data")
    return parse_header(result), tuple(_hash(tx) for tx in _list(data.get("txs"), "block.data.txs"))


def parse_block_results(body: bytes) -> tuple[int, tuple[Transaction, ...]]:
    """Parse the answer to `block_results?height=`: the height and every transaction, failed ones included.

    Here an absent `code` is 0, success (omitted by the node), as in the recorded block of pacific-1.

    Raises:
        ProtocolError: MALFORMED, or the node answered with an error.
    """
    result = unwrap(body)
    height = long_of(result.get("height"), "height")
    transactions = []
    for index, item in enumerate(_list(result.get("txs_results"), "txs_results")):
        tx = _object(item, "txs_results item")
        outcome = Outcome.FAILED if _code(tx) or tx.get("codespace") else Outcome.SUCCEEDED
        transactions.append(Transaction(height, index, None, outcome, _events(tx.get("events")), None))
    return height, tuple(transactions)


def unwrap(body: bytes) -> dict[str, Any]:
    """Take the result out of a JSON-RPC envelope; this fork answers plain GETs with one too, its id being -1.

    Raises:
        ProtocolError: MALFORMED, or the node answered with an error.
    """
    document = _object(parse_json(body), "answer")
    if document.get("error") is not None:
        raise ProtocolError(DeadLetterReason.REFUSED, f"the node answered {str(document['error'])[:256]!r}")
    return _object(document.get("result"), "result")


def encoding_by_index(events: Collection[RawEvent], flat: Mapping[str, list[str]]) -> Encoding | None:
    """Tell how attributes are written, by the flat map, whose keys are always plain.

    Whether a text decodes says nothing: a plain `key` is valid base64 too. All attributes of the frame vote, for a
    contract chooses the keys of its own events and could make single ones look like the other form.
    """
    plain = encoded = 0
    for event in events:
        for key, _ in event.attributes:
            if key:
                plain += f"{event.type}.{key}" in flat
                encoded += f"{event.type}.{_unbase64(key)}" in flat
    if plain == encoded:
        return None
    return Encoding.PLAIN if plain > encoded else Encoding.BASE64


def encoding_by_keys(event: RawEvent, keys: Collection[str]) -> Encoding | None:
    """Tell how an event is written where there is no flat map, by the attributes that its type should have."""
    plain = sum(key in keys for key, _ in event.attributes)
    encoded = sum(_unbase64(key) in keys for key, _ in event.attributes if key)
    if plain == encoded:
        return None
    return Encoding.PLAIN if plain > encoded else Encoding.BASE64


def decode_event(event: RawEvent, encoding: Encoding) -> ChainEvent:
    """Decode an event's attributes; null is the empty text.

    Raises:
        ProtocolError: MALFORMED, where one is not the base64 of a UTF-8 text.
    """
    if encoding is Encoding.PLAIN:
        return ChainEvent(event.type, tuple((key or "", value or "") for key, value in event.attributes))
    decoded = tuple((_unbase64(key or ""), _unbase64(value or "")) for key, value in event.attributes)
    if any(key is None or value is None for key, value in decoded):
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{event.type[:64]} event: an attribute is not base64")
    return ChainEvent(event.type, tuple((key or "", value or "") for key, value in decoded))


def _live_outcome(result: Mapping[str, Any], flat: Mapping[str, list[str]]) -> Outcome:
    """Judge a transaction of the live stream, where Sei writes no `code`.

    The log of a success is a JSON list of events, or empty from Cosmos SDK 0.50 on; that of a failure is the error's
    text. Events of messages are discarded on failure, `message.action` with them (the ante handler, whose events stay,
    writes `message` without an action), so it shows a success where the log is empty.
    """
    if result.get("code") is not None:
        return Outcome.FAILED if _code(result) else Outcome.SUCCEEDED
    if result.get("codespace"):
        return Outcome.FAILED
    log = result.get("log")
    if log:
        return Outcome.SUCCEEDED if isinstance(log, str) and _is_json_list(log) else Outcome.FAILED
    return Outcome.SUCCEEDED if "message.action" in flat else Outcome.UNKNOWN


def _is_json_list(text: str) -> bool:
    if not text.startswith("["):
        return False
    try:
        return isinstance(parse_json(text), list)
    except ProtocolError:
        return False


def _code(result: Mapping[str, Any]) -> int:
    code = result.get("code")
    return 0 if code is None else long_of(code, "code")


def _events(value: object) -> tuple[RawEvent, ...]:
    events = []
    for item in _list(value, "events"):
        event = _object(item, "event")
        attributes = []
        for entry in _list(event.get("attributes"), "attributes"):
            attribute = _object(entry, "attribute")
            attributes.append((_optional_text(attribute.get("key")), _optional_text(attribute.get("value"))))
        events.append(RawEvent(_optional_text(event.get("type")) or "", tuple(attributes)))
    return tuple(events)


def _flat(value: object) -> Mapping[str, list[str]]:
    flat = _object({} if value is None else value, "events map")
    for values in flat.values():
        if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
            raise ProtocolError(DeadLetterReason.MALFORMED, "the events map must hold lists of texts")
    return flat


def _hash(tx: object) -> str | None:
    try:
        raw = base64.b64decode(tx, validate=True) if isinstance(tx, str) else b""
    except (binascii.Error, ValueError):
        raw = b""
    return hashlib.sha256(raw).hexdigest().upper() if raw else None


def _unbase64(text: str) -> str | None:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{what} must be an object")
    return value


def _list(value: object, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{what} must be a list")
    return value


def _optional_text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ProtocolError(DeadLetterReason.MALFORMED, "an event's type, keys and values must be texts")
    return value
