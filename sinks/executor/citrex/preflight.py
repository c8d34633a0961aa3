"""What must hold before real money is traded: a list of checks over what the venue says. Pure, but for `gather`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

import aiohttp

from infra.runtime.clock import Clock
from schemas.errors import TerminalError
from schemas.numbers import NOTIONAL_SCALE, format_units
from schemas.records import Market
from schemas.venues.citrex import account
from schemas.venues.citrex.market_data import Depth, Product, parse_depth, parse_products, parse_time
from schemas.venues.citrex.reading import Rows
from schemas.venues.citrex.requests import Request, depth, products, server_time
from schemas.venues.citrex.units import WIRE_ONE, WIRE_SCALE
from sinks.executor.citrex.calls import is_rate_limit, read
from sinks.executor.citrex.link import ask
from sinks.executor.citrex.requests import AccountRequests
from sinks.executor.port import Listings

__all__ = ["Check", "Facts", "PreflightFailed", "PreflightLimits", "gather", "judge", "require"]

_T = TypeVar("_T")
_SAMPLES: Final = 3
_SLOWEST_US: Final = 1_000_000
_PPM: Final = 1_000_000
_TO_WIRE: Final = int(10 ** (WIRE_SCALE - NOTIONAL_SCALE))


@dataclass(frozen=True, slots=True)
class Check:
    """One check, and what was found."""

    name: str
    is_passed: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightLimits:
    """What the account shall be able to bear; values in 1e-17 quote."""

    max_skew_us: int
    order_notional: int
    position_notional: int
    gross_notional: int
    sends_for_cancels: int


@dataclass(slots=True)
class Facts:
    """What the venue said; None is what could not be read.

    Attributes:
        clocks: Of each sample: when it was asked for, what the venue said, and when that was here; microseconds.
    """

    clocks: list[tuple[int, int, int]] = field(default_factory=list)
    products: Rows[Product] | None = None
    orders: tuple[account.OrderState, ...] | None = None
    positions: tuple[account.PositionState, ...] | None = None
    balances: tuple[account.MarginBalance, ...] | None = None
    health: account.AccountHealth | None = None
    books: dict[Market, Depth | None] = field(default_factory=dict)
    asked: int = 0
    rate_limited: int = 0


class PreflightFailed(TerminalError):
    """Checks that did not pass: nothing is traded."""

    def __init__(self, failed: Iterable[Check]) -> None:
        self.failed = tuple(failed)
        found = "; ".join(f"{check.name}: {check.detail}" for check in self.failed)
        super().__init__(f"the preflight failed, nothing is traded: {found}. See `flashmm preflight`")


def require(checks: Iterable[Check]) -> None:
    """Insist on every check.

    Raises:
        PreflightFailed: one did not pass.
    """
    failed = [check for check in checks if not check.is_passed]
    if failed:
        raise PreflightFailed(failed)


def judge(facts: Facts, requests: AccountRequests, limits: PreflightLimits) -> list[Check]:
    """Make the checks."""
    listed = {product.symbol: product for product in facts.products.good} if facts.products is not None else {}
    return [
        _clock(facts, limits),
        *_markets(listed, requests.listings),
        *_books(facts, requests.listings),
        _balance(facts, requests),
        _margin(facts, listed, requests, limits),
        _limits(limits),
        _rate(facts, limits, len(requests.listings)),
        _orders(facts),
    ]


def _clock(facts: Facts, limits: PreflightLimits) -> Check:
    if not facts.clocks:
        return Check("clock", False, "the venue's clock cannot be read")
    asked_us, venue_us, got_us = min(facts.clocks, key=lambda sample: sample[2] - sample[0])
    skew_us, way_us = venue_us - (asked_us + got_us) // 2, got_us - asked_us
    is_near = abs(skew_us) <= limits.max_skew_us and way_us <= _SLOWEST_US
    return Check("clock", is_near, f"{skew_us / 1e3:+.1f} ms from ours, answers take {way_us / 1e3:.1f} ms")


def _markets(listed: Mapping[str, Product], listings: Listings) -> Iterator[Check]:
    for (_, symbol), listing in sorted(listings.items()):
        instrument, name = listing.instrument, f"market {symbol}"
        product = listed.get(instrument.venue_symbol)
        if product is None or not product.is_active:
            yield Check(name, False, "the venue does not list it as active")
        elif not product.tick or instrument.tick % product.tick or instrument.lot % max(product.min_size, 1):
            yield Check(name, False, "tick or lot of the instrument is no multiple of the venue's")
        else:
            ours, theirs = (
                (instrument.maker_fee_ppm, instrument.taker_fee_ppm),
                (product.maker_fee_rate, product.taker_fee_rate),
            )
            is_same = all(ppm * WIRE_ONE == rate * _PPM for ppm, rate in zip(ours, theirs, strict=True))
            fees = f"fees {product.maker_fee_rate / WIRE_ONE:.6f} maker, {product.taker_fee_rate / WIRE_ONE:.6f} taker"
            yield Check(name, is_same, fees if is_same else f"{fees}: not those of the instrument")


def _books(facts: Facts, listings: Listings) -> Iterator[Check]:
    for market in sorted(listings):
        book, name = facts.books.get(market), f"book {market[1]}"
        if book is None or not book.bids or not book.asks:
            yield Check(name, False, "it cannot be read, or has one side")
        else:
            bid, ask = book.bids[0][0], book.asks[0][0]
            detail = f"{bid / 1e9:g} / {ask / 1e9:g}, {len(book.bids)} and {len(book.asks)} levels"
            yield Check(name, bid < ask, detail)


def _balance(facts: Facts, requests: AccountRequests) -> Check:
    if facts.balances is None:
        return Check("balance", False, "it cannot be read: is the key that of the account?")
    asset = requests.network.margin_asset.lower()
    held = sum(balance.quantity - balance.pending_withdrawal for balance in facts.balances if balance.asset == asset)
    return Check("balance", held > 0, f"{_money(held)} USDC")


def _margin(facts: Facts, listed: Mapping[str, Product], requests: AccountRequests, limits: PreflightLimits) -> Check:
    """Ask that the account can bear the greatest positions that it is allowed."""
    quoted = [listed[symbol] for symbol in requests.markets if symbol in listed]
    if facts.health is None or not quoted:
        return Check("margin", False, "it cannot be read")
    rate = max(
        max(WIRE_ONE - product.initial_long_weight, product.initial_short_weight - WIRE_ONE) for product in quoted
    )
    needed = limits.gross_notional * _TO_WIRE * rate // WIRE_ONE
    detail = f"equity {_money(facts.health.equity)}, available {_money(facts.health.initial_margin_available)}"
    detail += f", {_money(needed)} needed at FLASHMM_MAX_GROSS_QUOTE"
    return Check("margin", facts.health.equity >= needed and facts.health.initial_margin_available > 0, detail)


def _limits(limits: PreflightLimits) -> Check:
    is_ordered = 0 < limits.order_notional <= limits.position_notional <= limits.gross_notional
    values = (limits.order_notional, limits.position_notional, limits.gross_notional)
    order, position, gross = (format_units(value, NOTIONAL_SCALE) for value in values)
    detail = f"order {order}, position {position}, account {gross}"
    return Check("limits", is_ordered, detail if is_ordered else f"{detail}: each must be at most the next")


def _rate(facts: Facts, limits: PreflightLimits, markets: int) -> Check:
    is_enough = limits.sends_for_cancels >= markets
    detail = f"{facts.rate_limited} of {facts.asked} questions were too many; "
    detail += f"cancels have {limits.sends_for_cancels} a second"
    return Check("rate budget", is_enough and not facts.rate_limited, detail)


def _orders(facts: Facts) -> Check:
    if facts.orders is None or facts.positions is None:
        return Check("account", False, "orders and positions cannot be read")
    detail = f"{len(facts.orders)} open orders (cancelled at the start), {len(facts.positions)} positions"
    return Check("account", True, detail)


def _money(wire: int) -> str:
    return f"{wire / WIRE_ONE:,.2f}"


async def gather(requests: AccountRequests, url: str, *, timeout_s: float, clock: Clock) -> Facts:
    """Ask the venue everything that the checks need; changes nothing there."""
    facts = Facts()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as http:

        async def answer(request: Request, parse: Callable[[bytes], _T]) -> _T | None:
            facts.asked += 1
            found = await ask(http, url, request)
            facts.rate_limited += is_rate_limit(found)
            return read(found, parse)

        for _ in range(_SAMPLES):
            asked_us = clock()
            venue_us = await answer(server_time(), parse_time)
            if venue_us is not None:
                facts.clocks.append((asked_us, venue_us, clock()))
        facts.products = await answer(products(), parse_products)
        for market in requests.listings:
            facts.books[market] = await answer(depth(requests.venue_symbol(market), 0), parse_depth)
        facts.orders = await answer(requests.open_orders(), account.parse_open_orders)
        facts.positions = await answer(requests.positions(), account.parse_positions)
        facts.balances = await answer(requests.balances(), account.parse_balances)
        facts.health = await answer(requests.health(), account.parse_account_health)
    return facts
