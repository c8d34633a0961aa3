"""The venue's answers as JSON objects, and the ledger as tests read it."""

from __future__ import annotations

from typing import Any

from infra.simulator.citrex.book import Book, RestingOrder
from infra.simulator.citrex.exchange import Exchange, Trade
from infra.simulator.citrex.ledger import Holding, Owner
from infra.simulator.citrex.products import ONE, Product
from schemas.venues.citrex.messages import OrderStatus

__all__ = [
    "balances_of",
    "depth_of",
    "health_of",
    "ledger_of",
    "order_of",
    "positions_of",
    "product_of",
    "ticker_of",
    "trade_of",
]


def order_of(order: RestingOrder, status: OrderStatus, symbol: str) -> dict[str, Any]:
    """Write an order."""
    return {
        "id": order.order_id,
        "productId": order.product_id,
        "productSymbol": symbol,
        "account": order.account,
        "subAccountId": order.owner[1],
        "isBuy": order.is_buy,
        "orderType": int(order.order_type),
        "timeInForce": int(order.time_in_force),
        "price": str(order.price),
        "quantity": str(order.quantity),
        "residualQuantity": str(order.residual),
        "nonce": order.nonce,
        "sender": order.account,
        "signature": order.signature,
        "expiry": order.expiry_ms,
        "createdAt": order.created_us // 1_000,
        "status": status.value,
    }


def trade_of(trade: Trade) -> dict[str, Any]:
    """Write a trade."""
    return {
        "uid": trade.uid,
        "price": str(trade.price),
        "quantity": str(trade.quantity),
        "createdAt": trade.ts_us // 1_000,
        "takerIsBuyer": trade.taker_is_buyer,
        "takerAccount": trade.taker[0],
        "takerSubaccountId": trade.taker[1],
        "takerID": trade.taker_order_id,
        "takerFees": str(trade.taker_fee),
        "makerAccount": trade.maker[0],
        "makerSubaccountId": trade.maker[1],
        "makerID": trade.maker_order_id,
        "makerFees": str(trade.maker_fee),
    }


def depth_of(book: Book, limit: int, step: int) -> dict[str, Any]:
    """Write a book, with the running sum of the quantities as the third number of a row."""

    def side(*, is_buy: bool) -> list[list[str]]:
        total, rows = 0, []
        for price, quantity in book.levels(is_buy=is_buy, depth=limit, step=step):
            total += quantity
            rows.append([str(price), str(quantity), str(total)])
        return rows

    return {"bids": side(is_buy=True), "asks": side(is_buy=False)}


def product_of(product: Product, mark: int, margin_asset: str) -> dict[str, Any]:
    """Write a product."""
    return {
        "id": product.product_id,
        "type": "PERP",
        "symbol": product.symbol,
        "active": True,
        "baseAsset": product.base_asset,
        "quoteAsset": "USDC",
        "minQuantity": str(product.lot),
        "maxQuantity": str(product.max_quantity),
        "increment": str(product.tick),
        "takerFee": str(product.taker_rate),
        "makerFee": str(product.maker_rate),
        "isMakerRebate": False,
        "initialLongWeight": str(ONE - product.initial_margin),
        "initialShortWeight": str(ONE + product.initial_margin),
        "maintenanceLongWeight": str(ONE - product.maintenance_margin),
        "maintenanceShortWeight": str(ONE + product.maintenance_margin),
        "baseAssetAddress": f"0x{product.product_id:040x}",
        "quoteAssetAddress": margin_asset,
        "markPrice": str(mark),
    }


def ticker_of(exchange: Exchange, product: Product, oracle: int, rate: int, next_funding_us: int) -> dict[str, Any]:
    """Write a product's statistics, of the trades that are kept."""
    trades = exchange.trades[product.product_id]
    prices = [trade.price for trade in trades] or [exchange.marks[product.product_id]]
    longs = (holding.positions.get(product.product_id) for holding in exchange.ledger.holdings.values())
    return {
        "productId": product.product_id,
        "productSymbol": product.symbol,
        "oraclePrice": str(oracle),
        "markPrice": str(exchange.marks[product.product_id]),
        "priceChange": str(prices[-1] - prices[0]),
        "priceChangePercent": "0",
        "volume": str(sum(trade.quantity for trade in trades)),
        "low": str(min(prices)),
        "high": str(max(prices)),
        "fundingRateHourly": str(rate),
        "fundingRateYearly": str(rate * 24 * 365),
        "openInterest": str(sum(held.quantity for held in longs if held and held.quantity > 0)),
        "nextFundingTime": next_funding_us // 1_000_000,
    }


