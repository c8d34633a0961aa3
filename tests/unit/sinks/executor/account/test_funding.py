"""Funding and deposits told apart by hand-made examples; the ledger of the exchange is in the property tests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.enums import Mode
from schemas.records import Market, Position
from sinks.executor.account.funding import FundingBook, Settled
from sinks.executor.account.positions import zero_position
from sinks.executor.port import VenueMoney, VenuePositions

ETH, SEI = ("sim-citrex", "ETH/USDC-PERP"), ("sim-citrex", "SEI/USDC-PERP")
MOST = 1_000


def position(market: Market, fills: int = 0, quantity: int = 0, cash: int = 0, funding: int = 0) -> Position:
    flat = zero_position(Mode.CITREX, "demo", market, 0, 0, 0)
    return replace(flat, fill_count=fills, quantity=quantity, cash=cash, funding=funding)


def stated(**changes: object) -> VenuePositions:
    return replace(VenuePositions(asked_us=0, quantities={}, accrued_funding={}), **changes)  # type: ignore[arg-type]


def told(quantity: int) -> VenueMoney:
    return VenueMoney(asked_us=0, asset="USDC", quantity=quantity, equity=None, margin_used=None, margin_available=None)


class Book:
    """A book whose first balance, of 500, is accounted for."""

    def __init__(self) -> None:
        self.book = FundingBook(MOST)
        self.ours = {market: position(market) for market in (ETH, SEI)}
        self.deposits: int | None = None
        settled = self.read(500)
        assert settled == Settled(deposited=500)
        self.deposits = 500

    def read(self, balance: int, before: VenuePositions | None = None) -> Settled | None:
        """Two rounds with a balance between them."""
        before = before or stated()
        self.book.take_positions(before, self.ours, self.deposits)
        self.book.take_money(told(balance), self.ours)
        return self.book.take_positions(before, self.ours, self.deposits)


@pytest.fixture
def book() -> Book:
    return Book()


def test_what_comes_without_a_trade_was_paid_in_or_out(book: Book) -> None:
    """However little it is."""
    assert book.read(501) == Settled(deposited=1)
    book.deposits = 501
    assert book.read(401) == Settled(deposited=-100)


def test_what_comes_with_a_trade_is_funding_of_the_market_traded_most(book: Book) -> None:
    """A position that was opened and closed: 10 of cash and so 100 of balance, and 7 that no trade explains."""
    book.ours[ETH] = position(ETH, fills=2, cash=10)
    book.ours[SEI] = position(SEI, fills=1)

    assert book.read(607) == Settled({ETH: 7})


def test_more_than_funding_could_be_is_a_deposit(book: Book) -> None:
    """Also beside a trade."""
    book.ours[ETH] = position(ETH, fills=1)

    assert book.read(500 + MOST) == Settled({ETH: MOST})
    book.ours[ETH] = position(ETH, fills=2, funding=MOST)
    assert book.read(500 + MOST - MOST - 1) == Settled(deposited=-MOST - 1)


def test_nothing_is_said_while_something_moves(book: Book) -> None:
    """A fill between the rounds, a position that is not ours, or a balance that nobody asked for."""
    book.book.take_money(told(600), book.ours)
    book.ours[ETH] = position(ETH, fills=1)
    assert book.book.take_positions(stated(), book.ours, 500) is None

    book.ours[ETH] = position(ETH, fills=1, quantity=5)
    assert book.read(600) is None
    assert book.book.take_positions(stated(quantities={ETH: 5}), book.ours, 500) is None


def test_the_venues_own_entry_value_counts(book: Book) -> None:
    """Bought for 50: the cash is gone, the balance is not."""
    held = stated(quantities={SEI: 5}, entry_values={SEI: 50})
    book.ours[SEI] = position(SEI, fills=1, quantity=5, cash=-5)

    assert book.read(500, held) == Settled({})
