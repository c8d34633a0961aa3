"""The windows of trade keys against lists of the latest keys."""

from __future__ import annotations

from collections import deque
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import int64, types, uint8

from processors.kernel.seen import KEY_BYTES, SeenTrades, digest_of
from schemas.compiled import Array, compiled


@compiled(int64(types.Array(uint8, 1, "C", readonly=True)))
def _digest(key: Array) -> int:
    return digest_of(key, 0, len(key))


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


@pytest.mark.parametrize("form", ["{}", "warm{}", "{:07d}x", "{:012d}", "trade-{:060d}", "{:b}"])
def test_keys_that_are_alike_fall_into_different_buckets(form: str) -> None:
    """Which is what makes them quick to find: of a hash's bits, the lowest choose the bucket."""
    digests = [_digest(np.frombuffer(form.format(number).encode(), np.uint8)) for number in range(4_096)]

    assert len(set(digests)) == 4_096
    for shift in (0, 20, 44):
        _, counts = np.unique([digest >> shift & 255 for digest in digests], return_counts=True)
        assert len(counts) == 256
        assert counts.max() < 48
