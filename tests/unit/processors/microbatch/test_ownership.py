"""One set of stages publishes to a topic at a time, and the log decides which."""

from __future__ import annotations

import pytest

from processors.kernel.pipeline import Stage
from processors.microbatch.ownership import LEASE_US, Leases, announcements
from schemas.errors import ConfigurationError

DATA = frozenset({Stage.NORMALISE, Stage.BARS})
OURS = "normalise-bars"


def leases(*logs: list[tuple[bytes, bytes]]) -> Leases:
    found = Leases(DATA, OURS)
    for log in logs:
        for key, value in log:
            found.take(key, value)
    return found


def theirs(now_us: int) -> list[tuple[bytes, bytes]]:
    return announcements(frozenset(Stage), "all", now_us)


def ours(now_us: int) -> list[tuple[bytes, bytes]]:
    return announcements(DATA, OURS, now_us)


def test_another_set_is_refused_while_its_lease_lives() -> None:
    """It would publish the same trades a second time."""
    with pytest.raises(ConfigurationError, match=r"market\.\w+ is published by workers of the stages all"):
        leases(theirs(1_000)).refuse_other(1_000 + LEASE_US - 1)


def test_a_lease_that_ran_out_binds_nobody() -> None:
    """Its workers are gone."""
    leases(theirs(1_000)).refuse_other(1_000 + LEASE_US)
    leases(theirs(1_000), ours(1_000 + LEASE_US))


def test_the_same_set_shares_the_topics() -> None:
    """That is how a second worker helps."""
    leases(ours(1_000), ours(2_000), ours(1_500)).refuse_other(3_000)


def test_of_two_sets_that_start_together_the_first_in_the_log_wins_and_the_other_stops() -> None:
    """Neither saw the other before it announced itself; afterwards both read the same log."""
    with pytest.raises(ConfigurationError, match="stages all"):
        leases(theirs(1_000), ours(1_001))

    leases(ours(1_000), theirs(1_001), ours(2_000)).refuse_other(3_000)


def test_a_suspended_set_that_was_replaced_stops() -> None:
    """Its lease ran out while it slept."""
    with pytest.raises(ConfigurationError, match="stages all"):
        leases(ours(1_000), theirs(1_000 + LEASE_US), ours(2_000 + LEASE_US))


def test_what_is_no_announcement_is_passed_over() -> None:
    """Snapshots share the topic, and so may tombstones and junk."""
    junk: list[tuple[bytes, bytes]] = [
        (b"all|0|1|0", b"\x00"),
        (b"owner|market.bars", b"{}"),
        (b"owner|market.bars", b"["),
    ]

    found = leases(junk)
    found.take(None, b"x")
    found.take(b"owner|market.bars", None)

    found.refuse_other(0)
