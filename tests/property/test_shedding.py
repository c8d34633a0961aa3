"""Shedding leaves out only what a newer record says again: never another kind, a quoted market, or the last word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from producers.shedding import MAX_HOLD_US, Shedder, ShedLimits
from schemas.enums import Side, TickKind
from schemas.records import Tick
from tests.ticks import T0, Feed, Run

LIMITS = ShedLimits(queue_percent=50, age_us=1_000_000, quoted_venues=frozenset({"quoted"}))
BEHIND, UP_TO_DATE = (80, 0), (0, 0)


@dataclass(frozen=True)
class Call:
    """One call of the publisher: the time, how far behind it is, and messages."""

    now_us: int
    load: tuple[int, int]
    messages: list[list[Tick]]


@st.composite
def calls(draw: st.DrawFn) -> list[Call]:
    """Messages of three markets, one of them quoted, written by a producer that falls behind and catches up."""
    feeds = [
        Feed("A/USDC", source="one"),
        Feed("B/USDC", source="two"),
        Feed("A/USDC", venue="quoted", source="three"),
    ]
    made, now = [], T0
    for _ in range(draw(st.integers(1, 12))):
        now += draw(st.sampled_from((1, 100_000, 700_000)))
        makers = draw(
            st.lists(st.tuples(st.sampled_from(feeds), st.sampled_from(KINDS), st.integers(99, 102)), max_size=6)
        )
        messages = [make(feed, now, price) for feed, make, price in makers]
        made.append(Call(now, draw(st.sampled_from((BEHIND, BEHIND, UP_TO_DATE))), messages))
    return made


def one_side(side: Side) -> Callable[[Feed, int, int], list[Tick]]:
    """A message that says the one side only."""
    return lambda feed, now, price: [
        replace(tick, ordinal=0, first=True, last=True) for tick in feed.top(now, price, price + 1) if tick.side is side
    ]


KINDS: tuple[Callable[[Feed, int, int], list[Tick]], ...] = (
    lambda feed, now, price: feed.top(now, price, price + 1),
    lambda feed, now, price: feed.top(now, price, None),
    one_side(Side.BUY),
    one_side(Side.SELL),
    lambda feed, now, price: [feed.trade(now, price)],
    lambda feed, now, price: feed.levels(now, [(price, 1)], [(price + 1, 1)], clear=True),
    lambda feed, now, price: [feed.status(now)],
    lambda feed, now, price: [feed.heartbeat(now, now)],
)


def run(shedder: Shedder, made: list[Call]) -> list[Tick]:
    written: list[Tick] = []
    for call in made:
        shedder.judge(*call.load)
        written += shedder.take([tick for message in call.messages for tick in message], call.now_us)
    return [*written, *shedder.rest()]


def stated(ticks: list[Tick]) -> list[tuple[object, ...]]:
    """What is known of each market's tops at each record of another kind, and at the end."""
    tops: dict[tuple[str, str, Side], tuple[int, int]] = {}
    known: list[tuple[object, ...]] = []
    for tick in ticks:
        if tick.kind is TickKind.TOP:
            tops[tick.venue, tick.symbol, tick.side] = tick.price, tick.size
        elif tick.symbol:
            both = [tops.get((tick.venue, tick.symbol, side)) for side in (Side.BUY, Side.SELL)]
            known.append((tick, *both))
    return [*known, tuple(sorted(tops.items()))]


@given(calls())
def test_only_tops_that_nobody_quotes_are_left_out_and_all_is_counted(made: list[Call]) -> None:
    """Every other record is written in its order, and of the rest only whole messages are missing."""
    given_ = [tick for call in made for message in call.messages for tick in message]
    shedder = Shedder(LIMITS)
    written = run(shedder, made)

    def is_kept(tick: Tick) -> bool:
        return tick.kind is not TickKind.TOP or tick.venue == "quoted"

    assert [tick for tick in written if is_kept(tick)] == [tick for tick in given_ if is_kept(tick)]
    assert shedder.shed == len(given_) - len(written)
    there = {(tick.source, tick.symbol, tick.message) for tick in written}
    assert written_whole(given_, there) == len(written)


