"""Books, trades, products and statistics of the venue, read strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.enums import Side
from schemas.errors import ContractError, DoesNotFit, ProtocolError
from schemas.reasons import DeadLetterReason
from schemas.venues.citrex.market_data import parse_depth, parse_products, parse_tickers, parse_time, parse_trades
from tests import citrex
from tests.citrex import body


def test_a_book_is_read_in_schema_units() -> None:
    """Price in 1e-9, size in 1e-8, best first."""
    book = parse_depth(body(citrex.depth([("0.42", "10"), ("0.41", "5.5")], [("0.43", "1")])))

    assert book.bids == ((420_000_000, 1_000_000_000), (410_000_000, 550_000_000))
    assert book.asks == ((430_000_000, 100_000_000),)


def test_an_empty_book_is_a_book() -> None:
    """A side may have no level."""
    assert parse_depth(b'{"bids":[],"asks":[]}').bids == ()


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "depth is not an object"),
        ({"bids": []}, "asks are not a list"),
        ({"bids": [["1"]], "asks": []}, "a level of the bids is not"),
        ({"bids": ["12"], "asks": []}, "a level of the bids is not"),
        ({"bids": [[str(10**18), "0", "0"]], "asks": []}, "a level of the bids is zero"),
        (citrex.depth([("1", "1"), ("1", "1")], []), "bids are not ordered"),
        (citrex.depth([("1", "1"), ("2", "1")], []), "bids are not ordered"),
        (citrex.depth([], [("2", "1"), ("1", "1")]), "asks are not ordered"),
        (citrex.depth([(str(99 - i), "1") for i in range(21)], []), "21 bids, more than 20"),
        ({"error": "unknown symbol", "success": False}, "the venue refused: unknown symbol"),
        ({"success": False}, "the venue refused: without a reason"),
    ],
)
def test_what_is_no_book_is_refused_whole(document: object, problem: str) -> None:
    """With what is wrong."""
    with pytest.raises(ProtocolError, match=problem):
        parse_depth(body(document))


def test_a_level_with_finer_digits_spoils_the_book() -> None:
    """Rounded, it would be another book."""
    with pytest.raises(DoesNotFit):
        parse_depth(body({"bids": [["1", str(10**18), "0"]], "asks": []}))


def test_a_trade_is_read_whole() -> None:
    """Taker's side, both parties with their orders and fees, time in microseconds."""
    page = parse_trades(body({"success": True, "trades": [citrex.trade("u-1", "0.42", "3", at_ms=1_719_304_034_692)]}))

    (found,) = page.good
    assert (found.uid, found.price, found.size, found.taker_side) == ("u-1", 420_000_000, 300_000_000, Side.BUY)
    assert found.ts_event == 1_719_304_034_692_000
    assert (found.maker_account, found.maker_sub_account_id, found.maker_fee) == (citrex.MAKER, 1, 0)
    assert (found.taker_account, found.taker_fee) == (citrex.TAKER.lower(), 10**15)
    assert page.bad == ()


@pytest.mark.parametrize("trades", [None, []])
def test_no_trades_are_a_page_too(trades: object) -> None:
    """The venue writes null."""
    assert parse_trades(body({"success": True, "trades": trades})).good == ()


@pytest.mark.parametrize(
    "change",
    [
        {"uid": ""},
        {"price": "0"},
        {"price": "1"},
        {"quantity": "-1"},
        {"takerIsBuyer": "true"},
        {"createdAt": "1719304034692"},
        {"createdAt": -1},
        {"makerAccount": "0x12"},
        {"makerSubaccountId": None},
    ],
)
def test_a_bad_trade_does_not_concern_the_others(change: dict[str, Any]) -> None:
    """It is given back with its place and error."""
    rows = [citrex.trade(f"u-{i}", "0.42", "3", at_ms=1) for i in range(3)]
    rows[1].update(change)

    page = parse_trades(body({"trades": rows}))

    assert [found.uid for found in page.good] == ["u-0", "u-2"]
    ((place, error),) = page.bad
    assert place == 1
    assert isinstance(error, ContractError)


@pytest.mark.parametrize("document", [{}, {"trades": {}}, {"trades": "x"}, [], {"trades": [None] * 501}])
def test_what_is_no_page_of_trades_is_refused(document: object) -> None:
    """Also one longer than the venue gives."""
    with pytest.raises(ProtocolError):
        parse_trades(body(document))


def test_a_product_is_read_whole() -> None:
    """Tick and sizes in schema units, rates and weights in 1e-18."""
    (found,) = parse_products(body([citrex.product()])).good

    assert (found.product_id, found.symbol, found.kind, found.is_active) == (1006, "seiperp", "PERP", True)
    assert (found.tick, found.min_size) == (100_000, 10_000_000)
    assert (found.taker_fee_rate, found.initial_long_weight) == (5 * 10**14, 9 * 10**17)
    assert found.mark_price == 421_312_345_678_901_234


def test_statistics_keep_all_digits() -> None:
    """Mark and funding have 18 decimals; the next funding is in seconds."""
    (found,) = parse_tickers(body([citrex.ticker()])).good

    assert (found.mark_price, found.funding_rate_hourly) == (421_312_345_678_901_234, -10_848_157_239_100)
    assert found.ts_next_funding == 1_712_667_600_000_000


def test_the_venues_clock() -> None:
    """In microseconds; anything else is refused."""
    assert parse_time(b'{"serverTime":1709829760000}') == 1_709_829_760_000_000
    for wrong in (b'{"serverTime":"now"}', b"[]", b"{}", b"", b'{"serverTime":1e400}'):
        with pytest.raises(ProtocolError):
            parse_time(wrong)


def test_a_refusal_is_told_from_bytes_that_mean_nothing() -> None:
    """By the reason code."""
    with pytest.raises(ProtocolError) as refused:
        parse_products(json.dumps({"error": "maintenance", "success": False}).encode())
    with pytest.raises(ProtocolError) as broken:
        parse_products(b"<html>502 Bad Gateway</html>")
    assert (refused.value.reason, broken.value.reason) == (DeadLetterReason.REFUSED, DeadLetterReason.MALFORMED)
