"""The way of orders to Citrex: priorities, budgets, cancels that wait for names, and what answers say."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.enums import Side
from schemas.venues.citrex.requests import Request as WireRequest
from sinks.executor.citrex.calls import Answer, Lost
from sinks.executor.citrex.orders import OrderFlow, Work
from sinks.executor.port import Answered
from tests.unit.sinks.executor.citrex.making import (
    DONE,
    MARKET,
    OTHER,
    accepted,
    account_requests,
    body_of,
    cancel,
    nonce,
    orders,
    place,
    refused,
)
from tests.venue_events import said

NOW = 1_000_000_000


class Wire:
    """Sends what a flow has to send, and answers as it is told."""

    def __init__(self, **changes: Any) -> None:
        fields = {"per_s": 20, "for_cancels": 10}
        self.flow = OrderFlow(account_requests(), **fields | changes)
        self.sent: list[tuple[Work, WireRequest]] = []

    def send(self, now_us: int = NOW) -> list[str]:
        """Send what is due; give what each request is."""
        new = self.flow.due(now_us)
        self.sent += new
        return [f"{wire.method} {wire.path}" for _, wire in new]

    def answer(self, answer: Answer, number: int = 0, now_us: int = NOW) -> list[tuple[str, str | int]]:
        """Answer one of the requests that wait, the first; give what that says."""
        self.flow.answered(self.sent.pop(number)[0], answer, now_us)
        return self.said()

    def said(self) -> list[tuple[str, str | int]]:
        events, self.flow.events = self.flow.events, []
        return said(events)

    def reasons(self) -> list[str | None]:
        events, self.flow.events = self.flow.events, []
        return [event.reason for event in events if isinstance(event, Answered)]


PLACE, CANCEL, CANCEL_ALL, REPLACE = "POST order", "DELETE order", "DELETE openOrders", "POST order/cancel-and-replace"


def resting(*names: str) -> Wire:
    """A wire over which orders were placed."""
    wire = Wire()
    for name in names:
        wire.flow.submit(orders(place(name)), NOW)
        wire.send()
        wire.answer(accepted(name))
    return wire


def test_an_order_is_sent_as_it_is_journalled() -> None:
    """Post-only, named by its nonce, with its expiry in milliseconds."""
    wire = Wire()
    wire.flow.submit(orders(place("a")), NOW)

    assert wire.send() == [PLACE]
    body = body_of(wire.sent[0][1])
    assert (body["nonce"], body["price"], body["quantity"]) == (
        nonce("a"),
        "421300000000000000",
        "12500000000000000000",
    )
    assert (body["orderType"], body["timeInForce"], body["productId"]) == (1, 0, 1010)
    assert wire.answer(accepted("a")) == [("a", "ACCEPTED")]


def test_cancels_go_first() -> None:
    """Before orders that were asked for earlier."""
    wire = resting("a")
    wire.flow.submit(orders(place("b", Side.SELL)), NOW)
    wire.flow.submit(orders(cancel("a")), NOW)

    assert wire.send() == [CANCEL, PLACE]
    assert wire.answer(DONE) == [("a", "CANCELLED")]


def test_an_order_and_a_cancel_of_one_side_are_one_request() -> None:
    """Those of two sides are two."""
    wire = resting("a")
    wire.flow.submit(orders(cancel("a"), place("b"), place("c", Side.SELL)), NOW)

    assert wire.send() == [REPLACE, PLACE]
    assert body_of(wire.sent[0][1])["idToCancel"] == "v-a"
    assert wire.answer(accepted("b")) == [("b", "ACCEPTED"), ("a", "CANCELLED")]


def test_a_refused_replacement_says_nothing_of_the_old_order() -> None:
    """The new one was refused for sure; whether the old one is still there is to be looked for."""
    wire = resting("a")
    wire.flow.submit(orders(cancel("a"), place("b")), NOW)
    wire.send()

    assert wire.answer(refused("would match")) == [("b", "REFUSED"), ("a", "UNANSWERED")]
    assert wire.flow.wants_look


def test_new_orders_leave_part_of_the_budget_to_cancels() -> None:
    """A replacement that finds no room is cut: its cancel goes at once."""
    wire = resting("a")
    for number in range(12):
        wire.flow.submit(orders(place(f"b{number}", Side.SELL)), NOW)
    assert wire.send() == [PLACE] * 9
    wire.flow.submit(orders(cancel("a"), place("c")), NOW)

    assert wire.send() == [CANCEL]
    assert wire.send(NOW + 900_000) == [PLACE] * 4


def test_an_order_that_waits_too_long_is_never_sent() -> None:
    """It is told so, for sure."""
    wire = Wire(per_s=2, for_cancels=1)
    wire.flow.submit(orders(place("a"), place("b", Side.SELL)), NOW)
    assert wire.send() == [PLACE]

    assert wire.send(NOW + 1_000_001) == []
    assert wire.said() == [("b", "REFUSED")]


def test_a_cancel_before_its_order_is_sent_ends_both() -> None:
    """Nothing was sent, and nothing is."""
    wire = Wire()
    wire.flow.submit(orders(place("a")), NOW)
    wire.flow.submit(orders(cancel("a")), NOW)

    assert wire.send() == []
    assert wire.reasons() == ["NOT_SENT"]
    assert wire.flow.is_idle


def test_a_cancel_waits_for_the_answer_to_its_order() -> None:
    """It needs the venue's name of it."""
    wire = Wire()
    wire.flow.submit(orders(place("a")), NOW)
    wire.send()
    wire.flow.submit(orders(cancel("a")), NOW)
    assert wire.send() == []
    assert wire.flow.in_flight == {nonce("a")}

    wire.answer(accepted("a"))
    assert wire.send() == [CANCEL]
    assert body_of(wire.sent[0][1])["orderId"] == "v-a"


