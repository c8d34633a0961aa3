"""How long to wait before the next attempt: exponential back-off with full jitter.

The wait is uniform in [0, min(greatest, initial * 2**attempt)], so that many clients of one failed node do not come
back together (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Backoff"]

_MAX_DOUBLINGS = 30


class Backoff:
    """The waits between attempts; never gives up.

    Args:
        initial_ms: Bound of the first wait.
        max_ms: Greatest bound.
        random: Gives a float in [0, 1).
    """

    def __init__(self, initial_ms: int, max_ms: int, random: Callable[[], float]) -> None:
        self._initial_ms = initial_ms
        self._max_ms = max_ms
        self._random = random
        self._attempt = 0

    def next_s(self) -> float:
        """Give the next wait in seconds."""
        bound_ms = min(self._max_ms, self._initial_ms << min(self._attempt, _MAX_DOUBLINGS))
        self._attempt += 1
        return self._random() * bound_ms / 1_000

    def reset(self) -> None:
        """Start again from the shortest wait, the last attempt having been a success."""
        self._attempt = 0
