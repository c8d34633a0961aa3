"""Snapshots survive damage, compaction and half-written successors."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.kernel.snapshot import CHUNK_BYTES, freeze, latest, pack
from schemas.errors import StateError

KEY = {"kernel_version": 1, "stage_set": "normalise-bars", "partition": 2}


def snapshot(number: int, state: dict[str, object], position: int = 0) -> list[tuple[bytes, bytes]]:
    return pack(freeze(state), number=number, position=position, inputs={}, epoch=4, decisions_offset=9, **KEY)


def test_a_state_larger_than_a_chunk_comes_back_whole() -> None:
    """It is cut into chunks of at most 512 KiB, the manifest last."""
    state = {"noise": os.urandom(CHUNK_BYTES).hex()}

    records = snapshot(1, state, position=77)

    assert len(records) > 2
    assert all(len(value) <= CHUNK_BYTES for _, value in records)
    found = latest(records, **KEY)
    assert found is not None
    assert (found.state, found.manifest.position, found.manifest.epoch) == (state, 77, 4)


def test_no_records_mean_no_snapshot() -> None:
    """A partition that was never snapshotted starts at the beginning of its log."""
    assert latest([], **KEY) is None


def test_a_snapshot_without_its_manifest_does_not_exist() -> None:
    """A writer killed between chunk and manifest leaves the one before in force."""
    records = snapshot(1, {"n": 1}) + snapshot(2, {"n": 2}) + snapshot(3, {"n": 3})[:-1]

    found = latest(records, **KEY)

    assert found is not None
    assert found.state == {"n": 2}


@given(at=st.integers(0, 10_000), flip=st.integers(1, 255), part=st.integers(0, 1))
def test_a_damaged_newest_snapshot_gives_the_one_before(at: int, flip: int, part: int) -> None:
    """Whichever byte of it is damaged; the slots alternate, so both are there."""
    newest = snapshot(2, {"n": 2})
    key, value = newest[part]
    at %= len(value)
    damaged = value[:at] + bytes([value[at] ^ flip]) + value[at + 1 :]
    newest[part] = (key, damaged)

    found = latest(snapshot(1, {"n": 1}) + newest, **KEY)

    assert found is not None
    assert found.state == {"n": 1}


def test_of_two_writers_the_one_of_the_greater_epoch_counts() -> None:
    """A worker that was suspended and lost its partition may still write once more after its successor."""
    successor = pack(freeze({"n": 2}), number=7, position=20, inputs={}, epoch=5, decisions_offset=9, **KEY)

    found = latest(successor + snapshot(8, {"n": 1}, position=30), **KEY)

    assert found is not None
    assert found.state == {"n": 2}


def test_compaction_keeps_the_last_two() -> None:
    """Only the last record of each key survives; both slots are then whole."""
    log = [record for number in range(5) for record in snapshot(number, {"n": number})]
    compacted = [record for at, record in enumerate(log) if record[0] not in {key for key, _ in log[at + 1 :]}]

    found = latest(compacted, **KEY)

    assert found is not None
    assert found.state == {"n": 4}


def test_nothing_whole_is_an_error_and_no_fresh_start() -> None:
    """State that was there and cannot be read must not be replaced by an empty one silently."""
    records = [(key, b"{}") for key, _ in snapshot(1, {"n": 1})]

    with pytest.raises(StateError, match="can be restored"):
        latest(records, **KEY)


def test_a_snapshot_of_another_kernel_version_is_not_taken() -> None:
    """Its state may mean something else."""
    with pytest.raises(StateError, match="kernel version 1, this is 2"):
        latest(snapshot(1, {"n": 1}), **{**KEY, "kernel_version": 2})


def test_other_stage_sets_and_partitions_are_passed_over() -> None:
    """They share the topic."""
    other = pack(
        freeze({"n": 1}),
        kernel_version=1,
        stage_set="normalise",
        partition=2,
        number=1,
        position=1,
        inputs={},
        epoch=0,
        decisions_offset=0,
    )

    assert latest(other, **KEY) is None
