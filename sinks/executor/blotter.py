"""All orders of one account, as far as facts tell. Pure.

What the venue answers, lists and prints meets here. An order whose fate is not known stays UNKNOWN until one of three
facts ends that: its nonce is among the open orders, a trade is matched to it, or it can come to light no more (past its
expiry, or acknowledged and in the book no longer) while the venue's positions equal ours, so that nothing of it traded
unseen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from schemas.enums import Side
from schemas.records import Market
from sinks.executor.orders import Order, OrderState

__all__ = ["Blotter", "Exposure", "Fill", "Listed", "Listing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """A trade of ours as the venue tells it.

    Attributes:
        trade_id: Names it for ever: told twice, it counts once.
        fee: In 1e-17 quote; negative is a rebate.
        flags: DERIVED where the venue states the fee with more digits than that.
    """

    trade_id: str
    venue_order_id: str
    market: Market
    side: Side
    price: int
    size: int
    fee: int
    ts_event: int
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """An order of ours in the venue's book."""

    nonce: int
    venue_order_id: str
    market: Market


@dataclass(frozen=True, slots=True)
class Listing:
    """All our orders in the venue's book.

    Attributes:
        asked_us: When it was asked for: what was sent later need not be in it.
        in_flight: Nonces of which something was under way then: it says nothing of them.
    """

    asked_us: int
    orders: tuple[Listed, ...]
    in_flight: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the live orders of a market may still buy and sell, at most; `buy_value` is what the buys cost, in 1e-17."""

    buy: int = 0
    sell: int = 0
    buy_value: int = field(default=0, compare=False)


@dataclass(slots=True)
class _Known:
    order: Order
    sent_us: int = 0
    touched_us: int = 0
    """When it was last asked for or told of by itself: a listing that was asked for before says nothing of it."""
    named_us: int = 0
    is_gone: bool = False


class Blotter:
    """Orders by nonce.

    Args:
        arrival_us: How long after its expiry an order can still come to light: the venue's clock and the network.
        trades_kept: How many trades are remembered, so that one that is told again is known.
    """

    def __init__(self, arrival_us: int = 5_000_000, trades_kept: int = 100_000) -> None:
        self._arrival_us = arrival_us
        self._trades_kept = trades_kept
        self._orders: dict[int, _Known] = {}
        self._live: dict[Market, dict[int, Order]] = defaultdict(dict)
        self._nonces: dict[str, int] = {}
        self._fills: dict[str, list[Fill]] = {}
        # Keys alone, oldest first: a venue tells of trades long after their orders are forgotten here.
        self._trades: dict[str, None] = {}
        # Trades that were told before it was known whose they are, and are now.
        self._claimed: list[tuple[Order, Fill]] = []
        # Venue's names of orders that trades were told of, and that are not known to be any of ours.
        self._loose: dict[str, None] = {}
        self._listed_us = 0

    def __iter__(self) -> Iterator[Order]:
        return (known.order for known in self._orders.values())

    def __contains__(self, nonce: object) -> bool:
        return nonce in self._orders

    def __getitem__(self, nonce: int) -> Order:
        return self._orders[nonce].order

    def live(self, market: Market) -> list[Order]:
        """Give the orders of a market that may still fill, in the order of their nonces."""
        return [order for _, order in sorted(self._live[market].items())]

    @property
    def live_count(self) -> int:
        """Number of orders that may still fill."""
        return sum(map(len, self._live.values()))

    def exposure(self, market: Market) -> Exposure:
        """Give what the live orders of a market may still trade; one of unknown fate counts whole.

        A trade whose order is not known is in no position yet, so it counts here.
        """
        live = self._live[market].values()
        loose = [fill for name in self._loose for fill in self._fills[name] if fill.market == market]
        sides = [(order.side, order.open_size, order.price) for order in live]
        sides += [(fill.side, fill.size, fill.price) for fill in loose]
        return Exposure(
            sum(size for side, size, _ in sides if side is Side.BUY),
            sum(size for side, size, _ in sides if side is Side.SELL),
            sum(size * price for side, size, price in sides if side is Side.BUY),
        )

    def unknown(self) -> frozenset[Market]:
        """Give the markets that have an order of unknown fate: nothing new may be sent there."""
        return frozenset(
            market
            for market, orders in self._live.items()
            if any(order.state is OrderState.UNKNOWN for order in orders.values())
        )

    # What we do

    def add(self, order: Order) -> bool:
        """Take a new intent; False where its nonce is known: it was decided before, and is never sent again."""
        if order.nonce in self._orders:
            return False
        self._orders[order.nonce] = _Known(order)
        self._now(order.nonce, order)
        return True

    def restore(self, order: Order, sent_us: int, fills: Iterable[Fill] = ()) -> None:
        """Take an order as the log has it, with the trades of it that are booked."""
        self._orders[order.nonce] = _Known(order, sent_us=sent_us, named_us=sent_us)
        if order.venue_order_id is not None:
            self._nonces[order.venue_order_id] = order.nonce
            self._fills[order.venue_order_id] = list(fills)
        self._now(order.nonce, order)

    def know(self, trade_ids: Iterable[str]) -> None:
        """Take trades as told before."""
        self._trades.update(dict.fromkeys(trade_ids))

    def send(self, nonce: int, now_us: int) -> Order:
        """Note that an order is handed to the network."""
        self._orders[nonce].sent_us = now_us
        return self._now(nonce, self[nonce].sent(), now_us)

    def cancel(self, nonce: int, now_us: int) -> Order:
        """Note that an order's cancel is handed to the network."""
        return self._now(nonce, self[nonce].cancelling(), now_us)

    # What the venue answers

    def accepted(self, nonce: int, venue_order_id: str, now_us: int) -> Order:
        """Note that the venue took an order."""
        return self._now(nonce, self._bind(nonce, venue_order_id, now_us), now_us)

    def refused(self, nonce: int, now_us: int = 0) -> Order:
        """Note that the venue definitely refused an order."""
        return self._now(nonce, self[nonce].refused(), now_us)

    def unanswered(self, nonce: int, now_us: int = 0) -> Order:
        """Note that an order or its cancel got no definite answer: timeout, reset, 5xx, or nothing that can be read."""
        return self._now(nonce, self[nonce].unanswered(), now_us)

    def cancelled(self, nonce: int, now_us: int = 0) -> Order:
        """Note that the venue definitely took an order out of its book."""
        return self._now(nonce, self[nonce].ended(OrderState.CANCELLED), now_us)

    def expired(self, nonce: int, now_us: int = 0) -> Order:
        """Note that the venue forgot an order because its time was over."""
        return self._now(nonce, self[nonce].ended(OrderState.EXPIRED), now_us)

    # What the venue tells when asked

    def order_of(self, venue_order_id: str) -> Order | None:
        """Give the order that the venue calls so; None where it has not been told which one it is."""
        nonce = self._nonces.get(venue_order_id)
        return None if nonce is None else self[nonce]

    def fill(self, fill: Fill, now_us: int = 0) -> bool:
        """Take a trade of ours, in whatever state its order is; False where it was told before.

        One whose order the venue has not named to us counts for the position at once and for its order later.
        """
        if fill.trade_id in self._trades:
            return False
        self._trades[fill.trade_id] = None
        while len(self._trades) > self._trades_kept:
            del self._trades[next(iter(self._trades))]
        self._fills.setdefault(fill.venue_order_id, []).append(fill)
        nonce = self._nonces.get(fill.venue_order_id)
        if nonce is None:
            self._loose[fill.venue_order_id] = None
        else:
            self._now(nonce, self[nonce].with_filled(self._filled(fill.venue_order_id)), now_us)
        return True

    def claim(self) -> list[tuple[Order, Fill]]:
        """Give the trades whose order has become known since they were told, each with its order as of then."""
        claimed, self._claimed = self._claimed, []
        return claimed

    def take_listing(self, listing: Listing) -> list[Listed]:
        """Take the open orders; give those that should not be there: unknown to us, or over as far as we know."""
        self._listed_us = max(self._listed_us, listing.asked_us)
        ours = {one.nonce: one for one in listing.orders if one.nonce in self._orders}
        for nonce, one in ours.items():
            self._bind(nonce, one.venue_order_id, listing.asked_us)
        for nonce, known in self._orders.items():
            if not known.order.is_live or known.touched_us >= listing.asked_us or nonce in listing.in_flight:
                continue  # what was asked for since then, the listing cannot know
            if nonce in ours:
                known.is_gone = False
                self._now(nonce, known.order.seen())
            elif known.order.venue_order_id is not None and known.named_us < listing.asked_us:
                # It was in the book when it got its name, so it has left; before that it may not have arrived yet.
                known.is_gone = True
        return [one for one in listing.orders if self._is_stray(one, listing)]

    def settle(self, is_equal: Mapping[Market, bool], now_us: int) -> list[Order]:
        """End what can be ended where the venue's positions equal ours; give what ended.

        Args:
            is_equal: By market, whether the position equals the sum of our fills, asked for after the last listing.
        """
        self._match(now_us)
        ended = []
        for nonce, known in self._orders.items():
            order = known.order
            if not order.is_live or not is_equal.get(order.market, False):
                continue
            if known.is_gone:
                state = OrderState.EXPIRED if now_us > order.ts_expire else OrderState.CANCELLED
            elif self._is_past(known):
                state = OrderState.EXPIRED
            else:
                continue
            ended.append(self._now(nonce, order.ended(state)))
        return ended

    def forget(self, before_nonce: int) -> None:
        """Drop ended orders that are too old for anything to be told of them; that their trades were told is kept."""
        for nonce in [n for n, known in self._orders.items() if n < before_nonce and not known.order.is_live]:
            name = self._orders.pop(nonce).order.venue_order_id
            if name is not None:
                self._nonces.pop(name, None)
                self._fills.pop(name, None)
        for name in [n for n, fills in self._fills.items() if fills and fills[-1].ts_event < before_nonce]:
            if name not in self._nonces:
                del self._fills[name]
                self._loose.pop(name, None)

    def _is_stray(self, one: Listed, listing: Listing) -> bool:
        known = self._orders.get(one.nonce)
        if known is None:
            return True
        is_judged = known.touched_us < listing.asked_us and one.nonce not in listing.in_flight
        return is_judged and not known.order.is_live

    def _is_past(self, known: _Known) -> bool:
        """Tell whether an order that was never acknowledged would be in the last listing if it had ever arrived."""
        order = known.order
        is_unknown = order.state is OrderState.UNKNOWN and order.venue_order_id is None
        return is_unknown and self._listed_us > order.ts_expire + self._arrival_us

    def _match(self, now_us: int) -> None:
        """Match trades of orders that the venue never named to the oldest unknown order that they can be of.

        Where there are two, they are alike, and the one that is in the book has been named by the listing.
        """
        for name, fills in self._fills.items():
            if name in self._nonces:
                continue
            first_us = min(fill.ts_event for fill in fills) + self._arrival_us
            fitting = (n for n, k in self._orders.items() if k.sent_us <= first_us and _can_be_of(k.order, fills))
            nonce = min(fitting, default=None)
            if nonce is not None:
                self._bind(nonce, name, now_us)

    def _bind(self, nonce: int, venue_order_id: str, now_us: int) -> Order:
        if self[nonce].venue_order_id is None:
            self._orders[nonce].named_us = now_us
        order = self[nonce].accepted(venue_order_id)
        if venue_order_id not in self._nonces:
            self._nonces[venue_order_id] = nonce
            self._loose.pop(venue_order_id, None)
            for fill in self._fills.get(venue_order_id, ()):
                order = order.with_filled(order.filled + fill.size)
                self._claimed.append((order, fill))
        return self._now(nonce, order)

    def _filled(self, venue_order_id: str) -> int:
        return sum(fill.size for fill in self._fills.get(venue_order_id, ()))

    def _now(self, nonce: int, order: Order, now_us: int = 0) -> Order:
        known = self._orders[nonce]
        known.order = order
        known.touched_us = max(known.touched_us, now_us)
        if order.is_live:
            self._live[order.market][nonce] = order
        else:
            self._live[order.market].pop(nonce, None)
        return order


def _can_be_of(order: Order, fills: list[Fill]) -> bool:
    if order.state is not OrderState.UNKNOWN or order.venue_order_id is not None:
        return False
    first = fills[0]
    if (order.market, order.side) != (first.market, first.side) or sum(fill.size for fill in fills) > order.size:
        return False
    if order.side is Side.BUY:
        return all(fill.price <= order.price for fill in fills)
    return all(fill.price >= order.price for fill in fills)
