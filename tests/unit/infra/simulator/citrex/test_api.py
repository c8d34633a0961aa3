"""The simulated venue's interface, asked without a socket by a client that signs."""

from __future__ import annotations

import json
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest

from infra.simulator.citrex.api import ApiRequest, Reply, answer
from infra.simulator.citrex.control import control
from infra.simulator.citrex.products import ONE
from infra.simulator.citrex.venue import Venue, VenueConfig
from schemas.enums import Side
from schemas.venues.citrex import account, market_data, requests
from schemas.venues.citrex.messages import TESTNET, OrderStatus, OrderType, TimeInForce
from schemas.venues.citrex.reading import Refusal
from tests.citrex_client import KEYS, SEI, Client, direct

T0 = 1_700_000_000_000_000
NOW_MS = T0 // 1_000
SOON = NOW_MS + 60_000


@pytest.fixture
def venue() -> Venue:
    """A venue whose crowd made the books and rests: SEI around 0.42."""
    return Venue(VenueConfig(rate=0), T0)


@pytest.fixture
def client() -> Client:
    return Client()


def raw(reply: Reply) -> bytes:
    return json.dumps(reply.document).encode()


def order_of(reply: Reply) -> account.OrderState:
    found = account.parse_order_answer(raw(reply))
    assert isinstance(found, account.OrderState), found
    return found


def refused(reply: Reply) -> tuple[HTTPStatus, str]:
    found = account.parse_order_answer(raw(reply))
    assert isinstance(found, Refusal)
    return reply.status, found.detail


def test_an_order_rests_is_seen_and_is_cancelled(venue: Venue, client: Client) -> None:
    """Its nonce is among the open orders until then."""
    ask = direct(venue)
    order = client.order(is_buy=True, price="0.41", size="100", expiration_ms=SOON)

    placed = order_of(ask(client.place(order), T0))
    (found,) = account.parse_open_orders(raw(ask(client.open_orders(), T0)))
    gone = account.parse_cancel_answer(raw(ask(client.cancel(placed.order_id), T0)))

    assert found == placed
    assert (found.nonce, found.status, found.residual_size) == (order.nonce, OrderStatus.OPEN, order.size)
    assert gone is None
    assert account.parse_open_orders(raw(ask(client.open_orders(), T0))) == ()
    assert refused(ask(client.cancel(placed.order_id), T0)) == (HTTPStatus.BAD_REQUEST, "order not found")


def test_a_resting_order_is_in_the_depth_and_trades_at_its_price(venue: Venue, client: Client) -> None:
    """The maker's fee is 0.5 bps of the value; fill, position, balance and ledger agree to the unit."""
    ask = direct(venue)
    best = market_data.parse_depth(raw(ask(requests.depth("seiperp", 10), T0))).bids[0][0]
    price = f"{(best + 10_000) / 1e9:.5f}"
    placed = order_of(ask(client.place(client.order(is_buy=True, price=price, size="30", expiration_ms=SOON)), T0))
    assert market_data.parse_depth(raw(ask(requests.depth("seiperp", 10), T0))).bids[0] == (placed.price, placed.size)

    take(venue, quantity=10 * ONE, is_buy=False)

    trades = market_data.parse_trades(raw(ask(requests.trade_history("seiperp", 50, client.who), T0))).good
    (fill,) = account.fills_of(client.signer.address, 0, trades)
    value = placed.price * 10 * 10**9
    assert (fill.order_id, fill.side, fill.price, fill.size) == (placed.order_id, Side.BUY, placed.price, 10 * 10**8)
    assert fill.fee == value * 5 // 100_000
    (position,) = account.parse_positions(raw(ask(client.positions(), T0)))
    assert (position.size, position.average_entry_price) == (10 * 10**8, placed.price * 10**9)
    (balance,) = account.parse_balances(raw(ask(client.balances(), T0)))
    assert balance.quantity == 10_000 * ONE - fill.fee
    (left,) = account.parse_open_orders(raw(ask(client.open_orders(), T0)))
    assert left.residual_size == 20 * 10**8
    (books,) = [row for row in ledger(venue)["accounts"] if row["account"] == client.signer.address.lower()]
    assert books["balance"] == str(balance.quantity)
    assert books["positions"][0]["cash"] == str(-value)
    assert [trade["uid"] for trade in books["trades"]] == [fill.uid]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"order_type": OrderType.LIMIT_MAKER, "price": 10**9}, "post only order would match"),
        ({"price": 420_000_001}, "price is not a positive multiple of the increment"),
        ({"price": 0}, "price is not a positive multiple of the increment"),
        ({"size": 1}, "quantity is not a positive multiple of the minimum, or too large"),
        ({"size": 0}, "quantity is not a positive multiple of the minimum, or too large"),
        ({"expiration_ms": NOW_MS}, "expiration is in the past"),
        ({"product_id": 7}, "unknown product"),
        ({"order_type": OrderType.LIMIT_REDUCE_ONLY}, "reduce only order would not reduce the position"),
        ({"size": 10**6 * 10**8}, "insufficient margin"),
        (
            {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.FOK, "price": 410_000_000},
            "fill or kill order would not fill",
        ),
    ],
)
def test_what_the_venue_does_not_take_is_refused_with_a_reason(
    venue: Venue, client: Client, change: dict[str, Any], problem: str
) -> None:
    """And nothing of it happened: the same nonce may be used."""
    ask = direct(venue)
    good = client.order(is_buy=True, price="0.41", size="100", expiration_ms=SOON)

    assert refused(ask(client.place(replace(good, **change)), T0)) == (HTTPStatus.BAD_REQUEST, problem)
    assert order_of(ask(client.place(good), T0)).status is OrderStatus.OPEN


