"""The source on real recordings, against facts that were computed independently of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from producers.binance.recording import BinanceRecording
from producers.replay.captures import open_capture
from producers.replay.feed import replay
from schemas.enums import Flag, Side, TickKind
from schemas.instruments import Instruments
from schemas.numbers import PRICE_SCALE, SIZE_SCALE, to_units
from schemas.records import Tick

SPOT = "binance/spot_btcusdt_20240808.gz"
CRYPTOFEED = "binance/BINANCE.ws.1.0"


class PlainBook:
    """A book in two dictionaries, to check against."""

    def __init__(self) -> None:
        self.sides: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        self.is_live = False

    def take(self, tick: Tick) -> None:
        """Apply a CLEAR or LEVEL."""
        if tick.kind is TickKind.CLEAR:
            self.sides = {Side.BUY: {}, Side.SELL: {}}
            self.is_live = True
        elif tick.size:
            self.sides[tick.side][tick.price] = tick.size
        else:
            self.sides[tick.side].pop(tick.price, None)

    def top(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Best bid and best ask, as price and size."""
        bids, asks = self.sides[Side.BUY], self.sides[Side.SELL]
        bid, ask = max(bids), min(asks)
        return (bid, bids[bid]), (ask, asks[ask])


def ticks_of(path: Path) -> Iterator[Tick]:
    """All ticks of a recording, which must have no bad line."""
    for moment in replay(capture := open_capture(path), BinanceRecording(capture, Instruments.load())):
        assert not moment.effects.bad
        yield from moment.effects.ticks


@pytest.fixture(scope="module")
def spot(sample_data: Path) -> list[Tick]:
    """The spot recording's ticks."""
    return list(ticks_of(sample_data / SPOT))


def test_every_trade_of_the_spot_recording_is_a_tick(spot: list[Tick]) -> None:
    """9,757, with consecutive ids; the recorder's clock is 1.25 s behind, which is a flag."""
    trades = [tick for tick in spot if tick.kind is TickKind.TRADE]

    assert len(trades) == 9_757
    first = trades[0].sequence
    assert first is not None
    assert [trade.trade_id for trade in trades] == [str(first + n) for n in range(9_757)]
    assert {trade.flags for trade in trades} == {Flag.CLOCK_SKEW}


def test_the_whole_minutes_of_the_spot_recording_are_exact(spot: list[Tick], sample_data: Path) -> None:
    """Open, high, low, close, volume and count, by the table that comes with the recording."""
    minutes: dict[int, list[Tick]] = {}
    for tick in spot:
        if tick.kind is TickKind.TRADE:
            assert tick.ts_event is not None
            minutes.setdefault(tick.ts_event // 60_000_000 * 60_000, []).append(tick)
    rows = [line.split() for line in (sample_data / "README.md").read_text().splitlines() if line.startswith("    17")]

    assert len(rows) == 5
    for start, opened, high, low, close, volume, count in rows:
        trades = minutes[int(start)]
        prices = [trade.price for trade in trades]
        expected = [to_units(text, PRICE_SCALE) for text in (opened, high, low, close)]
        assert [prices[0], max(prices), min(prices), prices[-1]] == expected
        assert sum(trade.size for trade in trades) == to_units(volume, SIZE_SCALE)
        assert len(trades) == int(count)


def test_the_spliced_book_equals_the_book_ticker_wherever_both_exist(spot: list[Tick]) -> None:
    """At the same update id, in all 564 places; and at the end."""
    book = PlainBook()
    tops: dict[int, list[tuple[int, int]]] = {}
    books: dict[int, tuple[tuple[int, int], tuple[int, int]]] = {}
    for tick in spot:
        if tick.kind is TickKind.TOP and tick.sequence is not None:
            tops.setdefault(tick.sequence, []).append((tick.price, tick.size))
        elif tick.kind in (TickKind.CLEAR, TickKind.LEVEL):
            book.take(tick)
            if tick.last and tick.sequence is not None:
                books[tick.sequence] = book.top()
    both = books.keys() & tops.keys()

    assert len(both) == 564
    assert all(books[sequence] == tuple(tops[sequence]) for sequence in both)
    assert book.top() == (
        (to_units("61685.99", PRICE_SCALE), to_units("1.0087", SIZE_SCALE)),
        (to_units("61686.00", PRICE_SCALE), to_units("2.29327", SIZE_SCALE)),
    )


def test_a_cryptofeed_recording_gives_four_live_books(sample_data: Path) -> None:
    """Each is spliced although its snapshot came seconds after its first change, and ends uncrossed and ungapped."""
    books: dict[str, PlainBook] = {}
    statuses = []
    trades = []
    for tick in ticks_of(sample_data / CRYPTOFEED):
        if tick.kind in (TickKind.CLEAR, TickKind.LEVEL):
            books.setdefault(tick.symbol, PlainBook()).take(tick)
        elif tick.kind is TickKind.STATUS:
            statuses.append((tick.symbol, tick.flags))
        elif tick.kind is TickKind.TRADE:
            trades.append((tick.symbol, tick.trade_id, bool(tick.flags & Flag.AGGREGATE)))

    symbols = ["BLZ/ETH", "LRC/BTC", "NKN/USDT", "RUNE/EUR"]
    assert sorted(books) == symbols
    assert sorted(statuses) == [(symbol, 0) for symbol in symbols]
    assert all(book.is_live and book.top()[0][0] < book.top()[1][0] for book in books.values())
    assert [(symbol, is_aggregate) for symbol, _, is_aggregate in trades] == [("NKN/USDT", True), ("LRC/BTC", True)]


def test_a_cryptofeed_book_equals_the_book_ticker_wherever_both_exist(sample_data: Path) -> None:
    """Per market, at the same update id, once it is spliced."""
    books: dict[str, PlainBook] = {}
    tops: dict[tuple[str, int | None], list[tuple[int, int]]] = {}
    seen: dict[tuple[str, int | None], tuple[tuple[int, int], tuple[int, int]]] = {}
    for tick in ticks_of(sample_data / CRYPTOFEED):
        if tick.kind is TickKind.TOP:
            tops.setdefault((tick.symbol, tick.sequence), []).append((tick.price, tick.size))
        elif tick.kind in (TickKind.CLEAR, TickKind.LEVEL):
            book = books.setdefault(tick.symbol, PlainBook())
            book.take(tick)
            if tick.last:
                seen[tick.symbol, tick.sequence] = book.top()
    both = seen.keys() & tops.keys()

    assert len(both) > 10
    assert all(seen[place] == tuple(tops[place]) for place in both)
