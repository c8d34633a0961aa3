"""A recording played into the log: at its own pace or another, its times moved by one constant."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from producers.core import Effects, Source
from producers.replay.feed import Moment, shift

__all__ = ["Played", "play"]

_YIELD_EVERY = 200
_MAX_WAIT_US = 60_000_000  # a hole in a recording, or a wrong time in it, is not waited for


@dataclass(slots=True)
class Played:
    """What was played so far."""

    ticks: int = 0
    bad: int = 0
    last_us: int = 0


async def play(
    moments: Iterable[Moment],
    source: Source,
    publish: Callable[[Effects, Source], Awaitable[None]],
    played: Played,
    *,
    shift_us: int = 0,
    speed: float | None = 1.0,
    clock_s: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Publish what comes of a recording, in order.

    Args:
        played: Kept up to date, so that it can be told after an interruption.
        shift_us: Added to every time of the ticks; what identifies them stays.
        speed: Seconds of the recording per second of `clock_s`; a silence counts one minute at most. None: as fast as
            `publish` takes it.
        clock_s: A monotonic clock, seconds.
    """
    due_s = clock_s()
    last_us: int | None = None
    for number, moment in enumerate(moments):
        if moment.effects.ticks and speed is not None:
            if last_us is not None:
                due_s += min(max(moment.now_us - last_us, 0), _MAX_WAIT_US) / 1e6 / speed
            last_us = moment.now_us
            wait_s = due_s - clock_s()
            if wait_s > 0:
                await sleep(wait_s)
        if number % _YIELD_EVERY == 0:
            # An interruption must find a place to come in.
            await sleep(0)
        effects = moment.effects
        ticks = [shift(tick, shift_us) for tick in effects.ticks] if shift_us else effects.ticks
        await publish(Effects(ticks=ticks, bad=effects.bad), source)
        played.ticks += len(ticks)
        played.bad += len(effects.bad)
        played.last_us = moment.now_us
