"""Compiled code of one schema: a decoder and an encoder, written field by field from the schema's layout.

What all schemas have in common stands in `_DECODE` and `_ENCODE`, what a field needs in `_READ` and `_WRITE`.

A decoder may read past the end of a damaged record, never of the buffer: only a text moves it on by more than
`_FIELD_BYTES`, its length is checked against the record's end, and `slack` bytes after the record can be read. A record
is taken when its last field ends where it does.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from textwrap import dedent, indent
from typing import Any, cast

from numba import boolean, int8, int32, int64, types, uint8, void

from schemas import machine
from schemas.codec import HEADER_SIZE
from schemas.columns import encoder, kernel
from schemas.columns.layout import (
    OP_BOOLEAN,
    OP_DECIMAL64,
    OP_DECIMAL128,
    OP_ENUM,
    OP_INT,
    OP_INTERN,
    OP_LONG,
    OP_TEXT,
    Field,
    Layout,
)
from schemas.compiled import compiled

__all__ = ["FORM_FRAMED", "FORM_OTHER", "FORM_PLAIN", "WORD", "decoder_of", "encoder_of", "slack_of"]

# How a value begins: with magic byte and schema id; with the body at once; or in a way that the codec must judge.
FORM_FRAMED, FORM_PLAIN, FORM_OTHER = range(3)

WORD = 8
"""Bytes that are read and written at a time."""

# A branch, a length and the longest decimal; a varint is shorter.
_FIELD_BYTES = 18
_BYTES = types.Array(uint8, 1, "C", readonly=True)

_DECODE = """
def decode(data, tail, starts, ends, forms, headers, rows, texts, taken):
    size = len(data)
    data_at, rows_at = address(data), address(rows)
    tail_from = size + {slack} - len(tail)
    tail_at = address(tail) - tail_from
    none = -1 - len(ends)
    {guesses}
    for row in range(len(ends)):
        taken[row] = False
        start, end = starts[row], ends[row]
        if start < 0 or end < start or end > size or forms[row] == FORM_OTHER:
            continue
        base = data_at
        if end + {slack} > size:
            if start < tail_from:
                continue
            base = tail_at
        at, end = base + start, base + end
        if forms[row] == FORM_FRAMED:
            if not is_known(load(at) & HEADER_MASK, headers):
                continue
            at += HEADER_SIZE
        into = rows_at + row * {row_bytes}
        nulls = 0
        {fields}
        store(into + {nulls_at}, nulls)
        taken[row] = at == end
"""
_READ = {
    OP_LONG: """
        value, at = long_at(at)
        if at < 0:
            continue
        store(into + {at}, value)
    """,
    OP_INT: """
        value, at = long_at(at)
        if at < 0 or value > INT_MAX or value < INT_MIN:
            continue
        store(into + {at}, value)
    """,
    OP_BOOLEAN: """
        value = load(at) & 255
        at += 1
        if value > 1:
            continue
        store(into + {at}, value)
    """,
    OP_ENUM: """
        value = load(at) & 255
        at += 1
        if value & 1 or value >= {twice_members}:
            continue
        store(into + {at}, {member})
    """,
    OP_DECIMAL64: """
        value, at = decimal64(at)
        if at < 0:
            continue
        store(into + {at}, value)
    """,
    OP_DECIMAL128: """
        value, low, at = decimal128(at)
        if at < 0:
            continue
        store(into + {at}, value)
        store(into + {at_second}, low)
    """,
    OP_INTERN: """
        length, at = long_at(at)
        if at < 0 or length < 0 or length > end - at:
            continue
        value = intern(at, length, last_{name}, texts)
        if value < 0:
            continue
        at += length
        last_{name} = value
        store(into + {at}, value)
    """,
    OP_TEXT: """
        length, at = long_at(at)
        if at < 0 or length < 0 or length > end - at or not is_ascii(at, length):
            continue
        store(into + {at}, at - base)
        store(into + {at_second}, length)
        at += length
    """,
}
_READ_NULLABLE = """
    branch = load(at) & 255
    at += 1
    if branch == 2:
        {value}
    elif branch == 0:
        nulls |= {null_bit}
        {zeros}
    else:
        continue
