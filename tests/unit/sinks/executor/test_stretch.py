"""What of a batch of ticks is given one by one, and what only passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from schemas.codec import Codec
from schemas.columns import Spans, decode_ticks
from schemas.enums import TickKind
from schemas.records import Tick
from sinks.executor.stretch import Stretch, read_ticks
from tests.unit.sinks.executor.conftest import MARKET

CODEC = Codec(Tick, 1)
Make = Callable[..., Tick]


def read(*values: bytes, traded: tuple[tuple[str, str], ...] = (MARKET,)) -> list[object]:
    """Offsets of what passes, as lists, and the others as they are."""
    columns = decode_ticks(Spans.of(values), CODEC)
    offsets = np.arange(10, 10 + 2 * len(values), 2)
    return [one.offsets.tolist() if isinstance(one, Stretch) else one for one in read_ticks(offsets, columns, traded)]


def test_ticks_of_traded_markets_are_given_as_records(make_tick: Make) -> None:
    """Also between and behind others: of the same symbol elsewhere, and of another symbol of the same venue."""
    mine = make_tick(kind=TickKind.CLEAR)
    elsewhere, other = replace(mine, venue="elsewhere"), replace(mine, symbol="X/Y")
    ticks = [CODEC.encode(tick) for tick in (other, elsewhere, mine, mine, other, mine)]

    assert read(*ticks) == [[10, 12], (14, mine), (16, mine), [18], (20, mine)]
    assert read(*ticks, traded=(("elsewhere", "nowhere"),)) == [[10, 12, 14, 16, 18, 20]]


def test_the_beat_of_a_venue_is_given_as_a_record(make_tick: Make) -> None:
    """It says that books of the venue are as they were."""
    beat = replace(make_tick(kind=TickKind.HEARTBEAT), symbol="")

    assert read(CODEC.encode(beat)) == [(10, beat)]


def test_what_is_no_tick_leaves_a_hole(make_tick: Make) -> None:
    """And a batch of nothing is nothing."""
    other = CODEC.encode(replace(make_tick(kind=TickKind.CLEAR), symbol="X/Y"))

    assert read(other, other[:9], other) == [[10, 14]]
    assert read(other[:9]) == []
    assert read() == []


def test_the_first_of_a_stretch_is_given_whole(make_tick: Make) -> None:
    """Where its time has to be judged it is wanted as it was written; the others stay behind."""
    ticks = [replace(make_tick(kind=TickKind.TRADE, price=n, size=1, trade_id=f"t{n}"), symbol="X") for n in (1, 2)]
    columns = decode_ticks(Spans.of([CODEC.encode(tick) for tick in ticks]), CODEC)
    (stretch,) = read_ticks(np.array([3, 7]), columns, [MARKET])

    assert isinstance(stretch, Stretch)
    assert stretch.first() == (3, ticks[0])
    assert stretch.behind(1).first() == (7, ticks[1])
    assert len(stretch.behind(2)) == 0
