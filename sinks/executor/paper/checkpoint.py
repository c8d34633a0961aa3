"""Where the paper venue stands in a partition, as bytes: a restart goes on from there. Pure.

Compressed JSON: what the venue remembers, and how far the log is in it: the last tick, and where the intents and
executions end that went into it.
"""

from __future__ import annotations

import json
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from schemas.enums import Mode, OrderAction, Side, TimeInForce
from schemas.errors import StateError
from schemas.records import OrderIntent
from sinks.executor.paper.market import PaperMarket, Resting
from sinks.executor.paper.venue import PaperPartition
from sinks.executor.port import Request

__all__ = ["MOST_BYTES", "Checkpoint", "load", "pack", "unpack"]

MOST_BYTES: Final = 900_000
"""A broker takes 1 MiB in one record by default."""
_MOST_STATE_BYTES = 64 * 1024 * 1024
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """How far the log is in what a venue remembers.

    Attributes:
        tick_offset: The last tick that was applied; -1 is none.
        intents_end, executions_end: Offset after the last one that it knows of, on the partition of the same number.
        venue: What the venue remembers, JSON-able.
    """

    tick_offset: int
    intents_end: int
    executions_end: int
    venue: Mapping[str, Any]


def pack(partition: PaperPartition, intents_end: int, executions_end: int) -> bytes:
    """Take a partition's state down; it may be larger than `MOST_BYTES`."""
    document = {
        "version": _VERSION,
        "tick_offset": partition.offset,
        "intents_end": intents_end,
        "executions_end": executions_end,
        "venue": {
            "clock_us": partition.clock_us,
            "arriving": [asdict(request.intent) for request in partition.arriving],
            "markets": [[*market, _dump(paper)] for market, paper in partition.markets.items()],
        },
    }
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 1)


def unpack(value: bytes) -> Checkpoint:
    """Read what `pack` wrote.

    Raises:
        StateError: it is something else, or of another version.
    """
    try:
        inflater = zlib.decompressobj()
        document = json.loads(inflater.decompress(value, _MOST_STATE_BYTES))
        if document["version"] != _VERSION:
            raise StateError(f"a checkpoint of the executor has version {document['version']}, not {_VERSION}")
        return Checkpoint(
            tick_offset=int(document["tick_offset"]),
            intents_end=int(document["intents_end"]),
            executions_end=int(document["executions_end"]),
            venue=document["venue"],
        )
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise StateError(f"a checkpoint of the executor cannot be read: {error!r}") from error


def load(checkpoint: Checkpoint, partition: PaperPartition) -> None:
    """Give a new venue's partition what a checkpoint remembers; markets that it does not have are left out.

    Raises:
        StateError: it is not what a venue remembers.
    """
    try:
        partition.offset = checkpoint.tick_offset
        partition.clock_us = int(checkpoint.venue["clock_us"])
        for venue, symbol, state in checkpoint.venue["markets"]:
            market = partition.markets.get((venue, symbol))
            if market is not None:
                _restore(market, state)
        arriving = [Request.of(_intent(row)) for row in checkpoint.venue["arriving"]]
        partition.arriving = [request for request in arriving if request.order.market in partition.markets]
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"a checkpoint of the executor does not hold what it should: {error!r}") from error


def _dump(market: PaperMarket) -> dict[str, Any]:
    return {
        "book": market.book.state(),
        "orders": [
            [asdict(resting.intent), resting.queue_ahead, resting.filled, resting.trades, resting.has_arrived]
            for resting in market.orders.values()
        ],
        "seen": list(market.seen),
        "last_print": market.last_print,
        "next_expiry_us": market.next_expiry_us,
    }


def _restore(market: PaperMarket, state: Mapping[str, Any]) -> None:
    market.book.restore(state["book"])
    for row, queue_ahead, filled, trades, has_arrived in state["orders"]:
        resting = Resting(Request.of(_intent(row)), int(queue_ahead), int(filled), int(trades), bool(has_arrived))
        market.orders[resting.order.nonce] = resting
    market.seen = OrderedDict.fromkeys(state["seen"])
    session, message, ordinal = state["last_print"]
    market.last_print = (int(session), int(message), int(ordinal))
    market.next_expiry_us = int(state["next_expiry_us"])


def _intent(row: Mapping[str, Any]) -> OrderIntent:
    named = dict(row)
    for name, kind in (("action", OrderAction), ("mode", Mode), ("side", Side), ("time_in_force", TimeInForce)):
        named[name] = kind(named[name])
    return OrderIntent(**named)
