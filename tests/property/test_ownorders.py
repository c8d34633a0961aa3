"""A book minus our orders is the book without us; where that cannot be told, what is left is surely others'."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.kernel.ownorders import OwnOrders
from processors.kernel.steps import BookView
from schemas.enums import BookState, Flag, Mode, OrderAction, OrderStatus, Side
from schemas.records import BookLevel, ExecutionReport, OrderIntent
from tests.kernel_steps import MARKET, T0
from tests.unit.processors.kernel.test_ownorders import intent, report

GRACE_US = 1_000_000
STEP_US = 50_000
END_US = 30_000_000


@dataclass
class Life:
    """What truly became of an order at the venue."""

    side: Side
    price: int
    size: int
    placed_us: int
    in_us: int
    out_us: int
    fills: list[tuple[int, int]]
    cancel_us: int | None

    def displayed(self, at_us: int) -> int:
        if not self.in_us <= at_us < self.out_us:
            return 0
        return self.size - max((filled for ts, filled in self.fills if ts <= at_us), default=0)


def life(random: Random) -> Life:
    placed = random.randrange(0, END_US, STEP_US)
    entered = placed + random.randrange(0, 500_000, STEP_US)
    size = random.randint(2, 9)
    fills, filled, now = [], 0, entered
    while random.random() < 0.4 and filled < size:
        now += random.randrange(STEP_US, 5_000_000, STEP_US)
        filled += random.randint(1, size - filled)
        fills.append((now, filled))
    if filled == size:
        return Life(Side.BUY, 0, size, placed, entered, now, fills, None)
    cancel = now + random.randrange(STEP_US, 15_000_000, STEP_US)
    return Life(Side.BUY, 0, size, placed, entered, cancel + random.randrange(0, 500_000, STEP_US), fills, cancel)


def told(orders: list[Life], random: Random) -> list[tuple[int, OrderIntent | ExecutionReport]]:
    """Give what is told of orders, and when: each report up to a grace after what it tells."""
    records: list[tuple[int, OrderIntent | ExecutionReport]] = []
    for number, one in enumerate(orders):
        facts: dict[str, Any] = {"order_id": f"{number}", "side": one.side, "price": one.price, "size": one.size}
        placed = intent(at_us=T0 + one.placed_us, ts_expire=T0 + 10 * END_US, **facts)
        records.append((one.placed_us, placed))
        if one.cancel_us is not None:
            records.append((one.cancel_us, intent(OrderAction.CANCEL, T0 + one.cancel_us, **facts)))
        changes = [(one.in_us, OrderStatus.OPEN, 0)]
        changes += [(ts, OrderStatus.PARTIAL, filled) for ts, filled in one.fills]
        last = changes[-1][2]
        changes.append((one.out_us, OrderStatus.FILLED if last == one.size else OrderStatus.CANCELLED, last))
        now = 0
        for ts, status, filled in changes:
            now = max(now, ts + random.randrange(0, GRACE_US, STEP_US))
            records.append((now, report(status, T0 + now, **facts, filled_size=filled)))
    return sorted(records, key=lambda record: (record[0], random.random()))


def book(levels: dict[Side, Counter[int]], ts_us: int) -> BookView:
    sides = [
        tuple(BookLevel(price=price, size=size) for price, size in sorted(levels[side].items(), reverse=is_bid) if size)
        for side, is_bid in ((Side.BUY, True), (Side.SELL, False))
    ]
    return BookView(MARKET, BookState.LIVE, *sides, ts_us, None, None, 0, 0)


def seen(own: OwnOrders, records: list[tuple[int, OrderIntent | ExecutionReport]], until_us: int) -> None:
    """Let an observer read what was told until then."""
    while records and records[0][0] <= until_us:
        record = records.pop(0)[1]
        if isinstance(record, OrderIntent):
            own.apply_intent(record, 0)
        else:
            own.apply_report(record)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 5), st.sampled_from([0, GRACE_US]))
def test_what_is_left_of_a_book_is_others(seed: int, count: int, later_us: int) -> None:
    """Never more than theirs; and exactly theirs where it is not flagged, once everything was told."""
    random = Random(seed)
    orders = [life(random) for _ in range(count)]
    for one in orders:
        one.side = random.choice((Side.BUY, Side.SELL))
        one.price = random.randint(95, 99) if one.side is Side.BUY else random.randint(101, 105)
    records, own = told(orders, random), OwnOrders(Mode.CITREX, "demo", GRACE_US)
    for at_us in range(0, END_US + 30_000_000, 700_000):
        others = {
            side: Counter({price: random.randint(0, 5) for price in prices})
            for side, prices in ((Side.BUY, range(95, 100)), (Side.SELL, range(101, 106)))
        }
        displayed = {side: Counter(levels) for side, levels in others.items()}
        for one in orders:
            displayed[one.side][one.price] += one.displayed(at_us)
        # The book is received up to a grace after it was true.
        seen_us = at_us + random.randrange(0, GRACE_US, STEP_US)
        seen(own, records, seen_us + later_us)

        left = own.without(book(displayed, T0 + seen_us))

        assert left.bids == tuple(sorted(left.bids, key=lambda level: -level.price))
        for side, levels in ((Side.BUY, left.bids), (Side.SELL, left.asks)):
            assert all(0 < level.size <= others[side][level.price] for level in levels)
        if later_us and not left.flags & Flag.OWN_BOOK_UNKNOWN:
            assert left == book(others, T0 + seen_us)


def test_most_of_a_quiet_orders_life_is_sure() -> None:
    """Otherwise the property above would say little."""
    quiet = Life(Side.BUY, 99, 5, 0, 100_000, 20_500_000, [], 20_000_000)
    records, own = told([quiet], Random(1)), OwnOrders(Mode.CITREX, "demo", GRACE_US)
    sure = 0
    for at_us in range(0, 20_000_000, 200_000):
        seen(own, records, at_us)
        left = own.without(book({Side.BUY: Counter({99: 5, 98: 3}), Side.SELL: Counter({101: 1})}, T0 + at_us))
        sure += left.bids == (BookLevel(price=98, size=3),) and not left.flags & Flag.OWN_BOOK_UNKNOWN

    assert sure >= 88
