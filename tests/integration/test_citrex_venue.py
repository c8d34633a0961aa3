"""The simulated Citrex on a socket: faults that a client must live through, and a ledger that tells the truth."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from infra.simulator.citrex.server import SimulatedCitrex
from infra.simulator.citrex.venue import VenueConfig
from schemas.venues.citrex import account
from schemas.venues.citrex.messages import OrderType, TimeInForce
from schemas.venues.citrex.reading import Refusal
from schemas.venues.citrex.requests import Request
from tests.citrex_client import Client


class Link:
    """Asks a venue over HTTP, as one account."""

    def __init__(self, venue: SimulatedCitrex, http: aiohttp.ClientSession) -> None:
        self.venue = venue
        self.http = http
        self.client = Client()

    async def ask(self, request: Request) -> tuple[int, bytes]:
        """Give status and body; 0 where the connection was cut."""
        try:
            async with self.http.request(
                request.method, f"{self.venue.url}/{request.path}", params=request.query, data=request.body
            ) as response:
                return response.status, await response.read()
        except aiohttp.ClientConnectionError:
            return 0, b""

    async def control(self, path: str, **document: Any) -> Any:
        """Ask a control endpoint: GET without a document."""
        method = "POST" if document else "GET"
        async with self.http.request(method, f"{self.venue.control_url}/{path}", json=document or None) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    def order(self, **changes: Any) -> Request:
        """A post-only bid of 100 SEI that rests."""
        fields: dict[str, Any] = {"is_buy": True, "price": "0.41", "size": "100"}
        fields["expiration_ms"] = time.time_ns() // 1_000_000 + 60_000
        return self.client.place(self.client.order(**fields | changes))

    async def nonces(self) -> list[int]:
        """The nonces of our open orders."""
        _, body = await self.ask(self.client.open_orders())
        return [order.nonce for order in account.parse_open_orders(body)]

    async def books(self) -> dict[str, Any]:
        """What the venue's ledger has of us."""
        rows = (await self.control("ledger"))["accounts"]
        own = [row for row in rows if row["account"] == self.client.signer.address.lower()]
        return own[0] if own else {"openOrders": [], "trades": []}

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the ledger is so."""
        async with asyncio.timeout(20):
            while not condition(books := await self.books()):
                await asyncio.sleep(0.02)
        return books


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    async with SimulatedCitrex(VenueConfig(rate=0)) as venue, aiohttp.ClientSession() as http:
        yield Link(venue, http)


async def test_a_request_that_is_lost_did_nothing_and_a_lost_reply_did_all(link: Link) -> None:
    """The client sees the same: a cut connection. Only the open orders tell which it was."""
    await link.control("fault", kind="lose_request")
    await link.control("fault", kind="lose_reply")

    lost = [await link.ask(link.order()), await link.ask(link.order())]

    assert lost == [(0, b""), (0, b"")]
    assert await link.nonces() == [2]
    assert (await link.control("counters")) == {"fault_lose_request": 1, "fault_lose_reply": 1}


async def test_an_order_may_be_filled_before_its_reply_is_lost(link: Link) -> None:
    """It is in no list of open orders, and in the trades."""
    await link.control("fault", kind="fill_lose_reply", operation="place")

    assert await link.ask(link.order()) == (0, b"")

    books = await link.books()
    assert await link.nonces() == books["openOrders"] == []
    assert [(trade["quantity"], trade["price"]) for trade in books["trades"]] == [(str(100 * 10**18), str(41 * 10**16))]
    assert books["positions"][0]["quantity"] == str(100 * 10**18)


@pytest.mark.parametrize(("kind", "status", "open_orders"), [("error", 503, []), ("error_after", 502, [1])])
async def test_an_error_of_the_server_may_come_before_or_after_the_deed(
    link: Link, kind: str, status: int, open_orders: list[int]
) -> None:
    """5xx says nothing about the order."""
    await link.control("fault", kind=kind)

    assert (await link.ask(link.order()))[0] == status
    assert await link.nonces() == open_orders


async def test_an_answer_may_be_unreadable(link: Link) -> None:
    """And the order rests."""
    await link.control("fault", kind="malformed")

    status, body = await link.ask(link.order())

    assert status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    assert await link.nonces() == [1]


async def test_a_duplicated_request_is_refused_the_second_time_and_rests_once(link: Link) -> None:
    """The client is told that the nonce was used, while its order is there."""
    await link.control("fault", kind="duplicate")

    status, body = await link.ask(link.order())

    assert (status, account.parse_order_answer(body)) == (400, Refusal("nonce was used"))
    assert await link.nonces() == [1]


@pytest.mark.parametrize(("kind", "status"), [("refuse", 400), ("rate_limit", 429)])
async def test_a_refusal_did_nothing(link: Link, kind: str, status: int) -> None:
    """It can be read as one."""
    await link.control("fault", kind=kind, operation="place", count=2)

    answers = [await link.ask(link.order()) for _ in range(3)]

    assert [found for found, _ in answers] == [status, status, 200]
    assert isinstance(account.parse_order_answer(answers[0][1]), Refusal)
    assert await link.nonces() == [3]


async def test_a_delayed_request_is_done_though_nobody_waits(link: Link) -> None:
    """The client has hung up; the order comes to rest all the same."""
    await link.control("fault", kind="delay_request", delay_ms=300)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await link.ask(link.order())
    assert await link.nonces() == []

    books = await link.until(lambda books: bool(books["openOrders"]))

    assert [order["nonce"] for order in books["openOrders"]] == [1]


async def test_a_delayed_reply_is_of_what_is_done_already(link: Link) -> None:
    """The order rests while the client waits."""
    await link.control("fault", kind="delay_reply", delay_ms=300)
    waiting = asyncio.create_task(link.ask(link.order()))

    await link.until(lambda books: bool(books["openOrders"]))

    assert not waiting.done()
    assert (await waiting)[0] == 200


async def test_a_cancelled_order_may_be_filled_late(link: Link) -> None:
    """The cancellation succeeded, the order is gone, and then it trades."""
    await link.control("fault", kind="fill_late", delay_ms=100)
    _, body = await link.ask(link.order())
    placed = account.parse_order_answer(body)
    assert isinstance(placed, account.OrderState)

    assert account.parse_cancel_answer((await link.ask(link.client.cancel(placed.order_id)))[1]) is None
    assert await link.nonces() == []
    books = await link.until(lambda books: bool(books["trades"]))

    assert books["trades"][0]["makerID"] == placed.order_id
    assert books["positions"][0]["quantity"] == str(100 * 10**18)


async def test_faults_are_of_operations_and_can_be_healed(link: Link) -> None:
    """A fault of questions leaves orders alone; healed, nothing more happens."""
    await link.control("fault", kind="error", operation="query", count=5)
    await link.control("fault", kind="error", operation="market_data", count=5)

    assert (await link.ask(link.order()))[0] == 200
    assert (await link.ask(link.client.open_orders()))[0] == 503
    assert (await link.ask(Request("GET", "products")))[0] == 503
    await link.control("heal", all=True)
    assert (await link.ask(link.client.open_orders()))[0] == 200


async def test_a_wrong_fault_is_refused(link: Link) -> None:
    """With what is wrong."""
    for document, problem in (
        ({"kind": "explode"}, "kinds are"),
        ({"kind": "error", "count": 0}, "count must be"),
        ({"kind": "error", "delay_ms": -1}, "delay_ms must be"),
        ({"kind": "error", "x": 1}, "unknown key 'x'"),
        ([], "not an object"),
    ):
        async with link.http.post(f"{link.venue.control_url}/fault", json=document) as response:
            assert response.status == 400
            assert problem in (await response.json())["error"]


async def test_money_and_a_counterparty_are_at_hand(link: Link) -> None:
    """A deposit is in the balance; the crowd takes what it is told to take."""
    address = link.client.signer.address
    told = await link.control("deposit", account=address, subAccountId=0, quantity=str(5 * 10**18))
    _, body = await link.ask(
        link.order(price="0.45", size="10", order_type=OrderType.LIMIT, time_in_force=TimeInForce.GTC)
    )
    bought = account.parse_order_answer(body)
    taken = await link.control("take", symbol="seiperp", isBuy=True, quantity=str(10 * 10**18))

    assert told == {"balance": str(5 * 10**18)}
    assert isinstance(bought, account.OrderState)
    assert bought.residual_size == 0
    assert taken["status"] == "FILLED"
