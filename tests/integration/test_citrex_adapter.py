"""The adapter of Citrex against the simulated exchange in its own process, whatever goes wrong between them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from infra.local.process import wait_until
from infra.runtime.clock import wall_clock_us
from infra.runtime.settings import Settings
from schemas.enums import Mode, OrderAction, OrderStatus, Verdict
from schemas.instruments import DEFAULT_PATH, Instruments
from schemas.numbers import PRICE_SCALE, SIZE_SCALE, to_units
from schemas.records import Cause, ExecutionReport, Market, QuoteDecision, QuoteLevel
from schemas.venues.citrex.messages import OrderType, TimeInForce
from schemas.venues.citrex.requests import Request
from sinks.executor.account.limits import limits_of
from sinks.executor.account.positions import zero_position
from sinks.executor.citrex.preflight import PreflightFailed
from sinks.executor.citrex.venue import CitrexVenue, citrex_venue
from sinks.executor.desk import Desk
from sinks.executor.identity import GRID_US
from sinks.executor.port import Listing, Listings, Orders
from tests.citrex_client import KEYS, Client
from tests.citrex_process import CitrexProcess, citrex_process
from tests.decisions import decision_of

MARKET = ("sim-citrex", "SEI/USDC-PERP")
EXPIRY_US = 4_000_000
Level = tuple[str, str]


@pytest.fixture(scope="module")
def exchange() -> Iterator[CitrexProcess]:
    """An exchange whose crowd rests, so that only what a test does moves it."""
    with citrex_process("--rate", "0") as process:
        yield process


def listings(market: Market = MARKET) -> Listings:
    instrument = Instruments.load(DEFAULT_PATH).get(*market)
    assert instrument is not None
    return {market: Listing(instrument, 0)}


class Trader:
    """A desk that trades through the adapter; what would be in Kafka is in lists."""

    def __init__(self, exchange: CitrexProcess, sub_account: int, market: Market = MARKET, **changes: Any) -> None:
        self.exchange = exchange
        fields: dict[str, Any] = {
            "quoted_venues": "sim-citrex",
            "executor_mode": Mode.CITREX,
            "citrex_rest_url": exchange.url,
            "citrex_private_key": SecretStr(KEYS[0]),
            "citrex_sub_account": sub_account,
            "citrex_account_poll_ms": 100,
            "citrex_timeout_ms": 500,
            "max_sends_per_s": 40,
            "sends_for_cancels": 20,
        }
        self.settings = Settings(_env_file=None, **fields | changes)
        self.venue: CitrexVenue = citrex_venue(self.settings, listings(market), wall_clock_us)
        self.desk = Desk(self.venue, listings(market), "demo", limits_of(self.settings), expiry_us=EXPIRY_US)
        self.desk.positions[market] = zero_position(Mode.CITREX, "demo", market, 0, 0, 0)
        self.desk.recover((), (), wall_clock_us())
        self.reports: list[ExecutionReport] = []
        self.notices: list[str] = []
        self.sub_account = sub_account
        self._grid = 0
        self.venue.open(wall_clock_us())

    def quote(self, *bids: Level, asks: tuple[Level, ...] = ()) -> Orders | None:
        """Take a decision of the present grid point, journal and send what it asks for."""
        self._grid = max(self._grid + GRID_US, wall_clock_us() // GRID_US * GRID_US)
        orders = self.desk.decide(decision(self._grid, bids, asks), Cause("trading.quotes", 0, 1, 1), wall_clock_us())
        if orders is not None:
            self._book(self.desk.submit(orders, wall_clock_us()))
        return orders

    def turn(self) -> None:
        """Take what the venue has said."""
        now_us = wall_clock_us()
        self._book(self.desk.take(self.venue.poll(now_us)))
        self.venue.withdraw(self.desk.strays(), now_us)
        self.notices += [notice.code for notice in self.desk.review(now_us)]

    def until(self, condition: Any, timeout_s: float = 20) -> None:
        """Take what the venue says until a condition holds."""

        def is_so() -> bool:
            self.turn()
            return bool(condition())

        assert wait_until(is_so, timeout_s=timeout_s), (self.venue.trouble, self.statuses, self.desk.counts)

    def placed(self, *bids: Level, asks: tuple[Level, ...] = ()) -> None:
        """Quote, again until the account's rules let it: then one order at least was sent."""

        def is_sent() -> bool:
            orders = self.quote(*bids, asks=asks)
            return orders is not None and any(r.action is OrderAction.PLACE for r in orders.requests)

        self.until(is_sent)

    @property
    def statuses(self) -> list[OrderStatus]:
        return [report.status for report in self.reports]

    @property
    def told(self) -> list[OrderStatus]:
        """What was reported apart from that an order is open."""
        return [status for status in self.statuses if status is not OrderStatus.OPEN]

    @property
    def open_orders(self) -> list[dict[str, Any]]:
        """The orders in the exchange's book."""
        return list(self.exchange.account(self.venue.account, self.sub_account)["openOrders"])

    @property
    def quantity(self) -> int:
        """Our position."""
        return self.desk.positions[MARKET].quantity

    def agrees(self) -> bool:
        """Whether nothing is in doubt and the exchange's ledger has our position, fees and no order of ours."""
        ledger = self.exchange.account(self.venue.account, self.sub_account)
        rows = [row for row in ledger["positions"] if row["productSymbol"] == "seiperp"]
        held = (int(rows[0]["quantity"]) // 10**10, int(rows[0]["fees"]) // 10) if rows else (0, 0)
        position = self.desk.positions[MARKET]
        return not self.desk.blotter.live_count and held == (position.quantity, position.fees)

    def _book(self, reports: list[ExecutionReport]) -> None:
        first = len(self.reports)
        self.reports += reports
        self.desk.booked([(report, first + number) for number, report in enumerate(reports)], wall_clock_us())


def decision(ts_grid: int, bids: tuple[Level, ...], asks: tuple[Level, ...]) -> QuoteDecision:
    def levels(side: tuple[Level, ...]) -> tuple[QuoteLevel, ...]:
        return tuple(QuoteLevel(price=to_units(p, PRICE_SCALE), size=to_units(s, SIZE_SCALE)) for p, s in side)

    return decision_of(
        decision_id=f"d{ts_grid}",
        mode=Mode.CITREX,
        account="demo",
        venue=MARKET[0],
        symbol=MARKET[1],
        ts_grid=ts_grid,
        epoch=1,
        verdict=Verdict.QUOTE if bids or asks else Verdict.EMPTY,
        bids=levels(bids),
        asks=levels(asks),
        mid=to_units("0.42", PRICE_SCALE),
        cause_partition=0,
        cause_first_offset=0,
        cause_offset=0,
    )


SUB_ACCOUNTS = iter(range(1, 256))


@pytest.fixture
def trader(exchange: CitrexProcess) -> Iterator[Trader]:
    """A sub-account of this test's own."""
    exchange.control("heal", now=True)
    trader = Trader(exchange, next(SUB_ACCOUNTS))
    yield trader
    trader.venue.close(2)


BID, HIGHER = ("0.41", "100"), ("0.4101", "100")
UNKNOWN, REJECTED = OrderStatus.UNKNOWN, OrderStatus.REJECTED


def settle(*traders: Trader) -> None:
    """Want nothing any more, until every order has ended and every ledger agrees."""

    def is_settled() -> bool:
        for trader in traders:
            trader.quote()
            trader.turn()
        return all(trader.agrees() for trader in traders)

    assert wait_until(is_settled, timeout_s=40), [(t.statuses, t.quantity, t.venue.trouble) for t in traders]
    for trader in traders:
        assert trader.open_orders == []
        ledger = [trade["uid"] for trade in trader.exchange.account(trader.venue.account, trader.sub_account)["trades"]]
        booked = [report.trade_id for report in trader.reports if report.last_size]
        assert sorted(map(str, booked)) == sorted(ledger), "every trade once"


def test_an_order_rests_is_replaced_and_is_cancelled(trader: Trader) -> None:
    """Nothing before the account was read; then every change is reported. One that moves is replaced in one request."""
    assert trader.quote(BID) is None
    trader.placed(BID)
    trader.until(lambda: trader.statuses == [OrderStatus.OPEN])
    assert [order["price"] for order in trader.open_orders] == ["410000000000000000"]

    trader.placed(HIGHER)
    trader.until(lambda: sorted(trader.statuses[1:]) == [OrderStatus.CANCELLED, OrderStatus.OPEN])
    assert [order["price"] for order in trader.open_orders] == ["410100000000000000"]

    settle(trader)
    assert trader.venue.counters["orders_replaced"] == 1
    assert trader.venue.counters["cancels_done"] == 1
    assert trader.notices == ["VENUE_READ"]


def test_fills_are_found_booked_and_equal_the_ledger() -> None:
    """Quantity and fees to the unit; a trade is booked once, however often it is read."""
    with citrex_process("--rate", "0") as exchange:
        trader = Trader(exchange, 0)
        trader.placed(asks=((best(exchange, "asks"), "250"),))
        trader.until(lambda: trader.statuses == [OrderStatus.OPEN])
        for _ in range(3):
            exchange.take(50_000, is_buy=True)

        trader.until(lambda: trader.statuses[-1] is OrderStatus.FILLED)
        settle(trader)
        assert trader.quantity == -to_units("250", SIZE_SCALE)
        trader.venue.close(2)


def best(exchange: CitrexProcess, side: str) -> str:
    """Give a price one tick behind the best of a side, which a post-only order may rest at."""
    with urllib.request.urlopen(f"{exchange.url}/depth?symbol=seiperp&limit=20&granularity=0") as response:
        levels = json.loads(response.read())[side]
    return f"{int(levels[0][0]) / 1e18:.5f}"


PLACE_FAULTS = {
    "lose_request": UNKNOWN,
    "lose_reply": UNKNOWN,
    "fill_lose_reply": UNKNOWN,
    "delay_request": UNKNOWN,
    "delay_reply": UNKNOWN,
    "error": UNKNOWN,
    "error_after": UNKNOWN,
    "malformed": UNKNOWN,
    "duplicate": UNKNOWN,
    "refuse": REJECTED,
    "rate_limit": UNKNOWN,
}
CANCEL_FAULTS = (
    "lose_request",
    "lose_reply",
    "delay_request",
    "delay_reply",
    "error",
    "error_after",
    "malformed",
    "duplicate",
    "refuse",
    "rate_limit",
    "fill_late",
)


@pytest.fixture
def traders(exchange: CitrexProcess, request: pytest.FixtureRequest) -> Iterator[dict[str, Trader]]:
    """A sub-account for each fault, read and ready."""
    exchange.control("heal", now=True)
    traders = {kind: Trader(exchange, next(SUB_ACCOUNTS)) for kind in request.param}
    yield traders
    for trader in traders.values():
        trader.venue.close(2)


def meet(exchange: CitrexProcess, kind: str, operation: str) -> Callable[[], bool]:
    """Order a fault; give whether it has happened."""
    before = exchange.control("counters").get(f"fault_{kind}", 0)
    exchange.fault(kind, None if kind == "fill_late" else operation, delay_ms=1_500)
    return lambda: exchange.control("counters").get(f"fault_{kind}", 0) > before


@pytest.mark.parametrize("traders", [PLACE_FAULTS], indirect=True)
def test_whatever_happens_to_an_order_its_fate_comes_to_light(
    exchange: CitrexProcess, traders: dict[str, Trader]
) -> None:
    """No answer is UNKNOWN, never a rejection; only a refusal is. No nonce rests or trades twice."""
    for kind, trader in traders.items():
        trader.until(lambda trader=trader: trader.notices == ["VENUE_READ"])
        has_happened = meet(exchange, kind, "place")
        trader.placed(BID)
        trader.until(has_happened)

    # An order that was seen in the book may be cancelled before its answer is late: settle only what was told.
    for trader in traders.values():
        trader.until(lambda trader=trader: trader.told)
    settle(*traders.values())
    assert {kind: trader.told[0] for kind, trader in traders.items()} == PLACE_FAULTS
    assert traders["fill_lose_reply"].quantity == to_units("100", SIZE_SCALE)
    assert [t.quantity for kind, t in traders.items() if kind != "fill_lose_reply"] == [0] * (len(traders) - 1)


@pytest.mark.parametrize("traders", [CANCEL_FAULTS], indirect=True)
def test_whatever_happens_to_a_cancel_the_order_goes(exchange: CitrexProcess, traders: dict[str, Trader]) -> None:
    """It is asked again until it is out of the book; what is filled after that counts."""
    for kind, trader in traders.items():
        trader.placed(BID)
        trader.until(lambda trader=trader: trader.statuses == [OrderStatus.OPEN])
        has_happened = meet(exchange, kind, "cancel")
        trader.quote()
        trader.until(has_happened)

    late = traders["fill_late"]
    late.until(lambda: late.quantity == to_units("100", SIZE_SCALE))
    settle(*traders.values())


@pytest.mark.parametrize("traders", [tuple(PLACE_FAULTS)], indirect=True)
def test_whatever_happens_to_a_replacement_both_fates_come_to_light(
    exchange: CitrexProcess, traders: dict[str, Trader]
) -> None:
    """Also where the new order is refused, and nobody says what became of the old one."""
    for kind, trader in traders.items():
        trader.placed(BID)
        trader.until(lambda trader=trader: trader.statuses == [OrderStatus.OPEN])
        has_happened = meet(exchange, kind, "replace")
        trader.placed(HIGHER)
        trader.until(has_happened)

    settle(*traders.values())
    assert traders["refuse"].statuses.count(REJECTED) == 1


def test_what_cannot_be_read_sends_nothing_and_is_told(exchange: CitrexProcess, trader: Trader) -> None:
    """While questions fail nothing new goes out; cancels do."""
    trader.placed(BID)
    trader.until(lambda: trader.statuses == [OrderStatus.OPEN])
    exchange.fault("error", "query", count=100_000)

    trader.until(lambda: trader.notices[-1] == "VENUE_NOT_READ")
    assert trader.quote(HIGHER) is not None  # the cancel of the other
    trader.until(lambda: trader.open_orders == [])
    assert trader.desk.counts["denied_not_reconciled"] > 0

    exchange.control("heal", now=True)
    settle(trader)
    assert trader.notices[-1] == "VENUE_READ"


def test_a_trade_that_is_not_ours_stops_the_market_until_positions_are_equal(
    exchange: CitrexProcess, trader: Trader
) -> None:
    """Somebody else with the same key: told, nothing new is sent; equal again, it goes on."""
    trader.placed(BID)
    trader.until(lambda: trader.statuses == [OrderStatus.OPEN])
    other = Client(sub_account_id=trader.sub_account)

    def stranger(*, is_buy: bool, nonce: int) -> None:
        fields = {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC, "nonce": nonce}
        price = "0.9" if is_buy else "0.1"
        order = other.order(
            is_buy=is_buy, price=price, size="10", expiration_ms=wall_clock_us() // 1_000 + 60_000, **fields
        )
        send(exchange, other.place(order))

    stranger(is_buy=True, nonce=7)
    trader.until(lambda: trader.notices[-1] == "POSITION_DIFFERS")
    denied = trader.desk.counts["denied_not_reconciled"]
    trader.quote(HIGHER)
    assert trader.desk.counts["denied_not_reconciled"] > denied

    stranger(is_buy=False, nonce=8)
    trader.until(lambda: trader.notices[-1] == "POSITION_AGREES")
    trader.placed(HIGHER)


def test_an_order_that_nobody_knows_is_cancelled(exchange: CitrexProcess, trader: Trader) -> None:
    """Found among the open orders, of no journal."""
    trader.until(lambda: trader.notices == ["VENUE_READ"])
    other = Client(sub_account_id=trader.sub_account)
    order = other.order(is_buy=True, price="0.4", size="10", expiration_ms=wall_clock_us() // 1_000 + 60_000)
    send(exchange, other.place(order))
    assert len(trader.open_orders) == 1

    trader.until(lambda: trader.open_orders == [])
    assert trader.desk.counts["strays"] >= 1


def send(exchange: CitrexProcess, request: Request) -> None:
    """Ask the exchange as somebody else would."""
    data = urllib.request.Request(f"{exchange.url}/{request.target}", request.body, method=request.method)
    with urllib.request.urlopen(data) as response:
        assert response.status == 200


def test_at_the_start_everything_that_rests_is_cancelled(exchange: CitrexProcess, trader: Trader) -> None:
    """Before the account is read: whoever left it."""
    trader.placed(BID)
    trader.until(lambda: trader.statuses == [OrderStatus.OPEN])

    later = Trader(exchange, trader.sub_account)
    try:
        later.until(lambda: later.notices == ["VENUE_READ"])
        assert later.open_orders == []
        assert later.desk.counts["strays"] == 0
    finally:
        later.venue.close(2)
    settle(trader)


def test_an_adapter_that_ends_cancels_what_it_was_asked_to(exchange: CitrexProcess, trader: Trader) -> None:
    """Closing waits for the answers."""
    trader.placed(BID)
    trader.until(lambda: trader.statuses == [OrderStatus.OPEN])

    trader.venue.cancel_all(wall_clock_us())
    trader.venue.close(5)

    assert trader.open_orders == []


def test_a_clock_that_is_off_is_told_and_nothing_is_sent() -> None:
    """When an order expires is for the venue's clock to say."""
    with citrex_process("--rate", "0", "--clock-skew-ms", "3000") as exchange:
        trader = Trader(exchange, 0)
        trader.until(lambda: "clock" in str(trader.venue.trouble))
        assert trader.quote(BID) is None
        trader.venue.close(2)


def test_the_main_network_is_traded_when_the_preflight_passes() -> None:
    """Here an exchange that checks its signatures, and is none. What fails is told, and nothing was asked for."""
    with citrex_process("--rate", "0", domain="citrex") as exchange:
        real: dict[str, Any] = {"quoted_venues": "citrex", "trading_enabled": True}
        with pytest.raises(PreflightFailed, match="margin"):
            Trader(exchange, 0, ("citrex", "SEI/USDC-PERP"), max_gross_quote="10000000", **real)
        trader = Trader(exchange, 0, ("citrex", "SEI/USDC-PERP"), **real)
        trader.until(lambda: trader.notices == ["VENUE_READ"])
        trader.venue.close(2)


def test_the_key_is_never_shown(trader: Trader, capfd: pytest.CaptureFixture[str]) -> None:
    """Not in the banner, the settings, the requests or what is printed; nor are signatures of questions."""
    trader.placed(BID)
    trader.until(lambda: trader.statuses == [OrderStatus.OPEN])

    shown = [trader.venue.banner, repr(trader.settings), repr(vars(trader.venue)), *capfd.readouterr()]
    secret = KEYS[0].removeprefix("0x")
    assert all(secret not in text and "signature=" not in text for text in shown)
    assert "SIMULATED" in trader.venue.banner
