"""A recording is played into the log at its pace, in order, with its times moved by one constant."""

from __future__ import annotations

from typing import cast

import pytest

from producers.core import BadFrame, Effects, Source
from producers.numbering import TickFactory, TickFields
from producers.replay.feed import Moment
from producers.replay.player import Played, play
from schemas.enums import TickKind
from schemas.reasons import DeadLetterReason

SOURCE = cast("Source", object())


class Stage:
    """A log and a clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.log: list[tuple[float, Effects]] = []

    def clock_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    async def publish(self, effects: Effects, _: Source) -> None:
        self.log.append((self.now_s - 100.0, effects))


def moments(*at_us: int) -> list[Moment]:
    """One tick at each time."""
    factory = TickFactory("v", "s")
    factory.open(at_us[0])
    part = TickFields(symbol="A/B", kind=TickKind.TRADE, ts_event=5, trade_id="1")
    return [Moment(now_us, Effects(ticks=factory.message(now_us, [part]))) for now_us in at_us]


@pytest.mark.parametrize(("speed", "expected"), [(1.0, [0, 1, 3]), (2.0, [0, 0.5, 1.5]), (None, [0, 0, 0])])
async def test_the_pace_is_the_recordings_times_the_speed(speed: float | None, expected: list[float]) -> None:
    """None waits for nothing."""
    stage = Stage()
    await play(
        moments(7_000_000, 8_000_000, 10_000_000),
        SOURCE,
        stage.publish,
        Played(),
        speed=speed,
        clock_s=stage.clock_s,
        sleep=stage.sleep,
    )

    assert [at for at, _ in stage.log] == expected


async def test_times_are_moved_and_ids_are_not() -> None:
    """The same constant for every tick."""
    stage = Stage()
    told = moments(7_000_000, 8_000_000)
    await play(told, SOURCE, stage.publish, Played(), shift_us=50, speed=None, clock_s=stage.clock_s, sleep=stage.sleep)

    ticks = [tick for _, effects in stage.log for tick in effects.ticks]
    assert [(tick.ts_recv, tick.ts_event) for tick in ticks] == [(7_000_050, 55), (8_000_050, 55)]
    assert [(tick.session, tick.message, tick.trade_id) for tick in ticks] == [(7_000_000, 0, "1"), (7_000_000, 1, "1")]


async def test_only_ticks_and_bad_frames_are_published_and_counted() -> None:
    """A recording has no socket to send on."""
    stage, played = Stage(), Played()
    bad = BadFrame(DeadLetterReason.MALFORMED, "x", b"y")
    told = [Moment(0, Effects(bad=[bad], send=["subscribe"], reconnect="no ack")), *moments(6)]
    await play(told, SOURCE, stage.publish, played, speed=None, clock_s=stage.clock_s, sleep=stage.sleep)

    assert stage.log[0][1] == Effects(bad=[bad])
    assert played == Played(ticks=1, bad=1, last_us=6)


async def test_a_hole_in_a_recording_is_not_waited_for() -> None:
    """Neither is a single wrong time, far ahead."""
    stage = Stage()
    told = moments(0, 10**15, 1_000_000, 2_000_000)
    await play(told, SOURCE, stage.publish, Played(), clock_s=stage.clock_s, sleep=stage.sleep)

    assert [at for at, _ in stage.log] == [0, 60, 60, 61]
