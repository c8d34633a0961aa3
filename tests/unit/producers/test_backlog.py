"""How far behind a producer is: in records, in bytes, in time."""

from __future__ import annotations

from producers.backlog import Backlog


def test_the_fuller_bound_counts() -> None:
    """Few large records fill a queue as many small ones do."""
    backlog = Backlog(max_records=10, max_bytes=1_000)
    assert backlog.percent == 0
    for _ in range(2):
        backlog.sent(10, 0)
    assert (backlog.records, backlog.percent) == (2, 20)
    backlog.sent(480, 0)
    assert backlog.percent == 50
    for size in (10, 10, 480):
        backlog.done(size)
    assert (backlog.records, backlog.percent) == (0, 0)


def test_the_age_is_that_of_the_oldest_record_waiting() -> None:
    """Known to a tenth of a second; what is acknowledged does not count, whatever came after it."""
    backlog = Backlog(1_000, 1_000_000)
    assert backlog.age_us(5_000_000) == 0
    for number in range(100):
        backlog.sent(1, number * 100_000)
    assert backlog.age_us(10_000_000) == 10_000_000
    for _ in range(60):
        backlog.done(1)
    assert backlog.age_us(10_000_000) == 4_000_000
    for _ in range(40):
        backlog.done(1)
    assert backlog.age_us(10_000_000) == 0