def positions_of(exchange: Exchange, owner: Owner, account: str, symbol: str | None) -> list[dict[str, Any]]:
    """Write a sub-account's open positions."""
    holding = exchange.ledger.holdings.get(owner, Holding())
    rows = []
    for product_id, held in holding.positions.items():
        product, mark = exchange.products[product_id], exchange.marks[product_id]
        index = exchange.ledger.index(product_id)
        if held.quantity and symbol in (None, product.symbol):
            rows.append(
                {
                    "account": account,
                    "subAccountId": owner[1],
                    "productId": product_id,
                    "productSymbol": product.symbol,
                    "quantity": str(held.quantity),
                    "avgEntryPrice": str(held.entry_value * ONE // held.quantity),
                    "initCumFunding": str(held.funding_index),
                    "currentCumFunding": str(index),
                    "accruedFunding": str(held.accrued(index)),
                    "pnl": str(held.unrealised(mark)),
                    "margin": str(abs(held.quantity) * mark * product.initial_margin // (ONE * ONE)),
                    "markPrice": str(mark),
                    "liquidationPrice": "0",
                }
            )
    return rows


def balances_of(exchange: Exchange, owner: Owner, account: str, margin_asset: str) -> list[dict[str, Any]]:
    """Write a sub-account's margin balance."""
    holding = exchange.ledger.holdings.get(owner)
    if holding is None:
        return []
    return [
        {
            "account": account,
            "subaccount": owner[1],
            "asset": margin_asset,
            "quantity": str(holding.balance),
            "pendingWithdrawal": "0",
        }
    ]


def health_of(exchange: Exchange, owner: Owner) -> dict[str, Any]:
    """Write a sub-account's margin."""
    equity = exchange.ledger.equity(owner, exchange.marks)
    initial = exchange.margin_required(owner)
    maintenance = sum(
        abs(exchange.ledger.position(owner, product_id).quantity)
        * exchange.marks[product_id]
        * product.maintenance_margin
        // (ONE * ONE)
        for product_id, product in exchange.products.items()
    )
    holding = exchange.ledger.holdings.get(owner, Holding())
    value = {
        "equity": equity,
        "initialHealth": equity - initial,
        "maintenanceHealth": equity - maintenance,
        "initialMarginUsed": initial,
        "initialMarginAvailable": equity - initial,
        "maintenanceMarginUsed": maintenance,
        "maintenanceMarginAvailable": equity - maintenance,
        "totalPnl": equity - holding.balance,
        "pendingWithdrawal": 0,
    }
    return {"error": "", "success": True, "value": {name: str(number) for name, number in value.items()}}


def ledger_of(exchange: Exchange) -> dict[str, Any]:
    """Write all that the venue's books of account hold, for tests to compare with."""
    ledger = exchange.ledger
    return {
        "simulated": True,
        "fees": str(ledger.fees),
        "insurance": str(ledger.insurance),
        "accounts": [
            {
                "account": owner[0],
                "subAccountId": owner[1],
                "deposits": str(holding.deposits),
                "balance": str(holding.balance),
                "positions": [
                    {
                        "productId": product_id,
                        "productSymbol": exchange.products[product_id].symbol,
                        "quantity": str(held.quantity),
                        "entryValue": str(held.entry_value),
                        "cash": str(held.cash),
                        "fees": str(held.fees),
                        "funding": str(held.funding),
                        "accruedFunding": str(held.accrued(ledger.index(product_id))),
                    }
                    for product_id, held in holding.positions.items()
                ],
                "openOrders": [
                    order_of(order, OrderStatus.OPEN, exchange.products[order.product_id].symbol)
                    for order in exchange.open_orders(owner)
                ],
                "nonces": list(exchange.nonces_of(owner)),
                "trades": [trade_of(trade) for trade in exchange.trades_of(owner)],
            }
            for owner, holding in ledger.holdings.items()
        ],
    }
