"""What is new between two pages of the newest trades, and what is missing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from producers.citrex.tape import NewTrades, Tape
from schemas.enums import Side
from schemas.venues.citrex.market_data import TradePrint
from schemas.venues.citrex.requests import LOOKBACK_LIMIT


def trade(number: int) -> TradePrint:
    return TradePrint(
        uid=str(number),
        price=1,
        size=1,
        taker_side=Side.BUY,
        ts_event=number,
        maker_account="m",
        maker_sub_account_id=0,
        maker_order_id="1",
        maker_fee=0,
        taker_account="t",
        taker_sub_account_id=0,
        taker_order_id="2",
        taker_fee=0,
    )


def page_of(last: int, asked: int) -> list[TradePrint]:
    """The newest of the trades 1 to `last`."""
    return [trade(number) for number in range(last, max(0, last - asked), -1)]


def take(tape: Tape, last: int, asked: int) -> NewTrades:
    page = page_of(last, asked)
    return tape.page(page, rows=len(page), asked=asked)


def uids(new: NewTrades) -> list[int]:
    return [int(trade.uid) for trade in new.trades]


def test_the_first_page_is_told_as_such_and_later_ones_bring_what_is_new() -> None:
    """Oldest first, none twice."""
    tape = Tape()

    first, second, third = take(tape, 5, 3), take(tape, 6, 3), take(tape, 6, 3)

    assert (uids(first), first.is_first) == ([3, 4, 5], True)
    assert (uids(second), second.is_first, second.is_gapped) == ([6], False, False)
    assert uids(third) == []


def test_a_page_that_does_not_reach_back_asks_for_a_longer_one() -> None:
    """Nothing of it is taken; the longer one brings all."""
    tape = Tape()
    take(tape, 5, 3)

    short = take(tape, 20, 3)
    assert (short.wants_more, short.trades) == (True, ())
    longer = take(tape, 20, LOOKBACK_LIMIT)
    assert (uids(longer), longer.is_gapped) == (list(range(6, 21)), False)


def test_a_gap_is_told_when_even_the_longest_page_does_not_reach_back() -> None:
    """Its trades are taken all the same."""
    tape = Tape()
    take(tape, 5, 3)

    new = take(tape, 5_000, LOOKBACK_LIMIT)
    assert (len(new.trades), new.is_gapped) == (LOOKBACK_LIMIT, True)
    assert take(tape, 5_001, 3).is_gapped is False


def test_a_market_that_had_no_trades_has_no_gap_when_it_gets_some() -> None:
    """A page shorter than asked for is all that there is."""
    tape = Tape()
    take(tape, 0, 3)
    assert (uids(take(tape, 2, 3)), take(tape, 2, 3).is_gapped) == ([1, 2], False)


def test_a_page_with_a_trade_twice_brings_it_once() -> None:
    """The venue repeats itself."""
    new = Tape().page([trade(1), trade(1)], rows=2, asked=3)
    assert uids(new) == [1]


@settings(deadline=None)
@given(st.integers(1, 90), st.lists(st.integers(0, 40) | st.just(700), min_size=1, max_size=60), st.integers(2, 30))
def test_every_trade_comes_once_in_order_unless_a_gap_is_told(last: int, steps: list[int], asked: int) -> None:
    """Whatever happens between two questions."""
    tape, found, gaps = Tape(), list[int](), 0
    for step in [0, *steps]:
        last += step
        new = take(tape, last, asked)
        if new.wants_more:
            new = take(tape, last, LOOKBACK_LIMIT)
        found += uids(new)
        gaps += new.is_gapped
    assert found == sorted(set(found))
    assert gaps or found == list(range(found[0], last + 1))
