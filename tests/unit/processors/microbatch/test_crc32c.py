"""The checksum of record batches is Kafka's, whatever computes it."""

from __future__ import annotations

import pytest
from aiokafka.record._crc32c import crc as of_tables
from hypothesis import given
from hypothesis import strategies as st

from processors.microbatch.crc32c import crc32c


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"123456789", 0xE3069283),
    ],
)
def test_the_examples_of_the_standard(data: bytes, expected: int) -> None:
    """RFC 3720, appendix B.4; the last is the usual check value."""
    assert crc32c(data) == expected


@given(data=st.binary(min_size=1, max_size=200), skip=st.integers(0, 9))
def test_it_is_that_of_tables_wherever_the_bytes_begin(data: bytes, skip: int) -> None:
    """A batch begins anywhere in what was fetched."""
    part = memoryview(data)[min(skip, len(data) - 1) :]

    assert crc32c(part) == of_tables(bytes(part))
