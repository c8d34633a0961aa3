"""How much may be on its way to the broker at once, and who goes first when that is not all.

Whatever is under way is in front of what comes next, so a slow broker is given no more at a time than it acknowledges
within a target. The window is halved when an acknowledgement takes longer and grows by what is acknowledged in time,
as TCP's congestion window does (RFC 5681, 3.1), with delay as the signal. What waits for it goes by its topic's
priority, so that quotes and books do not wait behind a backlog of trades; the backlog itself is bounded by the
publisher, which stops the input, so that lower priorities have their turn.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

from schemas.topics import Priority

__all__ = ["Window"]

_TARGET_US = 250_000
_LEAST_BYTES = 64 * 1024
_MOST_BYTES = 16 * 1024 * 1024


class Window:
    """Bytes under way to a broker, bounded by how fast it acknowledges them.

    Args:
        target_us: Time within which what is under way should be acknowledged.
        least, most: Bounds of the window in bytes; a batch that is alone may always go.
    """

    def __init__(self, target_us: int = _TARGET_US, least: int = _LEAST_BYTES, most: int = _MOST_BYTES) -> None:
        self._target_us = target_us
        self._least = least
        self._most = most
        self.size = most
        self._under_way = 0
        self._numbers = count()
        # By priority, then in the order of coming.
        self._waiting: list[tuple[Priority, int, int, asyncio.Future[None]]] = []

    async def enter(self, priority: Priority, size: int) -> None:
        """Wait until so many bytes may go."""
        self._forget_cancelled()
        if self._has_room(size) and not (self._waiting and self._waiting[0][0] <= priority):
            self._under_way += size
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._numbers), size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # let in and cancelled at once: nothing of it will go
                self._under_way -= size
                self._let_in()
            raise

    def leave(self, size: int, took_us: int) -> None:
        """Note what is acknowledged, or will never be, and how long that took."""
        self._under_way -= size
        late = took_us > self._target_us
        self.size = max(self.size // 2, self._least) if late else min(self.size + size, self._most)
        self._let_in()

    def _has_room(self, size: int) -> bool:
        return not self._under_way or self._under_way + size <= self.size

    def _let_in(self) -> None:
        self._forget_cancelled()
        while self._waiting and self._has_room(self._waiting[0][2]):
            _, _, size, turn = heapq.heappop(self._waiting)
            self._under_way += size
            turn.set_result(None)
            self._forget_cancelled()

    def _forget_cancelled(self) -> None:
        while self._waiting and self._waiting[0][3].done():
            heapq.heappop(self._waiting)
