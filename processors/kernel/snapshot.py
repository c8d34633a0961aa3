"""Snapshots of a partition's state: bytes to chunks and a manifest, and back.

The state is JSON, compressed, cut into chunks of at most 512 KiB and followed by one manifest that names the input
offset that it covers. The manifest is written last, so a snapshot without one does not exist. Two slots alternate, so
that the snapshot before survives the compaction of the topic.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from schemas.errors import StateError

__all__ = ["CHUNK_BYTES", "Manifest", "Snapshot", "SnapshotSearch", "latest", "pack"]

CHUNK_BYTES = 512 * 1024
_MANIFEST = "manifest"
_MAX_STATE_BYTES = 64 * 1024 * 1024
_KEPT = 2


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot covers.

    Attributes:
        position: Next offset of `market.ticks` to apply.
        inputs: Next offset of every other input, by topic.
        epoch: Epoch of the decisions made by the worker that wrote it.
        number: Rises by one with each snapshot of the partition, whoever writes it.
        decisions_offset: End of the partition of `trading.quotes` when it was taken; later ones are re-run silently.
        chunks: Number of chunks; size and sha256 of the compressed state together. The manifest's own checksum follows
            it on a line of its own.
    """

    kernel_version: int
    stage_set: str
    partition: int
    number: int
    position: int
    inputs: Mapping[str, int]
    epoch: int
    decisions_offset: int
    chunks: int
    size: int
    sha256: str

    @property
    def slot(self) -> int:
        """Which of the two alternating slots it is in."""
        return self.number % 2


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A manifest and the state that it covers."""

    manifest: Manifest
    state: dict[str, Any]


def pack(
    state: Mapping[str, Any],
    *,
    kernel_version: int,
    stage_set: str,
    partition: int,
    number: int,
    position: int,
    inputs: Mapping[str, int],
    epoch: int,
    decisions_offset: int,
) -> list[tuple[bytes, bytes]]:
    """Cut a state into (key, value) records: its chunks, then the manifest."""
    packed = zlib.compress(json.dumps(state, separators=(",", ":")).encode(), 1)
    parts = [packed[at : at + CHUNK_BYTES] for at in range(0, len(packed), CHUNK_BYTES)]
    manifest = Manifest(
        kernel_version,
        stage_set,
        partition,
        number,
        position,
        dict(inputs),
        epoch,
        decisions_offset,
        len(parts),
        len(packed),
        hashlib.sha256(packed).hexdigest(),
    )
    records = [(_key(stage_set, partition, manifest.slot, str(part)), chunk) for part, chunk in enumerate(parts)]
    body = json.dumps(asdict(manifest), separators=(",", ":")).encode()
    signed = body + b"\n" + hashlib.sha256(body).hexdigest().encode()
    return [*records, (_key(stage_set, partition, manifest.slot, _MANIFEST), signed)]


class SnapshotSearch:
    """Finds the newest whole snapshot of a partition among records that are shown to it in log order.

    Newest is the one of the greatest epoch and number: a worker that lost the partition without noticing may still
    write one after its successor did. A damaged snapshot is passed over in favour of the one before.
    """

    def __init__(self, *, kernel_version: int, stage_set: str, partition: int) -> None:
        self._kernel_version = kernel_version
        self._stage_set = stage_set
        self._prefix = _key(stage_set, partition, "")
        self._partition = partition
        self._chunks: dict[bytes, bytes] = {}
        self._whole: list[tuple[Manifest, bytes]] = []
        self._problems: list[str] = []

    def add(self, key: bytes | None, value: bytes | None) -> None:
        """Take a record; one that is not this partition's is passed over."""
        if key is None or value is None or not key.startswith(self._prefix):
            return
        if not key.endswith(f"|{_MANIFEST}".encode()):
            self._chunks[key] = value
            return
        try:
            # The chunks as they are now: a later snapshot in the same slot replaces them.
            found = _joined(value, self._chunks)
        except StateError as error:
            self._problems.append(str(error))
            return
        newest_first = sorted([*self._whole, found], key=lambda each: (each[0].epoch, each[0].number), reverse=True)
        self._whole = newest_first[:_KEPT]

    def result(self) -> Snapshot | None:
        """Give the newest whole snapshot; None where there is none at all.

        Raises:
            StateError: there are snapshots, but not one of them is whole and of this kernel's version.
        """
        for manifest, packed in self._whole:
            try:
                return Snapshot(manifest, _unpacked(manifest, packed, self._kernel_version))
            except StateError as error:
                self._problems.append(str(error))
        if self._problems:
            raise StateError(
                f"no snapshot of {self._stage_set} partition {self._partition} can be restored: "
                f"{'; '.join(self._problems[-2:])}"
            )
        return None


def latest(
    records: Iterable[tuple[bytes, bytes]], *, kernel_version: int, stage_set: str, partition: int
) -> Snapshot | None:
    """Find the newest whole snapshot among a partition's records: see `SnapshotSearch`.

    Raises:
        StateError: there are snapshots, but not one of them is whole and of this kernel's version.
    """
    search = SnapshotSearch(kernel_version=kernel_version, stage_set=stage_set, partition=partition)
    for key, value in records:
        search.add(key, value)
    return search.result()


def _joined(signed: bytes, chunks: Mapping[bytes, bytes]) -> tuple[Manifest, bytes]:
    body, _, digest = signed.rpartition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise StateError("a manifest has a wrong checksum")
    try:
        manifest = Manifest(**json.loads(body))
        keys = [
            _key(manifest.stage_set, manifest.partition, manifest.slot, str(part)) for part in range(manifest.chunks)
        ]
        packed = b"".join(chunks[key] for key in keys)
    except (ValueError, TypeError, KeyError) as error:
        raise StateError(f"a snapshot is damaged: {error!r}") from error
    if len(packed) != manifest.size or hashlib.sha256(packed).hexdigest() != manifest.sha256:
        raise StateError(f"snapshot {manifest.number} has a wrong checksum")
    return manifest, packed


def _unpacked(manifest: Manifest, packed: bytes, kernel_version: int) -> dict[str, Any]:
    if manifest.kernel_version != kernel_version:
        raise StateError(
            f"snapshot {manifest.number} is of kernel version {manifest.kernel_version}, this is {kernel_version}: "
            "start a new FLASHMM_TOPIC_PREFIX, or run the version that wrote it"
        )
    inflater = zlib.decompressobj()
    try:
        state: dict[str, Any] = json.loads(inflater.decompress(packed, _MAX_STATE_BYTES))
    except (ValueError, zlib.error) as error:
        raise StateError(f"snapshot {manifest.number} is damaged: {error!r}") from error
    return state


def _key(stage_set: str, partition: int, *rest: int | str) -> bytes:
    return "|".join(map(str, (stage_set, partition, *rest))).encode()
