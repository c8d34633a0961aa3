"""The watchdog lets time pass in partitions that fell silent, and only there."""

from __future__ import annotations

from processors.microbatch.watchdog import Watchdog
from schemas.enums import TickKind

SECOND = 1_000_000
NOW = 1_000 * SECOND


def live() -> Watchdog:
    watchdog = Watchdog(7)
    watchdog.heard(0, NOW - SECOND, NOW)
    return watchdog


def test_a_partition_that_talks_or_was_never_heard_gets_none() -> None:
    """Records of sources carry time by themselves; an empty partition has nothing to judge."""
    assert live().beat(0, NOW, SECOND) is None
    assert live().beat(0, None, 10 * SECOND) is None
    assert live().beat(1, NOW, 10 * SECOND) is None


def test_a_log_of_the_past_is_over_and_not_silent() -> None:
    """Whoever reads it later must find it as it is, so that two runs over it publish the same."""
    watchdog = Watchdog(7)
    watchdog.heard(0, NOW - 60 * SECOND, NOW)

    assert watchdog.beat(0, NOW - 60 * SECOND, 10 * SECOND) is None


def test_the_beat_continues_the_partitions_own_time() -> None:
    """The partition's clock may run behind the machine's."""
    tick = live().beat(0, NOW - 5 * SECOND, 3 * SECOND)

    assert tick is not None
    assert (tick.kind, tick.ts_recv, tick.watermark) == (TickKind.HEARTBEAT, NOW - 2 * SECOND, None)
    assert (tick.session, tick.message) == (7, 1)


def test_it_gives_up_when_time_has_nothing_left_to_decide_and_starts_anew_when_heard() -> None:
    """A log that is over must not grow for ever."""
    watchdog = live()
    beats = [watchdog.beat(0, 0, 2 * SECOND) for _ in range(40)]

    written = [beat for beat in beats if beat is not None]
    assert 40 * SECOND <= 2 * SECOND * len(written) <= 50 * SECOND
    assert [beat.message for beat in written] == list(range(1, len(written) + 1))

    watchdog.heard(0, NOW, NOW)
    assert watchdog.beat(0, 0, 2 * SECOND) is not None