@pytest.mark.parametrize("is_early", [True, False])
def test_an_order_without_an_answer_is_cancelled_with_all_of_its_market(is_early: bool) -> None:
    """Whether its cancel came before the answer failed or after."""
    wire = Wire()
    wire.flow.submit(orders(place("a")), NOW)
    wire.send()
    if is_early:
        wire.flow.submit(orders(cancel("a")), NOW)
    assert wire.answer(Lost.NO_ANSWER) == [("a", "UNANSWERED")]
    if not is_early:
        wire.flow.submit(orders(cancel("a")), NOW)

    assert wire.send() == [CANCEL_ALL]


def test_cancelling_all_is_asked_again_until_it_is_done() -> None:
    """Once at a time; what was to be placed there is not."""
    wire = resting("a")
    wire.flow.submit(orders(place("b", Side.SELL), place("c", market=OTHER)), NOW)
    wire.flow.cancel_all(MARKET, NOW)
    wire.flow.cancel_all(MARKET, NOW)

    assert wire.send() == [CANCEL_ALL, PLACE]
    assert wire.said() == [("b", "REFUSED")]
    wire.answer(Lost.NO_ANSWER)
    assert wire.send(NOW + 1) == []
    assert wire.send(NOW + 250_000) == [CANCEL_ALL]
    wire.answer(DONE, 1)
    assert wire.send(NOW + 1_000_000) == []


@pytest.mark.parametrize("answer", [refused("order not found"), Lost.NO_ANSWER])
def test_a_cancel_that_was_not_done_leaves_the_order_unknown(answer: Answer) -> None:
    """It may have been filled, and may be there: the account is looked at."""
    wire = resting("a")
    wire.flow.submit(orders(cancel("a")), NOW)
    wire.send()
    wire.flow.wants_look = False

    assert wire.answer(answer) == [("a", "UNANSWERED")]
    assert wire.flow.wants_look


def test_after_too_many_requests_new_orders_pause_and_cancels_do_not() -> None:
    """For a second."""
    wire = resting("a")
    wire.flow.submit(orders(place("b", Side.SELL)), NOW)
    wire.send()
    assert wire.answer(refused("slow down", 429)) == [("b", "UNANSWERED")]
    wire.flow.submit(orders(place("c", Side.SELL), cancel("a")), NOW)

    assert wire.send() == [CANCEL]
    assert wire.send(NOW + 1_000_000) == [PLACE]


def test_an_answer_about_another_order_is_none() -> None:
    """Whatever it says, of this one it says nothing."""
    wire = Wire()
    wire.flow.submit(orders(place("a")), NOW)
    wire.send()

    assert wire.answer(accepted("a", nonce=7)) == [("a", "UNANSWERED")]


def test_an_order_that_did_not_rest_has_ended() -> None:
    """Taken and over at once; its trades are told apart."""
    wire = Wire()
    wire.flow.submit(orders(place("a")), NOW)
    wire.send()

    assert wire.answer(accepted("a", status="CANCELLED")) == [("a", "ACCEPTED"), ("a", "CANCELLED")]
