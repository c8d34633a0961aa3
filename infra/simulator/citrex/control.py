"""The control endpoints of the simulated venue: its ledger, faults, money, and the crowd's hand."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from infra.simulator.citrex.api import ApiRequest, Reply
from infra.simulator.citrex.documents import ledger_of
from infra.simulator.citrex.exchange import Refused
from infra.simulator.citrex.faults import Fault
from infra.simulator.citrex.venue import Venue
from schemas.errors import ProtocolError
from schemas.reasons import DeadLetterReason
from schemas.venues.citrex.messages import address_of
from schemas.venues.citrex.reading import flag_of
from schemas.venues.citrex.units import wire_integer
from schemas.wire import long_of, parse_json, short_text

__all__ = ["control"]


def control(venue: Venue, request: ApiRequest, now_us: int) -> Reply:
    """Answer a request below /control.

    GET  ledger    all accounts, positions, open orders, fees, insurance
    GET  counters  refusals and faults so far
    POST fault     {"kind", "operation", "count", "delay_ms"}
    POST heal      forget the faults that are still to come
    POST deposit   {"account", "subAccountId", "quantity"}
    POST take      {"symbol", "isBuy", "quantity"}: the crowd takes so much from the book
    """
    venue.advance(now_us)
    try:
        document = parse_json(request.body) if request.method == "POST" and request.body else {}
        if not isinstance(document, dict):
            raise ProtocolError(DeadLetterReason.MALFORMED, "the body is not an object")
        answer = _answer(venue, request, document, now_us)
    except ProtocolError as error:
        return Reply(HTTPStatus.BAD_REQUEST, {"error": error.detail})
    except Refused as refused:
        return Reply(HTTPStatus.BAD_REQUEST, {"error": refused.reason})
    if answer is None:
        return Reply(HTTPStatus.NOT_FOUND, {"error": "no such control"})
    return Reply(HTTPStatus.OK, answer)


def _answer(venue: Venue, request: ApiRequest, document: dict[str, Any], now_us: int) -> dict[str, Any] | None:
    match request.method, request.path:
        case "GET", "ledger":
            return ledger_of(venue.exchange)
        case "GET", "counters":
            return dict(venue.counters)
        case "POST", "fault":
            fault = Fault.from_json(document)
            venue.faults.add(fault)
            return {"added": fault.kind}
        case "POST", "heal":
            venue.faults.heal()
            return {"healed": True}
        case "POST", "deposit":
            account = address_of(document.get("account"), "account")
            owner = account, long_of(document.get("subAccountId"), "subAccountId")
            venue.exchange.ledger.deposit(owner, wire_integer(document.get("quantity"), "quantity", signed=True))
            return {"balance": str(venue.exchange.ledger.holding(owner).balance)}
        case "POST", "take":
            product = venue.product(short_text(document.get("symbol"), "symbol"))
            if product is None:
                raise ProtocolError(DeadLetterReason.UNKNOWN_SYMBOL, "unknown symbol")
            quantity = wire_integer(document.get("quantity"), "quantity")
            placed = venue.take(product, quantity, now_us, is_buy=flag_of(document, "isBuy"))
            return {"status": placed.status, "trades": len(placed.trades)}
    return None
