"""Paper fills on real recordings, counted a second time by a program that knows nothing of the paper venue."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.oracle.paper import count
from tests.paper_capture import Run, traded_on

SPOT = "binance/spot_btcusdt_20240808.gz"


@pytest.fixture(scope="module")
def spot(sample_data: Path) -> Run:
    """Six minutes of Binance spot BTC/USDT."""
    return traded_on(sample_data / SPOT, "binance", "BTC/USDT")


def test_fills_never_exceed_what_traded_less_the_queue(spot: Run) -> None:
    """Of no order, and of no print more than its size; there are fills to speak of."""
    found = count(spot.ticks, spot.executions)

    assert found.wrong == []
    assert found.prints == 9_757
    assert found.orders > 200
    assert found.fills > 200


def test_the_count_finds_what_is_too_much(spot: Run) -> None:
    """One unit more in one fill, or a fill a print too early, does not pass it."""
    index, fill = next((n, r) for n, r in enumerate(spot.executions) if r.last_size)
    before = spot.executions[:index], spot.executions[index + 1 :]
    tick = spot.ticks[fill.cause_offset][1]

    more = replace(fill, last_size=tick.size + 1)
    early = replace(fill, cause_offset=fill.cause_offset - 1)

    for wrong in (more, early):
        assert count(spot.ticks, [*before[0], wrong, *before[1]]).wrong != []
