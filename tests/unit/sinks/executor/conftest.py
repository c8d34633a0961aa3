"""A quoted market, and builders of the records that an executor reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from schemas.enums import Mode, Side, TickKind, Verdict
from schemas.instruments import Instrument
from schemas.numbers import PRICE_SCALE, SIZE_SCALE, to_units
from schemas.records import Cause, QuoteDecision, QuoteLevel, Tick
from sinks.executor.port import Listing, Listings, Venue

MARKET = ("sim-sei-clob", "SEI/USDC")
PARTITION = 2
GRID_US = 1_700_000_000_000_000


def price(text: str) -> int:
    return to_units(text, PRICE_SCALE)


def size(text: str) -> int:
    return to_units(text, SIZE_SCALE)


@pytest.fixture
def listings() -> Listings:
    """One market with a tick of 0.01, a lot of 1, a minimum notional of 1 and a maker fee of 2 bps."""
    instrument = Instrument(
        venue=MARKET[0],
        symbol=MARKET[1],
        venue_symbol=MARKET[1],
        group="SEI",
        has_book=True,
        tick=price("0.01"),
        lot=size("1"),
        min_size=size("1"),
        min_notional=10**17,
        maker_fee_ppm=200,
        taker_fee_ppm=500,
    )
    return {MARKET: Listing(instrument, PARTITION)}


class Feed:
    """Writes `market.ticks` into a venue or a desk, one message per call, the clock given in milliseconds."""

    def __init__(self, take: Callable[[Tick, Cause, int], list[Any]]) -> None:
        self._take = take
        self.offset = 0
        self._message = 0
        self.reports: list[Any] = []

    def snapshot(self, at_ms: int, bids: dict[str, str], asks: dict[str, str]) -> list[Any]:
        """A whole book."""
        levels = [(Side.BUY, p, s) for p, s in bids.items()] + [(Side.SELL, p, s) for p, s in asks.items()]
        parts = [tick(kind=TickKind.CLEAR)]
        parts += [tick(kind=TickKind.LEVEL, side=d, price=price(p), size=size(s)) for d, p, s in levels]
        return self.message(at_ms, *parts)

    def trade(self, at_ms: int, side: Side, at_price: str, of_size: str, trade_id: str | None = None) -> list[Any]:
        """A print; `side` is the taker's."""
        part = tick(kind=TickKind.TRADE, side=side, price=price(at_price), size=size(of_size), trade_id=trade_id)
        return self.message(at_ms, part)

    def message(self, at_ms: int, *parts: Tick) -> list[Any]:
        """A venue message of several ticks."""
        self._message += 1
        reports = []
        for ordinal, part in enumerate(parts):
            whole = replace(
                part,
                ts_recv=GRID_US + at_ms * 1_000,
                message=self._message,
                ordinal=ordinal,
                first=ordinal == 0,
                last=ordinal == len(parts) - 1,
            )
            reports += self.raw(whole)
        return reports

    def raw(self, part: Tick) -> list[Any]:
        """One tick as it is."""
        self.offset += 1
        cause = Cause("market.ticks", PARTITION, self.offset, self.offset)
        reports = self._take(part, cause, part.ts_recv + 7)
        self.reports += reports
        return reports


def tick(
    *,
    kind: TickKind,
    side: Side = Side.NONE,
    price: int = 0,
    size: int = 0,
    trade_id: str | None = None,
    flags: int = 0,
) -> Tick:
    return Tick(
        venue=MARKET[0],
        source="test",
        symbol=MARKET[1],
        kind=kind,
        side=side,
        price=price,
        size=size,
        ts_recv=GRID_US,
        session=1,
        message=0,
        ordinal=0,
        first=True,
        last=True,
        trade_id=trade_id,
        flags=flags,
    )


@pytest.fixture
def feed_of() -> Callable[[Venue], Feed]:
    """Build the feed of a venue."""
    return lambda venue: Feed(venue.on_tick)


@pytest.fixture
def make_tick() -> Callable[..., Tick]:
    """Build a tick of the market."""
    return tick


@pytest.fixture
def make_decision() -> Callable[..., QuoteDecision]:
    """Build a decision of the market: levels as (price, size) texts, the grid point in milliseconds."""

    def build(
        at_ms: int = 0,
        bids: tuple[tuple[str, str], ...] = (),
        asks: tuple[tuple[str, str], ...] = (),
        *,
        epoch: int = 1,
        mode: Mode = Mode.PAPER,
        account: str = "demo",
        symbol: str = MARKET[1],
        verdict: Verdict | None = None,
        sequence: int = 0,
    ) -> QuoteDecision:
        ts_grid = GRID_US + at_ms * 1_000
        return QuoteDecision(
            decision_id=f"{mode}|{account}|{MARKET[0]}|{symbol}|{ts_grid}",
            mode=mode,
            account=account,
            venue=MARKET[0],
            symbol=symbol,
            ts_grid=ts_grid,
            epoch=epoch,
            verdict=verdict or (Verdict.QUOTE if bids or asks else Verdict.EMPTY),
            reasons=(),
            bids=tuple(QuoteLevel(price=price(p), size=size(s)) for p, s in bids),
            asks=tuple(QuoteLevel(price=price(p), size=size(s)) for p, s in asks),
            mid=price("10.00"),
            sigma=0.0,
            gamma=0.0,
            kappa=0.0,
            horizon_s=0.0,
            signal_bps=0.0,
            clamps=(),
            config_hash="",
            sequence=sequence,
            cause_topic="market.ticks",
            cause_partition=PARTITION,
            cause_first_offset=0,
            cause_offset=0,
        )

    return build
