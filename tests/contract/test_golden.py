"""Bytes that were written once are read for ever."""

from __future__ import annotations

import io

import fastavro
import pytest

from schemas.codec import Codec, committed_subjects, committed_versions, load_schema
from schemas.records import BookLevel, DeadLetter
from tests.contract.golden import GOLDEN, SUBJECTS, bodies_of, records_of, to_record

VERSIONS = [(subject, version) for subject in committed_subjects() for version in committed_versions(subject)]
NEWEST = [(subject, committed_versions(subject)[-1]) for subject in committed_subjects()]
HEADER = b"\x00\x00\x00\x00\x07"


@pytest.mark.parametrize(("subject", "version"), VERSIONS)
def test_golden_bytes_decode_to_their_records(subject: str, version: int) -> None:
    """Every version's bytes give the records committed beside them, read with today's codec."""
    codec = Codec(SUBJECTS[subject], 8, {7: load_schema(subject, version)})
    bodies = bodies_of(GOLDEN / subject / f"v{version}.bin")
    assert len(bodies) >= 4
    assert [codec.decode(HEADER + body) for body in bodies] == records_of(subject, version)


@pytest.mark.parametrize(("subject", "version"), NEWEST)
def test_the_newest_version_encodes_to_golden_bytes(subject: str, version: int) -> None:
    """What we write today is, byte for byte, what was written when the version was made."""
    codec = Codec(SUBJECTS[subject], 7)
    encoded = [codec.encode(record) for record in records_of(subject, version)]
    assert encoded == [HEADER + body for body in bodies_of(GOLDEN / subject / f"v{version}.bin")]


@pytest.mark.parametrize(("subject", "version"), VERSIONS)
def test_another_implementation_reads_golden_bytes(subject: str, version: int) -> None:
    """The bytes are Avro to the end, not only to us."""
    schema = fastavro.parse_schema(load_schema(subject, version))
    for body in bodies_of(GOLDEN / subject / f"v{version}.bin"):
        stream = io.BytesIO(body)
        fastavro.schemaless_reader(stream, schema)
        assert stream.tell() == len(body)


def test_records_are_made_from_their_json() -> None:
    """Bytes are hex, nested records are objects, and what a version lacked takes its default."""
    letter = to_record(
        DeadLetter,
        {"component": "c", "reason": "r", "detail": "", "source": "t", "payload": "00ff"}
        | {
            "payload_size": 2,
            "ts_seen": 1,
            "gone": 1,
        },
    )
    assert letter.payload == b"\x00\xff"
    assert letter.source_offset is None
    assert to_record(BookLevel, {"price": 1, "size": 2}) == BookLevel(price=1, size=2)
