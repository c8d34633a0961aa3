"""Cancelling everything at Citrex without Kafka, an executor, or anything else of ours that runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp

from infra.runtime.settings import Settings
from schemas.errors import ServiceUnavailable
from schemas.venues.citrex.account import parse_open_orders
from schemas.venues.citrex.market_data import parse_products
from schemas.venues.citrex.reading import Refusal
from schemas.venues.citrex.requests import products
from sinks.executor.citrex.calls import read, read_cancel
from sinks.executor.citrex.link import ask
from sinks.executor.citrex.requests import AccountRequests
from sinks.executor.citrex.venue import requests_of

__all__ = ["DirectCancel", "ProductCancel", "cancel_all_directly"]

_ATTEMPTS = 5
_WAIT_S = 0.3


@dataclass(frozen=True, slots=True)
class ProductCancel:
    """What became of the cancel of one product: `problem` is empty where it was done."""

    symbol: str
    problem: str


@dataclass(frozen=True, slots=True)
class DirectCancel:
    """What became of cancelling everything.

    Attributes:
        orders_left: Open orders afterwards; None where they could not be read.
    """

    venue: str
    account: str
    sub_account_id: int
    products: tuple[ProductCancel, ...]
    orders_left: int | None

    @property
    def is_done(self) -> bool:
        """Whether nothing is open any more, as the venue says itself."""
        return self.orders_left == 0 and not any(product.problem for product in self.products)


def cancel_all_directly(settings: Settings) -> DirectCancel:
    """Sign the cancellation of all orders in every product of the quoted Citrex network, then look what is left.

    It needs no `TRADING_ENABLED`: a cancel is never kept back.

    Raises:
        ConfigurationError: the quoted venue is not one Citrex network, or the key or address is missing or wrong.
        ServiceUnavailable: the venue does not say what its products are.
    """
    requests, url = requests_of(settings, settings.csv("quoted_venues"), {})
    return asyncio.run(_cancel_all(requests, url, settings.citrex_timeout_ms / 1e3))


async def _cancel_all(requests: AccountRequests, url: str, timeout_s: float) -> DirectCancel:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as http:
        rows = None
        for _ in range(_ATTEMPTS):
            rows = read(await ask(http, url, products()), parse_products)
            if rows is not None:
                break
            await asyncio.sleep(_WAIT_S)
        if rows is None:
            detail = "its products cannot be read"
            raise ServiceUnavailable("Citrex", url, detail, fix="Try again, or cancel at the venue's own site")
        cancels = (_cancel(http, url, requests, product.symbol, product.product_id) for product in rows.good)
        done = tuple(await asyncio.gather(*cancels))
        left = read(await ask(http, url, requests.open_orders()), parse_open_orders)
    return DirectCancel(
        requests.network.venue,
        requests.account,
        requests.sub_account_id,
        done,
        None if left is None else len(left),
    )


async def _cancel(
    http: aiohttp.ClientSession, url: str, requests: AccountRequests, symbol: str, product_id: int
) -> ProductCancel:
    problem = ""
    for _ in range(_ATTEMPTS):
        answer = read_cancel(await ask(http, url, requests.cancel_product(product_id)))
        if answer is True:
            return ProductCancel(symbol, "")
        problem = answer.detail if isinstance(answer, Refusal) else "no definite answer"
        await asyncio.sleep(_WAIT_S)
    return ProductCancel(symbol, problem)
