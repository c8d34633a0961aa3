"""Where orders may go, and what the adapter says of itself."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from infra.runtime.clock import wall_clock_us
from infra.runtime.settings import Settings
from schemas.enums import Mode
from schemas.errors import ConfigurationError
from schemas.instruments import DEFAULT_PATH, Instruments
from sinks.executor.citrex.venue import CitrexVenue, citrex_venue
from sinks.executor.port import Listing, Listings, RemoteVenue
from tests.citrex_client import KEYS


def listings(*venues: str) -> Listings:
    instruments = Instruments.load(DEFAULT_PATH)
    return {one.market: Listing(one, 0) for one in instruments if one.venue in venues and one.has_book}


def venue(*venues: str, **changes: Any) -> CitrexVenue:
    fields = {"citrex_private_key": SecretStr(KEYS[0]), "executor_mode": Mode.CITREX, **changes}
    return citrex_venue(Settings(_env_file=None, **fields), listings(*venues), wall_clock_us)


@pytest.mark.parametrize("name", ["citrex", "citrex-testnet"])
def test_a_real_venue_needs_the_switch(name: str) -> None:
    """Money or not: what others see is real."""
    with pytest.raises(ConfigurationError, match="TRADING_ENABLED"):
        venue(name)
    assert isinstance(venue(name, trading_enabled=True), RemoteVenue)


def test_the_simulated_venue_needs_an_address_and_no_switch() -> None:
    """It has none of its own."""
    with pytest.raises(ConfigurationError, match="FLASHMM_CITREX_REST_URL"):
        venue("sim-citrex")
    assert "SIMULATED" in venue("sim-citrex", citrex_rest_url="http://127.0.0.1:1/v1").banner


@pytest.mark.parametrize(
    ("name", "words", "address"),
    [
        ("citrex", "REAL exchange, real money", "https://api.citrex.markets/v1"),
        ("citrex-testnet", "TEST network, play money", "https://api.staging.citrex.markets/v1"),
    ],
)
def test_the_banner_says_what_is_at_stake(name: str, words: str, address: str) -> None:
    """Network, address and account; not the key."""
    banner = venue(name, trading_enabled=True).banner

    assert words in banner
    assert address in banner
    assert "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A" in banner
    assert KEYS[0].removeprefix("0x") not in banner


@pytest.mark.parametrize("venues", [("citrex", "citrex-testnet"), ("sim-sei-clob",), ()])
def test_one_network_is_traded(venues: tuple[str, ...]) -> None:
    """An account is on one; another venue is none of them."""
    with pytest.raises(ConfigurationError, match="FLASHMM_QUOTED_VENUES"):
        venue(*venues, trading_enabled=True)


@pytest.mark.parametrize("key", ["", "0x12", "0x" + "00" * 32, "0x" + "ff" * 32, "zz" * 32])
def test_a_key_that_is_none_is_refused_and_not_repeated(key: str) -> None:
    """The setting is named."""
    with pytest.raises(ConfigurationError, match="FLASHMM_CITREX_PRIVATE_KEY") as refused:
        venue("citrex", trading_enabled=True, citrex_private_key=SecretStr(key))
    assert not key or key not in str(refused.value)
