"""Our own orders in a book that shows them: what is taken out of it, and when that is not known."""

from __future__ import annotations

from typing import Any

import pytest

from processors.kernel.ownorders import OwnOrders
from processors.kernel.pipeline import PartitionPipeline, PipelineConfig
from processors.kernel.quotingconfig import QuotingConfig
from processors.kernel.snapshot import freeze, thaw
from processors.kernel.steps import BookView, Input
from schemas.columns.rows import Rows
from schemas.enums import Flag, Mode, OrderAction, OrderStatus, Side, TimeInForce
from schemas.records import ExecutionReport, FeatureVector, OrderIntent, QuoteDecision
from tests.kernel_steps import MARKET, T0, instruments, price, size, view
from tests.ticks import T0 as TICKS_T0
from tests.ticks import Feed

GRACE_US = 1_000_000
SECOND = 1_000_000


def intent(
    action: OrderAction = OrderAction.PLACE, at_us: int = T0, *, of_size: str = "5", **changed: Any
) -> OrderIntent:
    facts: dict[str, Any] = {
        "order_id": "demo|1",
        "decision_id": "d",
        "action": action,
        "mode": Mode.CITREX,
        "account": "demo",
        "venue": MARKET[0],
        "symbol": MARKET[1],
        "side": Side.BUY,
        "price": price("0.3999"),
        "size": size(of_size),
        "time_in_force": TimeInForce.POST_ONLY,
        "ts_expire": T0 + 60 * SECOND,
        "ts_intent": at_us,
        "ts_cause": at_us,
        "cause_topic": "trading.quotes",
        "cause_partition": 0,
        "cause_first_offset": 0,
        "cause_offset": 0,
    }
    return OrderIntent(**(facts | changed))


def report(status: OrderStatus, at_us: int, filled: str = "0", **changed: Any) -> ExecutionReport:
    facts: dict[str, Any] = {
        "execution_id": f"{status}|{at_us}",
        "order_id": "demo|1",
        "mode": Mode.CITREX,
        "account": "demo",
        "venue": MARKET[0],
        "symbol": MARKET[1],
        "status": status,
        "side": Side.BUY,
        "price": price("0.3999"),
        "size": size("5"),
        "filled_size": size(filled),
        "fee": 0,
        "ts_event": at_us,
        "ts_recv": at_us,
        "cause_topic": "market.ticks",
        "cause_partition": 0,
        "cause_first_offset": 0,
        "cause_offset": 0,
    }
    return ExecutionReport(**(facts | changed))


def own(*records: OrderIntent | ExecutionReport) -> OwnOrders:
    orders = OwnOrders(Mode.CITREX, "demo", GRACE_US)
    for offset, record in enumerate(records):
        if isinstance(record, OrderIntent):
            orders.apply_intent(record, offset)
        else:
            orders.apply_report(record)
    return orders