def test_a_nonce_is_used_once(venue: Venue, client: Client) -> None:
    """By an account; also when the order is gone, as long as it could be valid. Then its expiration protects."""
    ask = direct(venue)
    order = client.order(is_buy=True, price="0.41", size="100", expiration_ms=SOON)
    other = Client(KEYS[1])
    placed = order_of(ask(client.place(order), T0))

    assert refused(ask(client.place(order), T0))[1] == "nonce was used"
    ask(client.cancel(placed.order_id), T0)
    assert refused(ask(client.place(replace(order, price=410_010_000)), T0))[1] == "nonce was used"
    same_nonce = replace(order, account=other.signer.address)
    assert order_of(ask(other.place(same_nonce), T0)).nonce == order.nonce
    assert refused(ask(client.place(order), SOON * 1_000))[1] == "expiration is in the past"


def test_an_order_ends_with_its_expiration(venue: Venue, client: Client) -> None:
    """By the venue's clock, without anybody asking."""
    ask = direct(venue)
    ask(client.place(client.order(is_buy=True, price="0.41", size="100", expiration_ms=NOW_MS + 1_000)), T0)

    assert len(account.parse_open_orders(raw(ask(client.open_orders(), T0 + 999_000)))) == 1
    assert account.parse_open_orders(raw(ask(client.open_orders(), T0 + 1_000_000))) == ()


def test_only_the_account_itself_may_act_and_ask(venue: Venue, client: Client) -> None:
    """A signature of another key, for another network, another sub-account or other fields is refused."""
    ask = direct(venue)
    order = client.order(is_buy=True, price="0.41", size="100", expiration_ms=SOON)
    thief = Client(KEYS[1])
    forged = [
        thief.place(order),
        requests.place_order(replace(order, price=410_010_000), client.signer.sign(order, client.domain)),
        requests.place_order(replace(order, sub_account_id=1), client.signer.sign(order, client.domain)),
        Client(domain=TESTNET.domain).place(order),
        requests.place_order(order, "0x"),
        requests.open_orders(client.who, thief.signer.sign(thief.who, thief.domain)),
    ]
    for request in forged:
        assert refused(ask(request, T0)) == (HTTPStatus.UNAUTHORIZED, "invalid signature")
    placed = order_of(ask(client.place(order), T0))
    assert refused(ask(thief.cancel(placed.order_id), T0))[1] == "order not found"
    assert venue.counters["refused_signature"] == len(forged)


