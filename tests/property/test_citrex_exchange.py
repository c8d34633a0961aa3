"""The simulated venue's engine and ledger, whatever is done to them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from infra.simulator.citrex.book import RestingOrder
from infra.simulator.citrex.exchange import Exchange, Refused, Trade
from infra.simulator.citrex.ledger import Owner
from infra.simulator.citrex.products import ONE, PRODUCTS
from schemas.venues.citrex.messages import OrderStatus, OrderType, TimeInForce

HOUSE: Owner = ("0x" + "00" * 20, 0)
OWNERS: tuple[Owner, ...] = (HOUSE, ("0x" + "aa" * 20, 0), ("0x" + "aa" * 20, 1), ("0x" + "bb" * 20, 0))
PRODUCT = PRODUCTS[0]
START_US = 1_700_000_000_000_000


class Venue(RuleBasedStateMachine):
    """Orders of all kinds, cancellations, time, funding and late fills, in any order."""

    @initialize(deposit=st.integers(0, 3_000) | st.just(1_000_000))
    def start(self, deposit: int) -> None:
        self.exchange = Exchange([PRODUCT], house=[HOUSE])
        self.now_us = START_US
        self.ids = count(1)
        self.arrived: dict[str, int] = {}
        self.deposits = 0
        self.traded: defaultdict[str, int] = defaultdict(int)
        self.ended: list[RestingOrder] = []
        for owner in OWNERS:
            self.exchange.ledger.deposit(owner, deposit * ONE)
            self.deposits += deposit * ONE

    @rule(
        owner=st.sampled_from(OWNERS), is_buy=st.booleans(), ticks=st.integers(41_998, 42_002), lots=st.integers(1, 999)
    )
    def trade(self, owner: Owner, is_buy: bool, ticks: int, lots: int) -> None:
        """Plain orders close to each other, so that much is traded."""
        self.place(owner, is_buy, ticks, lots, OrderType.LIMIT, TimeInForce.GTC, 60_000)

    @rule(
        owner=st.sampled_from(OWNERS),
        is_buy=st.booleans(),
        ticks=st.integers(41_980, 42_020),
        lots=st.integers(1, 40_000),
        kind=st.sampled_from(OrderType),
        force=st.sampled_from(TimeInForce),
        life_ms=st.integers(-1, 5_000),
    )
    def place_any(
        self, owner: Owner, is_buy: bool, ticks: int, lots: int, kind: OrderType, force: TimeInForce, life_ms: int
    ) -> None:
        """Orders of every kind, valid or not."""
        self.place(owner, is_buy, ticks, lots, kind, force, life_ms)

    def place(
        self, owner: Owner, is_buy: bool, ticks: int, lots: int, kind: OrderType, force: TimeInForce, life_ms: int
    ) -> None:
        number = next(self.ids)
        order = RestingOrder(
            order_id=f"o{number}",
            owner=owner,
            product_id=PRODUCT.product_id,
            is_buy=is_buy,
            order_type=kind,
            time_in_force=force,
            price=ticks * PRODUCT.tick,
            quantity=lots * PRODUCT.lot,
            residual=lots * PRODUCT.lot,
            nonce=number,
            expiry_ms=self.now_us // 1_000 + life_ms,
            created_us=self.now_us,
            account=owner[0],
            signature="",
        )
        asked = replace(order)
        held = self.exchange.ledger.position(owner, PRODUCT.product_id).quantity
        before = self.queue(is_buy=not is_buy)
        try:
            placed = self.exchange.place(order, self.now_us)
        except Refused:
            assert self.queue(is_buy=not is_buy) == before
            assert order == asked
            return
        self.arrived[order.order_id] = number
        self.check_trades(asked, placed.trades, before)
        filled = sum(trade.quantity for trade in placed.trades)
        assert placed.order.residual == asked.quantity - filled
        assert life_ms > 0
        if kind is OrderType.LIMIT_MAKER:
            assert not placed.trades
        if kind is OrderType.LIMIT_REDUCE_ONLY:
            now_held = self.exchange.ledger.position(owner, PRODUCT.product_id).quantity
            assert abs(now_held) <= abs(held)
            assert now_held * held >= 0
        if force is TimeInForce.FOK:
            assert placed.status is OrderStatus.FILLED
        if force is TimeInForce.IOC:
            assert order.order_id not in self.exchange.orders

    def check_trades(self, taker: RestingOrder, trades: tuple[Trade, ...], before: list[str]) -> None:
        """Price and time decide: the makers are those at the head of the queue, passed over only for a reason."""
        makers = [trade.maker_order_id for trade in trades]
        passed = before[: before.index(makers[-1]) + 1] if makers else []
        for order_id in passed:
            # An order that was passed over is gone: it was the taker's own, or could only reduce and did not.
            assert order_id in makers or order_id not in self.exchange.orders
        for trade in trades:
            self.traded[trade.maker_order_id] += trade.quantity
            assert trade.price <= taker.price if taker.is_buy else trade.price >= taker.price
            assert trade.maker != trade.taker
            assert trade.quantity > 0
            assert trade.quantity % PRODUCT.lot == 0

    @rule(owner=st.sampled_from(OWNERS), pick=st.integers(0, 100))
    def cancel(self, owner: Owner, pick: int) -> None:
        """Only the owner's own."""
        orders = list(self.exchange.orders.values())
        if not orders:
            return
        order = orders[pick % len(orders)]
        try:
            self.exchange.cancel(owner, order.order_id)
        except Refused:
            assert order.owner != owner
        else:
            assert order.owner == owner
            assert order.order_id not in self.exchange.orders
            self.ended.append(order)

    @rule(owner=st.sampled_from(OWNERS))
    def cancel_all(self, owner: Owner) -> None:
        """Nobody else's go."""
        others = {order_id for order_id, order in self.exchange.orders.items() if order.owner != owner}
        self.exchange.cancel_all(owner, PRODUCT.product_id)
        assert set(self.exchange.orders) == others

    @rule(millis=st.integers(0, 2_000))
    def wait(self, millis: int) -> None:
        """No order outlives its expiration."""
        self.now_us += millis * 1_000
        self.exchange.expire(self.now_us)
        assert all(order.expiry_ms > self.now_us // 1_000 for order in self.exchange.orders.values())

    @rule(rate=st.integers(-(10**15), 10**15))
    def fund(self, rate: int) -> None:
        """Funding is owed."""
        self.exchange.fund(PRODUCT.product_id, rate)

    @rule()
    def fill_late(self) -> None:
        """A cancelled order is filled all the same."""
        order = self.ended.pop() if self.ended else None
        if order is not None and order.residual and order.owner != HOUSE:
            self.exchange.settle_late(order, HOUSE, self.now_us)

    def queue(self, *, is_buy: bool) -> list[str]:
        return [order.order_id for order in self.exchange.books[PRODUCT.product_id].orders(is_buy=is_buy)]

    @invariant()
    def money_is_neither_made_nor_lost(self) -> None:
        """What was paid in is in balances, positions, fees and the insurance fund."""
        ledger = self.exchange.ledger
        held = sum(
            holding.balance - sum(position.entry_value for position in holding.positions.values())
            for holding in ledger.holdings.values()
        )
        assert held + ledger.fees + ledger.insurance == self.deposits

    @invariant()
    def every_long_has_its_short(self) -> None:
        """Quantities and cash of a product add up to zero; equity at any mark is what the parts say."""
        positions = [h.positions[PRODUCT.product_id] for h in self.exchange.ledger.holdings.values()]
        assert sum(position.quantity for position in positions) == 0
        assert sum(position.cash for position in positions) == 0
        assert sum(position.fees for position in positions) == self.exchange.ledger.fees
        assert sum(position.funding for position in positions) == -self.exchange.ledger.insurance
        assert all(position.entry_value == 0 for position in positions if not position.quantity)
        for holding in self.exchange.ledger.holdings.values():
            of = holding.positions[PRODUCT.product_id]
            # All that happened to the balance, told another way: cash, what is still held, fees and funding.
            assert holding.balance == holding.deposits + of.cash + of.entry_value - of.fees + of.funding

    @invariant()
    def the_book_is_in_order(self) -> None:
        """Never crossed; best price first, then first come; nothing empty, nothing negative."""
        bids, asks = (list(self.exchange.books[PRODUCT.product_id].orders(is_buy=is_buy)) for is_buy in (True, False))
        assert not (bids and asks and bids[0].price >= asks[0].price)
        assert [o.order_id for o in bids] == [
            o.order_id for o in sorted(bids, key=lambda o: (-o.price, self.arrived[o.order_id]))
        ]
        assert [o.order_id for o in asks] == [
            o.order_id for o in sorted(asks, key=lambda o: (o.price, self.arrived[o.order_id]))
        ]
        assert {o.order_id for o in (*bids, *asks)} == set(self.exchange.orders)
        for order in (*bids, *asks):
            assert 0 < order.residual <= order.quantity
            assert self.traded[order.order_id] <= order.quantity - order.residual or order.owner == HOUSE

    @invariant()
    def insurance_never_pays_more_than_it_got(self) -> None:
        """With what is still accrued, the fund holds at least the dust of rounding, and little more."""
        ledger = self.exchange.ledger
        accrued = sum(
            h.positions[PRODUCT.product_id].accrued(ledger.index(PRODUCT.product_id)) for h in ledger.holdings.values()
        )
        assert 0 <= ledger.insurance - accrued < 10_000


TestVenue = Venue.TestCase
TestVenue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
