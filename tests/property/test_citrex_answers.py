"""Whatever the network sends, an answer is read or refused with an error of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ContractError
from schemas.venues.citrex import account, market_data
from tests import citrex

PARSERS: dict[str, tuple[Callable[[bytes], object], Any]] = {
    "time": (market_data.parse_time, {"serverTime": 1}),
    "depth": (market_data.parse_depth, citrex.depth([("2", "1"), ("1", "1")], [("3", "1")])),
    "trades": (market_data.parse_trades, {"trades": [citrex.trade("u", "1", "1", at_ms=1)]}),
    "products": (market_data.parse_products, [citrex.product()]),
    "tickers": (market_data.parse_tickers, [citrex.ticker()]),
    "orders": (account.parse_open_orders, [citrex.order(), citrex.order()]),
    "order": (account.parse_order_answer, citrex.order()),
    "cancel": (account.parse_cancel_answer, {"success": True}),
    "positions": (account.parse_positions, [citrex.position()]),
    "balances": (account.parse_balances, [{"asset": citrex.MAKER, "quantity": "1", "pendingWithdrawal": "0"}]),
    "health": (account.parse_account_health, citrex.health()),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("name", PARSERS)
@given(noise=st.binary(max_size=200))
def test_bytes_are_never_more_than_refused(name: str, noise: bytes) -> None:
    """No other exception leaves the parser."""
    with suppress(ContractError):
        PARSERS[name][0](noise)


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
def test_an_answer_with_a_part_replaced_is_never_more_than_refused(name: str, data: st.DataObject) -> None:
    """A value anywhere in it becomes any other JSON."""
    parse, sample = PARSERS[name]
    document = deepcopy(sample)
    parse(json.dumps(document).encode())
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            places.append((node, key))
            collect(node[key])

    collect(document)
    node, key = data.draw(st.sampled_from(places))
    node[key] = data.draw(JSON)
    with suppress(ContractError):
        parse(json.dumps(document).encode())


@given(st.dictionaries(st.integers(1, 10**12), st.integers(1, 10**12), max_size=20))
def test_a_book_is_read_as_it_was_written(levels: dict[int, int]) -> None:
    """Any prices and sizes of ours, on both sides."""
    ordered = sorted(levels.items())
    rows = [[str(price * 10**9), str(size * 10**10), "0"] for price, size in ordered]

    book = market_data.parse_depth(json.dumps({"bids": rows[::-1], "asks": rows}).encode())

    assert book == market_data.Depth(tuple(ordered[::-1]), tuple(ordered))