def test_cancel_and_replace(venue: Venue, client: Client) -> None:
    """The new order takes the old one's place; where it is refused, neither rests; without an old one, none does."""
    ask = direct(venue)

    def new(price: str) -> Any:
        return client.order(is_buy=True, price=price, size="100", expiration_ms=SOON)

    first = order_of(ask(client.place(new("0.41")), T0))
    second = order_of(ask(client.replace(first.order_id, new("0.411")), T0))
    assert [o.order_id for o in account.parse_open_orders(raw(ask(client.open_orders(), T0)))] == [second.order_id]
    assert refused(ask(client.replace(first.order_id, new("0.412")), T0))[1] == "order not found"
    assert refused(ask(client.replace(second.order_id, new("0.9")), T0))[1] == "post only order would match"
    assert account.parse_open_orders(raw(ask(client.open_orders(), T0))) == ()


def test_cancel_all_is_of_a_product_and_succeeds_without_orders(venue: Venue, client: Client) -> None:
    """Other products and sub-accounts keep theirs."""
    ask, other = direct(venue), Client(sub_account_id=1)
    for each in (client, other):
        ask(each.place(each.order(is_buy=True, price="0.41", size="100", expiration_ms=SOON)), T0)

    for _ in range(2):
        assert account.parse_cancel_answer(raw(ask(client.cancel_all(), T0))) is None
    assert account.parse_open_orders(raw(ask(client.open_orders(), T0))) == ()
    assert len(account.parse_open_orders(raw(ask(other.open_orders(), T0)))) == 1
    assert refused(ask(client.cancel_all(5), T0))[1] == "unknown product"


def test_an_immediate_order_takes_and_reduces(venue: Venue, client: Client) -> None:
    """What is not filled is cancelled; a reduce-only order of more than is held closes it and no more."""
    ask = direct(venue)
    take_all = {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.IOC}
    close = {"order_type": OrderType.LIMIT_REDUCE_ONLY, "time_in_force": TimeInForce.IOC}

    bought = order_of(
        ask(client.place(client.order(is_buy=True, price="0.45", size="50", expiration_ms=SOON, **take_all)), T0)
    )
    closed = order_of(
        ask(client.place(client.order(is_buy=False, price="0.40", size="80", expiration_ms=SOON, **close)), T0)
    )

    assert (bought.status, bought.residual_size) == (OrderStatus.FILLED, 0)
    assert (closed.status, closed.residual_size) == (OrderStatus.CANCELLED, 30 * 10**8)
    assert account.parse_positions(raw(ask(client.positions(), T0))) == ()


def test_funding_is_paid_by_longs_above_the_oracle(client: Client) -> None:
    """At the venue's times; what accrued is settled when the position changes, and the ledger says so."""
    venue = Venue(VenueConfig(rate=0, funding_us=10_000_000), T0)
    ask = direct(venue)
    immediate = {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.IOC}
    ask(client.place(client.order(is_buy=True, price="0.45", size="50", expiration_ms=SOON, **immediate)), T0)
    venue.exchange.marks[SEI] = venue.crowd.oracle(SEI) * 101 // 100

    (before,) = account.parse_positions(raw(ask(client.positions(), T0)))
    (after,) = account.parse_positions(raw(ask(client.positions(), T0 + 10_000_000)))
    ask(client.place(client.order(is_buy=False, price="0.40", size="50", expiration_ms=SOON, **immediate)), T0 + 1)
    (books,) = [row for row in ledger(venue)["accounts"] if row["account"] == client.signer.address.lower()]

    assert before.accrued_funding == 0
    assert after.accrued_funding < 0
    assert books["positions"][0]["funding"] == str(after.accrued_funding)
    assert int(books["balance"]) == 10_000 * ONE + sum(
        int(books["positions"][0][name]) * sign for name, sign in (("cash", 1), ("fees", -1), ("funding", 1))
    )


def test_margin_bounds_what_may_be_opened(venue: Venue, client: Client) -> None:
    """A tenth of the value must be there for all that could be bought; what only reduces is always taken."""
    ask = direct(venue)
    big = client.order(is_buy=True, price="0.41", size="200000", expiration_ms=SOON)
    health = account.parse_account_health(raw(ask(requests.account_health(client.who), T0)))
    assert (health.equity, health.initial_margin_used) == (0, 0)

    assert order_of(ask(client.place(big), T0)).status is OrderStatus.OPEN
    assert refused(ask(client.place(replace(big, nonce=99)), T0))[1] == "insufficient margin"
    health = account.parse_account_health(raw(ask(requests.account_health(client.who), T0)))
    assert health.equity == 10_000 * ONE
    assert 8_000 * ONE < health.initial_margin_used < 8_800 * ONE


