"""What every venue's protocol is: a pure machine that is fed frames and answers with effects.

A source owns no socket, clock or randomness. The shell (`producers.session` for live sockets, `producers.replay` for
recordings) connects, feeds it what arrives with our receive time, and carries out the effects. The same source runs
live, in tests and in `flashmm replay`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from schemas.reasons import DeadLetterReason
from schemas.records import Instrument, Tick

__all__ = ["BadFrame", "Counted", "Effects", "Fetch", "Measured", "Source"]


@dataclass(frozen=True, slots=True)
class BadFrame:
    """A frame, or a part of one, that did not become ticks; goes to `ops.dead-letters`.

    Attributes:
        size: Of the whole in bytes, where the payload is only its beginning.
    """

    reason: DeadLetterReason
    detail: str
    payload: bytes
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Fetch:
    """A REST request that the source needs answered; the shell calls `fetched` with the body, or None on failure.

    Attributes:
        tag: Names the request to the source, e.g. `depth:BTCUSDT` or `block_results:123`.
        path: Path and query below the venue's REST address.
    """

    tag: str
    path: str


@dataclass(slots=True)
class Effects:
    """What a source wants done, in this order of lists.

    Attributes:
        ticks: Go to `market.ticks`, in order.
        bad: Go to `ops.dead-letters`.
        instruments: What the venue says of its markets; go to `reference.instruments`.
        send: Text frames to send on the socket.
        fetch: REST requests to make; the answers come back through `Source.fetched`.
        reconnect: Not None: drop the connection and connect anew, for this reason (logged, counted).
    """

    ticks: list[Tick] = field(default_factory=list)
    bad: list[BadFrame] = field(default_factory=list)
    instruments: list[Instrument] = field(default_factory=list)
    send: list[str] = field(default_factory=list)
    fetch: list[Fetch] = field(default_factory=list)
    reconnect: str | None = None

    def extend(self, other: Effects) -> None:
        """Append another's effects to these."""
        self.ticks += other.ticks
        self.bad += other.bad
        self.instruments += other.instruments
        self.send += other.send
        self.fetch += other.fetch
        self.reconnect = self.reconnect or other.reconnect


class Source(Protocol):
    """A venue's protocol. `now_us` is always our clock, microseconds UTC; for a recording, the recorder's."""

    @property
    def name(self) -> str:
        """The `source` of its ticks."""

    @property
    def symbols(self) -> Sequence[tuple[str, str]]:
        """The (venue, symbol) markets that it serves: heartbeats go to each partition that holds one."""

    def open(self, now_us: int) -> Effects:
        """Start a session on a fresh connection: subscribe. `now_us` becomes the session of its ticks."""

    def receive(self, frame: str | bytes, now_us: int) -> Effects:
        """Take one frame. Never raises for bad input: what is wrong becomes a BadFrame, the rest goes on."""

    def fetched(self, tag: str, body: bytes | None, now_us: int) -> Effects:
        """Take the answer to a Fetch; None when it failed (the source decides whether to ask again)."""

    def tick(self, now_us: int) -> Effects:
        """Note the time, at least every 250 ms: heartbeats (one a second), staleness, time-outs."""

    def close(self, now_us: int) -> Effects:
        """End the session, the connection being lost or left: books are STALE until the next one.

        Fetches that are not answered yet will not be: the next session asks anew.
        """


@runtime_checkable
class Counted(Protocol):
    """A source that counts what it leaves out on purpose; goes to `ops.metrics`."""

    @property
    def counters(self) -> Mapping[str, int]:
        """Counts by name, since the process started."""


@runtime_checkable
class Measured(Protocol):
    """A source that is told numbers which are no ticks, such as a mark price; goes to `ops.metrics`, for display."""

    @property
    def gauges(self) -> Mapping[str, float]:
        """The latest numbers by name."""
