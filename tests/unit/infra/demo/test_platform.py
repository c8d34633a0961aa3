"""A recording is looked at before anything is started for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.demo.platform import capture_source
from schemas.errors import CaptureError, ConfigurationError
from schemas.instruments import Instruments

TRADE = {"e": "trade", "E": 1, "s": "BTCUSDT", "t": 1, "p": "1", "q": "1", "T": 1_700_000_000_000, "m": True}


def test_the_markets_of_the_recording_are_known(tmp_path: Path) -> None:
    """Whether any of them is quoted decides what can be verified."""
    capture = tmp_path / "capture"
    capture.write_text(f"1700000000000000000 {json.dumps(TRADE)}\n")

    assert capture_source(capture, "binance", Instruments()).markets == (("binance", "BTC/USDT"),)


def test_what_is_not_a_recording_of_the_venue_is_refused(tmp_path: Path) -> None:
    """Before Kafka and all the rest come up."""
    text = tmp_path / "README.md"
    text.write_text("# Recordings\n")

    with pytest.raises(CaptureError, match=r"README\.md"):
        capture_source(text, "binance", Instruments())
    with pytest.raises(ConfigurationError, match="kraken"):
        capture_source(text, "kraken", Instruments())
    with pytest.raises(ConfigurationError, match="--source"):
        capture_source(tmp_path / "nothing", "binance", Instruments())
