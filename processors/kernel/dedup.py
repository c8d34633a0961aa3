"""What identifies a trade: the venue's own id, or a hash of all that the venue said."""

from __future__ import annotations

import hashlib

from schemas.records import Tick

__all__ = ["trade_key"]


def trade_key(tick: Tick) -> str:
    """Give what identifies a trade within its market.

    The SHA-256 leaves out what differs when the same trade is read again: our clock, the session and the message.
    """
    if tick.trade_id is not None:
        return tick.trade_id
    said = (
        tick.venue,
        tick.symbol,
        tick.side,
        tick.price,
        tick.size,
        tick.base_amount,
        tick.quote_amount,
        tick.ts_event,
        tick.sequence,
        tick.tx_hash,
        tick.block_height,
        tick.tx_index,
        tick.event_index,
    )
    return hashlib.sha256("\x1f".join(map(str, said)).encode()).hexdigest()