def written_whole(ticks: list[Tick], there: set[tuple[str, str, int]]) -> int:
    """How many records the messages have of which something is there."""
    return sum((tick.source, tick.symbol, tick.message) in there for tick in ticks)


@given(calls())
def test_a_market_that_is_heard_of_is_as_the_venue_said(made: list[Call]) -> None:
    """The tops known at each trade, level or status, and at the end, are those that nothing was left out before."""
    given_ = [tick for call in made for message in call.messages for tick in message]
    assert stated(run(Shedder(LIMITS), made)) == stated(given_)


@given(calls())
def test_a_market_is_written_in_its_order_and_nothing_is_held_when_it_is_over(made: list[Call]) -> None:
    """Numbers only rise within a market, so nothing is taken for a duplicate."""
    shedder = Shedder(LIMITS)
    last: dict[tuple[str, str], tuple[int, int]] = {}
    for call in made:
        shedder.judge(*call.load)
        for tick in shedder.take([tick for message in call.messages for tick in message], call.now_us):
            stream = tick.source, tick.symbol
            assert (tick.message, tick.ordinal) > last.get(stream, (-1, 0))
            last[stream] = tick.message, tick.ordinal
        if not shedder.is_shedding:
            assert not shedder.rest()


@given(calls())
def test_the_kernel_finds_no_gap_in_what_is_left(made: list[Call]) -> None:
    """Trades, bars and books are the same; no record is rejected, and no book is GAPPED by it."""
    given_ = [tick for call in made for message in call.messages for tick in message]
    all_of_it, what_is_left = Run().feed(given_), Run().feed(run(Shedder(LIMITS), made))
    assert what_is_left.reasons == all_of_it.reasons == []
    assert [(t.market, t.trade_id, t.flags) for t in what_is_left.trades] == [
        (t.market, t.trade_id, t.flags) for t in all_of_it.trades
    ]
    assert [(b.market, b.bids, b.asks, b.state) for b in what_is_left.normaliser.books()] == [
        (b.market, b.bids, b.asks, b.state) for b in all_of_it.normaliser.books()
    ]


@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 3_000_000))))
def test_it_begins_at_the_limit_and_ends_at_half_of_it(loads: list[tuple[int, int]]) -> None:
    """So it does not flicker around a limit; every change is told once."""
    shedder = Shedder(LIMITS)
    for percent, age_us in loads:
        was = shedder.is_shedding
        is_over = percent >= 50 or age_us >= 1_000_000
        is_well_below = percent < 25 and age_us < 500_000
        changed = shedder.judge(percent, age_us)
        assert shedder.is_shedding == (is_over or (was and not is_well_below))
        assert changed == (shedder.is_shedding != was)


@given(calls())
def test_switched_off_it_touches_nothing(made: list[Call]) -> None:
    """As it is by default."""
    given_ = [tick for call in made for message in call.messages for tick in message]
    shedder = Shedder(None)
    assert run(shedder, made) == given_
    assert shedder.shed == 0


def test_a_market_that_only_changes_its_top_is_written_once_a_second() -> None:
    """However long the shedding lasts, and with the newest top."""
    feed, shedder = Feed("A/USDC"), Shedder(LIMITS)
    shedder.judge(*BEHIND)
    written = []
    for number in range(40):
        now = T0 + number * 100_000
        written += shedder.take(feed.top(now, 100 + number, 200), now)
    assert [(tick.ts_recv - T0, tick.price) for tick in written if tick.side is Side.BUY] == [
        (at, written_price)
        for at, written_price in (
            (MAX_HOLD_US, 110 * 10**9),
            (2 * MAX_HOLD_US + 100_000, 121 * 10**9),
            (3 * MAX_HOLD_US + 200_000, 132 * 10**9),
        )
    ]
