"""Alarms between grid points: found in the quotes of a batch, told with the record that made them."""

from __future__ import annotations

import numpy as np
import pytest

from processors.kernel.books import STATES
from processors.kernel.names import Names
from processors.kernel.snapshot import freeze, thaw
from processors.kernel.steps import AlarmStep, GapStep, GridStep, Step
from processors.kernel.watch import Watch
from schemas.columns.rows import Rows, row_dtype
from schemas.enums import BookState
from schemas.numbers import INT64_MAX
from schemas.reasons import DenyReason
from schemas.records import Market, Quote
from tests.kernel_steps import GRID, MARKET, T0

OTHER: Market = ("elsewhere", "SEI/USDT")
LIVE = BookState.LIVE
Told = tuple[int, Market, int | None, BookState]


class Log:
    """A partition's quotes, (offset, market, mid, state), with a grid point after so many of them."""

    def __init__(self, jump_bps: int = 20) -> None:
        self.names = Names()
        for market in (MARKET, OTHER):
            self.names.market(market)
        self.watch = Watch(self.names, jump_bps)

    def run(self, told: list[Told], *steps: Step) -> list[tuple[int, Market, DenyReason]]:
        rows = np.zeros(len(told), row_dtype(Quote))
        for row, (offset, market, mid, state) in zip(rows, told, strict=True):
            row["market"], row["cause_offset"], row["ts_trigger"] = self.names.market(market), offset, T0 + offset
            row["state"] = STATES.index(state)
            if mid is not None:
                row["bid_price"], row["ask_price"], row["bid_size"], row["ask_size"] = mid, mid, 1, 1
        found = self.watch.run(steps, Rows(Quote, rows, self.names.texts))
        alarms = [step for step in found if isinstance(step, AlarmStep)]
        assert all(alarm.ts_recv == T0 + alarm.offset for alarm in alarms)
        return [(alarm.offset, alarm.market, alarm.reason) for alarm in alarms]


def grid(quotes: int) -> GridStep:
    return GridStep(T0 + GRID, 0, T0, {}, quotes)


def test_a_mid_that_moves_further_than_the_limit_has_jumped() -> None:
    """From where it was at the last grid point, either way; the first time is told."""
    log = Log(jump_bps=20)
    log.run([(1, MARKET, 10_000, LIVE)], grid(1))

    assert log.run([(2, MARKET, 10_020, LIVE), (3, MARKET, 9_980, LIVE)]) == []
    assert log.run([(4, MARKET, 10_021, LIVE), (5, MARKET, 10_050, LIVE)]) == [(4, MARKET, DenyReason.MARKET_JUMP)]
    assert log.run([(6, MARKET, 9_979, LIVE)]) == [(6, MARKET, DenyReason.MARKET_JUMP)]


def test_a_grid_point_is_where_moves_are_measured_from() -> None:
    """Slow ones never add up; what was before it in the same batch is not after it."""
    log = Log()
    steps = [(offset, MARKET, 10_000 + 15 * offset, LIVE) for offset in range(5)]

    assert log.run(list(steps), *(grid(count) for count in range(1, 5))) == []
    assert Log().run(list(steps), grid(1), grid(2)) == [(3, MARKET, DenyReason.MARKET_JUMP)]


def test_a_book_that_is_not_live_is_told_and_has_no_mid() -> None:
    """Nothing can jump from there until the next grid point with a mid."""
    log = Log()
    log.run([(1, MARKET, 10_000, LIVE)], grid(1))

    assert log.run([(2, MARKET, 10_000, BookState.STALE)]) == [(2, MARKET, DenyReason.BOOK_NOT_LIVE)]
    assert log.run([], grid(0)) == []
    assert log.run([(3, MARKET, 20_000, LIVE), (4, MARKET, None, LIVE), (5, MARKET, 30_000, LIVE)]) == []
    assert log.run([], grid(0)) == []
    assert log.run([(6, MARKET, 30_100, LIVE)]) == [(6, MARKET, DenyReason.MARKET_JUMP)]


def test_alarms_come_in_the_order_of_the_log_and_before_their_grid_point() -> None:
    """Of quotes and of holes, of several markets."""
    log = Log()
    log.run([(1, MARKET, 10_000, LIVE), (2, OTHER, 10_000, LIVE)], grid(2))
    gaps = [GapStep(OTHER, 4, T0 + 4), GapStep(MARKET, 7, T0 + 7)]
    told = [(5, OTHER, 11_000, LIVE), (3, MARKET, 11_000, LIVE), (6, MARKET, 12_000, BookState.GAPPED)]

    assert log.run(sorted(told), gaps[0], gaps[1], grid(3)) == [
        (3, MARKET, DenyReason.MARKET_JUMP),
        (4, OTHER, DenyReason.BOOK_NOT_LIVE),
        (5, OTHER, DenyReason.MARKET_JUMP),
        (6, MARKET, DenyReason.BOOK_NOT_LIVE),
        (7, MARKET, DenyReason.BOOK_NOT_LIVE),
    ]


@pytest.mark.parametrize("mid", [1, 3, 9_999, 10**18, INT64_MAX])
def test_no_price_is_too_small_or_too_large(mid: int) -> None:
    """A move within the limit is none, whatever the price; sums do not wrap."""
    log = Log(jump_bps=10_000)
    log.run([(1, MARKET, mid, LIVE)], grid(1))

    assert log.run([(2, MARKET, mid, LIVE)]) == []
    assert log.run([(3, MARKET, INT64_MAX, LIVE)]) == ([] if mid > INT64_MAX // 2 else [(3, MARKET, "MARKET_JUMP")])


def test_a_restored_watch_sees_the_same() -> None:
    """Where mids were, and are, is in the snapshot."""
    log, again = Log(), Log()
    log.run([(1, MARKET, 10_000, LIVE), (2, MARKET, 10_015, LIVE)], grid(1))
    again.watch.restore(thaw(freeze(log.watch.state())))

    assert again.run([(3, MARKET, 10_030, LIVE)]) == log.run([(3, MARKET, 10_030, LIVE)])
    assert again.run([(4, MARKET, 10_060, LIVE)], grid(0)) == log.run([(4, MARKET, 10_060, LIVE)], grid(0))
