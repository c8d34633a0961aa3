"""Which markets an executor trades is settled at the start; what is known of them follows the topic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.errors import ConfigurationError
from schemas.instrument_table import InstrumentTable
from schemas.instruments import Instruments, partition_for
from schemas.records import Instrument
from sinks.executor.listings import LiveListings

NOW_US = 1_700_000_000_000_000


def instrument(venue: str = "sim-citrex", symbol: str = "ETH/USDC-PERP") -> Instrument:
    found = Instruments.load().get(venue, symbol)
    assert found is not None
    return found


def test_the_quoted_venues_markets_with_a_book() -> None:
    """Their group, not their symbol, names their partition."""
    table = InstrumentTable(Instruments.load())
    listings = LiveListings(table, ["sim-citrex", "sim-sei"], 4, NOW_US)

    assert set(listings) == {("sim-citrex", "ETH/USDC-PERP"), ("sim-citrex", "SEI/USDC-PERP")}
    assert listings["sim-citrex", "ETH/USDC-PERP"].partition == partition_for(b"WETH", 4)


def test_a_change_counts_once_its_time_has_come() -> None:
    """A record that is to hold later changes nothing yet."""
    now, later = instrument(), replace(instrument(), lot=instrument().lot * 10, ts_effective=NOW_US + 5)
    listings = LiveListings(InstrumentTable([now]), ["sim-citrex"], 4, NOW_US)

    assert listings.take(later)
    listings.advance(NOW_US + 4)
    assert listings[now.market].instrument == now
    listings.advance(NOW_US + 5)
    assert listings[now.market].instrument == later
    assert listings[now.market].at(NOW_US + 4) == now
    assert listings[now.market].at(NOW_US + 5) == later


def test_a_new_market_waits_for_the_next_start() -> None:
    """Its position and its orders have not been restored."""
    listings = LiveListings(InstrumentTable([instrument()]), ["sim-citrex"], 4, NOW_US)

    assert not listings.take(instrument(symbol="SEI/USDC-PERP"))
    listings.advance(NOW_US)
    assert set(listings) == {instrument().market}


@pytest.mark.parametrize("ts_effective", [0, NOW_US + 1])
def test_nothing_to_trade_is_a_wrong_setting(ts_effective: int) -> None:
    """No venue named, or no instrument of it in force."""
    table = InstrumentTable([replace(instrument(), ts_effective=ts_effective)])

    with pytest.raises(ConfigurationError, match="flashmm instruments load"):
        LiveListings(table, ["sim-citrex"] if ts_effective else [], 4, NOW_US)
