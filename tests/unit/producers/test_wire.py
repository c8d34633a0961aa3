"""What venues send, read with bounds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.wire import bad_frame, rfc3339_us
from schemas.errors import DoesNotFit, ProtocolError
from schemas.reasons import DeadLetterReason

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_are_exact_to_the_microsecond(time: datetime) -> None:
    """Any day of the calendar."""
    assert rfc3339_us(time.isoformat()) == (time - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T00:00:00.123456999Z", 123_456),
        ("1970-01-01t00:00:00.5z", 500_000),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1969-12-31T23:59:59.999999Z", -1),
    ],
)
def test_forms_of_a_time(text: str, micros: int) -> None:
    """Finer digits are cut, offsets applied."""
    assert rfc3339_us(text) == micros


@pytest.mark.parametrize(
    "value", [None, 5, "", "2024-01-01", "2024-01-01T00:00:00", "2024-02-30T00:00:00Z", "٢٠٢٤-01-01T00:00:00Z"]
)
def test_what_is_no_time_is_refused(value: object) -> None:
    """A time without an offset is no time."""
    with pytest.raises(ProtocolError):
        rfc3339_us(value)


def test_a_dead_letter_says_what_and_where() -> None:
    """The reason apart from the detail; the frame as bytes."""
    bad = bad_frame(ProtocolError(DeadLetterReason.UNKNOWN_SIDE, "side 'x'"), "é", "event 3")
    assert (bad.reason, bad.detail, bad.payload) == (DeadLetterReason.UNKNOWN_SIDE, "event 3: side 'x'", "é".encode())
    assert bad_frame(DoesNotFit("1.23", 1), b"raw").reason is DeadLetterReason.DOES_NOT_FIT
