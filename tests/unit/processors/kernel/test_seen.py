"""The windows of trade keys against lists of the latest keys."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.kernel.seen import KEY_BYTES, SeenTrades


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 70), markets=st.integers(1, 4), variety=st.integers(1, 300), seed=st.integers(0, 2**32))
def test_a_key_is_known_as_long_as_it_is_among_the_latest(size: int, markets: int, variety: int, seed: int) -> None:
    """Whatever bucket it shares with others, in every market by itself, and after a restart too."""
    random = Random(seed)
    seen = SeenTrades(size)
    latest = [deque[str](maxlen=size) for _ in range(markets)]
    for _ in range(1_000):
        market = random.randrange(markets)
        key = str(random.randrange(variety))
        assert seen.add(market, key) == (key not in latest[market])
        if key not in latest[market]:
            latest[market].append(key)
    again = SeenTrades(size)
    for market, keys in enumerate(latest):
        assert seen.keys(market) == list(keys)
        again.restore(market, keys)
        assert again.keys(market) == list(keys)
        assert not any(again.add(market, key) for key in keys)


@pytest.mark.parametrize("length", range(KEY_BYTES + 3))
def test_keys_that_differ_in_one_place_are_different(length: int) -> None:
    """Of every length up to the longest that is kept as it is, and beyond; zeros at the end count."""
    seen = SeenTrades(1_000)
    keys = ["a" * length, "a" * length + "\0", *("a" * k + "b" + "a" * (length - k - 1) for k in range(length))]

    assert all(seen.add(0, key) for key in keys)
    assert not any(seen.add(0, key) for key in keys)


def test_a_market_without_trades_has_no_keys() -> None:
    """Nor has one that was never heard of."""
    seen = SeenTrades(4)
    seen.grow(2)
    assert seen.keys(1) == seen.keys(9) == []
