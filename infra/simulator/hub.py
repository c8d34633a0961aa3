"""Clients, their subscriptions and bounded queues: what both dialects of the simulated node share.

A subscription has a queue of its own. When a client reads too slowly and the queue is full, that one subscription is
evicted: what is queued is still delivered, then the dialect's closing error, and the socket stays open.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

from infra.simulator.faults import Fault, FaultKind
from infra.simulator.query import Query

__all__ = ["ClientId", "Hub", "RequestId", "Subscription"]

ClientId: TypeAlias = int
RequestId: TypeAlias = str | int

_FOREVER = 1 << 62
_MOST_REPLIES = 1_000


@dataclass(slots=True, eq=False)
class Subscription:
    """One query of one client. `raw` is the query as the client wrote it, which frames repeat."""

    client: ClientId
    id: RequestId
    query: Query
    raw: str
    queue: deque[tuple[int, str]] = field(default_factory=deque)
    evicted: bool = False
    stalled_until_us: int = 0
    silent_until_us: int = 0
    malformed: int = 0


@dataclass(slots=True, eq=False)
class _Client:
    replies: deque[str] = field(default_factory=deque)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    leaving: list[Subscription] = field(default_factory=list)


class Hub:
    """Who listens to what.

    Args:
        queue_limit: Frames that a subscription may queue.
        closing_error: Makes the frame that ends an evicted subscription, from the id of its request.
    """

    def __init__(self, queue_limit: int, closing_error: Callable[[RequestId], str]) -> None:
        self._queue_limit = queue_limit
        self._closing_error = closing_error
        self._clients: dict[ClientId, _Client] = {}
        self._order = count()
        self.evictions = 0

    @property
    def subscribers(self) -> int:
        """How many clients have a subscription."""
        return sum(1 for client in self._clients.values() if client.subscriptions)

    def connect(self, client: ClientId) -> None:
        """Take a new client."""
        self._clients[client] = _Client()

    def disconnect(self, client: ClientId) -> None:
        """Forget a client and all that it subscribed to."""
        self._clients.pop(client, None)

    def subscriptions(self, client: ClientId) -> Mapping[str, Subscription]:
        """Give a client's subscriptions by normalised query."""
        return self._clients[client].subscriptions

    def subscribe(self, client: ClientId, request: RequestId, query: Query, raw: str) -> Subscription:
        """Add a subscription."""
        subscription = Subscription(client, request, query, raw)
        self._clients[client].subscriptions[str(query)] = subscription
        return subscription

    def unsubscribe(self, client: ClientId, query: str | None) -> bool:
        """Remove one subscription, or with None all of a client; say whether there was any."""
        subscriptions = self._clients[client].subscriptions
        if query is None:
            found = bool(subscriptions)
            subscriptions.clear()
            return found
        return subscriptions.pop(query, None) is not None

    def reply(self, client: ClientId, frame: str) -> bool:
        """Queue an answer; False where the client does not read its answers and must be dropped."""
        replies = self._clients[client].replies
        replies.append(frame)
        return len(replies) <= _MOST_REPLIES

    def publish(self, events: Mapping[str, Sequence[str]], frame: Callable[[Subscription], str], now_us: int) -> None:
        """Queue a frame for every subscription whose query the events match."""
        for client in self._clients.values():
            for subscription in list(client.subscriptions.values()):
                if subscription.silent_until_us <= now_us and subscription.query.matches(events):
                    self.push(subscription, frame(subscription))

    def push(self, subscription: Subscription, frame: str) -> None:
        """Queue a frame for one subscription; a full queue evicts it."""
        if subscription.malformed:
            subscription.malformed -= 1
            frame = frame[: len(frame) // 2]
        if len(subscription.queue) >= self._queue_limit:
            self._evict(subscription)
        else:
            subscription.queue.append((next(self._order), frame))

    def next_frame(self, client: ClientId, now_us: int) -> str | None:
        """Take the next frame to send to a client: answers first, then its subscriptions' as they were published."""
        state = self._clients.get(client)
        if state is None:
            return None
        if state.replies:
            return state.replies.popleft()
        flowing = [s for s in (*state.leaving, *state.subscriptions.values()) if s.stalled_until_us <= now_us]
        waiting = [s for s in flowing if s.queue]
        for subscription in flowing:
            if subscription.evicted and not subscription.queue:
                state.leaving.remove(subscription)
                return self._closing_error(subscription.id)
        if not waiting:
            return None
        return min(waiting, key=lambda s: s.queue[0][0]).queue.popleft()[1]

    def apply(self, fault: Fault, now_us: int) -> list[ClientId]:
        """Make the selected subscriptions misbehave; give the clients whose sockets are to be cut."""
        if fault.kind is FaultKind.DROP and not fault.query:
            return list(self._clients)
        until_us = _FOREVER if fault.seconds is None else now_us + int(fault.seconds * 1e6)
        selected = list(self._selected(fault.query))
        if fault.kind is FaultKind.DROP:
            return sorted({subscription.client for subscription in selected})
        for subscription in selected:
            match fault.kind:
                case FaultKind.STALL:
                    subscription.stalled_until_us = until_us
                case FaultKind.SILENT:
                    subscription.silent_until_us = until_us
                case FaultKind.MALFORMED:
                    subscription.malformed = fault.count
                case FaultKind.EVICT:
                    self._evict(subscription)
                case FaultKind.HEAL:
                    subscription.stalled_until_us = subscription.silent_until_us = subscription.malformed = 0
        return []

    def _selected(self, text: str) -> Iterator[Subscription]:
        for client in self._clients.values():
            for subscription in [*client.leaving, *client.subscriptions.values()]:
                if text in subscription.raw:
                    yield subscription

    def _evict(self, subscription: Subscription) -> None:
        client = self._clients[subscription.client]
        if client.subscriptions.pop(str(subscription.query), None) is not None:
            subscription.evicted = True
            client.leaving.append(subscription)
            self.evictions += 1
