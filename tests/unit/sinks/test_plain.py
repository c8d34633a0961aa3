"""Records as JSON."""

from __future__ import annotations

import json

from sinks.plain import plain, to_json
from tests.sink_records import bar, book, metric, trade


def test_decimals_are_exact_texts_and_times_integers() -> None:
    """Under the names of the schema, in its order; what is absent is null."""
    record = trade(1, price=123_456_789, base_amount=10**18 + 1)

    document = plain(record)

    assert list(document)[:4] == ["venue", "source", "symbol", "trade_id"]
    assert document["price"] == "0.123456789"
    assert document["base_amount"] == "1.000000000000000001"
    assert document["quote_amount"] is None
    assert document["ts_recv"] == record.ts_recv
    assert document["side"] == "BUY"


def test_levels_and_maps_are_kept() -> None:
    """A book's levels, also of the type named before, and a metric's counters."""
    assert plain(book(0))["asks"] == [{"price": "0.2513", "size": "6"}]
    assert plain(metric("worker", 0))["counters"] == {"ticks": 10}


def test_amounts_of_products_keep_their_digits() -> None:
    """Seventeen decimals."""
    assert plain(bar(0, 0, quote_volume=1))["quote_volume"] == "0.00000000000000001"


def test_json_is_compact_and_stable() -> None:
    """The same record always gives the same text: it is a member of sorted sets."""
    assert to_json(plain(trade(1))) == to_json(plain(trade(1)))
    assert ": " not in to_json({"a": 1})
    assert json.loads(to_json(plain(trade(1))))["trade_id"] == "t1"
