"""Citrex as a source: what its answers mean, and what their absence does."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest

from producers.citrex.source import CitrexConfig, CitrexSource
from producers.core import Effects, Fetch
from schemas.enums import Flag, InstrumentSource, Side, TickKind
from schemas.errors import ConfigurationError
from schemas.instruments import Instruments
from schemas.reasons import DeadLetterReason
from schemas.records import Tick
from tests import citrex
from tests.citrex import body, wei

T0 = 1_700_000_000_000_000
S = 1_000_000
SYMBOL = "SEI/USDC-PERP"
PRODUCT = citrex.product(increment=wei("0.00001"), minQuantity=wei("0.1"))
BOOK = citrex.depth([("0.42", "10"), ("0.41", "5")], [("0.43", "1")])


class Run:
    """A source and the venue that it asks: answers by path, until told otherwise."""

    def __init__(
        self, symbols: Iterable[str] = (SYMBOL,), *, trades: Iterable[dict[str, Any]] = (), **config: Any
    ) -> None:
        self.source = CitrexSource(
            venue="sim-citrex", symbols=list(symbols), instruments=Instruments.load(), config=CitrexConfig(**config)
        )
        self.now_us = T0
        self.ticks: list[Tick] = []
        self.effects = Effects()
        self.trades = list(trades)
        self.asked: list[str] = []
        self.answers: dict[str, object] = {"products": [PRODUCT], "depth": BOOK, "ticker/24hr": [citrex.ticker()]}
        self.delay_us = 1_000
        self.waiting: list[tuple[int, Fetch]] = []
        self.take(self.source.open(self.now_us))
        self.wait(0.1)

    def take(self, effects: Effects) -> None:
        """Note effects; what they ask is answered `delay_us` later."""
        self.ticks += effects.ticks
        self.effects.extend(effects)
        self.waiting += [(self.now_us + self.delay_us, fetch) for fetch in effects.fetch]

    def answer(self, fetch: Fetch) -> bytes | None:
        self.asked.append(fetch.path)
        kind, _, query = fetch.path.partition("?")
        if kind == "time":
            return body({"serverTime": self.now_us // 1_000})
        if kind == "trade-history" and kind not in self.answers:
            lookback = int(query.partition("lookback=")[2])
            return body({"success": True, "trades": self.trades[::-1][:lookback]})
        found = self.answers[kind]
        return found if isinstance(found, bytes) or found is None else body(found)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        end_us = self.now_us + int(seconds * S)
        while self.now_us < end_us:
            self.now_us += 10_000
            due = [one for one in self.waiting if one[0] <= self.now_us]
            self.waiting = [one for one in self.waiting if one[0] > self.now_us]
            for _, fetch in due:
                self.take(self.source.fetched(fetch.tag, self.answer(fetch), self.now_us))
            self.take(self.source.tick(self.now_us))

    def trade(self, uid: str, **more: Any) -> None:
        """Let the venue have a trade, now."""
        self.trades.append(citrex.trade(uid, "0.42", "3", at_ms=self.now_us // 1_000, **more))

    def of(self, kind: TickKind) -> list[Tick]:
        return [tick for tick in self.ticks if tick.kind is kind]

    @property
    def statuses(self) -> list[Flag]:
        return [Flag(tick.flags) for tick in self.of(TickKind.STATUS)]

    @property
    def problems(self) -> list[str]:
        return [bad.detail for bad in self.effects.bad]


def test_a_book_is_one_message_that_replaces_the_one_before() -> None:
    """CLEAR and all levels, in the order of the sides; said to be synchronising before."""
    run = Run()

    first = next(i for i, tick in enumerate(run.ticks) if tick.kind is TickKind.CLEAR)
    message = run.ticks[first : first + 4]
    assert run.statuses == [Flag.NONE]
    assert [(t.kind, t.side, t.price, t.size) for t in message] == [
        (TickKind.CLEAR, Side.NONE, 0, 0),
        (TickKind.LEVEL, Side.BUY, 420_000_000, 1_000_000_000),
        (TickKind.LEVEL, Side.BUY, 410_000_000, 500_000_000),
        (TickKind.LEVEL, Side.SELL, 430_000_000, 100_000_000),
    ]
    assert {t.message for t in message} == {message[0].message}
    assert [(t.first, t.last) for t in message] == [(True, False), (False, False), (False, False), (False, True)]
    assert all(t.symbol == SYMBOL and t.flags == Flag.SNAPSHOT and t.ts_event is None for t in message)


def test_a_book_that_is_not_renewed_is_stale_at_its_age_and_live_with_the_next() -> None:
    """Counted from the question: what is in an answer may be as old as that."""
    run = Run(poll_us=500_000, max_book_age_us=2 * S)
    run.wait(3)
    assert run.statuses == [Flag.NONE]
    asked_us = run.now_us

    run.answers["depth"] = None
    run.wait(5)
    (stale,) = [tick for tick in run.of(TickKind.STATUS) if tick.flags == Flag.STALE]
    assert 1_400_000 < stale.ts_recv - asked_us < 2_100_000
    assert run.source.counters["books_stale"] == 1

    run.answers["depth"] = BOOK
    before = len(run.of(TickKind.CLEAR))
    run.wait(10)
    assert len(run.of(TickKind.CLEAR)) > before
    assert run.statuses == [Flag.NONE, Flag.STALE]


def test_an_answer_that_is_older_than_a_book_may_be_is_not_taken() -> None:
    """It would be LIVE and STALE at once."""
    run = Run(max_book_age_us=1_000_000)
    books = len(run.of(TickKind.CLEAR))
    run.delay_us = 1_500_000
    run.wait(2)

    assert len(run.of(TickKind.CLEAR)) == books
    assert run.source.counters["books_too_late"] > 0
    assert run.statuses[-1] == Flag.STALE


def test_a_book_with_a_bad_level_is_gapped_and_good_again_with_the_next() -> None:
    """The whole of it is a dead letter, once for each answer, and the venue is asked less often."""
    run = Run(poll_us=100_000)
    run.answers["depth"] = {"bids": [["1", "1", "1"]], "asks": []}
    run.wait(2)

    assert run.statuses == [Flag.NONE, Flag.GAPPED, Flag.STALE]
    assert 1 <= len(run.effects.bad) < 10
    assert run.effects.bad[0].reason is DeadLetterReason.DOES_NOT_FIT
    run.answers["depth"] = BOOK
    before = len(run.of(TickKind.CLEAR))
    run.wait(5)
    assert len(run.of(TickKind.CLEAR)) > before


def test_trades_come_once_with_their_id_side_and_time() -> None:
    """Oldest first; what was before the session is marked as filled in, and not older than a minute."""
    run = Run(
        trades=[
            citrex.trade("old", "0.42", "1", at_ms=(T0 - 61 * S) // 1_000),
            citrex.trade("before", "0.42", "1", at_ms=(T0 - S) // 1_000, is_buy=False),
        ]
    )
    run.trade("a")
    run.wait(1.5)
    run.trade("b", is_buy=False)
    run.wait(1.5)

    found = [(t.trade_id, t.side, Flag(t.flags)) for t in run.of(TickKind.TRADE)]
    assert found == [
        ("before", Side.SELL, Flag.REPLAYED),
        ("a", Side.BUY, Flag.NONE),
        ("b", Side.SELL, Flag.NONE),
    ]
    assert run.of(TickKind.TRADE)[0].ts_event == T0 - S


def test_a_burst_is_fetched_with_a_longer_page_and_one_beyond_it_is_a_gap() -> None:
    """Between two questions there were more trades than a page has."""
    run = Run(poll_us=500_000)
    run.trade("first")
    run.wait(2)
    for number in range(200):
        run.trade(f"burst-{number}")
    run.wait(2)
    assert [t.trade_id for t in run.of(TickKind.TRADE)] == ["first", *(f"burst-{n}" for n in range(200))]
    assert run.source.counters["longer_pages"] == 1
    assert run.statuses == [Flag.NONE]

    for number in range(600):
        run.trade(f"flood-{number}")
    run.wait(2)
    later = run.of(TickKind.TRADE)[201:]
    assert [t.trade_id for t in later] == [f"flood-{n}" for n in range(100, 600)]
    assert (later[0].flags, later[1].flags) == (Flag.GAPPED, Flag.NONE)
    assert Flag.GAPPED in run.statuses


def test_a_trade_that_cannot_be_read_is_a_dead_letter_once() -> None:
    """Though it is in page after page; the others are taken."""
    run = Run(poll_us=100_000)
    run.trade("a")
    run.wait(1)
    run.trade("bad", takerIsBuyer="yes")
    run.trade("b")
    run.wait(2)

    assert [t.trade_id for t in run.of(TickKind.TRADE)] == ["a", "b"]
    assert len(run.problems) == 1
    assert "takerIsBuyer" in run.problems[0]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"symbol": "btcperp"}, "does not list it"),
        ({"active": False}, "suspended"),
        ({"type": "SPOT"}, "contract"),
        ({"increment": wei("0.00002")}, "tick"),
        ({"minQuantity": wei("1")}, "lot"),
    ],
)
def test_a_market_whose_listing_differs_from_its_instrument_is_not_served(change: dict[str, Any], problem: str) -> None:
    """It is said once, with what differs; no book is asked for."""
    run = Run(["ETH/USDC-PERP"])
    assert run.of(TickKind.CLEAR) == []
    run = Run()
    run.answers["products"] = [{**PRODUCT, **change}]
    asked = len(run.asked)
    run.wait(130)

    (detail,) = run.problems
    assert problem in detail
    assert run.statuses[-1] == Flag.STALE
    assert not any(path.startswith("depth") for path in run.asked[asked + 400 :])
    assert run.source.counters["markets_not_served"] == 1
    run.answers["products"] = [PRODUCT]
    run.wait(70)
    assert run.asked[-1].startswith(("depth", "trade-history", "time", "ticker"))
    assert run.source.counters["markets_not_served"] == 0


def test_what_the_venue_says_of_a_market_is_told_when_it_is_news() -> None:
    """Its fees, smallest size and margin, and from when; a listing that says the same again is no news."""
    run = Run()
    run.wait(130)
    (told,) = run.effects.instruments
    assert (told.market, told.source) == (("sim-citrex", SYMBOL), InstrumentSource.VENUE)
    assert (told.maker_fee_ppm, told.taker_fee_ppm, told.initial_margin_ppm) == (100, 500, 100_000)
    assert told.min_size == 10**7
    assert T0 < told.ts_effective < T0 + S

    run.answers["products"] = [{**PRODUCT, "takerFee": wei("0.0006"), "isMakerRebate": True}]
    run.wait(70)
    assert [(one.maker_fee_ppm, one.taker_fee_ppm) for one in run.effects.instruments[1:]] == [(-100, 600)]


def test_a_market_that_is_not_served_is_not_told_of() -> None:
    """Its instrument would not be the venue's."""
    run = Run(["ETH/USDC-PERP"])
    run.wait(70)
    assert run.effects.instruments == []


