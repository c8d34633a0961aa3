"""The JSON of a Sei node's block and transaction events, field by field.

Shapes follow sei-tendermint's types/events.go (the Legacy types, which the WebSocket sends) and
rpc/coretypes/responses.go: attributes are base64 with null for an empty value, numbers of 64 bits are texts, fields
that are zero or empty are left out where Go's `omitempty` does, and the flat `events` map is plain text.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from infra.simulator.chain import Block, Event, Transaction

__all__ = [
    "block_events",
    "block_result",
    "block_results",
    "new_block",
    "new_block_header",
    "rfc3339_nanos",
    "status",
    "transaction",
    "transaction_events",
]

_EMPTY_HASH = hashlib.sha256(b"").hexdigest().upper()
_VALIDATORS_HASH = hashlib.sha256(b"validators").hexdigest().upper()


def rfc3339_nanos(time_ns: int) -> str:
    """Write a time as Go's RFC3339Nano does: UTC, nanoseconds without trailing zeros."""
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{nanos:09d}".rstrip("0").rstrip(".") + "Z"


def transaction_events(block: Block, tx: Transaction) -> dict[str, list[str]]:
    """Give the flat map of a Tx event."""
    return _compact(
        [("tm", (("event", "Tx"),)), ("tx", (("hash", tx.hash), ("height", str(block.height)))), *tx.events]
    )


def block_events(block: Block, kind: str) -> dict[str, list[str]]:
    """Give the flat map of a NewBlock or NewBlockHeader event."""
    return _compact([("tm", (("event", kind),)), ("block", (("height", str(block.height)),)), *block.events])


def transaction(block: Block, tx: Transaction) -> dict[str, object]:
    """Give the value of a Tx event (LegacyEventDataTx). It carries no code: a failure shows only in `log`."""
    result = {
        "log": tx.log,
        "gas_wanted": str(tx.gas_wanted),
        "gas_used": str(tx.gas_used),
        "events": _events(tx.events),
    }
    fields = {"height": str(block.height), "index": tx.index, "tx": _base64(tx.tx)}
    return {"TxResult": {**_omit_empty(fields), "result": _omit_empty(result)}}


def new_block_header(block: Block, chain_id: str) -> dict[str, object]:
    """Give the value of a NewBlockHeader event."""
    return {
        "header": _header(block, chain_id),
        "num_txs": str(len(block.transactions)),
        "result_finalize_block": {
            "events": _events(block.events),
            "tx_results": [_exec_result(tx) for tx in block.transactions],
            "app_hash": _base64(bytes.fromhex(block.hash)),
        },
    }


def new_block(block: Block, chain_id: str) -> dict[str, object]:
    """Give the value of a NewBlock event (LegacyEventDataNewBlock)."""
    return {
        "block": {**_block(block, chain_id), "evidence": {"evidence": []}},
        "result_begin_block": {"events": _events(block.events)},
        "result_end_block": {"validator_updates": None, "consensus_param_updates": {}},
    }


def block_result(block: Block, chain_id: str) -> dict[str, object]:
    """Give the result of `block` (ResultBlock)."""
    return {"block_id": _block_id(block.hash), "block": _block(block, chain_id)}


def block_results(block: Block) -> dict[str, object]:
    """Give the result of `block_results`: the only place where a transaction's code is."""
    return {
        "height": str(block.height),
        "txs_results": [_exec_result(tx) for tx in block.transactions] or None,
        "total_gas_used": str(sum(tx.gas_used for tx in block.transactions)),
        "finalize_block_events": _events(block.events),
        "validator_updates": None,
        "consensus_param_updates": {
            "block": {"max_bytes": "22020096", "max_gas": "10000000"},
            "evidence": {
                "max_age_num_blocks": "100000",
                "max_age_duration": "172800000000000",
                "max_bytes": "22020096",
            },
            "validator": {"pub_key_types": ["ed25519"]},
            "version": {},
        },
    }


def status(chain_id: str, first: Block | None, last: Block | None) -> dict[str, object]:
    """Give the result of `status`; the node's name says that it is simulated."""
    sync: dict[str, object] = {}
    for name, block in (("latest", last), ("earliest", first)):
        sync[f"{name}_block_hash"] = block.hash if block else ""
        sync[f"{name}_app_hash"] = block.hash if block else ""
        sync[f"{name}_block_height"] = str(block.height if block else 0)
        sync[f"{name}_block_time"] = rfc3339_nanos(block.time_ns if block else 0)
    return {
        "node_info": {
            "id": hashlib.sha256(chain_id.encode()).hexdigest()[:40],
            "network": chain_id,
            "version": "0.35.0-unreleased",
            "moniker": "SIMULATED",
            "other": {"tx_index": "on", "rpc_address": ""},
        },
        "application_info": {"version": "0"},
        "sync_info": {**sync, "catching_up": False},
        "validator_info": {"address": "", "pub_key": None, "voting_power": "0"},
    }


def _header(block: Block, chain_id: str) -> dict[str, object]:
    return {
        "version": {"block": "11", "app": "0"},
        "chain_id": chain_id,
        "height": str(block.height),
        "time": rfc3339_nanos(block.time_ns),
        "last_block_id": _block_id(block.previous_hash),
        "last_commit_hash": block.previous_hash,
        "data_hash": _EMPTY_HASH,
        "validators_hash": _VALIDATORS_HASH,
        "next_validators_hash": _VALIDATORS_HASH,
        "consensus_hash": _EMPTY_HASH,
        "app_hash": block.previous_hash,
        "last_results_hash": _EMPTY_HASH,
        "evidence_hash": _EMPTY_HASH,
        "proposer_address": block.proposer,
    }


def _block(block: Block, chain_id: str) -> dict[str, object]:
    """Give a block; its evidence is a list, which the Legacy type of the WebSocket wraps once more."""
    return {
        "header": _header(block, chain_id),
        "data": {"txs": [_base64(tx.tx) for tx in block.transactions]},
        "evidence": [],
        "last_commit": {
            "height": str(block.height - 1),
            "round": 0,
            "block_id": _block_id(block.previous_hash),
            "signatures": [],
        },
    }


def _block_id(block_hash: str) -> dict[str, object]:
    return {"hash": block_hash, "parts": {"total": 1, "hash": block_hash}}


def _exec_result(tx: Transaction) -> dict[str, object]:
    fields: dict[str, object] = {
        "code": tx.code,
        "data": _base64(tx.data),
        "log": tx.log,
        "gas_wanted": str(tx.gas_wanted) if tx.gas_wanted else "",
        "gas_used": str(tx.gas_used) if tx.gas_used else "",
        "events": _events(tx.events),
        "codespace": tx.codespace,
    }
    return _omit_empty(fields)


def _events(events: Iterable[Event]) -> list[dict[str, object]]:
    return [
        {
            "type": kind,
            "attributes": [
                {"key": _base64(key.encode()), "value": _base64(value.encode()) if value else None, "index": True}
                for key, value in attributes
            ],
        }
        for kind, attributes in events
    ]


def _compact(events: Sequence[Event]) -> dict[str, list[str]]:
    flat: dict[str, list[str]] = {}
    for kind, attributes in events:
        for key, value in attributes:
            flat.setdefault(f"{kind}.{key}", []).append(value)
    return flat


def _omit_empty(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value not in (0, "", [])}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
