"""How much may be on its way to the broker at once, and who goes first when that is not all.

Whatever is under way is in front of what comes next, so a slow broker is given no more at a time than it acknowledges
within a target. The window is halved when an acknowledgement takes longer and grows by what is acknowledged in time,
as TCP's congestion window does (RFC 5681, 3.1), with delay as the signal. What waits for it goes by weight: of the
bytes, each priority has eight times the share of the next lower one. So quotes and books do not wait behind a backlog
of trades, and a metric does not wait for its end (stride scheduling: C. Waldspurger, W. Weihl, MIT/LCS/TM-528, 1995).
"""

from __future__ import annotations

import asyncio
from collections import deque

from schemas.topics import Priority

__all__ = ["Window"]

_TARGET_US = 250_000
_LEAST_BYTES = 64 * 1024
_MOST_BYTES = 16 * 1024 * 1024
_SHIFT = 3  # a weight of eight between priorities


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
        self._waiting: dict[Priority, deque[tuple[int, asyncio.Future[None]]]] = {each: deque() for each in Priority}
        # What each priority has had, by weight, and where the last one let in stood: who comes anew begins there.
        self._had = dict.fromkeys(Priority, 0)
        self._now = 0

    async def enter(self, priority: Priority, size: int) -> None:
        """Wait until so many bytes may go."""
        if self._has_room(size) and not any(self._waiting.values()):
            self._under_way += size
            return
        turn = asyncio.get_running_loop().create_future()
        if not self._waiting[priority]:
            self._had[priority] = max(self._had[priority], self._now)
        self._waiting[priority].append((size, turn))
        self._let_in()
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
        while (priority := self._next()) is not None:
            size, turn = self._waiting[priority][0]
            if not self._has_room(size):
                break
            self._waiting[priority].popleft()
            self._under_way += size
            self._now = self._had[priority]
            self._had[priority] += size << (_SHIFT * priority)
            turn.set_result(None)

    def _next(self) -> Priority | None:
        for queue in self._waiting.values():
            while queue and queue[0][1].done():  # cancelled
                queue.popleft()
        return min((each for each in Priority if self._waiting[each]), key=lambda each: self._had[each], default=None)
