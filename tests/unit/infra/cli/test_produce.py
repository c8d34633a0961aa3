"""What a user calls a market becomes what the venue calls it, or an error that says where to name it."""

from __future__ import annotations

import pytest

from infra.cli.produce import binance_feeds, clob_feeds
from infra.runtime.settings import Settings
from producers.binance.source import BinanceSource
from schemas.errors import ConfigurationError


@pytest.mark.parametrize("written", ["BTCUSDT", "btcusdt", "BTC/USDT", "btc-usdt"])
def test_binance_is_asked_for_its_own_name(written: str) -> None:
    """It accepts a subscription to any name, and is silent where there is no such market."""
    (feed,) = binance_feeds(Settings(), symbols=[written])

    assert isinstance(feed.source, BinanceSource)
    assert feed.source.symbols == [("binance", "BTC/USDT")]
    assert "btcusdt@trade" in feed.source.open(0).send[0]


def test_a_symbol_that_nothing_explains_is_a_wrong_option() -> None:
    """An exit code of configuration, not a frame's dead letter."""
    with pytest.raises(ConfigurationError, match=r"--symbol: .*'\?\?\?'"):
        binance_feeds(Settings(), symbols=["???"])
    with pytest.raises(ConfigurationError, match=r"--symbol: .*'\?\?\?'"):
        clob_feeds(Settings(), urls=["ws://127.0.0.1:1"], symbols=["???"])
