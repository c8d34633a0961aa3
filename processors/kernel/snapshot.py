"""Snapshots of a partition's state: a state to chunks and a manifest, and back.

A state is JSON with tables beside it, compressed, cut into chunks of at most 512 KiB and followed by one manifest that
names the input offset that it covers. The manifest is written last, so a snapshot without one does not exist. Two slots
alternate, so that the snapshot before survives the compaction of the topic.

A partition waits only for `freeze`, which copies; `pack`, which compresses, may run in another thread.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import StateError

__all__ = [
    "BUDGET_BYTES",
    "CHUNK_BYTES",
    "Frozen",
    "Manifest",
    "Snapshot",
    "SnapshotSearch",
    "Table",
    "freeze",
    "latest",
    "pack",
    "thaw",
]

BUDGET_BYTES = 1 << 20
"""What a partition's snapshot should not exceed: it is written every few seconds, and read before anything goes on."""
CHUNK_BYTES = 512 * 1024
_MANIFEST = "manifest"
_MAX_STATE_BYTES = 256 * 1024 * 1024
_HEAD_LENGTH = 4
_BLOCK_BYTES = 256 * 1024
"""Turned at a time: for as long other threads wait for the interpreter."""
_TABLE = "\0table"
_KEPT = 2


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one size in a state, as bytes."""

    data: bytes
    width: int

    @classmethod
    def of(cls, rows: NDArray[Any]) -> Table:
        """Copy an array."""
        return cls(rows.tobytes(), rows.dtype.itemsize)

    def rows(self, dtype: np.dtype[Any] | type[np.generic]) -> NDArray[Any]:
        """Give the array again, as its own copy.

        Raises:
            StateError: the rows are not of this type.
        """
        if np.dtype(dtype).itemsize != self.width:
            raise StateError(f"a snapshot has rows of {self.width} bytes where {np.dtype(dtype).itemsize} are expected")
        return np.frombuffer(self.data, dtype).copy()


@dataclass(frozen=True, slots=True)
class Frozen:
    """A state that shares nothing with what it was taken of: its JSON, and the tables that this refers to."""

    head: bytes
    tables: tuple[Table, ...]


def freeze(state: Mapping[str, Any]) -> Frozen:
    """Copy a state: JSON-able values, and tables."""
    tables: list[Table] = []

    def put_aside(value: Any) -> dict[str, int]:
        if not isinstance(value, Table):
            raise TypeError(f"{type(value).__name__} cannot be in a state")
        tables.append(value)
        return {_TABLE: len(tables) - 1}

    body = json.dumps(state, separators=(",", ":"), default=put_aside)
    sizes = ",".join(f"[{len(table.data)},{table.width}]" for table in tables)
    return Frozen(f'{{"tables":[{sizes}],"state":{body}}}'.encode(), tuple(tables))


def thaw(frozen: Frozen) -> dict[str, Any]:
    """Give the state again."""

    def put_back(value: dict[str, Any]) -> Any:
        return frozen.tables[value[_TABLE]] if _TABLE in value else value

    state: dict[str, Any] = json.loads(frozen.head, object_hook=put_back)["state"]
    return state


def _deflated(frozen: Frozen) -> bytes:
    size = _HEAD_LENGTH + len(frozen.head) + sum(len(table.data) for table in frozen.tables)
    if size > _MAX_STATE_BYTES:
        raise StateError(f"a state of {size} bytes could not be restored: give the partition fewer markets or levels")
    deflater = zlib.compressobj(1)
    parts = [deflater.compress(len(frozen.head).to_bytes(_HEAD_LENGTH, "big")), deflater.compress(frozen.head)]
    # First bytes of all rows, then second ones, and so on: alike ones together make it less than half as long.
    for table in frozen.tables:
        parts += [deflater.compress(_turned(block, table.width)) for block in _blocks(table.data, table.width)]
    return b"".join((*parts, deflater.flush()))


def _inflated(packed: bytes) -> Frozen:
    raw = zlib.decompressobj().decompress(packed, _MAX_STATE_BYTES)
    at = _HEAD_LENGTH + int.from_bytes(raw[:_HEAD_LENGTH], "big")
    head, tables = raw[_HEAD_LENGTH:at], []
    for size, width in json.loads(head)["tables"]:
        blocks = _blocks(raw[at : at + size], width)
        tables.append(Table(b"".join(_turned(block, len(block) // width) for block in blocks), width))
        at += size
    return Frozen(head, tuple(tables))


def _blocks(data: bytes, width: int) -> list[bytes]:
    length = max(_BLOCK_BYTES // width, 1) * width
    return [data[at : at + length] for at in range(0, len(data), length)]


def _turned(block: bytes, width: int) -> memoryview:
    return np.ascontiguousarray(np.frombuffer(block, np.uint8).reshape(-1, width).T).reshape(-1).data


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
    state: Frozen,
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
    """Cut a state into (key, value) records: its chunks, then the manifest.

    Raises:
        StateError: it is larger than what would be restored.
    """
    packed = _deflated(state)
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
    try:
        return thaw(_inflated(packed))
    except (ValueError, TypeError, LookupError, zlib.error) as error:
        raise StateError(f"snapshot {manifest.number} is damaged: {error!r}") from error


def _key(stage_set: str, partition: int, *rest: int | str) -> bytes:
    return "|".join(map(str, (stage_set, partition, *rest))).encode()
