"""Rounds of questions about an account at Citrex."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.enums import Flag, Side
from sinks.executor.citrex.account import AccountReader
from sinks.executor.citrex.calls import Answer, Lost, Reply
from sinks.executor.port import Filled, OpenOrders, VenueEvent, VenueMoney, VenuePositions
from tests import citrex
from tests.unit.sinks.executor.citrex.making import IDS, MARKET, account_requests

NOW = 1_700_000_000_000_000
POLL_US = 500_000


def ok(document: object) -> Answer:
    return Reply(200, json.dumps(document).encode())


class Account:
    """Answers each question from a table, and keeps what was asked."""

    def __init__(self) -> None:
        self.requests = account_requests()
        self.requests.product_ids = {MARKET: IDS[MARKET]}
        self.reader = AccountReader(self.requests, poll_us=POLL_US, per_s=100, max_skew_us=2_000_000)
        self.asked: list[str] = []
        self.now = NOW
        self.trades: list[dict[str, Any]] = []
        self.answers: dict[str, Answer] = {
            "openOrders": ok([]),
            "positionRisk": ok([]),
            "balances": ok([]),
            "account-health": ok(citrex.health()),
        }

    def round(self) -> list[VenueEvent]:
        """Answer questions until a round is over, or failed."""
        while True:
            request = self.reader.due(self.now, frozenset({5}))
            assert request is not None
            self.asked.append(request.path)
            query = dict(request.query)
            if request.path == "trade-history":
                rows = self.trades[: int(query["lookback"])]
                answer = ok({"success": True, "trades": rows or None})
            elif request.path == "time":
                answer = self.answers.get("time", ok({"serverTime": self.now // 1_000}))
            else:
                answer = self.answers[request.path]
            events = self.reader.answered(answer, self.now)
            if not self.reader.is_in_round:
                return events

    def trade(self, uid: str, at_us: int = NOW, **more: Any) -> dict[str, Any]:
        """A trade that the account made."""
        ours = {"makerAccount": self.requests.account, "makerSubaccountId": 1}
        return citrex.trade(uid, "0.42", "5", at_ms=at_us // 1_000, **ours | more)


def fills(events: list[VenueEvent]) -> list[str]:
    return [event.fill.trade_id for event in events if isinstance(event, Filled)]


def test_a_round_is_orders_then_positions_then_trades_told_in_one_go() -> None:
    """Fills come first, so that what is compared includes them; what is under way is said."""
    account = Account()
    account.trades = [account.trade("t2"), account.trade("t1", takerIsBuyer=False)]
    account.answers["openOrders"] = ok([citrex.order(productId=IDS[MARKET], id="v1")])
    account.answers["positionRisk"] = ok([citrex.position(productId=IDS[MARKET])])

    events = account.round()

    assert account.asked == ["openOrders", "positionRisk", "trade-history", "time", "balances", "account-health"]
    assert [type(event) for event in events] == [Filled, Filled, OpenOrders, VenuePositions, VenueMoney]
    assert fills(events) == ["t1", "t2"]
    _, second, listing, positions, _ = events
    assert isinstance(second, Filled)
    assert second.fill.side is Side.SELL
    assert isinstance(listing, OpenOrders)
    assert ([one.venue_order_id for one in listing.orders], listing.in_flight) == (["v1"], {5})
    assert isinstance(positions, VenuePositions)
    assert positions.quantities == {MARKET: -20 * 10**8}


def test_rounds_come_at_their_interval_or_when_asked_for() -> None:
    """Money every two seconds; a look is taken at once."""
    account = Account()
    account.round()
    account.now += POLL_US - 1
    assert account.reader.due(account.now, frozenset()) is None
    account.reader.look(account.now)

    account.asked.clear()
    account.round()

    assert account.asked == ["openOrders", "positionRisk", "trade-history"]


def test_trades_are_told_once() -> None:
    """However often the venue gives them."""
    account = Account()
    account.trades = [account.trade("t1")]
    account.round()
    account.now += POLL_US
    account.trades.insert(0, account.trade("t2"))

    assert fills(account.round()) == ["t2"]


def test_a_page_that_does_not_reach_back_is_asked_for_again_longer() -> None:
    """Then the round goes on."""
    account = Account()
    account.round()
    account.now += 60_000_000
    account.trades = [account.trade(f"t{number}", account.now) for number in range(150)]

    assert len(fills(account.round())) == 150
    assert account.asked[-2:] == ["trade-history"] * 2 or account.asked.count("trade-history") == 3


@pytest.mark.parametrize("answer", [Lost.NO_ANSWER, Reply(503, b""), Reply(200, b"{"), ok([{}])])
def test_a_round_that_fails_tells_nothing_and_the_next_waits_longer(answer: Answer) -> None:
    """One bad row is enough: half a list is none."""
    account = Account()
    account.answers["positionRisk"] = answer

    assert account.round() == []
    assert account.reader.trouble == "positions cannot be read"
    first = account.reader.due_us - account.now
    account.now = account.reader.due_us
    assert account.round() == []
    assert account.reader.due_us - account.now == 2 * first


def test_a_venue_whose_clock_is_off_tells_nothing() -> None:
    """When an order expires would not be known."""
    account = Account()
    account.answers["time"] = ok({"serverTime": NOW // 1_000 - 2_001})

    assert account.round() == []
    assert "-2001 ms" in str(account.reader.trouble)


def test_a_fee_finer_than_our_unit_is_rounded_and_says_so() -> None:
    """Half-even, flagged DERIVED; one that fits is exact."""
    account = Account()
    account.trades = [account.trade("t2", makerFees="20"), account.trade("t1", makerFees="-15")]

    first, second = [event.fill for event in account.round() if isinstance(event, Filled)]

    assert (first.fee, first.flags) == (-2, Flag.DERIVED)
    assert (second.fee, second.flags) == (2, 0)


def test_a_trade_with_oneself_is_two_fills() -> None:
    """Named apart."""
    account = Account()
    both = {"takerAccount": account.requests.account, "takerSubaccountId": 1}
    account.trades = [account.trade("t1", **both)]

    names = fills(account.round())

    assert len(set(names)) == 2
    assert all(name.startswith("t1|") for name in names)
