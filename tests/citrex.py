"""Answers of the Citrex venue as its API writes them, for tests to change."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["MAKER", "TAKER", "body", "depth", "health", "order", "position", "product", "ticker", "trade", "wei"]

MAKER = "0x" + "a1" * 20
TAKER = "0x" + "B2" * 20


def body(document: object) -> bytes:
    """Write an answer."""
    return json.dumps(document).encode()


def wei(text: str) -> str:
    """Write a number of at most 18 decimals as the venue does."""
    whole, _, fraction = text.partition(".")
    return str(int(whole + fraction.ljust(18, "0")))


def depth(bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> dict[str, Any]:
    """Build a book of (price, quantity), the third number of a row being the running sum."""

    def side(levels: list[tuple[str, str]]) -> list[list[str]]:
        total, rows = 0, []
        for price, quantity in levels:
            total += int(wei(quantity))
            rows.append([wei(price), wei(quantity), str(total)])
        return rows

    return {"bids": side(bids), "asks": side(asks)}


def trade(uid: str, price: str, quantity: str, *, at_ms: int, is_buy: bool = True, **more: Any) -> dict[str, Any]:
    """Build a trade."""
    return {
        "price": wei(price),
        "quantity": wei(quantity),
        "createdAt": at_ms,
        "uid": uid,
        "takerAccount": TAKER,
        "takerSubaccountId": 0,
        "makerAccount": MAKER,
        "makerSubaccountId": 1,
        "takerID": "0x" + "77" * 32,
        "makerID": "0x" + "66" * 32,
        "takerIsBuyer": is_buy,
        "takerFees": wei("0.001"),
        "makerFees": "0",
        **more,
    }


def order(**more: Any) -> dict[str, Any]:
    """Build an open order."""
    return {
        "id": "0x" + "08" * 32,
        "productId": 1006,
        "productSymbol": "seiperp",
        "account": MAKER,
        "subAccountId": 1,
        "isBuy": True,
        "orderType": 1,
        "timeInForce": 0,
        "price": wei("0.4213"),
        "quantity": wei("12.5"),
        "residualQuantity": wei("2.5"),
        "nonce": 1_709_829_760_000_000,
        "sender": MAKER,
        "signature": "0x" + "11" * 65,
        "expiry": 1_709_829_820_000,
        "createdAt": 1_709_829_760_123,
        "status": "OPEN",
        **more,
    }


def product(**more: Any) -> dict[str, Any]:
    """Build a product: the perpetual of SEI, tick 0.0001, lot 0.1."""
    return {
        "id": 1006,
        "type": "PERP",
        "symbol": "seiperp",
        "active": True,
        "baseAsset": "SEI",
        "quoteAsset": "USDC",
        "minQuantity": wei("0.1"),
        "maxQuantity": wei("1000000"),
        "increment": wei("0.0001"),
        "takerFee": wei("0.0005"),
        "makerFee": wei("0.0001"),
        "isMakerRebate": False,
        "initialLongWeight": wei("0.9"),
        "initialShortWeight": wei("1.1"),
        "maintenanceLongWeight": wei("0.95"),
        "maintenanceShortWeight": wei("1.05"),
        "markPrice": "421312345678901234",
        **more,
    }


def ticker(**more: Any) -> dict[str, Any]:
    """Build a product's statistics."""
    return {
        "productId": 1006,
        "productSymbol": "seiperp",
        "oraclePrice": "421400000000000001",
        "markPrice": "421312345678901234",
        "priceChange": "0",
        "priceChangePercent": "0",
        "volume": wei("1000"),
        "low": "0",
        "high": wei("1"),
        "fundingRateHourly": "-10848157239100",
        "fundingRateYearly": "-95094946357950600",
        "openInterest": wei("12345"),
        "nextFundingTime": 1_712_667_600,
        **more,
    }


def position(**more: Any) -> dict[str, Any]:
    """Build a short position."""
    return {
        "account": MAKER,
        "subAccountId": 1,
        "productId": 1006,
        "productSymbol": "seiperp",
        "quantity": "-" + wei("20"),
        "avgEntryPrice": "421000000000000000",
        "initCumFunding": "-1",
        "pnl": "-3304396381014467820",
        "margin": wei("18"),
        "returnOnMargin": "<nil>",
        "liquidationPrice": "0",
        "accruedFunding": "736486652336197441",
        "markPrice": "421312345678901234",
        "currentCumFunding": "-2",
        **more,
    }


def health(**more: Any) -> dict[str, Any]:
    """Build the answer about an account's margin."""
    value = {
        "equity": "521853167994700001958",
        "initialHealth": "506275503590581770462",
        "maintenanceHealth": "514064335792640886211",
        "totalPnl": "-41880167994700001958",
        "initialMarginUsed": "15577664404118231496",
        "initialMarginAvailable": "506275503590581770462",
        **more,
    }
    return {"error": "", "success": True, "value": value}
