"""A WebSocket connection that keeps the beginning of a frame that is too large, as evidence."""

from __future__ import annotations

import struct

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, PayloadTooBig

from producers.core import BadFrame
from schemas.reasons import DeadLetterReason

__all__ = ["Connection", "too_large"]

_KEPT_BYTES = 4_096
_HEADER_BYTES = 10  # RFC 6455, 5.2: two bytes and a length of up to eight; servers do not mask


class Connection(ClientConnection):
    """A client's connection; websockets itself throws away what it has of a refused frame.

    Attributes:
        refused: The first bytes of the frame that was refused.
    """

    refused = b""
    _tail = b""

    def data_received(self, data: bytes) -> None:
        """Take what comes from the network."""
        super().data_received(data)
        error = self.protocol.parser_exc
        if isinstance(error, PayloadTooBig):
            seen = self.refused + data if self.refused else _payload_of(self._tail + data, error.size)
            self.refused = seen[: min(error.size or 0, _KEPT_BYTES)]
        self._tail = data[-_HEADER_BYTES:]


def _payload_of(data: bytes, size: int | None) -> bytes:
    """Give what follows the header of a frame of this size."""
    if size is None:
        return b""
    header = struct.pack("!BQ", 127, size) if size >= 1 << 16 else struct.pack("!BH", 126, size)
    return data.partition(header)[2]


def too_large(connection: Connection, closed: ConnectionClosed) -> BadFrame | None:
    """Make the dead letter of the frame that ended a connection by its size; None where it ended otherwise."""
    error = closed.__cause__
    if not isinstance(error, PayloadTooBig):
        return None
    limit = error.max_size + (error.current_size or 0)
    size = (error.size or 0) + (error.current_size or 0)
    detail = f"a frame of {size} bytes; the limit is {limit}"
    return BadFrame(DeadLetterReason.TOO_LARGE, detail, connection.refused, size)