def left(orders: OwnOrders, at_us: int, displayed: str = "12") -> tuple[str, bool]:
    """Give what is left at our price of a book of that time, and whether it is sure."""
    book = orders.without(view(bids=[("0.3999", displayed), ("0.3998", "7")], ts_change=at_us))
    sizes = {level.price: level.size for level in book.bids}
    assert sizes[price("0.3998")] == size("7")
    return str(sizes.get(price("0.3999"), 0) // size("1")), not book.flags & Flag.OWN_BOOK_UNKNOWN


PLACED = intent()
OPEN = report(OrderStatus.OPEN, T0 + 100_000)


@pytest.mark.parametrize(
    ("at_us", "records", "expected"),
    [
        (-SECOND - 1, [PLACED], ("12", True)),
        (0, [PLACED], ("7", False)),
        (5 * SECOND, [PLACED], ("7", False)),
        (SECOND, [PLACED, OPEN], ("7", False)),
        (2 * SECOND, [PLACED, OPEN], ("7", True)),
        (2 * SECOND, [OPEN, PLACED], ("7", True)),
        (5 * SECOND, [PLACED, OPEN, intent(OrderAction.CANCEL, T0 + 4 * SECOND)], ("7", False)),
        (5 * SECOND, [PLACED, OPEN, report(OrderStatus.CANCELLED, T0 + 4 * SECOND)], ("7", False)),
        (6 * SECOND, [PLACED, OPEN, report(OrderStatus.CANCELLED, T0 + 4 * SECOND)], ("12", True)),
        (6 * SECOND, [report(OrderStatus.CANCELLED, T0 + 4 * SECOND), PLACED], ("12", True)),
        (SECOND + 50_000, [PLACED, report(OrderStatus.REJECTED, T0 + 50_000)], ("7", False)),
        (2 * SECOND, [PLACED, report(OrderStatus.REJECTED, T0 + 50_000)], ("12", True)),
        (5 * SECOND, [PLACED, OPEN, report(OrderStatus.UNKNOWN, T0 + 2 * SECOND)], ("7", False)),
        (3 * SECOND, [PLACED, OPEN, report(OrderStatus.PARTIAL, T0 + 2 * SECOND, "2")], ("7", False)),
        (4 * SECOND, [PLACED, OPEN, report(OrderStatus.PARTIAL, T0 + 2 * SECOND, "2")], ("9", True)),
        (59 * SECOND, [PLACED, OPEN], ("7", False)),
        (61 * SECOND, [PLACED, OPEN], ("7", False)),
        (61 * SECOND + 1, [PLACED, OPEN], ("12", True)),
        (2 * SECOND, [intent(mode=Mode.PAPER)], ("12", True)),
        (2 * SECOND, [intent(account="other")], ("12", True)),
        (2 * SECOND, [intent(symbol="BTC/USDC")], ("12", True)),
    ],
)
def test_what_is_taken_out_of_a_book(
    at_us: int, records: list[OrderIntent | ExecutionReport], expected: tuple[str, bool]
) -> None:
    """What is surely open; around each change, what may be, with a flag; nothing before and after."""
    assert left(own(*records), T0 + at_us) == expected


def test_a_level_of_ours_alone_is_no_level() -> None:
    """Also one that shows less than ours: it is not there yet."""
    assert left(own(PLACED, OPEN), T0 + 5 * SECOND, "5") == ("0", True)
    assert left(own(PLACED), T0, "3") == ("0", False)


def test_a_book_without_orders_of_ours_is_the_same_object() -> None:
    """It costs nothing where there is nothing to do."""
    book: BookView = view()

    assert own().without(book) is book


def test_the_journals_offset_is_known_and_a_restart_changes_nothing() -> None:
    """A decision says up to where the journal was read; the rest is in the snapshot."""
    orders = own(PLACED, OPEN, report(OrderStatus.PARTIAL, T0 + 2 * SECOND, "2"))
    again = OwnOrders(Mode.CITREX, "demo", GRACE_US)
    again.restore(thaw(freeze(orders.state())))

    assert own().next_offset is None
    assert again.next_offset == orders.next_offset == 1
    assert again.state() == orders.state()
    assert left(again, T0 + 4 * SECOND) == ("9", True)


def test_orders_that_ended_long_ago_are_forgotten() -> None:
    """After two minutes, in which a record of one may still be read late."""
    orders = own(PLACED, OPEN, report(OrderStatus.CANCELLED, T0 + SECOND))

    left(orders, T0 + 121 * SECOND)
    assert orders.state()["orders"]
    left(orders, T0 + 121 * SECOND + 1)
    assert not orders.state()["orders"]


def vectors(quoting: QuotingConfig, bids: list[tuple[str, int]], records: list[OrderIntent | ExecutionReport]) -> Any:
    """Give the features and the decisions of six seconds of a book."""
    feed = Feed(MARKET[1], venue=MARKET[0], source="sim")
    log = []
    for at in range(60):
        asks = [("0.4002", 300 + 7 * at)]
        log += feed.levels(TICKS_T0 + at * 100_000, bids, asks, clear=True)
    pipeline = PartitionPipeline(PipelineConfig(quoting=quoting), "market.ticks", 0, instruments=instruments())
    if pipeline.own_orders is not None:
        for offset, record in enumerate(records):
            if isinstance(record, OrderIntent):
                pipeline.own_orders.apply_intent(record, offset)
            else:
                pipeline.own_orders.apply_report(record)
    pipeline.run([Input(offset, tick) for offset, tick in enumerate(log)])
    outputs = [output.record for output in pipeline.take() if not isinstance(output, Rows)]
    features = [record for record in outputs if isinstance(record, FeatureVector)]
    return features, [record for record in outputs if isinstance(record, QuoteDecision)]


def test_features_are_those_of_the_book_without_us() -> None:
    """Our bid is the best of what the venue shows; flagged as long as it is not settled."""
    at_us = TICKS_T0 - 100_000
    records = [intent(at_us=at_us, ts_expire=at_us + 60 * SECOND), report(OrderStatus.OPEN, at_us)]
    citrex = QuotingConfig(mode=Mode.CITREX, shows_own=True, own_grace_us=GRACE_US)
    others = [("0.3998", 500)]

    without, _ = vectors(QuotingConfig(), others, [])
    shown, _ = vectors(QuotingConfig(), [("0.3999", 5), *others], [])
    mine, decisions = vectors(citrex, [("0.3999", 5), *others], records)
    flags = [vector.flags & Flag.OWN_BOOK_UNKNOWN for vector in mine]

    assert shown[0].values != without[0].values
    assert [vector.values for vector in mine] == [vector.values for vector in without]
    assert flags == sorted(flags, reverse=True)
    assert flags.count(Flag.OWN_BOOK_UNKNOWN) == 5
    assert {decision.orders_offset for decision in decisions} == {1}
    assert bool(decisions[0].flags & Flag.OWN_BOOK_UNKNOWN)
    assert not decisions[-1].flags & Flag.OWN_BOOK_UNKNOWN
