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
from processors.kernel.snapshot import Table, freeze, pack
from schemas.compiled import Array, compiled
from schemas.errors import StateError


@compiled(int64(types.Array(uint8, 1, "C", readonly=True)))
def _digest(key: Array) -> int:
    return digest_of(key, 0, len(key))


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 70), markets=st.integers(1, 4), variety=st.integers(1, 300), seed=st.integers(0, 2**32))
def test_a_key_is_known_as_long_as_it_is_among_the_latest(size: int, markets: int, variety: int, seed: int) -> None:
    """Whatever bucket it shares with others, in every market by itself, and after a restart too."""
    random = Random(seed)
    seen = SeenTrades(size, 1_000)
    latest = [deque[str](maxlen=size) for _ in range(markets)]
    for _ in range(1_000):
        market = random.randrange(markets)
        key = str(random.randrange(variety))
        assert seen.add(market, key) == (key not in latest[market])
        if key not in latest[market]:
            latest[market].append(key)
    again = SeenTrades(size, 1_000)
    again.restore(seen.state())
    assert again.state() == seen.state()
    for market, keys in enumerate(latest):
        assert not any(again.add(market, key) for key in keys)


@settings(max_examples=60, deadline=None)
@given(
    total=st.integers(1, 40),
    variety=st.integers(1, 100),
    restarts=st.sets(st.integers(0, 499), max_size=3),
    seed=st.integers(0, 2**32),
)
def test_beyond_the_total_every_market_has_an_equal_share(
    total: int, variety: int, restarts: set[int], seed: int
) -> None:
    """A new market shortens the windows of all at once; so a restart changes nothing."""
    random = Random(seed)
    seen = SeenTrades(16, total)
    latest: dict[int, list[str]] = {}
    for number in range(500):
        market, key = random.randrange(1 + number // 40), f"key {random.randrange(variety)}"
        share = max(1, min(16, total // len(latest))) if latest else 16
        known = latest.get(market, [])[-share:]
        assert seen.add(market, key) == (key not in known)
        if key not in known:
            latest.setdefault(market, []).append(key)
        if number in restarts:
            state = seen.state()
            seen = SeenTrades(16, total)
            seen.restore(state)
    assert len(seen.state()["lengths"].data) <= max(total, len(latest))


def test_keys_that_follow_each_other_take_a_byte_or_two_in_a_snapshot() -> None:
    """A venue's ids mostly differ from the one before in their last digits."""
    seen = SeenTrades(1_024, 32_768)
    for number in range(1_024):
        seen.add(0, str(7_318_200_000 + 3 * number))

    records = pack(
        freeze(seen.state()),
        kernel_version=1,
        stage_set="x",
        partition=0,
        number=0,
        position=0,
        inputs={},
        epoch=0,
        decisions_offset=0,
    )

    assert sum(len(value) for _, value in records[:-1]) < 2_048


@pytest.mark.parametrize("length", range(KEY_BYTES + 3))
def test_keys_that_differ_in_one_place_are_different(length: int) -> None:
    """Of every length up to the longest that is kept as it is, and beyond; zeros at the end count."""
    seen = SeenTrades(1_000, 1_000)
    keys = ["a" * length, "a" * length + "\0", *("a" * k + "b" + "a" * (length - k - 1) for k in range(length))]

    assert all(seen.add(0, key) for key in keys)
    assert not any(seen.add(0, key) for key in keys)


def test_a_market_without_trades_has_no_keys() -> None:
    """Nor has one that was never heard of; a state of none comes back."""
    seen = SeenTrades(4, 16)
    seen.grow(2)

    assert not seen.state()["counts"].data
    seen.restore(seen.state())
    assert seen.add(1, "a")


@pytest.mark.parametrize("name", ["shared", "lengths", "text"])
def test_damaged_keys_are_refused(name: str) -> None:
    """They would be read beyond their end."""
    seen = SeenTrades(4, 16)
    seen.add(0, "abc")
    state = seen.state()
    cut = state[name].data[:-1] if name != "shared" else b"\xff"

    with pytest.raises(StateError, match="trade keys"):
        SeenTrades(4, 16).restore({**state, name: Table(cut, 1)})


@pytest.mark.parametrize("form", ["{}", "warm{}", "{:07d}x", "{:012d}", "trade-{:034d}", "{:b}"])
def test_keys_that_are_alike_fall_into_different_buckets(form: str) -> None:
    """Which is what makes them quick to find: of a hash's bits, the lowest choose the bucket."""
    digests = [_digest(np.frombuffer(form.format(number).encode(), np.uint8)) for number in range(4_096)]

    assert len(set(digests)) == 4_096
    for shift in (0, 20, 44):
        _, counts = np.unique([digest >> shift & 255 for digest in digests], return_counts=True)
        assert len(counts) == 256
        assert counts.max() < 48
