"""One set of stages publishes to a topic at a time."""

from __future__ import annotations

import pytest

from processors.kernel.pipeline import Stage
from processors.microbatch.ownership import LEASE_US, announcements, refuse_other_owner
from schemas.errors import ConfigurationError

DATA = frozenset({Stage.NORMALISE, Stage.BARS})


def test_another_set_is_refused_while_its_lease_lives() -> None:
    """It would publish the same trades a second time."""
    theirs = announcements(frozenset(Stage), "all", 1_000)

    with pytest.raises(ConfigurationError, match=r"market\.\w+ is published by workers of the stages all"):
        refuse_other_owner(theirs, DATA, "normalise-bars", 1_000 + LEASE_US - 1)


def test_a_lease_that_ran_out_binds_nobody() -> None:
    """Its workers are gone."""
    refuse_other_owner(announcements(DATA, "all", 1_000), DATA, "normalise-bars", 1_000 + LEASE_US)


def test_the_same_set_shares_the_topics() -> None:
    """That is how a second worker helps."""
    refuse_other_owner(announcements(DATA, "normalise-bars", 1_000), DATA, "normalise-bars", 2_000)


def test_the_last_announcement_counts() -> None:
    """The topic may not be compacted yet."""
    log = announcements(DATA, "all", 1_000) + announcements(DATA, "normalise-bars", 2_000)

    refuse_other_owner(log, DATA, "normalise-bars", 3_000)
