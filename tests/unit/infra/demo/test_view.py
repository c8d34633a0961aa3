"""The live view shows the book with our quotes in it, and says what is pretended."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from infra.demo.view import ComponentRow, ViewModel, render

BAR = {
    "venue": "sim-sei-clob",
    "symbol": "SEI/USDC",
    "timeframe": "M1",
    "ts_open": 1_700_000_040_000_000,
    "open": "0.42",
    "high": "0.4212",
    "low": "0.4199",
    "close": "0.4201",
    "volume": "123456789",
    "state": "FINAL",
}
DECISION: dict[str, Any] = {
    "verdict": "QUOTE",
    "reasons": [],
    "signal_bps": 0.25,
    "bids": [{"price": "0.4195", "size": "238"}],
    "asks": [{"price": "0.4205", "size": "238"}],
}
BOOK = {
    "state": "LIVE",
    "bids": [{"price": "0.4195", "size": "1000"}, {"price": "0.4194", "size": "500"}],
    "asks": [{"price": "0.4204", "size": "800"}],
}
QUOTE = {"venue": "sim-sei-clob", "symbol": "SEI/USDC", "bid_price": "0.4", "ask_price": "0.6", "state": "LIVE"}
POSITION = {
    "mode": "paper",
    "venue": "sim-sei-clob",
    "symbol": "SEI/USDC",
    "quantity": "-100",
    "cash": "51",
    "fees": "0.5",
    "realised_pnl": "1",
    "unrealised_pnl": "0.25",
    "funding": None,
    "fill_count": 3,
}
BALANCE = {"asset": "USDC", "equity": "100001.5", "peak_equity": "100003"}
ALERT = {
    "code": "BREAKER_OPEN",
    "component": "executor",
    "message": "LATENCY went from CLOSED to OPEN",
    "ts_alert": 1_700_000_045_000_000,
}


def model(**changes: Any) -> ViewModel:
    values: dict[str, Any] = {
        "elapsed_s": 1.0,
        "banner": [("SIMULATED", "market data: seed 1"), ("REAL", "redis")],
        "components": [ComponentRow("worker", "running", 600.0)],
        "health": "healthy",
        "rates": {"ticks": 10.0},
        "totals": {"ticks": 1234},
        "rejected": {"DUPLICATE": 2},
        "latency_ms": {"tick→bar": 12.0},
        "market": ("sim-sei-clob", "SEI/USDC"),
        "book": BOOK,
        "decision": DECISION,
        "positions": [POSITION],
        "balances": [BALANCE],
        "quotes": [QUOTE],
        "bars": [BAR],
    }
    return ViewModel(**{**values, **changes})


def drawn(shown: ViewModel, width: int = 170, height: int = 45) -> str:
    console = Console(width=width, height=height, file=StringIO())
    with console.capture() as capture:
        console.print(render(shown, columns=width, rows=height))
    return capture.get()


def test_our_quotes_stand_in_the_book_also_where_nobody_else_does() -> None:
    """The bid joins a level; the ask is a level of its own, between the others."""
    text = drawn(model())

    lines = [line for line in text.splitlines() if "0.4205" in line or "0.4195" in line]
    assert len(lines) == 2
    assert all("238" in line for line in lines)
    assert "QUOTE" in text


def test_it_says_what_is_pretended_and_what_is_wrong() -> None:
    """The banner, the rejects and the state of every component."""
    text = drawn(model(components=[ComponentRow("sink-redis", "ended 1", 0.0)]))

    assert "SIMULATED" in text
    assert "DUPLICATE 2" in text
    assert "ended 1" in text


def test_pnl_is_told_as_the_executor_counts_it() -> None:
    """What was realised less fees, with funding, and what is open; without a mark it is not known, nor is equity."""
    text = drawn(model())
    assert "+0.50" in text
    assert "+0.25" in text
    assert "PnL in USDC" in text
    assert "equity 100,001.50, drawdown 1.50" in text
    assert "+2.50" in drawn(model(positions=[{**POSITION, "funding": "2"}]))
    blind = drawn(model(positions=[{**POSITION, "unrealised_pnl": None}], balances=[{**BALANCE, "equity": None}]))
    assert "?" in blind
    assert "equity ?" in blind


def test_prices_of_a_market_have_the_same_decimals() -> None:
    """Zeros at the end too, in book, bars and best prices: columns stand still; as many as there is room for."""
    bar = {**BAR, "open": "0.42", "high": "0.421", "low": "0.4199", "close": "0.42005"}
    pool = {**BAR, "venue": "sim-sei", "open": "0.420149123", "high": "0.42", "low": "0.419", "close": "0.42"}
    quote = {**QUOTE, "bid_price": "3217", "ask_price": "3217.5"}
    book = {**BOOK, "asks": [{"price": "0.42", "size": "800"}]}
    text = drawn(model(bars=[bar, pool], quotes=[quote], book=book))

    for number in ("0.42000", "0.42100", "0.41990", "0.42005", "0.420149", "0.419000", "3217.0", "0.4200"):
        assert f" {number} " in text, number


def test_the_last_alert_is_shown() -> None:
    """When, what, who and why; where there is little room, without the reason."""
    assert "last alert 22:14:05 BREAKER_OPEN executor: LATENCY went from CLOSED to OPEN" in drawn(model(alert=ALERT))
    assert "last alert 22:14:05 BREAKER_OPEN executor" in drawn(model(alert=ALERT), 80, 24)
    assert "alert" not in drawn(model())


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_an_empty_platform_and_any_width_can_be_drawn(width: int) -> None:
    """The first frame comes before there is anything to show."""
    empty = model(book=None, decision=None, positions=[], quotes=[], bars=[], totals={}, rejected={}, latency_ms={})

    assert "no book yet" in drawn(empty, width)
    assert drawn(model(), width)


def busy() -> ViewModel:
    """As full as the demonstration gets: three markets, deep books, every number long."""
    markets = [("sim-sei", "SEI/USDC"), ("sim-sei-clob", "SEI/USDC"), ("sim-sei-clob", "WETH/USDC")]
    prices = {"open": "0.421164", "high": "0.420999", "low": "0.416912", "close": "0.417887", "volume": "32461.6"}
    states = (("M1", "PARTIAL"), ("M1", "FINAL"), ("M5", "PARTIAL"))
    names = ("ticks", "accepted", "trades", "features", "decisions", "orders", "fills", "redis writes")
    return model(
        banner=[
            ("SIMULATED", "market data: markets of sim-sei and sim-sei-clob, seed 1"),
            ("STAND-IN", "kafka: librdkafka's mock cluster"),
            ("STAND-IN", "registry: development registry"),
            ("REAL", "redis: redis-server 7.0.15"),
            ("REAL", "influx: InfluxDB v2.9.1"),
            ("PAPER", "orders: paper mode"),
        ],
        components=[ComponentRow(name, "running", 105.0) for name in ("development registry", "worker", "simulator")],
        totals=dict.fromkeys(names, 1_234_567),
        rates=dict.fromkeys(names, 812.0),
        rejected={},
        balances=[BALANCE],
        alert=ALERT,
        latency_ms={"tick→bar": 160.2, "tick→order": 153.8, "model": 7.6},
        book={
            "state": "LIVE",
            "bids": [{"price": f"3201.{50 - n:02}", "size": "5842.25"} for n in range(15)],
            "asks": [{"price": f"3201.{60 + n:02}", "size": "5842.25"} for n in range(15)],
        },
        decision={
            **DECISION,
            "bids": [{"price": "3201.50", "size": "0.0312"}],
            "asks": [{"price": "3201.60", "size": "0.0312"}],
        },
        positions=[
            {**POSITION, "symbol": "SEI/USDC", "quantity": "-1084"},
            {**POSITION, "symbol": "WETH/USDC", "quantity": "-0.1052", "venue": "sim-sei-clob"},
        ],
        bars=[
            {**BAR, **prices, "venue": venue, "symbol": symbol, "timeframe": timeframe, "state": state}
            for venue, symbol in markets
            for timeframe, state in states
        ],
    )


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (120, 35), (160, 30), (156, 48), (160, 48)])
def test_nothing_is_cut_on_terminals_that_people_have(width: int, height: int) -> None:
    """Best prices of both sides with our quotes beside them, what is pretended, and every number to its end."""
    text = drawn(busy(), width, height)

    for word in ("SIMULATED", "STAND-IN", "REAL", "PAPER", "3201.5", "3201.6", "0.0312", "WETH/USDC", "-0.1052"):
        assert word in text, word
    for number in ("0.417887", "1,234,567", "160.2", "153.8", "7.6", "rejected: none"):
        assert number in text, number
    assert text.replace("M1…", "").replace("M5…", "").replace("(… still open)", "").count("…") == 0
    assert len(text.splitlines()) <= height
