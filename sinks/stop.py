"""A request to end, and how long what was begun may still take."""

from __future__ import annotations

import signal
from types import FrameType

from infra.runtime.clock import Clock, wall_clock_us

__all__ = ["Stop"]


class Stop:
    """Set once, by a signal or by whoever runs the process.

    Args:
        grace_us: After the request, waiting for acknowledgements may take this long.
    """

    def __init__(self, clock: Clock = wall_clock_us, grace_us: int = 3_000_000) -> None:
        self._clock = clock
        self._grace_us = grace_us
        self._requested_us: int | None = None

    @property
    def is_requested(self) -> bool:
        """Whether to end."""
        return self._requested_us is not None

    def request(self) -> None:
        """Ask to end; asking again changes nothing."""
        if self._requested_us is None:
            self._requested_us = self._clock()

    def has_run_out(self) -> bool:
        """Tell whether to give up waiting."""
        return self._requested_us is not None and self._clock() - self._requested_us > self._grace_us

    def on_signals(self) -> None:
        """Take SIGINT and SIGTERM as the request."""

        def handler(number: int, frame: FrameType | None) -> None:
            self.request()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, handler)
