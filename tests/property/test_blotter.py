"""Whatever a venue answers, loses, delays or repeats: the blotter never knows less exposure than there is."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.enums import Side
from sinks.executor.blotter import Blotter, Fill, Listed, Listing
from sinks.executor.orders import Order, OrderState

MARKET = ("citrex", "SEI/USDC-PERP")
EXPIRY_US = 60_000_000
ARRIVAL_US = 5_000_000


@dataclass
class Resting:
    """An order as the venue has it."""

    nonce: int
    side: Side
    price: int
    size: int
    ts_expire: int
    filled: int = 0
    is_open: bool = True

    @property
    def name(self) -> str:
        return f"v{self.nonce}"


@dataclass
class World:
    """A venue behind a network that loses and delays, and our blotter before it."""

    now: int = 1_000_000_000
    blotter: Blotter = field(default_factory=lambda: Blotter(ARRIVAL_US))
    venue: dict[int, Resting] = field(default_factory=dict)
    late: list[Resting] = field(default_factory=list)
    prints: list[Fill] = field(default_factory=list)
    listings: list[Listing] = field(default_factory=list)
    told: int = 0
    position: int = 0
    fills_seen: int = 0
    nonces: int = 0

    def place(self, side: Side, size: int, fate: str) -> None:
        """Send an order; its fate is the network's."""
        if self.blotter.unknown():
            return
        self.nonces += 1
        resting = Resting(self.nonces, side, 100, size, self.now + EXPIRY_US)
        order = Order(nonce=resting.nonce, market=MARKET, side=side, price=100, size=size, ts_expire=resting.ts_expire)
        assert self.blotter.add(order)
        assert not self.blotter.add(order)
        self.blotter.send(order.nonce, self.now)
        if fate == "refused":
            self.blotter.refused(order.nonce)
            return
        if fate == "delayed":
            self.late.append(resting)
        elif fate != "request lost":
            self.venue[resting.nonce] = resting
        if fate == "accepted":
            self.blotter.accepted(order.nonce, resting.name, self.now)
        else:
            self.blotter.unanswered(order.nonce)

    def cancel(self, fate: str) -> None:
        """Cancel the oldest live order that the venue has named."""
        named = [o for o in self.blotter.live(MARKET) if o.venue_order_id is not None]
        if not named:
            return
        nonce = named[0].nonce
        self.blotter.cancel(nonce, self.now)
        if fate != "request lost":
            self.venue[nonce].is_open = False
        if fate == "accepted" and self.venue[nonce].filled == 0:
            self.blotter.cancelled(nonce)
        else:
            self.blotter.unanswered(nonce)

    def trade(self, size: int) -> None:
        """Fill some of the venue's oldest open order."""
        self.expire()
        resting = next((r for r in self.venue.values() if r.is_open), None)
        if resting is None:
            return
        size = min(size, resting.size - resting.filled)
        resting.filled += size
        resting.is_open = resting.filled < resting.size
        self.position += size if resting.side is Side.BUY else -size
        self.prints.append(
            Fill(
                trade_id=f"t{len(self.prints)}",
                venue_order_id=resting.name,
                market=MARKET,
                side=resting.side,
                price=100,
                size=size,
                fee=0,
                ts_event=self.now,
            )
        )

    def arrive(self) -> None:
        """Let a delayed order in, if it is in time."""
        if self.late:
            resting = self.late.pop(0)
            if self.now <= resting.ts_expire:
                self.venue[resting.nonce] = resting

    def expire(self) -> None:
        """Let the venue forget what is past its expiry."""
        for resting in self.venue.values():
            if self.now > resting.ts_expire:
                resting.is_open = False

    def tell_fills(self, *, again: bool) -> None:
        """Poll our trades, perhaps with those told before."""
        for fill in self.prints if again else self.prints[self.told :]:
            if self.blotter.fill(fill):
                self.fills_seen += fill.size if fill.side is Side.BUY else -fill.size
        self.told = len(self.prints)

    def ask(self) -> None:
        """Ask for the open orders; the venue answers at once, but the answer is on its way."""
        self.expire()
        listed = tuple(Listed(r.nonce, r.name, MARKET) for r in self.venue.values() if r.is_open)
        self.listings.append(Listing(self.now, listed))

    def answer(self, *, is_told: bool) -> None:
        """Read the open orders that were asked for first, perhaps our trades, then the positions."""
        if not self.listings:
            return
        strangers = self.blotter.take_listing(self.listings.pop(0))
        assert all(one.nonce in self.blotter for one in strangers)
        if is_told:
            self.tell_fills(again=True)
        self.blotter.settle({MARKET: self.fills_seen == self.position}, self.now)

    def check(self) -> None:
        """Compare what we fear with what may happen."""
        may_come = [r for r in (*self.venue.values(), *self.late) if r.is_open and self.now <= r.ts_expire]
        exposure = self.blotter.exposure(MARKET)
        most = self.position + sum(r.size - r.filled for r in may_come if r.side is Side.BUY)
        least = self.position - sum(r.size - r.filled for r in may_come if r.side is Side.SELL)
        assert self.fills_seen + exposure.buy >= most
        assert self.fills_seen - exposure.sell <= least


SIDES = st.sampled_from([Side.BUY, Side.SELL])
FATES = st.sampled_from(["accepted", "accepted", "refused", "request lost", "reply lost", "delayed"])
ACTIONS = st.one_of(
    st.tuples(st.just("place"), SIDES, st.integers(1, 5), FATES),
    st.tuples(st.just("cancel"), st.sampled_from(["accepted", "request lost", "reply lost"])),
    st.tuples(st.just("trade"), st.integers(1, 5)),
    st.tuples(st.just("arrive")),
    st.tuples(st.just("tell_fills")),
    st.tuples(st.just("ask")),
    st.tuples(st.just("answer"), st.booleans()),
    st.tuples(st.just("wait"), st.integers(1, EXPIRY_US)),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(ACTIONS, min_size=8, max_size=40))
def test_exposure_is_never_underrated_and_every_fate_comes_to_light(actions: list[tuple[object, ...]]) -> None:
    """Our worst case bounds the venue's at any time; past the expiry every order is settled and every fill counted."""
    world = World()
    for name, *arguments in actions:
        world.now += 1
        if name == "wait":
            world.now += int(str(arguments[0]))
            world.expire()
        elif name == "tell_fills":
            world.tell_fills(again=False)
        elif name == "answer":
            world.answer(is_told=bool(arguments[0]))
        else:
            getattr(world, str(name))(*arguments)
        world.check()

    world.now += EXPIRY_US + ARRIVAL_US + 2
    world.late.clear()
    # A trade is matched to its order in the first round, that it is out of the book is seen in the second.
    for _ in range(2):
        world.now += 1
        world.ask()
        world.now += 1
        while world.listings:
            world.answer(is_told=True)

    assert world.fills_seen == world.position
    assert not world.blotter.unknown()
    assert not world.blotter.live(MARKET)
    for order in world.blotter:
        resting = world.venue.get(order.nonce)
        assert order.filled == (resting.filled if resting else 0)
        assert order.state is not OrderState.REJECTED or resting is None