def test_the_watermark_follows_the_venues_clock_as_far_as_trades_are_known() -> None:
    """When trades cannot be had, it stands still; it needs no trade to move."""
    run = Run()
    run.wait(12)
    beats = [tick.watermark for tick in run.of(TickKind.HEARTBEAT)]
    assert beats[-1] is not None
    assert run.now_us - 3 * S < beats[-1] < run.now_us - S

    run.answers["trade-history"] = None
    run.wait(20)
    stuck = [tick.watermark for tick in run.of(TickKind.HEARTBEAT)][-1]
    assert stuck is not None
    assert stuck < run.now_us - 19 * S


def test_it_beats_every_second_and_ends_stale() -> None:
    """Even when nothing is answered."""
    run = Run()
    run.answers = dict.fromkeys(("products", "depth", "ticker/24hr", "trade-history"))
    run.wait(10)
    times = [tick.ts_recv for tick in run.of(TickKind.HEARTBEAT)]
    assert max(b - a for a, b in pairwise(times)) <= S

    run.take(run.source.close(run.now_us))
    assert run.statuses[-1] == Flag.STALE
    assert run.source.tick(run.now_us + 5 * S) == Effects()


def test_statistics_are_gauges() -> None:
    """Mark, oracle, funding and open interest of the markets that are served."""
    gauges = Run().source.gauges
    assert gauges[f"mark_price:{SYMBOL}"] == pytest.approx(0.421312345678901234)
    assert gauges[f"funding_rate_hourly:{SYMBOL}"] == pytest.approx(-0.0000108481572391)


def test_a_market_without_an_instrument_is_a_wrong_setting() -> None:
    """No instrument, no quote: its tick is not known."""
    with pytest.raises(ConfigurationError, match="BTC/USDC-PERP has no instrument"):
        Run(["BTC/USDC-PERP"])


def test_frames_and_late_answers_are_counted_not_taken() -> None:
    """Nothing that was not asked for becomes a tick."""
    run = Run()
    ticks = len(run.ticks)

    assert run.source.fetched("depth:seiperp#1", body(BOOK), run.now_us).ticks == []
    assert run.source.fetched("nonsense", b"x", run.now_us).ticks == []
    assert run.source.counters["answers_too_late"] == 2
    assert len(run.source.receive("{}", run.now_us).bad) == 1
    assert len(run.ticks) == ticks
