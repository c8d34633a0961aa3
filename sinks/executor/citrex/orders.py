"""The way of orders and cancels to Citrex: what is sent when, and what each answer says of them. Pure.

Cancels go first, and have part of the budget for themselves. An order that could not be sent in its time is not sent at
all. A cancel needs the venue's name of its order: it waits for the answer to the order; where that says nothing, all
orders of the market are cancelled.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import count

from schemas.enums import OrderAction
from schemas.reasons import OrderReason
from schemas.records import Market
from schemas.venues.citrex.account import OrderState
from schemas.venues.citrex.messages import OrderStatus
from schemas.venues.citrex.reading import Refusal
from schemas.venues.citrex.requests import Request as WireRequest
from sinks.executor.citrex.calls import Answer as Reply
from sinks.executor.citrex.calls import TokenBucket, is_rate_limit, read_cancel, read_order
from sinks.executor.citrex.requests import AccountRequests
from sinks.executor.port import Answer, Answered, Listed, Moment, Orders, Request, VenueEvent

__all__ = ["OrderFlow", "Work"]

_STALE_US = 1_000_000
_PAUSE_US = 1_000_000
_RETRY_US = 250_000
_REASON_LENGTH = 120
_ENDED = {OrderStatus.CANCELLED: Answer.CANCELLED, OrderStatus.EXPIRED: Answer.EXPIRED}


class _Kind(IntEnum):
    """What is asked; the lower goes first."""

    CANCEL_ALL = 0
    CANCEL = 1
    REPLACE = 2
    PLACE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Something to ask for.

    Attributes:
        place: The new order.
        cancel: The cancel of an order of ours; None for an order that should not be there.
        venue_order_id: What is cancelled.
        is_repeated: Asked again until it is done.
        not_before_us: When it is asked again.
    """

    kind: _Kind
    market: Market
    queued_us: int
    place: Request | None = None
    cancel: Request | None = None
    venue_order_id: str = ""
    is_repeated: bool = False
    not_before_us: int = 0

    @property
    def nonces(self) -> list[int]:
        """The orders that it is about."""
        return [request.order.nonce for request in (self.place, self.cancel) if request is not None]