"""

_ENCODE = """
def encode(rows, begin, header, strings, spans, text, tail, out, ends):
    strings_at, out_at = address(strings), address(out)
    size, near = len(text), len(text) - WORD
    tail_from = size + WORD - len(tail)
    at = out_at + (ends[begin - 1] if begin else 0)
    limit = out_at + len(out) - {most}
    for row in range(begin, len(ends)):
        if at > limit:
            return -1 - row
        source = address(rows) + row * {row_bytes}
        nulls = load(source + {nulls_at})
        store(at, header)
        at += HEADER_SIZE
        {fields}
        ends[row] = at - out_at
    return len(ends)
"""
_WRITE = {
    OP_LONG: "at = put_varint(at, load(source + {at}))",
    OP_INT: """
        value = load(source + {at})
        if value > INT_MAX or value < INT_MIN:
            return row
        at = put_varint(at, value)
    """,
    OP_BOOLEAN: """
        store(at, load(source + {at}) != 0)
        at += 1
    """,
    OP_ENUM: """
        value = load(source + {at})
        if value < 0 or value >= {members}:
            return row
        store(at, ({index}) << 1)
        at += 1
    """,
    OP_DECIMAL64: "at = put_decimal64(at, load(source + {at}))",
    OP_DECIMAL128: """
        value = load(source + {at})
        if value >= HIGH_LIMIT or value < -HIGH_LIMIT:
            return row
        at = put_decimal128(at, value, load(source + {at_second}))
    """,
    OP_INTERN: """
        value = load(source + {at})
        if value < 0 or value >= len(spans):
            return row
        length = spans[value, 1]
        if length > limit - at:
            return -1 - row
        at = put_text(at, strings_at + spans[value, 0], length)
    """,
    OP_TEXT: """
        value, length = load(source + {at}), load(source + {at_second})
        if value < 0 or length < 0 or length > size - value:
            return row
        if length > limit - at:
            return -1 - row
        if value + length <= near:
            at = put_text(at, address(text) + value, length)
        elif value >= tail_from:
            at = put_text(at, address(tail) + value - tail_from, length)
        else:
            return row
    """,
}
_WRITE_NULLABLE = """
    if nulls & {null_bit}:
        store(at, 0)
        at += 1
    else:
        store(at, 2)
        at += 1
        {value}
"""

_NAMES: dict[str, Any] = {
    **{name: getattr(machine, name) for name in machine.__all__},
    **{name: getattr(kernel, name) for name in kernel.__all__},
    **{name: getattr(encoder, name) for name in encoder.__all__},
    "__name__": __name__,
    "FORM_FRAMED": FORM_FRAMED,
    "FORM_OTHER": FORM_OTHER,
    "HEADER_MASK": (1 << 8 * HEADER_SIZE) - 1,
    "HEADER_SIZE": HEADER_SIZE,
    "INT_MAX": (1 << 31) - 1,
    "INT_MIN": -(1 << 31),
    "WORD": WORD,
}


def slack_of(layout: Layout) -> int:
    """Give how many bytes a decoder may read after a record's end."""
    return _FIELD_BYTES * len(layout.fields) + HEADER_SIZE + WORD


@cache
def decoder_of(layout: Layout) -> Callable[..., None]:
    """Compile the decoder of a schema.

    It is called with

    - the bytes that hold all values, and their last ones with `slack_of` zeros after them;
    - where each value starts and ends, and how it begins, a `FORM_…`;
    - the headers that values of this schema begin with, as little-endian numbers, the likeliest first;
    - the rows to write, as numbers one after another;
    - the texts, see `schemas.columns.kernel.intern`;
    - where it writes whether it took each record; the row of one that it did not take means nothing.
    """
    interned = [field.name for field in layout.fields if field.op == OP_INTERN]
    source = _filled(
        _DECODE,
        fields=_lines(_reading(field) for field in layout.fields),
        guesses=_lines(f"last_{name} = none" for name in interned),
        nulls_at=WORD * (len(layout.columns) - 1),
        row_bytes=layout.dtype.itemsize,
        slack=slack_of(layout),
    )
    texts = types.Tuple((int64[:, ::1], int32[::1], uint8[::1], int64[::1]))
    taken = void(_BYTES, _BYTES, int64[::1], int64[::1], int8[::1], int64[::1], int64[::1], texts, boolean[::1])
    return _compiled(layout, "decode", source, taken)


