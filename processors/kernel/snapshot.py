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

__all__ = ["CHUNK_BYTES", "Manifest", "Snapshot", "latest", "pack"]

CHUNK_BYTES = 512 * 1024
_MANIFEST = "manifest"
_MAX_STATE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot covers.

    Attributes:
        position: Next offset of `market.ticks` to apply.
        inputs: Next offset of every other input, by topic.
        epoch: Epoch of the decisions made by the worker that wrote it.
        number: Rises by one with each snapshot of the partition, whoever writes it.
        decisions_offset: End of the partition of `trading.quotes` when it was taken; later ones are re-run silently.
        chunks: Number of chunks; size and sha256 of the compressed state together.
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
    return [*records, (_key(stage_set, partition, manifest.slot, _MANIFEST), body)]


def latest(
    records: Iterable[tuple[bytes, bytes]], *, kernel_version: int, stage_set: str, partition: int
) -> Snapshot | None:
    """Find the newest whole snapshot among a partition's records, in log order; None where there is none.

    A damaged snapshot is passed over in favour of the one before.

    Raises:
        StateError: there are snapshots, but not one of them is whole and of this kernel's version.
    """
    chunks: dict[bytes, bytes] = {}
    found: list[Snapshot] = []
    problems: list[str] = []
    for key, value in records:
        if not key.startswith(f"{stage_set}|{partition}|".encode()):
            continue
        if not key.endswith(f"|{_MANIFEST}".encode()):
            chunks[key] = value
            continue
        try:
            found = [*found[-1:], _unpack(value, chunks, kernel_version)]
        except StateError as error:
            problems.append(str(error))
    if found:
        return found[-1]
    if problems:
        raise StateError(
            f"no snapshot of {stage_set} partition {partition} can be restored: {'; '.join(problems[-2:])}"
        )
    return None


def _unpack(body: bytes, chunks: Mapping[bytes, bytes], kernel_version: int) -> Snapshot:
    try:
        manifest = Manifest(**json.loads(body))
        keys = [
            _key(manifest.stage_set, manifest.partition, manifest.slot, str(part)) for part in range(manifest.chunks)
        ]
        packed = b"".join(chunks[key] for key in keys)
        if manifest.kernel_version != kernel_version:
            raise StateError(
                f"snapshot {manifest.number} is of kernel version {manifest.kernel_version}, this is {kernel_version}: "
                "start a new FLASHMM_TOPIC_PREFIX, or run the version that wrote it"
            )
        if len(packed) != manifest.size or hashlib.sha256(packed).hexdigest() != manifest.sha256:
            raise StateError(f"snapshot {manifest.number} has a wrong checksum")
        inflater = zlib.decompressobj()
        state = json.loads(inflater.decompress(packed, _MAX_STATE_BYTES))
    except (ValueError, TypeError, KeyError, zlib.error) as error:
        raise StateError(f"a snapshot is damaged: {error!r}") from error
    return Snapshot(manifest, state)


def _key(stage_set: str, partition: int, slot: int, part: str) -> bytes:
    return f"{stage_set}|{partition}|{slot}|{part}".encode()
