"""Requests and answers of Citrex, for the tests of its adapter's pure parts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from schemas.enums import OrderAction, Side
from schemas.instruments import DEFAULT_PATH, Instruments
from schemas.records import Market
from schemas.venues.citrex.messages import SIMULATED
from schemas.venues.citrex.requests import Request as WireRequest
from schemas.venues.citrex.signing import Signer
from sinks.executor.citrex.calls import Answer, Reply
from sinks.executor.citrex.requests import AccountRequests
from sinks.executor.port import Listing, Orders, Request
from tests import citrex
from tests.citrex_client import KEYS
from tests.venue_events import request

MARKET: Market = ("sim-citrex", "SEI/USDC-PERP")
OTHER: Market = ("sim-citrex", "ETH/USDC-PERP")
IDS = {MARKET: 1010, OTHER: 1011}


def account_requests() -> AccountRequests:
    """Of an account that may trade two markets."""
    instruments = Instruments.load(DEFAULT_PATH)
    listings = {m: Listing(i, 0) for m in IDS if (i := instruments.get(*m)) is not None}
    signer = Signer(SecretStr(KEYS[0]), setting="key")
    return AccountRequests(signer, SIMULATED, 1, listings, dict(IDS))


def place(name: str, side: Side = Side.BUY, market: Market = MARKET) -> Request:
    """Ask for an order of 12.5 at 0.4213."""
    return request(name, OrderAction.PLACE, market, side, 421_300_000, 1_250_000_000)


def cancel(name: str, venue_order_id: str | None = None, side: Side = Side.BUY) -> Request:
    """Ask for an order's cancel."""
    asked = request(name, OrderAction.CANCEL, MARKET, side, 421_300_000, 1_250_000_000)
    return replace(asked, order=replace(asked.order, venue_order_id=venue_order_id))


def orders(*requests: Request) -> Orders:
    """Ask for several things."""
    return Orders(requests)


def nonce(name: str) -> int:
    """Give the nonce of an order's name."""
    return int.from_bytes(name.encode())


def body_of(wire: WireRequest) -> Any:
    """Read what a request asks for."""
    return json.loads(wire.body or b"null")


def accepted(name: str, **changes: Any) -> Answer:
    """The answer that an order rests."""
    fields = {"id": f"v-{name}", "productId": IDS[MARKET], "nonce": nonce(name), **changes}
    return Reply(200, citrex.body(citrex.order(**fields)))


DONE = Reply(200, b'{"success": true}')


def refused(text: str, status: int = 400) -> Answer:
    """A refusal."""
    return Reply(status, json.dumps({"error": text, "success": False}).encode())