@cache
def encoder_of(layout: Layout, row_bytes: int) -> Callable[..., int]:
    """Compile the encoder of a schema, to the bytes that `schemas.binary` writes.

    It is called with

    - the rows as numbers one after another, `row_bytes` a row, and the first row to encode;
    - the header, as a little-endian number;
    - the interned texts with a word to spare after them, and the start and length of each;
    - the bytes that other texts point into, and their last ones with a word to spare;
    - where it writes the values, one after another, and where each ends; the end before the first row is where it
      goes on.

    It gives how many rows there are when all are encoded. Else it gives the row that it leaves to the codec, because
    the schema cannot hold it or a text lies where this code does not read; or -1 less the row that there is no room
    for.
    """
    source = _filled(
        _ENCODE,
        fields=_lines(_writing(field) for field in layout.fields),
        most=_FIELD_BYTES * len(layout.fields) + HEADER_SIZE + WORD,
        nulls_at=WORD * (len(layout.columns) - 1),
        row_bytes=row_bytes,
    )
    row = int64(int64[::1], int64, int64, _BYTES, int64[:, ::1], _BYTES, _BYTES, uint8[::1], int64[::1])
    return _compiled(layout, "encode", source, row)


def _reading(field: Field) -> str:
    value = _filled(
        _READ[field.op],
        name=field.name,
        at=WORD * field.column,
        at_second=WORD * (field.column + 1),
        twice_members=2 * len(field.numbers),
        member=_mapped(field.numbers, "value >> 1"),
    )
    if not field.null_bit:
        return value
    zeros = (f"store(into + {WORD * (field.column + k)}, 0)" for k in range(field.columns))
    return _filled(_READ_NULLABLE, value=value, null_bit=field.null_bit, zeros=_lines(zeros))


def _writing(field: Field) -> str:
    value = _filled(
        _WRITE[field.op],
        at=WORD * field.column,
        at_second=WORD * (field.column + 1),
        members=len(field.numbers),
        index=_mapped([field.numbers.index(number) for number in range(len(field.numbers))], "value"),
    )
    return _filled(_WRITE_NULLABLE, value=value, null_bit=field.null_bit) if field.null_bit else value


def _mapped(numbers: Sequence[int], index: str) -> str:
    """Give the expression of a number by its index, which is the index itself where the two are in one order."""
    return index if list(numbers) == list(range(len(numbers))) else f"{tuple(numbers)}[{index}]"


def _lines(parts: Iterable[str]) -> str:
    return "\n".join(parts)


def _filled(template: str, **values: Any) -> str:
    """Fill in a template; what stands alone on its line may be several lines, indented as it was."""
    lines = []
    for line in dedent(template).strip().splitlines():
        bare = line.strip()
        if bare[0] == "{" and bare[-1] == "}":
            lines.append(indent(values[bare[1:-1]], line[: -len(bare)]))
        else:
            lines.append(line.format(**values))
    return _lines(lines)


def _compiled(layout: Layout, name: str, source: str, signature: Any) -> Callable[..., Any]:
    file = str(Path(__file__).with_name(f"{layout.name}.{name}"))
    # A traceback then shows the line.
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    namespace = dict(_NAMES)
    exec(compile(source, file, "exec"), namespace)  # noqa: S102  our own templates, filled in from committed schemas
    return cast(Callable[..., Any], compiled(signature)(namespace[name]))
