"""Golden records: bytes of each schema version that must decode for ever.

`schemas/golden/<subject>/v<n>.json` lists records by field name, decimals and times as integers, bytes as hex;
`v<n>.bin` holds their Avro bodies, each after its length as 4 bytes, big-endian. For a new version write the JSON, then
run `python -m tests.contract.golden SUBJECT VERSION` once: what exists is never written again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from schemas.codec import AVRO_ROOT, HEADER_SIZE, Codec
from schemas.records import Record
from schemas.topics import TOPICS

GOLDEN = AVRO_ROOT.with_name("golden")
SUBJECTS = {topic.subject: topic.record for topic in TOPICS.values() if topic.record is not None}


def records_of(subject: str, version: int) -> list[Record]:
    """The records that the bytes of a version stand for."""
    documents = json.loads((GOLDEN / subject / f"v{version}.json").read_text(encoding="utf-8"))
    return [to_record(SUBJECTS[subject], document) for document in documents]


def to_record(record: type[Any], document: dict[str, Any]) -> Any:
    """A record from its JSON; fields that the version did not have take their default."""
    hints = get_type_hints(record)
    known = {field.name for field in fields(record)}
    return record(**{name: _value(hints[name], value) for name, value in document.items() if name in known})


def _value(hint: Any, value: Any) -> Any:
    if value is None or get_origin(hint) is None:
        if isinstance(value, dict):
            return to_record(hint, value)
        return bytes.fromhex(value) if hint is bytes else hint(value) if value is not None else None
    if get_origin(hint) is tuple:
        return tuple(_value(get_args(hint)[0], item) for item in value)
    if get_origin(hint) is UnionType:
        return _value(get_args(hint)[0], value)
    return value


def bodies_of(path: Path) -> list[bytes]:
    """The Avro bodies of a file of golden bytes."""
    data, bodies = path.read_bytes(), []
    while data:
        length = int.from_bytes(data[:4], "big")
        bodies.append(data[4 : 4 + length])
        data = data[4 + length :]
    return bodies


def write(subject: str, version: int) -> Path:
    """Write the bytes of a new version's records."""
    codec = Codec(SUBJECTS[subject], 0)
    bodies = [codec.encode(record)[HEADER_SIZE:] for record in records_of(subject, version)]
    path = GOLDEN / subject / f"v{version}.bin"
    with path.open("xb") as file:
        file.writelines(len(body).to_bytes(4, "big") + body for body in bodies)
    return path


if __name__ == "__main__":
    print(write(sys.argv[1], int(sys.argv[2])))
