"""All that is asked of Citrex for one account, and in which order. Pure: time is passed in, requests are handed out.

First the products are read, then everything that rests is cancelled, then the account is read; orders go out from then
on. What there is no product for is not traded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count

from schemas.records import Market
from schemas.venues.citrex.market_data import Product, parse_products
from schemas.venues.citrex.reading import Rows
from schemas.venues.citrex.requests import Request as WireRequest
from schemas.venues.citrex.requests import products
from sinks.executor.citrex.account import AccountReader
from sinks.executor.citrex.calls import Answer, Call, read
from sinks.executor.citrex.orders import OrderFlow
from sinks.executor.citrex.requests import AccountRequests
from sinks.executor.port import Listed, Orders, VenueEvent

__all__ = ["CitrexCore"]

_RETRY_US = 1_000_000


class CitrexCore:
    """What a sub-account's adapter does, apart from the wire.

    Attributes:
        flow: Orders and cancels on their way.
        reader: What is read of the account.
    """

    def __init__(self, requests: AccountRequests, flow: OrderFlow, reader: AccountReader) -> None:
        self._requests = requests
        self.flow = flow
        self.reader = reader
        self._numbers = count(1)
        # What to do with the answer to each call that is under way.
        self._calls: dict[int, Callable[[Answer, int], None]] = {}
        self._events: list[VenueEvent] = []
        self._products_due_us = 0
        self._is_listed = False
        self._is_cleared = False
        self._is_silent = False
        self._trouble: str | None = "the venue's products have not been read yet"

    @property
    def trouble(self) -> str | None:
        """Why the account cannot be read or traded now."""
        return self._trouble or self.reader.trouble

    @property
    def counters(self) -> Mapping[str, int]:
        """Cumulative counts."""
        return {**Counter(self.flow.counters), **self.reader.counters}

    @property
    def is_idle(self) -> bool:
        """Whether nothing that was asked for is still to be done."""
        return self.flow.is_idle

    def submit(self, orders: Orders, now_us: int) -> None:
        """Send orders and cancels."""
        self.flow.submit(orders, now_us)

    def withdraw(self, orders: Sequence[Listed], now_us: int) -> None:
        """Cancel orders that should not be there."""
        self.flow.withdraw(orders, now_us)

    def cancel_all(self, now_us: int) -> None:
        """Cancel everything in the markets that the venue lists."""
        for market in self._requests.product_ids:
            self.flow.cancel_all(market, now_us)

    def hush(self, *, is_silent: bool) -> None:
        """Ask nothing of the account from now on, or ask again; orders and cancels still go out."""
        self._is_silent = is_silent

    def due(self, now_us: int) -> list[Call]:
        """Give the requests to make now."""
        if not self._is_listed:
            return self._ask_products(now_us)
        calls = [self._call(request, partial(self.flow.answered, work)) for work, request in self.flow.due(now_us)]
        self._is_cleared |= self.flow.is_idle
        if self._is_cleared and not self._is_silent:
            question = self.reader.due(now_us, self.flow.in_flight)
            if question is not None:
                calls.append(self._call(question, self._read))
        return calls

    def answered(self, number: int, answer: Answer, now_us: int) -> None:
        """Take the answer to a call."""
        self._calls.pop(number)(answer, now_us)
        if self.flow.wants_look:
            self.flow.wants_look = False
            self.reader.look(now_us)

    def take(self) -> list[VenueEvent]:
        """Give what was learned since last asked, in order."""
        events = self._events + self.flow.events if self._events else self.flow.events
        self._events, self.flow.events = [], []
        return events

    def _read(self, answer: Answer, now_us: int) -> None:
        # Answers to orders that came before are told before.
        self._events += self.flow.events
        self.flow.events = []
        self._events += self.reader.answered(answer, now_us)

    def _ask_products(self, now_us: int) -> list[Call]:
        if self._calls or now_us < self._products_due_us:
            return []
        self._products_due_us = now_us + _RETRY_US
        return [self._call(products(), self._list)]

    def _list(self, answer: Answer, now_us: int) -> None:
        rows = read(answer, parse_products)
        if rows is None:
            self._trouble = "the venue's products cannot be read"
            return
        found = _listed(rows, self._requests)
        missing = sorted(set(self._requests.listings) - set(found))
        if missing:
            self._trouble = f"the venue does not list {', '.join(symbol for _, symbol in missing)} as an active market"
            return
        self._trouble = None
        self._requests.product_ids |= found
        self._is_listed = True
        self.cancel_all(now_us)

    def _call(self, request: WireRequest, then: Callable[[Answer, int], None]) -> Call:
        number = next(self._numbers)
        self._calls[number] = then
        return Call(number, request)


def _listed(rows: Rows[Product], requests: AccountRequests) -> dict[Market, int]:
    markets = requests.markets
    return {
        markets[product.symbol]: product.product_id
        for product in rows.good
        if product.symbol in markets and product.is_active
    }