class OrderFlow:
    """Everything that is on its way to the venue.

    Args:
        per_s: Requests a second.
        for_cancels: How many of them new orders leave free.
        most: Requests without an answer, at most; cancels may be twice as many.
    """

    def __init__(self, requests: AccountRequests, *, per_s: int, for_cancels: int, most: int = 16) -> None:
        self._requests = requests
        self._bucket = TokenBucket(per_s)
        self._for_cancels = for_cancels
        self._most = most
        self._queue: list[tuple[_Kind, int, Work]] = []
        self._order = count()
        self._under_way = 0
        # By nonce: how many pieces of work are queued or without an answer.
        self._busy: Counter[int] = Counter()
        self._names: dict[int, str] = {}
        self._waiting: dict[int, Request] = {}
        self._paused_until_us = 0
        self.events: list[VenueEvent] = []
        self.counters: Counter[str] = Counter()
        self.wants_look = False

    @property
    def in_flight(self) -> frozenset[int]:
        """The orders of which something is queued or without an answer."""
        return frozenset(nonce for nonce, times in self._busy.items() if times) | frozenset(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued or without an answer."""
        return not self._queue and not self._under_way

    def submit(self, orders: Orders, now_us: int) -> None:
        """Take requests; a cancel and an order of one side of a market become one where that is possible."""
        places = [request for request in orders.requests if request.action is OrderAction.PLACE]
        for cancel in orders.requests:
            if cancel.action is OrderAction.CANCEL:
                side = cancel.order.market, cancel.order.side
                place = next((p for p in places if (p.order.market, p.order.side) == side), None)
                if self._cancel(cancel, place, now_us) and place is not None:
                    places.remove(place)
        for place in places:
            self._push(Work(kind=_Kind.PLACE, market=place.order.market, queued_us=now_us, place=place))

    def withdraw(self, orders: Sequence[Listed], now_us: int) -> None:
        """Cancel orders that should not be there."""
        for one in orders:
            self._push(Work(kind=_Kind.CANCEL, market=one.market, queued_us=now_us, venue_order_id=one.venue_order_id))

    def cancel_all(self, market: Market, now_us: int) -> None:
        """Cancel all orders of a market, again until it is done."""
        self._drop_queued(market, now_us)
        self._push(Work(kind=_Kind.CANCEL_ALL, market=market, queued_us=now_us, is_repeated=True))

    def due(self, now_us: int) -> list[tuple[Work, WireRequest]]:
        """Give the requests to make now, as far as the budget goes."""
        found: list[tuple[Work, WireRequest]] = []
        held: list[tuple[_Kind, int, Work]] = []
        while self._queue:
            entry = heapq.heappop(self._queue)
            work = entry[2]
            is_new = work.place is not None
            if is_new and now_us - work.queued_us > _STALE_US:
                self._give_up(work, OrderReason.NOT_SENT_IN_TIME, now_us)
            elif now_us < work.not_before_us or not self._has_room(now_us, is_new=is_new):
                if work.kind is _Kind.REPLACE:
                    self._split(work)
                else:
                    held.append(entry)
            else:
                self._under_way += 1
                found.append((work, self._request(work)))
        for entry in held:
            heapq.heappush(self._queue, entry)
        return found

    def answered(self, work: Work, answer: Reply, now_us: int) -> None:
        """Take the answer to a request."""
        self._under_way -= 1
        if is_rate_limit(answer):
            self.counters["rate_limited"] += 1
            self._paused_until_us = now_us + _PAUSE_US
        self._done(work)
        if work.kind is _Kind.PLACE and work.place is not None:
            self._placed(work.place, answer, now_us)
        elif work.kind is _Kind.REPLACE and work.place is not None and work.cancel is not None:
            is_placed = self._placed(work.place, answer, now_us)
            self.counters["orders_replaced"] += is_placed
            # Refused or not: whether the old order is still there, the answer does not say.
            self._say(work.cancel, Answer.CANCELLED if is_placed else Answer.UNANSWERED, now_us)
        else:
            self._cancelled(work, answer, now_us)

    def forget(self, before_nonce: int) -> None:
        """Drop the names of orders that nobody will cancel any more."""
        for nonce in [nonce for nonce in self._names if nonce < before_nonce]:
            del self._names[nonce]
        self._busy = +self._busy

    # Cancels

    def _cancel(self, cancel: Request, place: Request | None, now_us: int) -> bool:
        """Take a cancel; tell whether the order that takes its place goes with it."""
        nonce, market = cancel.order.nonce, cancel.order.market
        if self._drop_queued_order(nonce, now_us) or nonce in self._waiting:
            return False
        name = cancel.order.venue_order_id or self._names.get(nonce)
        if name is None and self._busy[nonce]:
            self._waiting[nonce] = cancel
            return False
        if name is None:
            # Sent, and nobody knows whether it arrived.
            self.cancel_all(market, now_us)
            return False
        if place is None:
            self._push(Work(kind=_Kind.CANCEL, market=market, queued_us=now_us, cancel=cancel, venue_order_id=name))
            return False
        self._push(
            Work(
                kind=_Kind.REPLACE,
                market=market,
                queued_us=now_us,
                place=place,
                cancel=cancel,
                venue_order_id=name,
            )
        )
        return True

    def _cancelled(self, work: Work, answer: Reply, now_us: int) -> None:
        found = read_cancel(answer)
        is_done = found is True
        what = "cancel_alls" if work.kind is _Kind.CANCEL_ALL else "cancels"
        self.counters[f"{what}_{'done' if is_done else 'failed'}"] += 1
        # A refused cancel means that the order is not in the book: filled, expired, or never there.
        self.wants_look |= not is_done or work.cancel is None
        if work.cancel is not None:
            self._say(work.cancel, Answer.CANCELLED if is_done else Answer.UNANSWERED, now_us)
        elif work.is_repeated and not is_done:
            self._push(replace(work, not_before_us=now_us + _RETRY_US))

    def _drop_queued(self, market: Market, now_us: int) -> None:
        """Forget the new orders of a market that are not sent yet, and what would be done twice."""
        for entry in [entry for entry in self._queue if entry[2].market == market]:
            work = entry[2]
            if work.place is not None or work.kind is _Kind.CANCEL_ALL:
                self._queue.remove(entry)
                heapq.heapify(self._queue)
                self._give_up(work, OrderReason.NOT_SENT, now_us)

    # Orders

    def _placed(self, place: Request, answer: Reply, now_us: int) -> bool:
        """Take what an answer says of a new order; tell whether the venue took it."""
        found = read_order(answer)
        nonce = place.order.nonce
        if isinstance(found, Refusal):
            self.counters["orders_refused"] += 1
            self._waiting.pop(nonce, None)
            reason = f"{OrderReason.VENUE_REFUSED}: {found.detail}"[:_REASON_LENGTH]
            self._say(place, Answer.REFUSED, now_us, reason=reason)
            return False
        if found is None or not self._is_answer_to(found, place):
            self.counters["orders_unanswered"] += 1
            self._say(place, Answer.UNANSWERED, now_us)
            waiting = self._waiting.pop(nonce, None)
            if waiting is not None:
                self._cancel(waiting, None, now_us)
            self.wants_look = True
            return False
        self.counters["orders_accepted"] += 1
        self._names[nonce] = found.order_id
        self._say(place, Answer.ACCEPTED, now_us, name=found.order_id, ts_event=found.ts_created)
        ended = _ENDED.get(found.status)
        if ended is not None:
            # What of it traded is among the trades.
            self._say(place, ended, now_us, ts_event=found.ts_created)
        waiting = self._waiting.pop(nonce, None)
        if waiting is not None and ended is None:
            self._cancel(waiting, None, now_us)
        return True

    def _is_answer_to(self, found: OrderState, place: Request) -> bool:
        order = place.order
        asked = (order.nonce, order.price, order.size, self._requests.product_ids[order.market])
        return (
            found.nonce,
            found.price,
            found.size,
            found.product_id,
        ) == asked and found.status is not OrderStatus.REJECTED

    def _give_up(self, work: Work, reason: OrderReason, now_us: int) -> None:
        """Do not send a new order; the cancel that it was to go with is sent."""
        self._done(work)
        if work.place is not None:
            self.counters["orders_not_sent"] += 1
            self._say(work.place, Answer.REFUSED, now_us, reason=reason)
        if work.cancel is not None:
            self._push(_cancel_of(work))

    # The queue

    def _push(self, work: Work) -> None:
        for nonce in work.nonces:
            self._busy[nonce] += 1
        heapq.heappush(self._queue, (work.kind, next(self._order), work))

    def _done(self, work: Work) -> None:
        for nonce in work.nonces:
            self._busy[nonce] -= 1

    def _has_room(self, now_us: int, *, is_new: bool) -> bool:
        if is_new and (self._under_way >= self._most or now_us < self._paused_until_us):
            return False
        if self._under_way >= 2 * self._most:
            return False
        return self._bucket.take(now_us, self._for_cancels if is_new else 0)

    def _drop_queued_order(self, nonce: int, now_us: int) -> bool:
        """Drop an order that is not sent yet; tell whether there was one."""
        for entry in self._queue:
            place = entry[2].place
            if place is not None and place.order.nonce == nonce:
                self._queue.remove(entry)
                heapq.heapify(self._queue)
                self._give_up(entry[2], OrderReason.NOT_SENT, now_us)
                return True
        return False

    def _split(self, work: Work) -> None:
        """Cancel at once, and place when there is room for new orders."""
        self._done(work)
        self._push(_cancel_of(work))
        self._push(Work(kind=_Kind.PLACE, market=work.market, queued_us=work.queued_us, place=work.place))

    def _request(self, work: Work) -> WireRequest:
        if work.place is None:
            if work.kind is _Kind.CANCEL_ALL:
                return self._requests.cancel_all(work.market)
            return self._requests.cancel(work.market, work.venue_order_id)
        if work.kind is _Kind.REPLACE:
            return self._requests.replace(work.venue_order_id, work.place.intent)
        return self._requests.place(work.place.intent)

    def _say(
        self,
        request: Request,
        answer: Answer,
        now_us: int,
        *,
        name: str | None = None,
        reason: str | None = None,
        ts_event: int | None = None,
    ) -> None:
        at = Moment(ts_event or now_us, now_us, request.cause)
        self.wants_look |= answer is Answer.UNANSWERED
        self.events.append(Answered(request.order.nonce, answer, at, venue_order_id=name, reason=reason))


def _cancel_of(work: Work) -> Work:
    """Give the cancel of a replacement alone."""
    return replace(work, kind=_Kind.CANCEL, place=None)
