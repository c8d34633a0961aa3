"""Steps, books and positions to feed the kernel's stages with, from decimal texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from processors.kernel.steps import BookView, GridStep, TradeStep
from schemas.enums import BookState, Mode, Side, TickKind
from schemas.instruments import Instrument, Instruments
from schemas.numbers import NOTIONAL_SCALE, PRICE_SCALE, SIZE_SCALE, to_units
from schemas.records import BookLevel, Market, Position, Record, Tick

MARKET: Market = ("sim-sei-clob", "SEI/USDC")
T0 = 1_700_000_000_000_000
GRID = 200_000

Levels = Sequence[tuple[str, str]]


def price(text: str) -> int:
    """A price in units."""
    return to_units(text, PRICE_SCALE)


def size(text: str) -> int:
    """A size in units."""
    return to_units(text, SIZE_SCALE)


def levels(pairs: Levels) -> tuple[BookLevel, ...]:
    """Book levels from (price, size) texts."""
    return tuple(BookLevel(price=price(p), size=size(s)) for p, s in pairs)


def view(
    bids: Levels = (("0.3998", "1000"),),
    asks: Levels = (("0.4002", "1000"),),
    *,
    state: BookState = BookState.LIVE,
    ts_change: int = T0,
    market: Market = MARKET,
    offset: int = 0,
    flags: int = 0,
) -> BookView:
    """A book as it stands at a grid point."""
    return BookView(market, state, levels(bids), levels(asks), ts_change, None, None, flags, offset)


def grid(index: int, *views: BookView, offset: int | None = None) -> GridStep:
    """The grid step `index` points after T0, crossed a little later."""
    ts = T0 + index * GRID
    return GridStep(
        ts_grid=ts,
        offset=index if offset is None else offset,
        ts_trigger=ts + 5_000,
        books={book.market: book for book in views},
    )


def quiet(points: int, **book: object) -> list[GridStep]:
    """So many grid points with the same book, confirmed at each."""
    return [grid(index, view(ts_change=T0 + index * GRID, offset=index, **book)) for index in range(points)]  # type: ignore[arg-type]


def trade(side: Side, quantity: str, *, at: str = "0.4", market: Market = MARKET, offset: int = 0) -> TradeStep:
    """An accepted trade."""
    tick = Tick(
        venue=market[0],
        source=market[0],
        symbol=market[1],
        kind=TickKind.TRADE,
        side=side,
        price=price(at),
        size=size(quantity),
        ts_event=T0,
        ts_recv=T0,
        session=T0,
        message=offset,
        ordinal=0,
        first=True,
        last=True,
    )
    return TradeStep(tick, offset, 0)


def instrument(**changes: object) -> Instrument:
    """The instrument of MARKET."""
    facts: dict[str, object] = {
        "venue": MARKET[0],
        "symbol": MARKET[1],
        "venue_symbol": MARKET[1],
        "group": "SEI",
        "has_book": True,
        "tick": price("0.0001"),
        "lot": size("1"),
        "min_size": size("1"),
        "min_notional": to_units("1", NOTIONAL_SCALE, bits=128),
        "maker_fee_ppm": 0,
        "taker_fee_ppm": 0,
    }
    return Instrument(**(facts | changes))  # type: ignore[arg-type]


def instruments(**changes: object) -> Instruments:
    """Instruments with MARKET's alone."""
    return Instruments([instrument(**changes)])


def position(quantity: str, *, executions_offset: int = 0, **changes: object) -> Position:
    """A position in MARKET of the account `demo`."""
    facts: dict[str, object] = {
        "mode": Mode.PAPER,
        "account": "demo",
        "venue": MARKET[0],
        "symbol": MARKET[1],
        "quantity": size(quantity),
        "cash": 0,
        "fees": 0,
        "realised_pnl": 0,
        "fill_count": 0,
        "executions_partition": 0,
        "executions_offset": executions_offset,
        "ts_update": T0,
    }
    return Position(**(facts | changes))  # type: ignore[arg-type]


@dataclass
class Emitted:
    """Collects what a stage emits; itself the `emit` to hand over."""

    records: list[Record] = field(default_factory=list)
    triggers: list[int] = field(default_factory=list)

    def __call__(self, record: Record, ts_trigger: int) -> None:
        """Take one record."""
        self.records.append(record)
        self.triggers.append(ts_trigger)
