"""The transport asks the broker as seldom as it can without delaying a record."""

from __future__ import annotations

from collections import OrderedDict

import pytest

from processors.microbatch.transport import PatientFetcher


@pytest.mark.parametrize(("wait_ms", "unread", "waits_ms"), [(5, False, 100), (5, True, 5), (300, False, 300)])
def test_a_fetch_waits_long_only_where_no_partition_is_left_out(wait_ms: int, unread: bool, waits_ms: int) -> None:
    """A partition with unread records is not in the fetch, and must not wait for what others have to say."""
    fetcher = PatientFetcher.__new__(PatientFetcher)
    fetcher._records = OrderedDict({"market.ticks-0": object()} if unread else {})
    fetcher.wait_ms = wait_ms

    assert fetcher._fetch_max_wait_ms == waits_ms
