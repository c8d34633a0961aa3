"""How far behind a producer's own queue is: how full, and how long its oldest record has been waiting."""

from __future__ import annotations

from collections import deque

__all__ = ["Backlog"]

_MARK_US = 100_000


class Backlog:
    """Counts what is handed to a client library's queue and what comes back from it.

    Args:
        max_records, max_bytes: The bounds of the queue.
    """

    def __init__(self, max_records: int, max_bytes: int) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._sent = 0
        self._done = 0
        self._bytes = 0
        # The number of a record and when it was sent, ten a second: records come back in almost that order.
        self._marks: deque[tuple[int, int]] = deque()

    @property
    def records(self) -> int:
        """Records that are waiting."""
        return self._sent - self._done

    @property
    def percent(self) -> int:
        """How much of the queue's bound is used, in records or in bytes, whichever is more."""
        return max(100 * self.records // self._max_records, 100 * self._bytes // self._max_bytes)

    def sent(self, size: int, now_us: int) -> None:
        """Note a record of `size` bytes that went into the queue."""
        self._sent += 1
        self._bytes += size
        if not self._marks or now_us - self._marks[-1][1] >= _MARK_US:
            self._marks.append((self._sent, now_us))

    def done(self, size: int) -> None:
        """Note a record that is delivered, or given up."""
        self._done += 1
        self._bytes -= size

    def age_us(self, now_us: int) -> int:
        """Give how long the oldest waiting record has been there, to a tenth of a second; 0 when none waits."""
        while self._marks and self._marks[0][0] <= self._done:
            self._marks.popleft()
        return max(now_us - self._marks[0][1], 0) if self._marks else 0
