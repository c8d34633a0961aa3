"""Fixtures of the simulator's tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from infra.simulator.chain import Block
from infra.simulator.market import Market, MarketEvent

START_US = 1_767_225_600_000_000


@pytest.fixture(scope="session")
def minute() -> tuple[MarketEvent, ...]:
    """Two minutes of the market of one seed."""
    return tuple(Market(7, start_us=START_US).advance(START_US + 120_000_000))


@pytest.fixture(scope="session")
def blocks(minute: tuple[MarketEvent, ...]) -> list[Block]:
    """Its blocks."""
    return [event for event in minute if isinstance(event, Block)]


@pytest.fixture(scope="session")
def subscribe() -> Callable[..., str]:
    """Write a subscribe request."""

    def write(query: str, request_id: Any = 1, method: str = "subscribe") -> str:
        return json.dumps({"jsonrpc": "2.0", "method": method, "id": request_id, "params": {"query": query}})

    return write
