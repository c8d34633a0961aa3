"""The watchdog lets time pass in silent partitions, and only there."""

from __future__ import annotations

from processors.microbatch.watchdog import Watchdog
from schemas.enums import TickKind

SECOND = 1_000_000


def test_a_partition_that_talks_or_was_never_heard_gets_none() -> None:
    """Records of sources carry time by themselves; an empty partition has nothing to judge."""
    watchdog = Watchdog(7)

    assert watchdog.beat(0, 100 * SECOND, SECOND) is None
    assert watchdog.beat(0, None, 10 * SECOND) is None


def test_the_beat_continues_the_partitions_own_time() -> None:
    """A log of the past goes on in its own time, not in today's."""
    tick = Watchdog(7).beat(0, 100 * SECOND, 3 * SECOND)

    assert tick is not None
    assert (tick.kind, tick.ts_recv, tick.watermark, tick.session) == (TickKind.HEARTBEAT, 103 * SECOND, None, 7)


def test_it_gives_up_when_time_has_nothing_left_to_decide_and_starts_anew_when_heard() -> None:
    """A log that is over must not grow for ever."""
    watchdog = Watchdog(7)
    beats = [watchdog.beat(0, 0, 2 * SECOND) for _ in range(40)]

    written = [beat for beat in beats if beat is not None]
    assert 40 * SECOND <= 2 * SECOND * len(written) <= 50 * SECOND
    assert [beat.message for beat in written] == list(range(1, len(written) + 1))

    watchdog.heard(0)
    assert watchdog.beat(0, 0, 2 * SECOND) is not None