def test_asking_too_often_is_refused(client: Client) -> None:
    """An account has so many orders a second, a client so many questions; both come back with time."""
    venue = Venue(VenueConfig(rate=0, orders_per_s=2, queries_per_s=2), T0)
    ask = direct(venue)

    trading = [ask(client.cancel_all(), T0).status for _ in range(3)]
    public = [ask(requests.server_time(), T0).status for _ in range(3)]

    assert trading == public == [HTTPStatus.OK, HTTPStatus.OK, HTTPStatus.TOO_MANY_REQUESTS]
    assert ask(client.cancel_all(), T0 + 500_000).status is HTTPStatus.OK


def test_the_crowd_moves_books_and_trades_and_is_the_seeds(client: Client) -> None:
    """The same seed gives the same market, another one another; both sides always have levels."""

    def run(seed: int) -> tuple[Any, Any]:
        venue = Venue(VenueConfig(seed=seed, rate=3), T0)
        ask = direct(venue)
        book = market_data.parse_depth(raw(ask(requests.depth("seiperp", 10), T0 + 20_000_000)))
        page = market_data.parse_trades(raw(ask(requests.trade_history("seiperp", 500), T0 + 20_000_000)))
        assert len(book.bids) >= 12
        assert len(book.asks) >= 12
        assert book.bids[0][0] < book.asks[0][0]
        assert len(page.good) > 20
        assert page.bad == ()
        return book, page

    assert run(1) == run(1) != run(2)


def test_the_venue_describes_itself(venue: Venue) -> None:
    """Products, statistics and clock are what the protocol reads."""
    ask = direct(venue)

    products = market_data.parse_products(raw(ask(requests.products(), T0)))
    tickers = market_data.parse_tickers(raw(ask(requests.tickers(), T0)))

    assert products.bad == tickers.bad == ()
    assert [p.symbol for p in products.good] == [t.symbol for t in tickers.good] == ["seiperp", "ethperp"]
    assert market_data.parse_time(raw(ask(requests.server_time(), T0))) == T0
    for path in ("products/seiperp", "products/product-by-id/1010"):
        reply = answer(venue, ApiRequest("GET", path, {}, b""), T0)
        assert reply.document["symbol"] == "seiperp"


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "status"),
    [
        ("GET", "nothing", {}, b"", 404),
        ("GET", "products/xyz", {}, b"", 404),
        ("GET", "depth", {}, b"", 400),
        ("GET", "depth", {"symbol": "seiperp", "limit": "21"}, b"", 400),
        ("GET", "depth", {"symbol": "seiperp", "limit": "-1"}, b"", 400),
        ("GET", "trade-history", {"symbol": "seiperp", "lookback": "x"}, b"", 400),
        ("POST", "order", {}, b"", 400),
        ("POST", "order", {}, b"[]", 400),
        ("POST", "order", {}, b"{}", 400),
        ("POST", "order", {}, b'{"price":"1","quantity":"1"}', 401),
        ("POST", "order/cancel-and-replace", {}, b"{}", 400),
        ("DELETE", "order", {}, b'{"account":5}', 401),
        ("DELETE", "openOrders", {}, b"{}", 401),
        ("GET", "balances", {"subAccountId": "0"}, b"", 401),
        ("GET", "balances", {"subAccountId": "256"}, b"", 400),
    ],
)
def test_nonsense_gets_an_error(
    venue: Venue, method: str, path: str, query: dict[str, str], body: bytes, status: int
) -> None:
    """In the venue's form."""
    reply = answer(venue, ApiRequest(method, path, query, body), T0)
    assert reply.status == status
    assert reply.document["success"] is False
    assert reply.document["error"]


def take(venue: Venue, *, quantity: int, is_buy: bool) -> None:
    """Let the crowd take from the book of SEI."""
    body = {"symbol": "seiperp", "quantity": str(quantity), "isBuy": is_buy}
    reply = control(venue, ApiRequest("POST", "take", {}, json.dumps(body).encode()), T0)
    assert reply.status is HTTPStatus.OK, reply


def ledger(venue: Venue) -> dict[str, Any]:
    """The venue's books of account."""
    document = control(venue, ApiRequest("GET", "ledger", {}, b""), T0).document
    assert isinstance(document, dict)
    return document
