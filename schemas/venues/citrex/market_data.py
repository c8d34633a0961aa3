"""What the venue tells everybody: books, trades, products, statistics, its clock. Strict and bounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from schemas.enums import Side
from schemas.errors import ProtocolError
from schemas.reasons import DeadLetterReason
from schemas.venues.citrex.messages import address_of
from schemas.venues.citrex.reading import Fields, Rows, answer_of, flag_of, millis_of, read_rows
from schemas.venues.citrex.requests import DEPTH_LIMIT, LOOKBACK_LIMIT
from schemas.venues.citrex.units import price_from_wire, size_from_wire, wire_integer
from schemas.wire import long_of, short_text

__all__ = [
    "Depth",
    "Level",
    "Product",
    "Ticker",
    "TradePrint",
    "parse_depth",
    "parse_products",
    "parse_tickers",
    "parse_time",
    "parse_trades",
]

Level: TypeAlias = tuple[int, int]
"""Price and size, in units of 1e-9 and 1e-8."""

_MAX_PRODUCTS = 1_000


@dataclass(frozen=True, slots=True)
class Depth:
    """The best levels of both sides, best first. The venue gives neither a time nor a sequence."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TradePrint:
    """One match of a taker's order with a maker's; price, size in schema units, fees in 1e-18 of the quote asset.

    Attributes:
        uid: The trade's identity.
        maker_account, taker_account: Addresses in small letters.
    """

    uid: str
    price: int
    size: int
    taker_side: Side
    ts_event: int
    maker_account: str
    maker_sub_account_id: int
    maker_order_id: str
    maker_fee: int
    taker_account: str
    taker_sub_account_id: int
    taker_order_id: str
    taker_fee: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What can be traded. Rates, weights and the mark price are of 1e-18.

    Attributes:
        kind: The venue's word; `PERP` for a perpetual.
        tick, min_size, max_size: In units of 1e-9, 1e-8 and 1e-8.
        initial_long_weight, initial_short_weight: A position's value counts with this factor towards initial margin:
            0.95 of a long means that 5 % of its value must be there.
        is_maker_rebate: The maker's fee is paid to the maker.
    """

    product_id: int
    symbol: str
    kind: str
    base_asset: str
    quote_asset: str
    is_active: bool
    tick: int
    min_size: int
    max_size: int
    maker_fee_rate: int
    taker_fee_rate: int
    is_maker_rebate: bool
    initial_long_weight: int
    initial_short_weight: int
    maintenance_long_weight: int
    maintenance_short_weight: int
    mark_price: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticker:
    """A product's prices, funding and open interest, in 1e-18.

    Attributes:
        ts_next_funding: When funding is paid next, microseconds UTC.
    """

    product_id: int
    symbol: str
    oracle_price: int
    mark_price: int
    funding_rate_hourly: int
    open_interest: int
    volume: int
    ts_next_funding: int


def parse_time(body: bytes) -> int:
    """Read the venue's clock: microseconds UTC.

    Raises:
        ProtocolError: it is not that.
    """
    document = answer_of(body)
    if not isinstance(document, dict):
        raise ProtocolError(DeadLetterReason.MALFORMED, "the time is not an object")
    return millis_of(document, "serverTime")


def parse_depth(body: bytes) -> Depth:
    """Read a book. One bad level spoils it: a book without it would be wrong and look right.

    Raises:
        ContractError: it is not one, a level does not fit, or a side is not ordered from the best level on.
    """
    document = answer_of(body)
    if not isinstance(document, dict):
        raise ProtocolError(DeadLetterReason.MALFORMED, "depth is not an object")
    bids, asks = (_side(document.get(name), name) for name in ("bids", "asks"))
    for name, levels, sign in (("bids", bids, -1), ("asks", asks, 1)):
        if any(sign * worse[0] <= sign * better[0] for better, worse in pairwise(levels)):
            raise ProtocolError(DeadLetterReason.MALFORMED, f"{name} are not ordered from the best level on")
    return Depth(bids, asks)


def parse_trades(body: bytes) -> Rows[TradePrint]:
    """Read a page of trades, newest first.

    Raises:
        ProtocolError: it is not one, or longer than the venue gives.
    """
    document = answer_of(body)
    if not isinstance(document, dict) or "trades" not in document:
        raise ProtocolError(DeadLetterReason.MALFORMED, "the trade history has no trades")
    trades = document["trades"]
    # The venue writes null for none.
    return read_rows([] if trades is None else trades, "trades", LOOKBACK_LIMIT, _trade)


def parse_products(body: bytes) -> Rows[Product]:
    """Read the list of products.

    Raises:
        ProtocolError: it is not one.
    """
    return read_rows(answer_of(body), "products", _MAX_PRODUCTS, _product)


def parse_tickers(body: bytes) -> Rows[Ticker]:
    """Read the statistics of products.

    Raises:
        ProtocolError: it is not a list of them.
    """
    return read_rows(answer_of(body), "tickers", _MAX_PRODUCTS, _ticker)


def _side(rows: object, name: str) -> tuple[Level, ...]:
    if not isinstance(rows, list):
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{name} are not a list")
    if len(rows) > DEPTH_LIMIT:
        raise ProtocolError(DeadLetterReason.TOO_LARGE, f"{len(rows)} {name}, more than {DEPTH_LIMIT}")
    return tuple(_level(row, name) for row in rows)


def _level(row: object, name: str) -> Level:
    # The third number is the running sum of the sizes, which says nothing new.
    if not isinstance(row, Sequence) or isinstance(row, str) or len(row) not in (2, 3):
        raise ProtocolError(DeadLetterReason.MALFORMED, f"a level of the {name} is not [price, quantity, …]")
    price = price_from_wire(wire_integer(row[0], f"price of the {name}"))
    size = size_from_wire(wire_integer(row[1], f"quantity of the {name}"))
    if not price or not size:
        raise ProtocolError(DeadLetterReason.MALFORMED, f"a level of the {name} is zero")
    return price, size


def _trade(row: Fields) -> TradePrint:
    price = price_from_wire(wire_integer(row.get("price"), "price"))
    size = size_from_wire(wire_integer(row.get("quantity"), "quantity"))
    if not price or not size:
        raise ProtocolError(DeadLetterReason.MALFORMED, "a trade of nothing")
    return TradePrint(
        uid=short_text(row.get("uid"), "uid"),
        price=price,
        size=size,
        taker_side=Side.BUY if flag_of(row, "takerIsBuyer") else Side.SELL,
        ts_event=millis_of(row, "createdAt"),
        maker_account=address_of(row.get("makerAccount"), "makerAccount"),
        maker_sub_account_id=long_of(row.get("makerSubaccountId"), "makerSubaccountId"),
        maker_order_id=short_text(row.get("makerID"), "makerID"),
        maker_fee=wire_integer(row.get("makerFees"), "makerFees", signed=True),
        taker_account=address_of(row.get("takerAccount"), "takerAccount"),
        taker_sub_account_id=long_of(row.get("takerSubaccountId"), "takerSubaccountId"),
        taker_order_id=short_text(row.get("takerID"), "takerID"),
        taker_fee=wire_integer(row.get("takerFees"), "takerFees", signed=True),
    )


def _product(row: Fields) -> Product:
    def number(name: str) -> int:
        return wire_integer(row.get(name), name)

    return Product(
        product_id=long_of(row.get("id"), "id"),
        symbol=short_text(row.get("symbol"), "symbol"),
        kind=short_text(row.get("type"), "type"),
        base_asset=short_text(row.get("baseAsset"), "baseAsset"),
        quote_asset=short_text(row.get("quoteAsset"), "quoteAsset"),
        is_active=flag_of(row, "active"),
        tick=price_from_wire(number("increment")),
        min_size=size_from_wire(number("minQuantity")),
        max_size=size_from_wire(number("maxQuantity")),
        maker_fee_rate=number("makerFee"),
        taker_fee_rate=number("takerFee"),
        is_maker_rebate=flag_of(row, "isMakerRebate"),
        initial_long_weight=number("initialLongWeight"),
        initial_short_weight=number("initialShortWeight"),
        maintenance_long_weight=number("maintenanceLongWeight"),
        maintenance_short_weight=number("maintenanceShortWeight"),
        mark_price=number("markPrice"),
    )


def _ticker(row: Fields) -> Ticker:
    def number(name: str, *, signed: bool = False) -> int:
        return wire_integer(row.get(name), name, signed=signed)

    return Ticker(
        product_id=long_of(row.get("productId"), "productId"),
        symbol=short_text(row.get("productSymbol"), "productSymbol"),
        oracle_price=number("oraclePrice"),
        mark_price=number("markPrice"),
        funding_rate_hourly=number("fundingRateHourly", signed=True),
        open_interest=number("openInterest", signed=True),
        volume=number("volume"),
        # The one time that the venue writes in seconds.
        ts_next_funding=long_of(row.get("nextFundingTime"), "nextFundingTime") * 1_000_000,
    )
