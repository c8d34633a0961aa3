"""The order-book feed without sockets or clock, as fast as it can be computed: for training and tests."""

from __future__ import annotations

from collections.abc import Iterator

from infra.simulator.chain import Block
from infra.simulator.clob import book_frame, trade_frame
from infra.simulator.flow import BookChanged
from infra.simulator.market import Market

__all__ = ["DEFAULT_START_US", "REQUEST_ID", "frames"]

DEFAULT_START_US = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z."""

REQUEST_ID = "offline"


def frames(
    seed: int, seconds: float, rate: float = 1.0, *, start_us: int = DEFAULT_START_US
) -> Iterator[tuple[int, str]]:
    """Give (time in microseconds UTC, frame) of every market from `start_us` on, beginning with a snapshot of each.

    The same arguments always give the same frames, and the node of the same seed sends the same market.

    Raises:
        ConfigurationError: the rate is out of range.
    """
    market = Market(seed, start_us=start_us, rate=rate)
    for clob in market.clobs.values():
        yield start_us, book_frame(REQUEST_ID, clob.snapshot(start_us))
    for event in market.advance(start_us + round(seconds * 1e6)):
        if isinstance(event, BookChanged):
            yield event.ts_us, book_frame(REQUEST_ID, event)
        elif not isinstance(event, Block):
            yield event.ts_us, trade_frame(REQUEST_ID, event)
