"""Records that kernels make in bulk, as rows of numbers: what is published is encoded from them by compiled code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.codec import Codec
from schemas.columns.layout import OP_BOOLEAN, OP_DECIMAL128, OP_ENUM, OP_INTERN, OP_TEXT, Field, layout_of
from schemas.columns.specialised import WORD, encoder_of
from schemas.columns.texts import encoded, with_slack
from schemas.records import Bar, Record, Trade

__all__ = ["Rows", "Values", "row_dtype"]

_LOW = (1 << 64) - 1
# Room that the values get at first: most records take less.
_ROOM, _FIELD_ROOM = 1_024, 6


def row_dtype(record: type[Record]) -> np.dtype[np.void]:
    """Give the type of a row: a number per column of the record's layout, then what its publishing needs.

    `market` is the number of its market, and `ts_trigger` the ts_recv of the tick that triggered it.
    """
    return np.dtype([(name, "<i8") for name in (*layout_of(record).columns, "market", "ts_trigger")])


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Encoded records, laid end to end; `ends` says where each ends."""

    data: memoryview
    ends: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Records of one kind in order.

    Attributes:
        values: Their rows, of `row_dtype(record)`.
        strings: Texts by the numbers in the columns that repeat.
        text: UTF-8 bytes that the spans of other texts point into.
    """

    record: type[Record]
    values: NDArray[np.void]
    strings: Sequence[str]
    text: bytes = b""

    def __len__(self) -> int:
        return len(self.values)

    def records(self) -> Iterator[Record]:
        """Give the records themselves."""
        fields = layout_of(self.record).fields
        names = [field.name for field in fields]
        for row in self.values.tolist():
            yield self.record(**dict(zip(names, (self._value(field, row) for field in fields), strict=True)))

    def _value(self, field: Field, row: tuple[int, ...]) -> Any:
        value = row[field.column]
        if field.null_bit & row[len(layout_of(self.record).columns) - 1]:
            return None
        match field.op:
            case _ if field.op == OP_BOOLEAN:
                return value != 0
            case _ if field.op == OP_ENUM:
                return field.members[value]
            case _ if field.op == OP_INTERN:
                return self.strings[value]
            case _ if field.op == OP_DECIMAL128:
                return value << 64 | row[field.column + 1] & _LOW
            case _ if field.op == OP_TEXT:
                return self.text[value : value + row[field.column + 1]].decode()
        return value

    def encode(self, codec: Codec) -> Values:
        """Encode all records, with their Confluent headers.

        Raises:
            CodecError: the schema cannot hold one of them.
        """
        layout = layout_of(self.record)
        encode = encoder_of(layout, self.values.dtype.itemsize)
        rows = np.ascontiguousarray(self.values).view(np.int64)
        header = int.from_bytes(codec.header, "little")
        texts = *encoded(self.strings), *with_slack(self.text, WORD)
        count = len(self)
        out = np.empty(_ROOM + count * _FIELD_ROOM * len(layout.fields), np.uint8)
        ends = np.empty(count, np.int64)
        done = 0
        while (done := encode(rows, done, header, *texts, out, ends)) != count:
            if done < 0:
                done = -1 - done
                out = _longer(out, len(out))
                continue
            (record,) = Rows(self.record, self.values[done : done + 1], self.strings, self.text).records()
            value = np.frombuffer(codec.encode(record), np.uint8)
            start = int(ends[done - 1]) if done else 0
            out = _longer(out, len(value))
            out[start : start + len(value)] = value
            ends[done] = start + len(value)
            done += 1
        return Values(out.data[: int(ends[-1]) if count else 0], ends)


def _longer(out: NDArray[np.uint8], more: int) -> NDArray[np.uint8]:
    return np.concatenate((out, np.empty(more, np.uint8)))


# What workers publish in bulk is compiled before they join their group, anything else when it is first encoded.
for _record in (Trade, Bar):
    encoder_of(layout_of(_record), row_dtype(_record).itemsize)
