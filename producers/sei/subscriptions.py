"""The subscriptions of one socket: asked, active, refused, evicted, silent; each judged by itself.

A node acknowledges a query that can never match, evicts a single subscription of a slow reader while the socket stays
open, and may lose one without a word. So silence is judged per subscription, by asking for it again: "already
subscribed" says that the node still has it, an ack that it had been lost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from producers.sei.jsonrpc import Ack, FrameId, RpcError, subscribe_frame

__all__ = ["MAX_PER_CLIENT", "Judgement", "Subscription", "Subscriptions"]

MAX_PER_CLIENT = 5
"""A node's limit of subscriptions per socket (tendermint config.go, max-subscriptions-per-client)."""

_ANSWER_US = 10_000_000
_RETRY_US = 5_000_000
_MAX_REFUSALS = 3
_OPERATOR = re.compile(r"\s*([<>]=?|=)\s*")


@dataclass(slots=True)
class Subscription:
    """One query.

    Attributes:
        market: Symbol that it is about; empty where it concerns all.
        is_quiet: Silence alone proves nothing (there may just be no trades), unless `is_owed`.
        is_owed: Something that it should have delivered is known to be missing.
        is_stale: It was reported silent, and has not been heard since.
    """

    id: str
    query: str
    market: str = ""
    is_quiet: bool = False
    is_owed: bool = False
    is_stale: bool = False
    is_active: bool = False
    is_probed: bool = False
    asked_us: int | None = None
    since_us: int = 0
    refusals: int = 0


@dataclass(slots=True)
class Judgement:
    """What is to be done about subscriptions.

    Attributes:
        send: Frames to send.
        lost: Subscriptions that were without delivery for a while: what they had to say then is missing.
        stale: Subscriptions found silent just now.
        reconnect: Why the socket is not worth keeping.
    """

    send: list[str] = field(default_factory=list)
    lost: list[Subscription] = field(default_factory=list)
    stale: list[Subscription] = field(default_factory=list)
    reconnect: str | None = None


class Subscriptions:
    """All subscriptions of one source.

    Args:
        stale_us: Silence after which one that should deliver is stale.
        quiet_us: Silence after which a quiet one is asked for again.
    """

    def __init__(self, subscriptions: Sequence[Subscription], *, stale_us: int, quiet_us: int) -> None:
        self._all = tuple(subscriptions)
        self._by_id = {subscription.id: subscription for subscription in subscriptions}
        self._by_query = {_normal(subscription.query): subscription for subscription in subscriptions}
        self._stale_us = stale_us
        self._quiet_us = quiet_us

    def open(self, now_us: int) -> list[str]:
        """Ask for all of them on a fresh socket."""
        for subscription in self._all:
            subscription.is_active = subscription.is_probed = subscription.is_owed = subscription.is_stale = False
            subscription.refusals = 0
        return [self._ask(subscription, now_us) for subscription in self._all]

    def find(self, frame_id: FrameId, query: str | None = None) -> Subscription | None:
        """Give the subscription of a frame, by its id or by the query that it repeats."""
        found = self._by_id.get(frame_id) if isinstance(frame_id, str) else None
        return found or (self._by_query.get(_normal(query)) if query is not None else None)

    def answered(self, frame: Ack | RpcError, now_us: int) -> Judgement | None:
        """Take a node's answer to a subscribe; None where nothing of ours was asked under its id."""
        subscription = self.find(frame.id)
        if subscription is None:
            return None
        if isinstance(frame, Ack):
            return self.acked(subscription, now_us)
        return self.failed(subscription, frame, now_us)

    def acked(self, subscription: Subscription, now_us: int) -> Judgement:
        """Note an ack. One that was thought active had been lost."""
        judgement = Judgement(lost=[subscription] if subscription.is_active else [])
        subscription.is_active = True
        subscription.asked_us = None
        subscription.since_us = now_us
        subscription.refusals = 0
        return judgement

    def heard(self, subscription: Subscription, now_us: int) -> bool:
        """Note an event; True where it ends a silence that was reported."""
        was_stale = subscription.is_stale
        subscription.is_active = True
        subscription.is_stale = subscription.is_probed = subscription.is_owed = False
        subscription.since_us = now_us
        return was_stale

    def failed(self, subscription: Subscription, error: RpcError, now_us: int) -> Judgement:
        """Note an error: a refusal, an eviction, or the answer to asking for an active one again."""
        is_terminated = "terminated" in error.data
        if subscription.is_active and subscription.asked_us is not None and not is_terminated:
            subscription.asked_us = None
            subscription.since_us = now_us
            return Judgement()
        if "already subscribed" in error.data:
            return self.acked(subscription, now_us)
        if subscription.is_active:
            subscription.is_active = False
            return Judgement(send=[self._ask(subscription, now_us)], lost=[subscription])
        subscription.asked_us = None
        subscription.since_us = now_us
        subscription.refusals += 1
        # A node that is full stays so: another one may not be. A limit per client ends with this socket.
        if subscription.refusals >= _MAX_REFUSALS or "max_subscription" in error.data:
            return Judgement(reconnect=f"subscription {subscription.id} refused: {error.text[:200]}")
        return Judgement()

    def check(self, now_us: int) -> Judgement:
        """Find what is unanswered, refused or silent for too long."""
        judgement = Judgement()
        for subscription in self._all:
            waited = now_us - subscription.since_us
            if subscription.asked_us is not None:
                if now_us - subscription.asked_us > _ANSWER_US:
                    judgement.reconnect = f"no answer to subscribe {subscription.id}"
            elif not subscription.is_active:
                if waited > _RETRY_US:
                    judgement.send.append(self._ask(subscription, now_us))
            elif subscription.is_quiet and not subscription.is_owed:
                if waited > self._quiet_us:
                    judgement.send.append(self._ask(subscription, now_us))
            elif waited > self._stale_us:
                self._silent(subscription, now_us, judgement)
        return judgement

    def _silent(self, subscription: Subscription, now_us: int, judgement: Judgement) -> None:
        if subscription.is_probed:
            judgement.reconnect = f"subscription {subscription.id} is silent"
            return
        subscription.is_probed = subscription.is_stale = True
        judgement.stale.append(subscription)
        judgement.send.append(self._ask(subscription, now_us))

    def _ask(self, subscription: Subscription, now_us: int) -> str:
        subscription.asked_us = subscription.since_us = now_us
        return subscribe_frame(subscription.id, subscription.query)


def _normal(query: str) -> str:
    return _OPERATOR.sub(r"\1", query.strip())
